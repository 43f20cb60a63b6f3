// SPDX-License-Identifier: MIT
//
// Goal: ReadyList and SpscRing between threads: everything arrives once, in the order of the thread
// that sent it, together with what was written before.
// Method: numbered requests from several producers; tokens that circulate through two rings. What
// travels is plain memory, for the thread sanitizer.

#include "lib/ready_list.hpp"
#include "lib/spsc_ring.hpp"
#include "tests/unit/unit.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

using namespace ioengine;

TEST_CASE("a ready list loses nothing of four producers and keeps each one's order",
          "[ready-list][threads]") {
    constexpr std::size_t kProducers = 4;
    constexpr std::uint64_t kEach = 50'000;
    ReadyList list;
    std::vector<std::vector<Request>> requests(kProducers);
    for (auto& own : requests)
        own.resize(kEach);
    std::vector<std::thread> producers;
    for (std::size_t p = 0; p < kProducers; ++p)
        producers.emplace_back([&, p] {
            for (std::uint64_t i = 0; i < kEach; ++i) {
                Request& request = requests[p][i];
                request.fd = static_cast<int>(p);
                request.offset = i;
                request.result = static_cast<std::int64_t>(i * 3);
                list.push(request);
            }
        });
    std::uint64_t next[kProducers] = {};
    std::uint64_t total = 0;
    std::uint64_t out_of_order = 0;
    test::wait_until(
        [&] {
            for (RequestChain taken = list.take_all(); !taken.empty();) {
                const Request& request = taken.pop();
                std::uint64_t& expected = next[static_cast<std::size_t>(request.fd)];
                out_of_order += request.offset != expected;
                out_of_order += request.result != static_cast<std::int64_t>(expected * 3);
                ++expected;
                ++total;
            }
            return total == kProducers * kEach;
        },
        "waiting for all requests of four producers");
    for (std::thread& producer : producers)
        producer.join();
    REQUIRE(out_of_order == 0);
    REQUIRE(list.empty());
    for (const std::uint64_t count : next)
        REQUIRE(count == kEach);
}

TEST_CASE("tokens that circulate between two threads through two rings keep their order and their "
          "cargo",
          "[spsc-ring][threads]") {
    constexpr std::uint32_t kTokens = 5;
    constexpr std::uint64_t kLaps = 200'000;
    SpscRing there(kTokens);
    SpscRing back(kTokens);
    std::uint64_t cargo[kTokens] = {};  // plain: the rings hand it over
    for (std::uint32_t token = 0; token < kTokens; ++token)
        there.push(token);
    std::atomic<std::uint64_t> wrong{0};
    std::atomic<std::uint64_t> laps{0};
    const auto carry = [&](SpscRing& from, SpscRing& to, std::uint64_t parity) {
        std::uint32_t expected = 0;
        for (std::uint64_t lap = 0; lap < kLaps;) {
            std::uint32_t token = 0;
            if (!from.pop(token)) {
                std::this_thread::yield();
                continue;
            }
            if (token != expected || cargo[token] % 2 != parity)
                wrong.fetch_add(1);
            ++cargo[token];
            expected = (expected + 1) % kTokens;
            to.push(token);
            ++lap;
        }
        laps.fetch_add(kLaps);
    };
    std::thread first([&] { carry(there, back, 0); });
    std::thread second([&] { carry(back, there, 1); });
    test::wait_until([&] { return laps.load() == 2 * kLaps; }, "waiting for tokens to circulate");
    first.join();
    second.join();
    REQUIRE(wrong.load() == 0);
    std::uint64_t carried = 0;
    for (const std::uint64_t moves : cargo)
        carried += moves;
    REQUIRE(carried == 2 * kLaps);
}
