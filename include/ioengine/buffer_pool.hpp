// SPDX-License-Identifier: MIT
//
// BufferPool: a number of equal buffers, aligned for direct I/O and registered with the kernel, to
// be taken and given back from any thread.
//
//     auto pool = ioengine::BufferPool::create(io, 256, 16384);
//     ioengine::PooledBuffer page = pool->take();
//     if (!page) return busy();
//     request.prepare_read(fd, page.data(), page.size(), offset);
//     request.use(page.handle());
//     ...                                             // in the callback:
//     pool->give(page);
//
// Where the kernel does not register the memory, the pool works all the same: in_force(), note().
#ifndef IOENGINE_BUFFER_POOL_HPP
#define IOENGINE_BUFFER_POOL_HPP

#include <ioengine/error.hpp>
#include <ioengine/export.h>
#include <ioengine/registered.hpp>
#include <ioengine/request.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace ioengine {
inline namespace v0 {

// A buffer that was taken, or (false) none. Plain data: copies stand for the same buffer.
class PooledBuffer {
  public:
    constexpr PooledBuffer() noexcept = default;
    constexpr PooledBuffer(unsigned char* data, std::size_t size, std::uint32_t index,
                           const BufferHandle& handle) noexcept
        : data_(data), size_(size), handle_(handle), index_(index) {}

    constexpr explicit operator bool() const noexcept { return data_ != nullptr; }
    constexpr unsigned char* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    // Which one of the pool, from 0 on.
    constexpr std::uint32_t index() const noexcept { return index_; }
    // For Request::use().
    constexpr const BufferHandle& handle() const noexcept { return handle_; }

  private:
    unsigned char* data_ = nullptr;
    std::size_t size_ = 0;
    BufferHandle handle_;
    std::uint32_t index_ = 0;
};

namespace abi {
struct BufferPool;
IOENGINE_API BufferPool* buffer_pool_create(Engine* engine, std::size_t count, std::size_t size,
                                            std::size_t alignment, Error* error) noexcept;
IOENGINE_API void buffer_pool_destroy(BufferPool* pool) noexcept;
IOENGINE_API PooledBuffer buffer_pool_take(BufferPool* pool) noexcept;
IOENGINE_API void buffer_pool_give(BufferPool* pool, const PooledBuffer& buffer) noexcept;
IOENGINE_API const Error& buffer_pool_note(const BufferPool* pool) noexcept;
}  // namespace abi

// Movable; may outlive its context.
class BufferPool {
  public:
    // `count` buffers (1 to 2^24) of `size` bytes, a multiple of `alignment`: a power of two from
    // 512 to 2 MiB. Fails with invalid_argument, no_memory, or as IOContext::register_buffers().
    // Allocates and zeroes all of it.
    template <class Context>
    static Expected<BufferPool> create(Context& io, std::size_t count, std::size_t size,
                                       std::size_t alignment = 4096) noexcept {
        Error error;
        abi::BufferPool* pool =
            abi::buffer_pool_create(io.engine(), count, size, alignment, &error);
        if (pool == nullptr)
            return error;
        return BufferPool(pool);
    }

    BufferPool(BufferPool&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)) {}
    BufferPool& operator=(BufferPool&& other) noexcept {
        std::swap(pool_, other.pool_);
        return *this;
    }
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;
    // All buffers must have been given back: it ends the program otherwise, for the kernel may be
    // writing to one.
    ~BufferPool() {
        if (pool_ != nullptr)
            abi::buffer_pool_destroy(pool_);
    }

    // Any thread; neither waits nor allocates. None if all are out. What it holds is what the last
    // user left there.
    PooledBuffer take() noexcept { return abi::buffer_pool_take(pool_); }
    // Any thread. Ends the program if this is no buffer of this pool that is out: given back twice,
    // it would be taken by two.
    void give(const PooledBuffer& buffer) noexcept { abi::buffer_pool_give(pool_, buffer); }

    // As RegisteredBuffers.
    bool in_force() const noexcept { return note().code == ErrorCode::none; }
    const Error& note() const noexcept { return abi::buffer_pool_note(pool_); }

  private:
    explicit BufferPool(abi::BufferPool* pool) noexcept : pool_(pool) {}
    abi::BufferPool* pool_;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_BUFFER_POOL_HPP
