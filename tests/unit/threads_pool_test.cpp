// SPDX-License-Identifier: MIT
//
// Goal: threads at one event pool: no block is held twice, none is lost, and who takes no more than
// there is gets it.
// Method: each thread signs the blocks it holds and looks for foreign signatures.

#include "tests/unit/unit.hpp"

#include <ioengine/engine.hpp>

#include <atomic>
#include <cstdint>
#include <iterator>
#include <set>
#include <thread>
#include <vector>

using namespace ioengine;

TEST_CASE("no block of the pool is ever held by two threads, and none is lost",
          "[event-pool][threads]") {
    const std::uint64_t seed = test::announced_seed("pool threads");
    constexpr std::uint32_t kThreads = 4;
    constexpr std::uint32_t kBlocks = 24;
    constexpr int kSteps = 50'000;
    Options options;
    options.backend = Backend::null;
    options.event_pool = kBlocks;
    Error error;
    Engine* const engine = abi::engine_create(options, IOENGINE_VERSION, &error);
    REQUIRE(engine != nullptr);
    abi::EventPool* const pool = abi::event_pool_create(engine, 64, &error);
    REQUIRE(pool != nullptr);

    std::atomic<std::uint64_t> held_twice{0};
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            test::Random random(seed + t);
            const std::uint32_t mine = t + 1;
            std::vector<std::uint32_t*> held;
            const auto give_one = [&] {
                if (*held.back() != mine)
                    held_twice.fetch_add(1);
                *held.back() = 0;
                abi::event_pool_give(pool, held.back());
                held.pop_back();
            };
            for (int step = 0; step < kSteps; ++step) {
                // Wants more than its share at times, so that the pool runs out too.
                if (held.size() < 12 && random.below(2) == 0) {
                    auto* const block = static_cast<std::uint32_t*>(abi::event_pool_take(pool));
                    if (block == nullptr)
                        continue;
                    *block = mine;  // plain: a block held twice is a data race
                    held.push_back(block);
                } else if (!held.empty()) {
                    give_one();
                }
            }
            while (!held.empty())
                give_one();
        });
    for (std::thread& thread : threads)
        thread.join();
    REQUIRE(held_twice.load() == 0);
    std::set<void*> all;
    for (std::uint32_t i = 0; i < kBlocks; ++i)
        all.insert(abi::event_pool_take(pool));
    REQUIRE(all.count(nullptr) == 0);
    REQUIRE(all.size() == kBlocks);
    REQUIRE(abi::event_pool_take(pool) == nullptr);
    abi::engine_destroy(engine);
    abi::event_pool_destroy(pool);
}

TEST_CASE("who wants no more blocks than there are is never told that there is none, also when "
          "another thread gives them back",
          "[event-pool][threads]") {
    constexpr std::uint32_t kBlocks = 4;
    constexpr std::uint64_t kTurns = 400'000;
    Options options;
    options.backend = Backend::null;
    options.event_pool = kBlocks;
    Error error;
    Engine* const engine = abi::engine_create(options, IOENGINE_VERSION, &error);
    REQUIRE(engine != nullptr);
    abi::EventPool* const pool = abi::event_pool_create(engine, 64, &error);
    REQUIRE(pool != nullptr);

    // As a submitting thread and the poller: one takes, the other gives back.
    std::atomic<void*> on_the_way[kBlocks - 1] = {};
    std::uint64_t told_empty = 0;
    std::thread takes([&] {
        for (std::uint64_t turn = 0; turn < kTurns; ++turn) {
            auto& place = on_the_way[turn % std::size(on_the_way)];
            while (place.load(std::memory_order_acquire) != nullptr)
                std::this_thread::yield();  // so at most kBlocks - 1 are out
            void* const block = abi::event_pool_take(pool);
            if (block == nullptr)
                ++told_empty;
            else
                place.store(block, std::memory_order_release);
        }
    });
    std::atomic<bool> over{false};
    std::thread gives([&] {
        while (!over.load())
            for (auto& place : on_the_way)
                if (void* const block = place.load(std::memory_order_acquire)) {
                    abi::event_pool_give(pool, block);
                    place.store(nullptr, std::memory_order_release);
                }
    });
    takes.join();
    test::wait_until(
        [&] {
            for (auto& place : on_the_way)
                if (place.load() != nullptr)
                    return false;
            return true;
        },
        "waiting for the last blocks to be given back");
    over.store(true);
    gives.join();
    abi::engine_destroy(engine);
    abi::event_pool_destroy(pool);
    REQUIRE(told_empty == 0);
}
