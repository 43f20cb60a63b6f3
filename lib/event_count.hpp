// SPDX-License-Identifier: MIT
//
// EventCount: how a thread sleeps until something happened, without missing it.
//
// One 32-bit word: an epoch above two flags of whoever is parked. A sleeper reads the word, looks
// for work, finds none, and adds its flag with a compare-and-swap that fails if the epoch moved
// meanwhile. A notifier publishes its work, then adds to the epoch; the value it replaced tells it
// whether somebody sleeps.
//
// Why no wake-up is lost: both sides change one word with read-modify-writes, so they are ordered.
// Either the notifier's addition comes first: then the sleeper's compare-and-swap fails, or its
// first load already saw the addition and, being an acquire of a release, the work itself. Or the
// flag comes first: then the notifier's addition returns it, and it wakes the sleeper. futex(2)
// compares the word again under the kernel's lock, which closes the gap before the sleep.
//
// Why a counter of queued work will not do: a producer counts before it enqueues, and while it is
// preempted in between, a sleeper that trusts the counter spins. The epoch moves after the enqueue.
//
// A flag that outlives its sleeper (a timeout, an early return) costs the next notifier one system
// call and nothing else, so it is never cleared by sleepers; that makes several sleepers safe too.
// The model is tests/models/parking.pml.
#pragma once

#include "lib/bell.hpp"

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ioengine {
inline namespace v0 {

class EventCount {
  public:
    // What a sleeper wants to be woken for.
    enum class Wants : std::uint32_t {
        anything = 1,     // work as well as urgent news
        urgent_only = 2,  // no new work, it could not be taken now; but slots, and urgent news
    };

    static constexpr std::int64_t kNoLimit = -1;

    // Sleeper: the epoch to hand to park(). Read it before looking for work.
    std::uint32_t prepare() const noexcept {
        return word_.load(std::memory_order_acquire);  // [model: park-4] pairs with notify's add
    }

    // Sleeper: announces its sleep; false, and nothing is announced, if something was notified
    // since `seen`. The first half of park(); by itself for those who do not sleep in the kernel.
    bool announce(std::uint32_t seen, Wants wants) noexcept {
        // [model: park-5] acq_rel: the failing value carries the notifier's work.
        return word_.compare_exchange_strong(seen, seen | static_cast<std::uint32_t>(wants),
                                             std::memory_order_acq_rel, std::memory_order_acquire);
    }
    // Sleeper that has announced itself, while it is the only one: false once it has been woken.
    bool announced() const noexcept {
        return (word_.load(std::memory_order_acquire) & kFlags) != 0;  // pairs with notify's add
    }

    // Before anybody sleeps or notifies: the only sleeper sleeps elsewhere and is woken by a bell,
    // rung here. It calls announce(), and retract() when it is awake.
    void ring_by(const Bell& bell) noexcept { bell_ = &bell; }
    // Nobody has to wake it any more. relaxed: it calls prepare() and looks again after this. Who
    // does not retract is rung for once more than it needs, and misses nothing.
    void retract() noexcept {
        word_.fetch_and(~kFlags, std::memory_order_relaxed);  // [model: one-3]
    }

    // Anybody: does a sleeper that wants anything say that it sleeps? It may be awake by now.
    bool somebody_wants_anything() const noexcept {
        // acquire: pairs with announce().
        return (word_.load(std::memory_order_acquire) &
                static_cast<std::uint32_t>(Wants::anything)) != 0;
    }

    // Sleeper: sleeps unless something was notified since `seen`, for at most limit_ns. Returns
    // false if the time ran out. May return early: look for work again.
    bool park(std::uint32_t seen, Wants wants, std::int64_t limit_ns = kNoLimit) noexcept {
        return !announce(seen, wants) || sleep(seen, wants, limit_ns);
    }
    // The second half of park(): for who has announced itself, and has looked again since.
    bool sleep(std::uint32_t seen, Wants wants, std::int64_t limit_ns = kNoLimit) noexcept {
        const std::uint32_t parked = seen | static_cast<std::uint32_t>(wants);
        timespec limit{};
        if (limit_ns != kNoLimit) {
            limit.tv_sec = static_cast<time_t>(limit_ns / 1'000'000'000);
            limit.tv_nsec = static_cast<long>(limit_ns % 1'000'000'000);
        }
        // [model: park-6] futex(2): sleeps only while the word is still `parked`.
        const long rc = ::syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, parked,
                                  limit_ns == kNoLimit ? nullptr : &limit, nullptr, 0);
        return !(rc != 0 && errno == ETIMEDOUT);
    }

    // Notifier: there is work. Wakes sleepers that want anything. True if it made the system call.
    bool notify_work() noexcept {
        return notify(static_cast<std::uint32_t>(Wants::anything));  // [model: park-1]
    }

    // Notifier: slots have come free. Whoever waits for work has some already and sleeps on.
    bool notify_slots() noexcept {
        return notify(static_cast<std::uint32_t>(Wants::urgent_only));  // [model: park-8]
    }

    // Notifier: something that every sleeper must see.
    bool notify_urgent() noexcept { return notify(kFlags); }  // [model: park-3]

    // A notifier that has itself done what a sleeper for slots wants to be woken for: from now on
    // it is to be woken for work. True if there was one; then look for work once more, because a
    // notifier of work may have passed by in between. (A sleeper that has announced itself and is
    // not yet in the kernel finds the word changed and looks again.)
    bool widen() noexcept {
        std::uint32_t word = word_.load(std::memory_order_relaxed);
        while ((word & kFlags) == static_cast<std::uint32_t>(Wants::urgent_only))
            // [model: park-9] acq_rel: ordered with announce() and with notify's add.
            if (word_.compare_exchange_weak(word,
                                            word | static_cast<std::uint32_t>(Wants::anything),
                                            std::memory_order_acq_rel, std::memory_order_relaxed))
                return true;
        return false;
    }

  private:
    static constexpr std::uint32_t kFlags = 3;
    static constexpr std::uint32_t kEpoch = 4;

    bool notify(std::uint32_t whom) noexcept {
        // acq_rel: releases the work to prepare() and park(), and sees the sleeper's flag.
        if ((word_.fetch_add(kEpoch, std::memory_order_acq_rel) & whom) == 0)
            return false;
        word_.fetch_and(~kFlags, std::memory_order_relaxed);  // [model: park-2] saves later calls
        if (bell_ != nullptr)
            bell_->ring();  // [model: one-2]
        else
            ::syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
        return true;
    }

    std::atomic<std::uint32_t> word_{0};
    const Bell* bell_ = nullptr;  // constant once the context works
    static_assert(sizeof(std::atomic<std::uint32_t>) == 4, "futex(2) needs the bare word");
};

}  // namespace v0
}  // namespace ioengine
