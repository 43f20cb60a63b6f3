// SPDX-License-Identifier: MIT
//
// Goal: the pool behind the one-call form gives each block to one holder at a time, gives all of
// them, and says exactly when there is none.
// Method: a pool of an engine on the null backend, used through the ABI. Several threads are in
// tests/unit/threads_pool_test.cpp.

#include "tests/unit/unit.hpp"

#include <ioengine/engine.hpp>

#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

using namespace ioengine;

namespace {

// An engine with a pool of `blocks` blocks beside it.
class PoolRig {
  public:
    PoolRig(std::uint32_t blocks, std::size_t block_size) {
        Options options;
        options.backend = Backend::null;
        options.event_pool = blocks;
        Error error;
        engine_ = abi::engine_create(options, IOENGINE_VERSION, &error);
        REQUIRE(engine_ != nullptr);
        pool_ = abi::event_pool_create(engine_, block_size, &error);
        REQUIRE(pool_ != nullptr);
    }
    ~PoolRig() {
        abi::engine_destroy(engine_);
        abi::event_pool_destroy(pool_);
    }

    void* take() { return abi::event_pool_take(pool_); }
    void give(void* block) { abi::event_pool_give(pool_, block); }
    Engine* engine() { return engine_; }
    abi::EventPool* pool() { return pool_; }

  private:
    Engine* engine_ = nullptr;
    abi::EventPool* pool_ = nullptr;
};

}  // namespace

TEST_CASE("a pool gives each of its blocks once, aligned and apart, and then none",
          "[event-pool]") {
    constexpr std::size_t kBytes = 192;
    for (const std::uint32_t count : {1u, 2u, 28u, 29u, 300u}) {
        PoolRig rig(count, kBytes);
        std::set<unsigned char*> taken;
        for (std::uint32_t i = 0; i < count; ++i) {
            auto* const block = static_cast<unsigned char*>(rig.take());
            REQUIRE(block != nullptr);
            REQUIRE(reinterpret_cast<std::uintptr_t>(block) % 64 == 0);
            std::memset(block, 0x5A, kBytes);
            REQUIRE(taken.insert(block).second);
        }
        for (int i = 0; i < 3; ++i)
            REQUIRE(rig.take() == nullptr);
        unsigned char* before = nullptr;
        for (unsigned char* block : taken) {
            REQUIRE((before == nullptr || block - before >= static_cast<std::ptrdiff_t>(kBytes)));
            before = block;
        }
        for (unsigned char* block : taken)
            rig.give(block);
    }
}

TEST_CASE("an exhausted pool gives exactly the block that comes back", "[event-pool]") {
    PoolRig rig(3, 64);
    void* blocks[3] = {rig.take(), rig.take(), rig.take()};
    REQUIRE(rig.take() == nullptr);
    rig.give(blocks[1]);
    REQUIRE(rig.take() == blocks[1]);
    REQUIRE(rig.take() == nullptr);
    for (void* block : blocks)
        rig.give(block);
}

TEST_CASE("all blocks can be had again, however often they went back", "[event-pool]") {
    const std::uint64_t seed = test::announced_seed("pool");
    test::Random random(seed);
    constexpr std::size_t kCount = 100;
    PoolRig rig(kCount, 64);
    std::vector<void*> held;
    for (int step = 0; step < 20'000; ++step) {
        if (held.size() < kCount && random.below(2) == 0) {
            void* const block = rig.take();
            REQUIRE(block != nullptr);
            held.push_back(block);
        } else if (!held.empty()) {
            const std::size_t at = random.below(held.size());
            rig.give(held[at]);
            held[at] = held.back();
            held.pop_back();
        }
    }
    while (held.size() < kCount) {
        void* const block = rig.take();
        REQUIRE(block != nullptr);
        held.push_back(block);
    }
    REQUIRE(rig.take() == nullptr);
    REQUIRE(std::set<void*>(held.begin(), held.end()).size() == kCount);
    for (void* block : held)
        rig.give(block);
}

TEST_CASE("a block is as large as was asked for, rounded up to cache lines", "[event-pool]") {
    PoolRig rig(2, 65);
    auto* const first = static_cast<unsigned char*>(rig.take());
    auto* const second = static_cast<unsigned char*>(rig.take());
    REQUIRE(std::abs(second - first) == 128);
    rig.give(first);
    rig.give(second);
}

TEST_CASE("a call that found no event counts as refused because full", "[event-pool]") {
    PoolRig rig(1, 64);
    REQUIRE(abi::engine_stats(rig.engine()).refused_full == 0);
    abi::event_pool_refused(rig.pool());
    REQUIRE(abi::engine_stats(rig.engine()).refused_full == 1);
}
