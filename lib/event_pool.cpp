// SPDX-License-Identifier: MIT
//
// EventPool: the blocks behind the one-call form.
//
// Blocks are numbered. Free ones lie on a few stacks, and each thread has one of them as its own:
// it takes from there and gives back to there, and looks at the others' only when its own is empty.
// A stack's head carries a tag that changes with every push and pop, so that a pop cannot be fooled
// by a block that was taken and came back (ABA). Nothing is ever held: no thread waits for another.
//
// Exhausted means that there was a moment without a free block on any stack: all heads were empty
// and were the same, tags included, at two looks in a row. One look would not do, because a block
// may come back to a stack that has been looked at already.
#include "lib/engine.hpp"
#include "lib/settings.hpp"

#include <ioengine/engine.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace ioengine {
inline namespace v0 {
namespace abi {

namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

// The number of this thread, for choosing a cache. Trivial, so that the library can be unloaded.
std::uint32_t thread_number() noexcept {
    static std::atomic<std::uint32_t> next{0};
    thread_local std::uint32_t number = kNone;
    if (number == kNone)
        number = next.fetch_add(1, std::memory_order_relaxed);
    return number;
}

}  // namespace

struct EventPool {
    static constexpr std::size_t kStacks = 8;

    EventPool(Engine& owner, std::size_t size, std::uint32_t count)
        : engine(owner), block_size(size), block_count(count),
          memory(static_cast<unsigned char*>(std::aligned_alloc(64, size * count))),
          below(new (std::nothrow) std::atomic<std::uint32_t>[count]) {
        if (memory == nullptr || below == nullptr)
            return;
        for (std::uint32_t i = count; i-- > 0;)
            push(heads_[i % kStacks].value, i);
    }
    ~EventPool() { std::free(memory); }
    EventPool(const EventPool&) = delete;
    EventPool& operator=(const EventPool&) = delete;

    std::uint32_t take() noexcept {
        const std::size_t own = thread_number() % kStacks;
        std::uint64_t seen[kStacks];
        for (;;) {
            for (std::size_t i = 0; i < kStacks; ++i) {
                const std::size_t at = (own + i) % kStacks;
                const std::uint32_t block = pop(heads_[at].value, seen[at]);
                if (block != kNone)
                    return block;
            }
            bool unchanged = true;
            for (std::size_t i = 0; i < kStacks; ++i)
                unchanged &= heads_[i].value.load(std::memory_order_acquire) == seen[i];
            if (unchanged)
                return kNone;
        }
    }
    void give(std::uint32_t block) noexcept {
        push(heads_[thread_number() % kStacks].value, block);
    }

    // constant after construction
    Engine& engine;
    const std::size_t block_size;
    const std::uint32_t block_count;
    unsigned char* const memory;
    const std::unique_ptr<std::atomic<std::uint32_t>[]> below;  // next on its stack

  private:
    // A tag above the number of the top block.
    struct alignas(64) Head {
        std::atomic<std::uint64_t> value{kNone};
    };

    static constexpr std::uint64_t next_tag(std::uint64_t head) noexcept {
        return ((head >> 32) + 1) << 32;
    }
    // kNone if empty; `seen` is then the head that said so.
    std::uint32_t pop(std::atomic<std::uint64_t>& head, std::uint64_t& seen) noexcept {
        seen = head.load(std::memory_order_acquire);
        for (;;) {
            const auto block = static_cast<std::uint32_t>(seen);
            if (block == kNone)
                return kNone;
            const std::uint64_t next =
                next_tag(seen) | below[block].load(std::memory_order_relaxed);
            // acq_rel: sees what push() wrote below the top, and what give()'s caller wrote.
            if (head.compare_exchange_weak(seen, next, std::memory_order_acq_rel,
                                           std::memory_order_acquire))
                return block;
        }
    }
    void push(std::atomic<std::uint64_t>& head, std::uint32_t block) noexcept {
        std::uint64_t top = head.load(std::memory_order_relaxed);
        do {
            below[block].store(static_cast<std::uint32_t>(top), std::memory_order_relaxed);
            // acq_rel: pairs with pop().
        } while (!head.compare_exchange_weak(top, next_tag(top) | block, std::memory_order_acq_rel,
                                             std::memory_order_relaxed));
    }

    std::array<Head, kStacks> heads_{};
};

EventPool* event_pool_create(Engine* engine, std::size_t block_size, Error* error) noexcept {
    const std::size_t rounded = (block_size + 63) & ~std::size_t{63};
    std::unique_ptr<EventPool> pool(new (std::nothrow)
                                        EventPool(*engine, rounded, engine->event_pool_size()));
    if (pool == nullptr || pool->memory == nullptr || pool->below == nullptr) {
        fill_error(*error, ErrorCode::no_memory, 0, "no memory for the one-call events",
                   "lower Options::event_pool");
        return nullptr;
    }
    return pool.release();
}

void event_pool_destroy(EventPool* pool) noexcept {
    delete pool;
}

void* event_pool_take(EventPool* pool) noexcept {
    const std::uint32_t block = pool->take();
    return block == kNone ? nullptr : pool->memory + block * pool->block_size;
}

void event_pool_give(EventPool* pool, void* block) noexcept {
    const auto offset = static_cast<std::size_t>(static_cast<unsigned char*>(block) - pool->memory);
    pool->give(static_cast<std::uint32_t>(offset / pool->block_size));
}

void event_pool_refused(EventPool* pool) noexcept {
    pool->engine.count_refused_full();
}

}  // namespace abi
}  // namespace v0
}  // namespace ioengine
