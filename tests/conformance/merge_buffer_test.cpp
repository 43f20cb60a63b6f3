// SPDX-License-Identifier: MIT
//
// Goal: EventMergeBuffer takes what lies right behind, is alike and fits, and nothing else.
// Method: requests that are never submitted.

#include "tests/support/merging.hpp"

#include <cstdint>
#include <vector>

using namespace ioengine;

using test::read_at;

TEST_CASE("a merge buffer takes what lies right behind, and nothing else", "[merge][E1][E4]") {
    EventMergeBuffer buffer(1 << 20);
    Request first = read_at(4096, 4096);
    Request behind = read_at(8192, 100);
    Request odd = read_at(8292, 1);
    for (const std::uint64_t wrong : {0u, 4095u, 4096u, 8191u, 8193u, 12288u}) {
        buffer.clear();
        REQUIRE(buffer.add(first));
        Request other = read_at(wrong, 4096);
        REQUIRE_FALSE(buffer.add(other));
        REQUIRE(buffer.count() == 1);
    }
    REQUIRE(buffer.add(behind));
    REQUIRE(buffer.add(odd));
    REQUIRE(buffer.count() == 3);
    REQUIRE(buffer.bytes() == 4096 + 100 + 1);
    std::vector<Request*> order(buffer.begin(), buffer.end());
    REQUIRE(order == std::vector<Request*>{&first, &behind, &odd});
    buffer.clear();
    REQUIRE(buffer.empty());
    Request before = read_at(0, 4096);
    REQUIRE(buffer.add(before));
}

TEST_CASE("a merge buffer's limit is on the sum, and on the number", "[merge][E2][E3]") {
    EventMergeBuffer buffer(10'000);
    Request requests[] = {read_at(0, 4000), read_at(4000, 4000), read_at(8000, 2001),
                          read_at(8000, 2000)};
    REQUIRE(buffer.add(requests[0]));
    REQUIRE(buffer.add(requests[1]));
    REQUIRE_FALSE(buffer.add(requests[2]));
    REQUIRE_FALSE(buffer.full());
    REQUIRE(buffer.add(requests[3]));
    REQUIRE(buffer.full());
    buffer.clear();
    Request oversize = read_at(0, 10'001);
    REQUIRE_FALSE(buffer.takes(oversize));

    EventMergeBuffer many(1 << 30);
    std::vector<Request> small;
    for (std::size_t i = 0; i <= kMergeMax; ++i)
        small.push_back(read_at(i, 1));
    for (std::size_t i = 0; i < kMergeMax; ++i)
        REQUIRE(many.add(small[i]));
    REQUIRE(many.full());
    REQUIRE_FALSE(many.add(small[kMergeMax]));
}

TEST_CASE("what is not alike, or must go alone, is not merged", "[merge][E14]") {
    EventMergeBuffer buffer(1 << 20);
    Request first = read_at(0, 4096);
    REQUIRE(buffer.add(first));
    const auto refuses = [&](auto&& change) {
        Request other = read_at(4096, 4096);
        REQUIRE(buffer.takes(other));
        change(other);
        return !buffer.takes(other);
    };
    REQUIRE(refuses([](Request& r) { r.fd = 4; }));
    REQUIRE(refuses([](Request& r) { r.action = IOAction::write; }));
    REQUIRE(refuses([](Request& r) { r.channel = Channel::prio; }));
    REQUIRE(refuses([](Request& r) { r.flags = kFlagDsync; }));
    REQUIRE(refuses([](Request& r) { r.io_priority = 1; }));
    REQUIRE(refuses([](Request& r) { r.length = 0; }));
    for (const std::uint16_t flag : {kFlagNowait, kFlagAppend, kFlagAtomic}) {
        Request alone = read_at(0, 4096);
        alone.flags = flag;
        REQUIRE_FALSE(can_be_merged(alone));
    }
    Request vectored;
    vectored.prepare_readv(3, nullptr, 1, 0);
    REQUIRE_FALSE(can_be_merged(vectored));
    Request flush;
    flush.prepare_fsync(3);
    REQUIRE_FALSE(can_be_merged(flush));
}
