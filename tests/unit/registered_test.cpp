// SPDX-License-Identifier: MIT
//
// Goal: places of registered buffers and files are held by requests, retired, cleared and used
// again as lib/registered.hpp says; an errand is run once, or heard to be given up. Method: the
// tables over a kernel of the test's own, which keeps what it is told, on one thread.

#include "tests/unit/registered_rig.hpp"
#include "tests/unit/unit.hpp"

#include <cerrno>
#include <string>
#include <vector>

using namespace ioengine;
using test::FileTables;

TEST_CASE("a place is the lowest that is unused, and its generation moves with each use",
          "[registered][H9]") {
    FileTables rig(3);
    const TableHandle a = rig.add(10);
    const TableHandle b = rig.add(11);
    REQUIRE(a.place == 1);
    REQUIRE(b.place == 2);
    REQUIRE(rig.kernel == std::vector<int>{10, 11, -1});
    rig.retire(a);
    REQUIRE(rig.kernel == std::vector<int>{-1, 11, -1});
    const TableHandle c = rig.add(12);
    REQUIRE(c.place == 1);
    REQUIRE(c.generation == a.generation + 1);
    REQUIRE_FALSE(rig.take(a, 10));
    REQUIRE(rig.take(c, 12));
    rig.put_back(c);
    rig.retire(a);  // stale: nothing happens
    REQUIRE(rig.take(c, 12));
    rig.put_back(c);
}

TEST_CASE("a place is cleared when its last request is done, whatever became of the others",
          "[registered][H9]") {
    FileTables rig(1);
    const TableHandle handle = rig.add(10);
    REQUIRE(rig.take(handle, 10));
    REQUIRE(rig.take(handle, 10));
    REQUIRE(rig.take(handle, 10));
    rig.retire(handle);
    REQUIRE_FALSE(rig.take(handle, 10));
    REQUIRE(rig.kernel[0] == 10);
    REQUIRE(rig.add(11).place == 0);
    rig.put_back(handle);
    rig.untake(handle);
    REQUIRE(rig.kernel[0] == 10);
    const bool ends_refused = GENERATE(false, true);
    ends_refused ? rig.untake(handle) : rig.put_back(handle);
    REQUIRE(rig.kernel[0] == -1);
    REQUIRE(rig.add(11).place == 1);
}

TEST_CASE("forged handles stand for nothing", "[registered]") {
    FileTables rig(2);
    for (const TableHandle& handle : {TableHandle{1, 1}, TableHandle{1, 0}, TableHandle{2, 1},
                                      TableHandle{3, 1}, TableHandle{UINT32_MAX, 1}})
        REQUIRE_FALSE(rig.take(handle, 0));
    const TableHandle handle = rig.add(5);
    REQUIRE_FALSE(rig.take({handle.place, handle.generation + 1}, 5));
    REQUIRE_FALSE(rig.take({handle.place + 2, handle.generation}, 5));
    rig.retire({handle.place + 2, handle.generation});
    REQUIRE(rig.take(handle, 5));
    rig.put_back(handle);
}

TEST_CASE("after the end nothing is registered, and the kernel is left alone", "[registered]") {
    FileTables rig(2);
    const TableHandle handle = rig.add(10);
    REQUIRE(rig.take(handle, 10));
    rig.tables.close();
    const std::uint64_t updates = rig.updates;
    TableHandle other;
    const TableItem item{nullptr, 0, 11};
    REQUIRE(rig.tables.add(TableKind::files, &item, 1, &other).code == ErrorCode::shutting_down);
    rig.put_back(handle);
    rig.retire(handle);
    REQUIRE(rig.updates == updates);
    REQUIRE(rig.kernel[0] == 10);
}

TEST_CASE("places side by side go to the kernel in one call, and come back in one",
          "[registered][H9]") {
    FileTables rig(8);
    const TableHandle first = rig.add(1);
    const TableHandle second = rig.add(2);
    rig.add(3);
    rig.retire(first);
    rig.updates = 0;
    // Places 1, 4, 5, 6.
    const TableItem items[4] = {
        {nullptr, 0, 20}, {nullptr, 0, 21}, {nullptr, 0, 22}, {nullptr, 0, 23}};
    TableHandle handles[4];
    REQUIRE(rig.tables.add(TableKind::files, items, 4, handles).fallback == ErrorCode::none);
    REQUIRE(rig.updates == 2);
    REQUIRE(rig.kernel == std::vector<int>{20, 2, 3, 21, 22, 23, -1, -1});
    rig.tables.retire(TableKind::files, handles, 4);
    REQUIRE(rig.updates == 4);
    REQUIRE(rig.kernel == std::vector<int>{-1, 2, 3, -1, -1, -1, -1, -1});
    REQUIRE(rig.take(second, 2));
    rig.put_back(second);
}

// -- errands -----------------------------------------------------------------------------------

namespace {

struct Counted : Errand {
    Counted() {
        done = [](Errand& self, bool runs) noexcept {
            Counted& counted = static_cast<Counted&>(self);
            ++(runs ? counted.ran : counted.given_up);
        };
    }
    int ran = 0;
    int given_up = 0;
};

}  // namespace

TEST_CASE("an errand is run once; when nobody comes any more it hears of it, or is refused",
          "[errands]") {
    Errands errands;
    Counted first;
    Counted second;
    Counted late;
    REQUIRE_FALSE(errands.run());
    REQUIRE(errands.post(first));
    REQUIRE(errands.post(second));
    REQUIRE(errands.run());
    REQUIRE_FALSE(errands.run());
    REQUIRE(first.ran == 1);
    REQUIRE(second.ran == 1);
    REQUIRE(errands.post(first));
    errands.close();
    REQUIRE(first.ran == 1);
    REQUIRE(first.given_up == 1);
    REQUIRE_FALSE(errands.post(late));
    REQUIRE_FALSE(errands.run());
    REQUIRE(late.ran + late.given_up == 0);
}
