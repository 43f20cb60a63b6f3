// SPDX-License-Identifier: MIT
//
// EventPool: the blocks behind the one-call form.
//
// Blocks are numbered. A free block is in one of a few caches, which threads pick by their number,
// or on a common stack. A cache is a handful of block numbers under a flag that is held for a few
// instructions and never waited for: who finds it taken goes to the common stack. The stack's head
// carries a tag that changes with every pop, so that a pop cannot be fooled by a block that was
// taken and came back (ABA). The pool is exhausted only if no cache holds a block either.
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

class BlockCache {
  public:
    // kNone if empty or busy.
    std::uint32_t take() noexcept {
        if (busy_.exchange(true, std::memory_order_acquire))
            return kNone;
        const std::uint32_t block = count_ != 0 ? blocks_[--count_] : kNone;
        busy_.store(false, std::memory_order_release);  // pairs with the exchanges
        return block;
    }
    // False if full or busy.
    bool give(std::uint32_t block) noexcept {
        if (busy_.exchange(true, std::memory_order_acquire))
            return false;
        const bool room = count_ < blocks_.size();
        if (room)
            blocks_[count_++] = block;
        busy_.store(false, std::memory_order_release);
        return room;
    }

  private:
    alignas(64) std::atomic<bool> busy_{false};
    std::uint32_t count_ = 0;                 // whoever set busy_
    std::array<std::uint32_t, 28> blocks_{};  // likewise
};

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
    static constexpr std::size_t kCaches = 8;

    EventPool(Engine& owner, std::size_t size, std::uint32_t count)
        : engine(owner), block_size(size), block_count(count),
          memory(static_cast<unsigned char*>(std::aligned_alloc(64, size * count))),
          below(new (std::nothrow) std::atomic<std::uint32_t>[count]) {
        if (memory == nullptr || below == nullptr)
            return;
        for (std::uint32_t i = 0; i < count; ++i)
            below[i].store(i + 1 < count ? i + 1 : kNone, std::memory_order_relaxed);
        head.store(0, std::memory_order_release);
    }
    ~EventPool() { std::free(memory); }
    EventPool(const EventPool&) = delete;
    EventPool& operator=(const EventPool&) = delete;

    std::uint32_t pop() noexcept {
        std::uint64_t top = head.load(std::memory_order_acquire);
        for (;;) {
            const auto block = static_cast<std::uint32_t>(top);
            if (block == kNone)
                return kNone;
            const std::uint64_t tag = (top >> 32) + 1;
            const std::uint64_t next = (tag << 32) | below[block].load(std::memory_order_relaxed);
            // acq_rel: sees what push() wrote below the new top.
            if (head.compare_exchange_weak(top, next, std::memory_order_acq_rel,
                                           std::memory_order_acquire))
                return block;
        }
    }
    void push(std::uint32_t block) noexcept {
        std::uint64_t top = head.load(std::memory_order_relaxed);
        std::uint64_t next = 0;
        do {
            below[block].store(static_cast<std::uint32_t>(top), std::memory_order_relaxed);
            next = (top & ~std::uint64_t{UINT32_MAX}) | block;
        } while (!head.compare_exchange_weak(top, next, std::memory_order_acq_rel,
                                             std::memory_order_relaxed));
    }
    std::uint32_t take() noexcept {
        const std::size_t home = thread_number() % kCaches;
        std::uint32_t block = caches[home].take();
        if (block == kNone)
            block = pop();
        for (std::size_t i = 1; block == kNone && i < kCaches; ++i)
            block = caches[(home + i) % kCaches].take();
        return block;
    }
    void give(std::uint32_t block) noexcept {
        if (!caches[thread_number() % kCaches].give(block))
            push(block);
    }

    // constant after construction
    Engine& engine;
    const std::size_t block_size;
    const std::uint32_t block_count;
    unsigned char* const memory;
    const std::unique_ptr<std::atomic<std::uint32_t>[]> below;  // next on the stack

    alignas(64) std::atomic<std::uint64_t> head{kNone};  // tag above the top block's number
    std::array<BlockCache, kCaches> caches{};
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
