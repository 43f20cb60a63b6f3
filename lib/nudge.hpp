// SPDX-License-Identifier: MIT
//
// Nudge: how a poller that sleeps in the kernel learns of news that no kernel completion brings.
//
// Such news are requests on the ready list (refused by the submit call, run on a helper thread) and
// the last callback of a context that closes. The only way to wake a thread in io_getevents(2) is a
// completion, so the submit role submits one: a tagged zero-length read in a slot of its own, at
// most one at a time, and only while the poller sleeps.
//
//   news                                   poller
//   publish it                             asleep = true
//   fence                                  fence
//   asleep? then one nudge                 look for news; none: sleep in the kernel
//
// One of the two fences comes first in the total order of sequentially consistent fences: either
// the poller's look sees the news, or the other side sees it asleep. A nudge that is already
// pending will wake the poller later than this publication, because the poller clears `pending`
// before it looks at the list. Threads without the submit role leave a note and wake the submitter,
// who does it for them. The model is tests/models/nudge.pml.
#pragma once

#include <atomic>

namespace ioengine {
inline namespace v0 {

class Nudge {
  public:
    // -- any thread --------------------------------------------------------------------------

    // Leaves the note; the caller wakes the submitter afterwards.
    void request() noexcept {
        requested_.store(true, std::memory_order_release);  // [model: nudge-3] pairs with due()
    }

    // -- submit role -------------------------------------------------------------------------

    // After publishing news, or to settle notes: true if a nudge must be submitted now.
    bool due(bool published) noexcept {
        const bool noted =
            requested_.load(std::memory_order_relaxed) &&
            requested_.exchange(false, std::memory_order_acquire);  // [model: nudge-4]
        if (!published && !noted && !owed_)
            return false;
        owed_ = false;
        std::atomic_thread_fence(std::memory_order_seq_cst);  // [model: nudge-2] pairs with nudge-5
        return asleep_.load(std::memory_order_relaxed) &&
               !pending_.exchange(true, std::memory_order_acq_rel);  // pairs with reaped()
    }
    // The kernel did not take it: it is owed, and due() says so again.
    void not_sent() noexcept {
        pending_.store(false, std::memory_order_release);
        owed_ = true;
    }
    bool owed() const noexcept { return owed_; }

    // -- poll role ---------------------------------------------------------------------------

    void fall_asleep() noexcept {
        asleep_.store(true, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_seq_cst);  // [model: nudge-5] pairs with nudge-2
    }
    void awake() noexcept { asleep_.store(false, std::memory_order_relaxed); }
    // The nudge came back; call before the ready list is looked at.
    void reaped() noexcept {
        pending_.exchange(false, std::memory_order_acq_rel);  // [model: nudge-7] pairs with due()
    }
    bool pending() const noexcept { return pending_.load(std::memory_order_acquire); }

  private:
    std::atomic<bool> asleep_{false};     // poller writes, submit role reads; fences as above
    std::atomic<bool> pending_{false};    // set by the submit role, cleared by the poll role
    std::atomic<bool> requested_{false};  // set by anybody, taken by the submit role
    bool owed_ = false;                   // submit role's own
};

}  // namespace v0
}  // namespace ioengine
