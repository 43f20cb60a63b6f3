// SPDX-License-Identifier: MIT
//
// Bytes and ConstBytes: borrowed memory. AlignedBuffer: owned memory fit for O_DIRECT.
#ifndef IOENGINE_BUFFER_HPP
#define IOENGINE_BUFFER_HPP

#include <ioengine/error.hpp>
#include <ioengine/export.h>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace ioengine {
inline namespace v0 {

namespace detail {
template <class T>
using HasData = decltype(std::declval<T&>().data(), std::declval<T&>().size());
}

// A pointer and a length in bytes; owns nothing. Made from an AlignedBuffer, a container with
// data() and size(), or an array.
class Bytes {
  public:
    constexpr Bytes() noexcept = default;
    constexpr Bytes(void* data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class T, std::size_t N>
    constexpr Bytes(T (&array)[N]) noexcept : data_(array), size_(sizeof(array)) {}
    template <class T, class = detail::HasData<T>,
              class = std::enable_if_t<!std::is_same<T, Bytes>::value>>
    Bytes(T& container) noexcept
        : data_(container.data()), size_(container.size() * sizeof(*container.data())) {}

    constexpr void* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

  private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

// The same for memory that is only read.
class ConstBytes {
  public:
    constexpr ConstBytes() noexcept = default;
    constexpr ConstBytes(const void* data, std::size_t size) noexcept : data_(data), size_(size) {}
    constexpr ConstBytes(Bytes bytes) noexcept : data_(bytes.data()), size_(bytes.size()) {}
    template <class T, std::size_t N>
    constexpr ConstBytes(const T (&array)[N]) noexcept : data_(array), size_(sizeof(array)) {}
    template <class T, class = detail::HasData<const T>,
              class = std::enable_if_t<!std::is_same<T, Bytes>::value>>
    ConstBytes(const T& container) noexcept
        : data_(container.data()), size_(container.size() * sizeof(*container.data())) {}

    constexpr const void* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

  private:
    const void* data_ = nullptr;
    std::size_t size_ = 0;
};

namespace detail {
// A power of two from 512 to 2 MiB.
constexpr bool is_direct_alignment(std::size_t alignment) noexcept {
    return alignment >= 512 && alignment <= (std::size_t{2} << 20) &&
           (alignment & (alignment - 1)) == 0;
}
}  // namespace detail

namespace abi {
IOENGINE_API void* aligned_allocate(std::size_t size, std::size_t alignment) noexcept;
IOENGINE_API void aligned_release(void* data) noexcept;
}  // namespace abi

// Zeroed memory aligned for direct I/O, owned. Movable; moving does not move the bytes, so a buffer
// may be moved while a request borrows its memory.
class AlignedBuffer {
  public:
    AlignedBuffer() noexcept = default;
    // size: bytes, more than 0. alignment: a power of two from 512 to 2 MiB; 4096 suits every disk.
    // Fails with invalid_argument or no_memory. Allocates.
    static Expected<AlignedBuffer> create(std::size_t size, std::size_t alignment = 4096) noexcept {
        Error error;
        if (size == 0 || !detail::is_direct_alignment(alignment)) {
            error.code = ErrorCode::invalid_argument;
            set(error.message, "AlignedBuffer: size must be above 0 and alignment a power of two");
            set(error.hint, "use 512 or 4096 (up to 2 MiB) as alignment");
            return error;
        }
        void* data = abi::aligned_allocate(size, alignment);
        if (data == nullptr) {
            error.code = ErrorCode::no_memory;
            set(error.message, "AlignedBuffer: out of memory");
            return error;
        }
        return AlignedBuffer(static_cast<unsigned char*>(data), size);
    }

    AlignedBuffer(AlignedBuffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    AlignedBuffer(const AlignedBuffer&) = delete;
    AlignedBuffer& operator=(const AlignedBuffer&) = delete;
    ~AlignedBuffer() { abi::aligned_release(data_); }

    unsigned char* data() noexcept { return data_; }
    const unsigned char* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

  private:
    AlignedBuffer(unsigned char* data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t N, std::size_t M>
    static void set(char (&to)[N], const char (&from)[M]) noexcept {
        static_assert(M <= N, "message fits");
        for (std::size_t i = 0; i < M; ++i)
            to[i] = from[i];
    }

    unsigned char* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_BUFFER_HPP
