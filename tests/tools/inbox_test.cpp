// SPDX-License-Identifier: MIT
//
// Goal: the bench's own hand-over between threads loses nothing, repeats nothing, and never sleeps
// through a ring, so that a request missing in a run is the engine's doing.
// Method: many producers against one consumer that goes to sleep whenever it can.
#include "tests/support/support.hpp"

#include "tools/bench/clock.hpp"
#include "tools/bench/inbox.hpp"

#include <atomic>
#include <thread>
#include <vector>

namespace {

struct Item {
    Item* next = nullptr;
    unsigned producer = 0;
    unsigned number = 0;
};

}  // namespace

TEST_CASE("every item arrives once, and those of one producer in order") {
    constexpr unsigned kProducers = 4;
    constexpr unsigned kItems = 20'000;
    bench::Inbox<Item> inbox;
    std::vector<std::vector<Item>> items(kProducers, std::vector<Item>(kItems));
    std::vector<std::jthread> producers;
    for (unsigned p = 0; p < kProducers; ++p)
        producers.emplace_back([&inbox, &mine = items[p], p] {
            for (unsigned i = 0; i < kItems; ++i) {
                mine[i].producer = p;
                mine[i].number = i;
                inbox.push(mine[i]);
                if (i % 16 == 0)
                    std::this_thread::yield();  // lets the consumer run dry and sleep
            }
        });

    std::vector<unsigned> expected(kProducers);
    for (unsigned received = 0; received < kProducers * kItems;) {
        for (Item* item = inbox.wait_and_take(); item != nullptr; item = item->next) {
            REQUIRE(item->number == expected[item->producer]);
            ++expected[item->producer];
            ++received;
        }
    }
    for (const unsigned count : expected)
        CHECK(count == kItems);
}

TEST_CASE("two threads that wake each other in turn never sleep through a ring") {
    constexpr int kTurns = 20'000;
    bench::Bell ping;
    bench::Bell pong;
    std::atomic<int> heard{0};
    std::jthread other([&] {
        for (int i = 0; i < kTurns; ++i) {
            ping.wait();
            heard.fetch_add(1, std::memory_order_relaxed);
            pong.ring();
        }
    });
    for (int i = 0; i < kTurns; ++i) {
        ping.ring();
        pong.wait();
    }
    other.join();
    CHECK(heard.load() == kTurns);
}

TEST_CASE("a ring before the wait is not lost, and two of them end one wait only") {
    bench::Bell bell;
    bell.ring();
    bell.ring();
    CHECK(bell.wait_for_ns(0));
    CHECK_FALSE(bell.wait_for_ns(1'000'000));
}

TEST_CASE("a wait with a limit lasts that long when nobody rings") {
    bench::Bell bell;
    const std::uint64_t begun = bench::now_ns();
    CHECK_FALSE(bell.wait_for_ns(20'000'000));
    CHECK(bench::now_ns() - begun >= 20'000'000);
}
