// SPDX-License-Identifier: MIT
//
// Gate: one word that says whether new work is taken and how many threads are inside right now.
//
// Closing and entering are read-modify-writes of the same word, so every caller is either refused
// or counted before close() returns; once nobody is inside a closed gate, nobody ever will be, and
// what those callers accepted is visible. Callbacks of the context only look whether it is closed:
// see IoSharedContext::push(). The model is tests/models/shutdown.pml.
#pragma once

#include <atomic>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

class Gate {
  public:
    // True: the caller is inside until leave(). False: closed, the caller is not inside.
    bool enter() noexcept {
        // Callers who hammer at a closed gate must not keep quiet() from holding.
        if (closed())
            return false;
        // [model: close-1] acquire pairs with close()'s release.
        if ((word_.fetch_add(kOne, std::memory_order_acquire) & kClosed) == 0)
            return true;
        leave();
        return false;
    }
    // The last touch of the gate, and of whatever it guards, by this caller.
    void leave() noexcept {
        word_.fetch_sub(kOne, std::memory_order_release);  // [model: close-2] pairs with quiet()
    }

    // True if this call closed it.
    bool close() noexcept {
        return (word_.fetch_or(kClosed, std::memory_order_acq_rel) & kClosed) ==
               0;  // [model: close-3]
    }
    bool closed() const noexcept { return (word_.load(std::memory_order_acquire) & kClosed) != 0; }
    // Closed and nobody inside.
    bool quiet() const noexcept { return word_.load(std::memory_order_acquire) == kClosed; }

  private:
    static constexpr std::uint64_t kClosed = 1;
    static constexpr std::uint64_t kOne = 2;
    std::atomic<std::uint64_t> word_{0};
};

}  // namespace v0
}  // namespace ioengine
