// SPDX-License-Identifier: MIT
//
// Goal: ReadyList keeps a thread's order and loses nothing; SpscRing hands numbers on in order,
// also when its places are used again and again.
// Method: one thread; several threads are in tests/unit/threads_lists_test.cpp.

#include "lib/ready_list.hpp"
#include "lib/spsc_ring.hpp"
#include "tests/unit/unit.hpp"

#include <cstdint>

using namespace ioengine;

TEST_CASE("a ready list gives the oldest first, all at once, and is empty then", "[ready-list]") {
    ReadyList list;
    test::Requests requests;
    REQUIRE(list.empty());
    REQUIRE(list.take_all().empty());
    for (std::uint64_t i = 0; i < 100; ++i) {
        list.push(requests.read(i));
        REQUIRE_FALSE(list.empty());
    }
    std::uint64_t expected = 0;
    for (RequestChain taken = list.take_all(); !taken.empty();)
        REQUIRE(taken.pop().offset == expected++);
    REQUIRE(expected == 100);
    REQUIRE(list.empty());
    REQUIRE(list.take_all().empty());
}

TEST_CASE("a request can go back on a ready list while what was taken is walked", "[ready-list]") {
    ReadyList list;
    test::Requests requests;
    list.push(requests.read(0));
    list.push(requests.read(1));
    RequestChain taken = list.take_all();
    Request& first = taken.pop();
    list.push(first);
    REQUIRE(taken.pop().offset == 1);
    REQUIRE(taken.empty());
    taken = list.take_all();
    REQUIRE(&taken.pop() == &first);
    REQUIRE(taken.empty());
}

TEST_CASE("a ring holds as many numbers as it was made for, in order, at every position",
          "[spsc-ring]") {
    for (const std::size_t capacity : {1u, 2u, 3u, 5u, 8u, 128u}) {
        SpscRing ring(capacity);
        std::uint32_t next_in = 0;
        std::uint32_t next_out = 0;
        std::uint32_t item = 0;
        for (int round = 0; round < 1000; ++round) {
            for (std::size_t i = 0; i < capacity; ++i)
                ring.push(next_in++);
            REQUIRE(ring.size() == capacity);
            // Leaves one inside, so that the next round starts at another place.
            while (ring.size() > (round % 2 == 0 ? 1u : 0u)) {
                REQUIRE(ring.pop(item));
                REQUIRE(item == next_out++);
            }
            if (ring.size() == 1) {
                REQUIRE(ring.pop(item));
                REQUIRE(item == next_out++);
            }
            REQUIRE_FALSE(ring.pop(item));
            REQUIRE(ring.size() == 0);
        }
        REQUIRE(next_out == next_in);
    }
}

TEST_CASE("a ring that is never quite empty keeps its order over many wraps", "[spsc-ring]") {
    SpscRing ring(5);
    std::uint32_t next_in = 0;
    std::uint32_t next_out = 0;
    const std::uint64_t seed = test::announced_seed("ring");
    test::Random random(seed);
    for (int step = 0; step < 20'000; ++step) {
        if (ring.size() < 5 && (ring.size() == 0 || random.below(2) == 0)) {
            ring.push(next_in++);
        } else {
            std::uint32_t item = 0;
            REQUIRE(ring.pop(item));
            REQUIRE(item == next_out++);
        }
        REQUIRE(ring.size() == next_in - next_out);
    }
    REQUIRE(next_out > 5000);
}
