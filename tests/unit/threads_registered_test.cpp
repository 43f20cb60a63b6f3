// SPDX-License-Identifier: MIT
//
// Goal: whoever unregisters and whoever ends the last request at the same time: one of them has the
// place cleared, and nobody finds another one's file there.
// Method: threads that register, submit, and unregister; another that ends what was submitted;
// files are numbers that a kernel of the test's own keeps.

#include "tests/support/catch.hpp"
#include "tests/support/tracker.hpp"
#include "tests/unit/registered_rig.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

using namespace ioengine;
using test::FileTables;

TEST_CASE("places that change hands between threads are right, and all come back",
          "[threads][registered][H9]") {
    constexpr std::size_t kThreads = 3;
    constexpr int kRounds = 3000;
    FileTables rig(4);
    std::mutex mutex;
    std::vector<Request> taken;  // under the mutex
    std::atomic<int> wrong{0};
    std::atomic<bool> over{false};
    // The poll role.
    std::thread ender([&] {
        for (bool last = false; !last;) {
            last = over.load();
            std::vector<Request> ended;
            {
                const std::lock_guard<std::mutex> lock(mutex);
                ended.swap(taken);
            }
            for (const Request& request : ended) {
                // What the driver would do: it is still this one's.
                const std::uint32_t place = file_place_of(request);
                if (rig.tables.file_in_kernel(place))
                    wrong += rig.kernel[place - 1] != request.fd;
                rig.tables.put_back(request);
            }
            rig.tables.settle();
        }
    });
    test::in_threads(kThreads, kRounds, [&](std::size_t i) {
        const int fd = static_cast<int>(i) + 1;
        const TableHandle handle = rig.add(fd);
        if (handle.place == 0)
            return;  // all are in use
        const Request request = FileTables::request(handle, fd);
        for (int k = 0; k < 2; ++k) {
            if (!rig.tables.take(request)) {
                ++wrong;
                continue;
            }
            if ((i + static_cast<std::size_t>(k)) % 3 == 0) {
                rig.tables.untake(request);
                continue;
            }
            const std::lock_guard<std::mutex> lock(mutex);
            taken.push_back(request);
        }
        rig.retire(handle);
        wrong += rig.take(handle, fd) ? 1 : 0;
    });
    over = true;
    ender.join();
    REQUIRE(wrong == 0);
    // By what was done, and not by a later registration.
    REQUIRE(rig.kernel == std::vector<int>{-1, -1, -1, -1});
}
