// SPDX-License-Identifier: MIT
//
// Lending: steps of threads that borrow the submit role: the poller after callbacks, a thread
// inside wait(), one that has just submitted. A borrower never waits and keeps no timer: it leaves
// both to the submitter. Why nothing is lost: lib/role_lock.hpp, and here before each step.
#pragma once

#include "lib/poll_step.hpp"
#include "lib/submit_step.hpp"

#include <atomic>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

// After a borrower has handed over: does the submitter sleep without looking after the watchdog?
inline bool is_unwatched(const IoSharedContext& context) noexcept {
    if (context.config.watchdog_ms == 0)
        return false;
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with SplitRunner's watch()
    return context.unwatched.load(std::memory_order_relaxed);
}

// Within poll_step(), before it delivers, and after it has found something; on the same thread,
// where the context lends the submit role: submits what callbacks left in the queues, which woke
// nobody, and what waited for the slots that are free now. Never waits, and never keeps a timer: it
// leaves both to the submitter. `role` is null on a poller's thread that does not hold it.
template <Driver D>
void lend_step(IoSharedContext& context, SubmitSide& side, PollRole* role, D& driver,
               Offload* offload = nullptr) {
    // The slots are free before the queues are looked at. Pairs with the fence behind the
    // submitter's announcement, after which it looks at the slots [model: lend-2].
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (;;) {
        bool moved = false;
        if ((role != nullptr && role->owes) || context.backlog() != 0) {
            if (!side.lock.try_take())
                return;  // whoever holds it has our note
            // A batch that the kernel would not take is the submitter's, with its back-off.
            if (side.role.attempts != 0) {
                const bool helps = context.poll_counters.reaped.get() != side.role.reaped_before;
                if (side.lock.release() || helps)
                    context.wake_urgently();
                return;
            }
            const std::uint32_t before = role != nullptr ? driver.completions_ready() : 0;
            const SubmitOutcome outcome =
                submit_step(context, side.role, driver, offload, Holder::poller());
            // There was no room for them until this step handed over what was before them.
            const bool owes = outcome.moved &&
                              (driver.slots().has_continuation() || driver.slots().has_put_off());
            side.note_set_aside();
            const bool noted = side.lock.release();
            if (outcome.handed != 0 && is_unwatched(context))
                context.wake_urgently();
            if (role != nullptr) {
                role->owes = owes;
                role->cap.submitted(outcome.handed, before, driver.completions_ready());
            } else if (owes) {
                context.wake_urgently();
            }
            // A slot that was given back is not on the list that missed_slots() looks at.
            if (noted || outcome.gave_back || outcome.limit_ns != EventCount::kNoLimit)
                context.wake_urgently();  // [model: lend-3]
            if (!outcome.moved && (outcome.starved || outcome.limit_ns != EventCount::kNoLimit))
                return;
            moved = outcome.moved;
        }
        // Nothing is left to do, and slots may be free: a submitter that sleeps for slots has to
        // hear of work from now on. And what came before it could hear is to be looked at.
        if (!moved && !context.submitter.widen())
            break;
    }
    if (side.has_set_aside.load(std::memory_order_relaxed))
        context.wake_urgently();
}

// A borrower that is no engine thread: hands over what it may, and wakes the submitter for the
// rest. Never waits, and never keeps a timer.
template <Driver D>
void borrow_submit_role(IoSharedContext& context, SubmitSide& side, D& driver, Offload* offload,
                        Holder holder) {
    auto& slots = driver.slots();
    bool urgent = false;
    bool noted = true;
    bool was_noted = false;
    constexpr int kStepsMax = 4;  // it has other things to do
    // Who was refused meanwhile is answered with another step, not with a wake-up: a submitter that
    // was woken for nothing comes for the role again, and leaves another note.
    for (int i = 0; noted && !urgent; ++i) {
        if (!side.lock.try_take())
            return;  // whoever holds it has our note
        // acquire: as in submit_step().
        urgent = i == kStepsMax || side.role.attempts != 0 || !side.role.set_aside.empty() ||
                 slots.has_continuation() || slots.has_put_off() ||
                 context.closing.cancelling.load(std::memory_order_acquire);
        if (!urgent) {
            const SubmitOutcome outcome = submit_step(context, side.role, driver, offload, holder);
            side.note_set_aside();
            urgent = outcome.gave_back || outcome.limit_ns != EventCount::kNoLimit ||
                     !side.role.set_aside.empty();
            // Merged requests that the kernel refused go on one by one, but not from here.
            urgent |= slots.has_continuation() || slots.has_put_off() ||
                      (outcome.handed != 0 && is_unwatched(context));
        }
        noted = side.lock.release();
        was_noted |= noted;
    }
    // The submitter that was refused may sleep without a limit.
    urgent |= was_noted && context.deadlines.nearest() != Deadlines::kNever;
    if (urgent)
        context.wake_urgently();
    else if (context.backlog() != 0)
        context.wake_for_work();
}

// A thread inside wait(): hands over what it has queued quietly, `staged` requests, if it can; else
// the submitter is woken for it. It touches nobody else's: on io_uring a completion interrupts the
// thread that submitted, and this one will be elsewhere by then.
template <Driver D>
void submit_own(IoSharedContext& context, SubmitSide& side, D& driver, Offload* offload,
                const WaitWord& word, std::uint64_t staged) {
    const std::uint64_t queued = context.backlog();
    if (queued == 0)
        return;
    if (queued > staged)
        context.wake_for_work();
    else
        borrow_submit_role(context, side, driver, offload, Holder::waiter(word));
}

// Lending::callers: a thread that has just queued a request. A submitter that sleeps stays asleep;
// one that is awake, or waits for slots, hears of it as always.
template <Driver D>
void submit_as_caller(IoSharedContext& context, SubmitSide& side, D& driver, Offload* offload) {
    if (context.submitter.somebody_wants_anything())  // [model: lend-4]
        borrow_submit_role(context, side, driver, offload, Holder::caller());
    else
        context.wake_for_work();
}

}  // namespace v0
}  // namespace ioengine
