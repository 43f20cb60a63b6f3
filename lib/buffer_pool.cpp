// SPDX-License-Identifier: MIT
//
// BufferPool: one piece of memory, cut into buffers, registered as a whole.
//
// Free buffers lie on a stack, by number. Its head carries a tag that changes with every push and
// pop, so that a pop cannot be fooled by a buffer that was taken and came back (ABA). Each buffer
// says for itself whether it is out: that catches one that is given back twice before it can be
// taken by two. Nothing is ever held: no thread waits for another.
#include "lib/check.hpp"
#include "lib/engine.hpp"
#include "lib/registration.hpp"
#include "lib/settings.hpp"

#include <ioengine/buffer.hpp>
#include <ioengine/buffer_pool.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace ioengine {
inline namespace v0 {
namespace abi {

namespace {
constexpr std::uint32_t kNoBuffer = UINT32_MAX;
constexpr std::size_t kCountMax = std::size_t{1} << 24;
// The kernel registers no more at a time (io_buffer_validate() in io_uring/rsrc.c).
constexpr std::size_t kRegisteredMax = std::size_t{1} << 30;
}  // namespace

struct BufferPool {
    BufferPool(std::size_t how_many, std::size_t bytes_each)
        : count(how_many), size(bytes_each),
          per_piece(std::max<std::size_t>(kRegisteredMax / bytes_each, 1)),
          states(new State[how_many]) {
        for (std::size_t i = how_many; i-- > 0;)
            push(static_cast<std::uint32_t>(i));
    }
    ~BufferPool() {
        if (batch != nullptr)
            unregister(batch);
        aligned_release(memory);
    }
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    std::uint32_t pop() noexcept {
        std::uint64_t seen = head.load(std::memory_order_acquire);
        for (;;) {
            const auto top = static_cast<std::uint32_t>(seen);
            if (top == kNoBuffer)
                return kNoBuffer;
            const std::uint64_t next =
                next_tag(seen) | states[top].below.load(std::memory_order_relaxed);
            // acq_rel: sees what push() wrote below the top, and what who gave it wrote into it.
            if (head.compare_exchange_weak(seen, next, std::memory_order_acq_rel,
                                           std::memory_order_acquire))
                return top;
        }
    }
    void push(std::uint32_t buffer) noexcept {
        std::uint64_t top = head.load(std::memory_order_relaxed);
        do {
            states[buffer].below.store(static_cast<std::uint32_t>(top), std::memory_order_relaxed);
            // acq_rel: pairs with pop().
        } while (!head.compare_exchange_weak(top, next_tag(top) | buffer, std::memory_order_acq_rel,
                                             std::memory_order_relaxed));
    }
    static constexpr std::uint64_t next_tag(std::uint64_t head_seen) noexcept {
        return ((head_seen >> 32) + 1) << 32;
    }

    struct State {
        std::atomic<std::uint32_t> below{kNoBuffer};  // the next one on the stack
        // Nothing hangs on its order, the stack hands the buffer over: relaxed.
        std::atomic<bool> is_out{false};
    };

    // constant once it is made
    const std::size_t count;
    const std::size_t size;
    const std::size_t per_piece;  // buffers that were registered as one
    unsigned char* memory = nullptr;
    Registration* batch = nullptr;
    std::vector<BufferHandle> pieces;
    const std::unique_ptr<State[]> states;

    // any thread
    alignas(64) std::atomic<std::uint64_t> head{kNoBuffer};
};

namespace {

bool check_shape(std::size_t count, std::size_t size, std::size_t alignment,
                 Error& error) noexcept {
    if (count != 0 && count <= kCountMax && detail::is_direct_alignment(alignment) && size != 0 &&
        size % alignment == 0 && size <= SIZE_MAX / 2 / count)
        return true;
    fill_error(error, ErrorCode::invalid_argument, 0,
               "BufferPool: count must be 1 to 2^24, alignment a power of two from 512 to 2 MiB, "
               "and size a multiple of it",
               "4096 as alignment suits every disk");
    return false;
}

bool is_inherited(const BufferPool& pool) noexcept {
    Lifeline& lifeline = *pool.batch->lifeline;
    if (!lifeline.gate.enter())
        return false;  // the context has gone, with all that was in flight
    const bool is = lifeline.engine.in_child();
    lifeline.gate.leave();
    return is;
}

bool register_pool(Engine* engine, BufferPool& pool, Error& error) {
    std::vector<Bytes> pieces;
    for (std::size_t i = 0; i < pool.count; i += pool.per_piece)
        pieces.emplace_back(pool.memory + i * pool.size,
                            std::min(pool.per_piece, pool.count - i) * pool.size);
    pool.pieces.reserve(pieces.size());
    pool.batch = buffers_register(engine, pieces.data(), pieces.size(), &error);
    if (pool.batch == nullptr)
        return false;
    for (std::size_t i = 0; i < pieces.size(); ++i)
        pool.pieces.push_back(registered_buffer(pool.batch, i));
    return true;
}

}  // namespace

BufferPool* buffer_pool_create(Engine* engine, std::size_t count, std::size_t size,
                               std::size_t alignment, Error* error) noexcept {
    if (!check_shape(count, size, alignment, *error))
        return nullptr;
    try {
        auto pool = std::make_unique<BufferPool>(count, size);
        pool->memory = static_cast<unsigned char*>(aligned_allocate(count * size, alignment));
        if (pool->memory == nullptr)
            throw std::bad_alloc();
        return register_pool(engine, *pool, *error) ? pool.release() : nullptr;
    } catch (const std::bad_alloc&) {
        fill_error(*error, ErrorCode::no_memory, 0, "no memory for the buffers",
                   "ask for fewer or smaller ones");
        return nullptr;
    }
}

void buffer_pool_destroy(BufferPool* pool) noexcept {
    // In a forked child nobody gives back what was out, and the kernel writes elsewhere.
    const bool looks = !is_inherited(*pool);
    for (std::size_t i = 0; looks && i < pool->count; ++i)
        if (pool->states[i].is_out.load(std::memory_order_relaxed))
            misused("a BufferPool was destroyed while a buffer of it was out; the kernel may be "
                    "writing there");
    delete pool;
}

PooledBuffer buffer_pool_take(BufferPool* pool) noexcept {
    const std::uint32_t taken = pool->pop();
    if (taken == kNoBuffer)
        return {};
    pool->states[taken].is_out.store(true, std::memory_order_relaxed);
    return {pool->memory + taken * pool->size, pool->size, taken,
            pool->pieces[taken / pool->per_piece]};
}

void buffer_pool_give(BufferPool* pool, const PooledBuffer& buffer) noexcept {
    if (buffer.index() >= pool->count ||
        buffer.data() != pool->memory + buffer.index() * pool->size)
        misused("a buffer was given to a BufferPool that it was not taken from");
    if (!pool->states[buffer.index()].is_out.exchange(false, std::memory_order_relaxed))
        misused("a buffer was given back to its BufferPool twice");
    pool->push(buffer.index());
}

const Error& buffer_pool_note(const BufferPool* pool) noexcept {
    return registered_note(pool->batch);
}

}  // namespace abi
}  // namespace v0
}  // namespace ioengine
