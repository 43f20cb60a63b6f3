// SPDX-License-Identifier: MIT
//
// Counters that anybody may read: one kind for a single writer, one for many.
#pragma once

#include <atomic>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

// Written by one role at a time (the role's hand-over orders the writers), read by anybody.
class RoleCounter {
  public:
    // relaxed: a reader wants some recent value; nothing else is published through it.
    void add(std::uint64_t n) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    void raise_to(std::uint64_t n) noexcept {
        if (n > value_.load(std::memory_order_relaxed))
            value_.store(n, std::memory_order_relaxed);
    }
    std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

// Written by anybody.
class SharedCounter {
  public:
    // relaxed: as above.
    void add(std::uint64_t n) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
    std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

}  // namespace v0
}  // namespace ioengine
