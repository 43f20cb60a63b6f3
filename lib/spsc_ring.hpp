// SPDX-License-Identifier: MIT
//
// SpscRing: slot numbers from one role to the other. Never full: it is as large as there are slots,
// and a slot lies in it once; or so often that whoever makes it larger can say how often.
#pragma once

#include "lib/check.hpp"

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace ioengine {
inline namespace v0 {

class SpscRing {
  public:
    explicit SpscRing(std::size_t capacity)
        : mask_(std::bit_ceil(capacity) - 1), items_(new std::uint32_t[mask_ + 1]) {}

    // Producer.
    void push(std::uint32_t item) noexcept {
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        debug_check(tail - head_.load(std::memory_order_relaxed) <= mask_, "ring has room");
        items_[tail & mask_] = item;
        tail_.store(tail + 1, std::memory_order_release);  // pairs with pop() and size()
    }

    // Consumer. False if empty.
    bool pop(std::uint32_t& item) noexcept {
        if (seen() == 0)
            return false;
        const std::size_t head = head_.load(std::memory_order_relaxed);
        item = items_[head & mask_];
        head_.store(head + 1, std::memory_order_release);  // lets push() overwrite the place
        return true;
    }

    // Consumer: how many pops will succeed. From any other thread: 0 or not, roughly.
    std::size_t size() const noexcept {
        return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_relaxed);
    }
    // Consumer: likewise, or fewer; but 0 only if it is empty. The producer's line is looked at
    // only when what was seen of it is used up.
    std::size_t seen() noexcept {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        if (head == known_tail_)
            known_tail_ = tail_.load(std::memory_order_acquire);  // pairs with push()
        return known_tail_ - head;
    }

  private:
    const std::size_t mask_;
    const std::unique_ptr<std::uint32_t[]> items_;
    alignas(64) std::atomic<std::size_t> head_{0};  // consumer writes
    std::size_t known_tail_ = 0;                    // consumer's own
    alignas(64) std::atomic<std::size_t> tail_{0};  // producer writes
};

}  // namespace v0
}  // namespace ioengine
