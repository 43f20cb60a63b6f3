// SPDX-License-Identifier: MIT
//
// LeaseWatch: catches a program that uses a buffer between `result` and `released`, in debug
// builds. In others it is nothing.
//
//   of a write   its bytes are summed up when the result is told, and must be the same at the end:
//                else the program ends with a message
//   of a read    with AddressSanitizer the bytes are poisoned meanwhile
//   of either    another request that would write to these bytes is refused, and for a read any
//
// It keeps an eye on so many at a time; the others go unwatched.
#pragma once

#include "lib/check.hpp"
#include "lib/piece.hpp"

#include <ioengine/request.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <sys/uio.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IOENGINE_LEASES_ARE_POISONED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define IOENGINE_LEASES_ARE_POISONED 1
#endif
#ifdef IOENGINE_LEASES_ARE_POISONED
#include <sanitizer/asan_interface.h>
#endif

namespace ioengine {
inline namespace v0 {

#ifdef NDEBUG

class LeaseWatch {
  public:
    explicit LeaseWatch(bool) noexcept {}
    void begin(const Request&) noexcept {}
    void end(const Request&) noexcept {}
    bool forbids(const Request&) const noexcept { return false; }
};

#else

class LeaseWatch {
  public:
    // Not `poisons` where the kernel is simulated, and writes like any other part of the program.
    explicit LeaseWatch(bool poisons) noexcept : poisons_(poisons) {}

    // Whoever delivers, before it tells the result early.
    void begin(const Request& request) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (Lease& lease : leases_) {
            if (lease.request != nullptr)
                continue;
            lease = {&request, is_write(request.action) ? sum_of(request) : 0};
            // release: pairs with forbids(), which then takes the mutex.
            count_.fetch_add(1, std::memory_order_release);
            if (is_read(request.action) && poisons_)
                poison(request, true);
            return;
        }
    }
    // Before it says that the buffer is released.
    void end(const Request& request) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (Lease& lease : leases_) {
            if (lease.request != &request)
                continue;
            if (is_read(request.action) && poisons_)
                poison(request, false);
            if (is_write(request.action) && sum_of(request) != lease.sum)
                misused("the buffer of a write was changed between its early result and the notice "
                        "that it is released; the device may have got either");
            lease = {};
            count_.fetch_sub(1, std::memory_order_relaxed);
            return;
        }
    }
    // Any thread: would this request use a buffer that is not back?
    bool forbids(const Request& request) const noexcept {
        if (count_.load(std::memory_order_acquire) == 0 || !moves_bytes(request.action))
            return false;
        const std::lock_guard<std::mutex> lock(mutex_);
        for (const Lease& lease : leases_)
            if (lease.request != nullptr &&
                (is_read(request.action) || is_read(lease.request->action)) &&
                overlap(request, *lease.request))
                return true;
        return false;
    }

  private:
    struct Lease {
        const Request* request = nullptr;
        std::uint64_t sum = 0;
    };

    // Calls f(address, bytes) for each stretch of the buffer.
    template <class F>
    static void for_each_stretch(const Request& request, F&& f) {
        if (!is_vectored(request.action)) {
            f(static_cast<const unsigned char*>(request.data),
              static_cast<std::size_t>(request.length));
            return;
        }
        const auto* const vectors = static_cast<const iovec*>(request.data);
        for (std::uint64_t i = 0; i < request.length; ++i)
            f(static_cast<const unsigned char*>(vectors[i].iov_base), vectors[i].iov_len);
    }
    static bool overlap(const Request& a, const Request& b) noexcept {
        bool found = false;
        for_each_stretch(a, [&](const unsigned char* data, std::size_t size) {
            for_each_stretch(b, [&](const unsigned char* other, std::size_t other_size) {
                const auto begin = reinterpret_cast<std::uintptr_t>(data);
                const auto other_begin = reinterpret_cast<std::uintptr_t>(other);
                found |= begin < other_begin + other_size && other_begin < begin + size;
            });
        });
        return found;
    }
    // FNV-1a, by Fowler, Noll and Vo: any sum that a stray write is likely to change will do.
    static std::uint64_t sum_of(const Request& request) noexcept {
        std::uint64_t sum = 0xCBF2'9CE4'8422'2325u;
        for_each_stretch(request, [&sum](const unsigned char* data, std::size_t size) {
            for (std::size_t i = 0; i < size; ++i)
                sum = (sum ^ data[i]) * 0x100'0000'01B3u;
        });
        return sum;
    }
    static void poison([[maybe_unused]] const Request& request, [[maybe_unused]] bool on) noexcept {
#ifdef IOENGINE_LEASES_ARE_POISONED
        for_each_stretch(request, [on](const unsigned char* data, std::size_t size) {
            if (on)
                __asan_poison_memory_region(data, size);
            else
                __asan_unpoison_memory_region(data, size);
        });
#endif
    }

    const bool poisons_;
    mutable std::mutex mutex_;
    std::array<Lease, 64> leases_{};  // under the mutex
    std::atomic<std::uint32_t> count_{0};
};

#endif

}  // namespace v0
}  // namespace ioengine
