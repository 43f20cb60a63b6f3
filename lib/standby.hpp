// SPDX-License-Identifier: MIT
//
// Standby: how threads inside wait() take the poll role from the poller thread.
//
// A thread that waits for its own requests can as well reap them: that spares two wake-ups, which
// cost more than everything else together. Only one thread holds the poll role, so a waiter tries
// to take it, and parks if it is held:
//
//   waiter                                   poller
//     join(): counted among the waiters        poll_step()
//     try the role                             waiters? release it, promote() one that is parked
//       got it: reap until its own are done    try the role again after each delivery; refused
//       refused: enlist(), try again, park       and nothing to do: stand by, on an event count
//     leave()                                  called: try the role
//
// Why no completion is left to nobody: the role's holder reaps before it sleeps in the kernel, and
// who releases the role promotes a parked waiter, if there is one; a waiter enlists before it tries
// for the last time, so it is either seen on the list or takes the role. A waiter that leaves
// promotes another one; the last one looks whether requests are left, and calls the poller if that
// stands by. The poller says that it stands by, and looks again before it sleeps; whoever hands
// requests over looks at that afterwards. Each of the two pairs has a fence on both sides: one of
// the two sees the other.
//
// A waiter runs the callbacks of its own requests only. The others it puts on the list `foreign`
// and calls the poller, which runs them without the role. So the last request of a waiter may come
// to its end elsewhere, while the waiter sleeps in the kernel with the role: its word says that it
// does, and whoever counts it down to 0 sends a nudge.
//
// The model is tests/models/standby.pml.
#pragma once

#include "lib/event_count.hpp"
#include "lib/ready_list.hpp"
#include "lib/wait_word.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>

namespace ioengine {
inline namespace v0 {

class Standby {
  public:
    // A thread inside wait(), on its stack.
    struct Parked {
        explicit Parked(WaitWord what) noexcept : word(what) {}
        WaitWord word;
        Parked* next = nullptr;
        Parked* previous = nullptr;
        bool listed = false;  // under the mutex
    };

    // -- waiters -----------------------------------------------------------------------------

    // relaxed: until its requests are done nobody is led to believe that all have gone.
    void enter() noexcept { count_.fetch_add(kInside, std::memory_order_relaxed); }
    // From now on it will try to take the role, and calls leave() at the end.
    void join() noexcept {
        // [model: wait-1] seq_cst: comes before its look at the role.
        count_.fetch_add(1, std::memory_order_seq_cst);
    }
    // About to park: from now on promote() finds it. Try the role once more afterwards.
    void enlist(Parked& waiter) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);  // [model: wait-2]
        waiter.listed = true;
        waiter.previous = last_;
        (last_ != nullptr ? last_->next : first_) = &waiter;
        last_ = &waiter;
    }
    // After this nobody knows the waiter any more.
    void delist(Parked& waiter) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (waiter.listed)
            unlink(waiter);
    }
    // No waiter any more, and the role is released. True: it was the last one, and is to call the
    // poller if that stands by though there is something left to do.
    bool leave() noexcept {
        if (((count_.fetch_sub(1, std::memory_order_seq_cst) - 1) & kWaiters) != 0) {
            promote();
            return false;
        }
        std::atomic_thread_fence(std::memory_order_seq_cst);  // [model: wait-5] with stand_by()
        return true;
    }
    // The last touch of the context by a thread that was inside wait().
    void exit() noexcept { count_.fetch_sub(kInside, std::memory_order_release); }

    // -- whoever has released the role -------------------------------------------------------

    // One parked waiter, if there is one, is to try the role.
    void promote() noexcept {
        std::unique_lock<std::mutex> lock(mutex_);  // [model: wait-4]
        if (first_ == nullptr)
            return;
        WaitWord word = first_->word;
        unlink(*first_);
        word.promote();  // under the mutex, or the waiter could be gone
        lock.unlock();
        word.wake();
    }

    // -- any thread --------------------------------------------------------------------------

    bool has_waiters() const noexcept {
        return (count_.load(std::memory_order_seq_cst) & kWaiters) != 0;
    }
    // Threads that still touch the context. acquire: pairs with exit().
    bool anybody_inside() const noexcept { return count_.load(std::memory_order_acquire) != 0; }

    // After something was published that a holder of the poll role must see: does the poller stand
    // by, and nobody wait in its place?
    bool must_call() noexcept {
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with stand_by()
        return standing_by_.load(std::memory_order_relaxed) && !has_waiters();  // [model: wait-8]
    }
    bool stands_by() const noexcept { return standing_by_.load(std::memory_order_relaxed); }
    void call_poller() noexcept { poller.notify_urgent(); }

    // -- the poller --------------------------------------------------------------------------

    // It will park. Look whether there is something to do and has_waiters() again after this.
    void stand_by() noexcept {
        standing_by_.store(true, std::memory_order_relaxed);  // [model: wait-7]
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with must_call() and leave()
    }
    void stand_up() noexcept { standing_by_.store(false, std::memory_order_relaxed); }

    EventCount poller;  // the poller parks here while it stands by
    ReadyList foreign;  // reaped by waiters, for the poller to deliver

  private:
    static constexpr std::uint64_t kInside = std::uint64_t{1} << 32;
    static constexpr std::uint64_t kWaiters = kInside - 1;

    void unlink(Parked& waiter) noexcept {
        (waiter.previous != nullptr ? waiter.previous->next : first_) = waiter.next;
        (waiter.next != nullptr ? waiter.next->previous : last_) = waiter.previous;
        waiter.next = waiter.previous = nullptr;
        waiter.listed = false;
    }

    // Low half: waiters; high half: threads inside wait(), which is a little longer.
    std::atomic<std::uint64_t> count_{0};
    std::atomic<bool> standing_by_{false};  // poller writes; fences as above
    std::mutex mutex_;
    Parked* first_ = nullptr;  // under the mutex: waiters that park, the oldest first
    Parked* last_ = nullptr;
};

}  // namespace v0
}  // namespace ioengine
