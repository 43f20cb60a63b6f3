// SPDX-License-Identifier: MIT
//
// WaitWord: what somebody inside wait() waits on: how many requests are left, and whether a thread
// sleeps over it.
//
//   bit 0    a thread is parked, or about to be
//   bit 1    the thread is promoted: the poll role may be free
//   bit 2    the thread sleeps in the kernel, or is about to: only a nudge reaches it there
//   bit 3    the thread waits for one of them: any count is news to it, not the last one alone
//   bit 4..  requests that are not done
//
// It lies in memory of the user's (a Group, a Request), as a bare 32-bit word that futex(2) can
// compare, and it is gone as soon as its waiter sees it at 0: counting down is the last touch. The
// wake-up that follows names an address and reads nothing there; if it comes late it wakes nobody,
// or somebody who looks again.
#pragma once

#include "lib/request_state.hpp"

#include <climits>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ioengine {
inline namespace v0 {

class WaitWord {
  public:
    explicit WaitWord(std::uint32_t& word) noexcept : word_(&word) {}

    // -- any thread --------------------------------------------------------------------------

    // Another request belongs to it. relaxed: it is published with the request.
    void count_up() noexcept { __atomic_fetch_add(word_, kOne, __ATOMIC_RELAXED); }
    // A request that was never handed over belongs to it no more.
    void take_back() noexcept { __atomic_fetch_sub(word_, kOne, __ATOMIC_RELAXED); }
    // A request is done. acq_rel: releases its result to done(), and what others released before.
    // True if that is news to a waiter which has to be nudged.
    [[nodiscard]] bool count_down() noexcept {
        const std::uint32_t before = __atomic_fetch_sub(word_, kOne, __ATOMIC_ACQ_REL);
        if ((before & ~kFlags) != kOne && (before & kAny) == 0)
            return false;
        if ((before & kParked) != 0)
            wake();
        return (before & kInKernel) != 0;  // [model: wait-11]
    }
    // While something keeps the waiter there; wake() follows.
    void promote() noexcept {
        __atomic_fetch_or(word_, kPromoted, __ATOMIC_RELEASE);  // pairs with awake()
    }
    // Who parks on this address looks again. Reads nothing there.
    void wake() noexcept {
        ::syscall(SYS_futex, word_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
    }

    // -- the waiter --------------------------------------------------------------------------

    // acquire: pairs with count_down(); the results come with it.
    bool done() const noexcept { return (__atomic_load_n(word_, __ATOMIC_ACQUIRE) & ~kFlags) == 0; }
    // Before it is listed. acq_rel: ordered with count_down(), so look whether it is done after it.
    void announce(bool any) noexcept {
        __atomic_fetch_or(word_, any ? kParked | kAny : kParked, __ATOMIC_ACQ_REL);
    }
    // The word, to hand to sleep(). Look whether it is done after this.
    std::uint32_t prepare() const noexcept { return __atomic_load_n(word_, __ATOMIC_ACQUIRE); }
    static bool promoted(std::uint32_t seen) noexcept { return (seen & kPromoted) != 0; }
    // Sleeps for at most limit_ns (negative: without limit) unless the word has moved. May return
    // early.
    void sleep(std::uint32_t seen, std::int64_t limit_ns) noexcept {
        const timespec limit{static_cast<time_t>(limit_ns / 1'000'000'000),
                             static_cast<long>(limit_ns % 1'000'000'000)};
        // futex(2): sleeps only while the word is still `seen`. Any count moves it.
        ::syscall(SYS_futex, word_, FUTEX_WAIT_PRIVATE, seen, limit_ns < 0 ? nullptr : &limit,
                  nullptr, 0);
    }
    // About to sleep in the kernel. acq_rel: ordered with count_down(), so look whether it is done
    // after it.
    void go_into_kernel(bool any) noexcept {
        __atomic_fetch_or(word_, any ? kInKernel | kAny : kInKernel,
                          __ATOMIC_ACQ_REL);  // [model: wait-12]
    }
    // The only thread that goes into the kernel is back; others may be parked.
    void leave_kernel() noexcept { __atomic_fetch_and(word_, ~kInKernel, __ATOMIC_RELAXED); }
    // After it has left the list, or the kernel: nobody else writes the flags now.
    void awake() noexcept { __atomic_fetch_and(word_, ~kFlags, __ATOMIC_ACQUIRE); }

    // True if it counts this request.
    bool counts(const Request& request) const noexcept {
        return request_state::is_in(request, *word_);
    }

  private:
    static constexpr std::uint32_t kParked = 1;
    static constexpr std::uint32_t kPromoted = 2;
    static constexpr std::uint32_t kInKernel = 4;
    static constexpr std::uint32_t kAny = 8;
    static constexpr std::uint32_t kFlags = kParked | kPromoted | kInKernel | kAny;
    static constexpr std::uint32_t kOne = 16;

    std::uint32_t* word_;
};

}  // namespace v0
}  // namespace ioengine
