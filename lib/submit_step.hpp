// SPDX-License-Identifier: MIT
//
// submit_step(): moves requests from the queues into the kernel. It never waits. Whoever runs it
// decides when to sleep, by what the step and missed_slots() say: the submitter's thread, a
// borrower (lib/lending.hpp), or a simulation.
#pragma once

#include "lib/driver.hpp"
#include "lib/giving_up.hpp"
#include "lib/merging.hpp"
#include "lib/offload.hpp"
#include "lib/request_chain.hpp"
#include "lib/request_state.hpp"
#include "lib/role_lock.hpp"
#include "lib/scheduler.hpp"
#include "lib/shared_context.hpp"
#include "lib/stamp.hpp"
#include "lib/wait_word.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace ioengine {
inline namespace v0 {

// Between steps, private to the submit role.
struct SubmitRole {
    // Popped by a borrower that may not hand them over, for the submitter to do.
    RequestChain set_aside;
    std::uint32_t attempts = 0;       // submit calls in vain, in a row
    std::uint64_t reaped_before = 0;  // poll counter at the last attempt: any progress since?
    bool published = false;  // something lies on the ready list that the poller may sleep over
    bool leave_sent = false;
    // Of everything, at the end: is the kernel asked to give it back?
    enum class CancelAll : std::uint8_t { no, for_some, yes };
    CancelAll cancels_all = CancelAll::no;
    bool asks_on = false;     // see steps::ask_on()
    bool asks_again = false;  // likewise
    bool is_broken = false;   // it takes no more, said the backend, and has taken nothing since
};

// The submit role, with who holds it: its own thread, or for a step whoever borrows it.
struct alignas(64) SubmitSide {
    RoleLock lock;
    SubmitRole role;
    // Something is set aside: the submitter is to hear of slots. Written by the role's holder
    // before it releases the lock, read by the poll role after it has freed slots; the fences of
    // lend_step() and missed_slots() order the two.
    std::atomic<bool> has_set_aside{false};

    // After a step, before the lock is released.
    void note_set_aside() noexcept {
        const bool is = !role.set_aside.empty();
        if (is != has_set_aside.load(std::memory_order_relaxed))
            has_set_aside.store(is, std::memory_order_relaxed);
    }
};

struct SubmitOutcome {
    bool moved = false;        // something was done: step again before sleeping
    bool starved = false;      // requests wait and there was no slot
    bool gave_back = false;    // a refused slot is free again, and only this role knows
    std::uint32_t handed = 0;  // taken by the kernel
    EventCount::Wants wants = EventCount::Wants::anything;
    std::int64_t limit_ns = EventCount::kNoLimit;  // how long to sleep at most
};

// A submit call that answers EAGAIN is tried again after 100 us, doubling up to 50 ms; after this
// many in a row without any completion in between, some ten seconds, the error is the user's.
constexpr std::uint32_t kSubmitAttemptsMax = 200;

constexpr std::int64_t backoff_ns(std::uint32_t attempt) noexcept {
    const std::int64_t delay = std::int64_t{100'000} << std::min(attempt, 10u);
    return std::min<std::int64_t>(delay, 50'000'000);
}

// Who holds the submit role: the thread that is there for it, or one that has other things to do:
// the poller; a thread inside wait(), which hands over its own requests only; or a thread that has
// just submitted one, which must not be kept waiting.
class Holder {
  public:
    static Holder submitter() noexcept { return {Kind::submitter, nullptr}; }
    // The only thread there is, which holds both roles.
    static Holder sole() noexcept { return {Kind::sole, nullptr}; }
    static Holder poller() noexcept { return {Kind::poller, nullptr}; }
    static Holder waiter(const WaitWord& word) noexcept { return {Kind::waiter, &word}; }
    static Holder caller() noexcept { return {Kind::caller, nullptr}; }

    bool borrows() const noexcept { return kind_ != Kind::submitter && kind_ != Kind::sole; }
    // Will it look for completions after this?
    bool reaps() const noexcept { return kind_ != Kind::submitter && kind_ != Kind::caller; }
    // If not, it hands over nobody else's requests, as a continuation may be.
    bool is_engine_thread() const noexcept {
        return kind_ != Kind::waiter && kind_ != Kind::caller;
    }
    bool is_caller() const noexcept { return kind_ == Kind::caller; }
    bool owns(const Request& request) const noexcept {
        return kind_ != Kind::waiter || word_->counts(request);
    }

  private:
    enum class Kind : std::uint8_t { submitter, sole, poller, waiter, caller };
    Holder(Kind kind, const WaitWord* word) noexcept : kind_(kind), word_(word) {}
    Kind kind_;
    const WaitWord* word_;
};

namespace steps {

// Turns the scheduler's requests into slots, or finishes them where no kernel is needed.
template <Driver D>
class SlotFiller {
  public:
    SlotFiller(IoSharedContext& context, SubmitRole& role, D& driver, Offload* offload,
               Holder holder) noexcept
        : context_(context), role_(role), driver_(driver), offload_(offload), holder_(holder),
          now_(context.coarse_ns()) {}

    void push(Request& request) noexcept {
        Request* const accepted = refuse_bad_ones(request);
        if (accepted != nullptr)
            place(*accepted);
    }

    // Can it be merged with the one before? Not behind others that were set aside.
    bool may_append(const Request& request) const noexcept {
        return driver_.slots().may_append(request) && role_.set_aside.empty() &&
               !(holder_.borrows() && !holder_.owns(request));
    }
    void append(Request& request) noexcept {
        if (const int refusal = refusal_of(request)) {
            finish(request, refusal);
            return;
        }
        driver_.append(request);
        context_.submit_counters.merged.add(1);
    }

    // What borrowers left, as far as there are slots.
    bool take_set_aside() noexcept {
        bool moved = false;
        while (!role_.set_aside.empty() && driver_.room() != 0 &&
               driver_.slots().available() != 0) {
            push_into_slot(role_.set_aside.pop());
            moved = true;
        }
        return moved;
    }

  private:
    // Late, or nothing for this backend: -errno. What came with a deadline that had passed may be
    // here before the role has heard of that deadline.
    int refusal_of(const Request& request) const noexcept {
        const std::uint64_t deadline_ns = stamp::deadline_of(request);
        return deadline_ns != 0 && is_past(deadline_ns) ? -ETIMEDOUT : driver_.refusal(request);
    }
    // now_ is up to a tick old: what is nearer is worth a look at the exact clock.
    bool is_past(std::uint64_t deadline_ns) const noexcept {
        constexpr std::uint64_t kTickMaxNs = 20'000'000;
        return deadline_ns <= now_ + kTickMaxNs && deadline_ns <= context_.clock_ns();
    }
    // Of those that were merged, what this backend will not do is finished; the others stay
    // together, one behind the other. Null if none is left.
    Request* refuse_bad_ones(Request& request) noexcept {
        if (request.followers == 0) {
            const int refusal = refusal_of(request);
            if (refusal == 0)
                return &request;
            finish(request, refusal);
            return nullptr;
        }
        Request* first = nullptr;
        Request* last = nullptr;
        std::uint16_t count = 0;
        std::uint64_t end = 0;  // of `last`
        bool side_by_side = true;
        for_each_member(request, [&](Request& member) {
            if (const int refusal = refusal_of(member)) {
                finish(member, refusal);
                return;
            }
            side_by_side &= first == nullptr || member.offset == end;
            end = member.offset + member.length;
            (first == nullptr ? first : last->merged) = &member;
            last = &member;
            ++count;
        });
        if (first == nullptr)
            return nullptr;
        if (driver_.may_block(*first)) {
            set_aside_each(*first, count);
            return nullptr;
        }
        first->followers = static_cast<std::uint16_t>(count - 1);
        if (side_by_side)
            context_.submit_counters.merged.add(first->followers);
        else
            context_.submit_counters.merges_broken.add(1);
        return first;
    }
    // What goes on later goes on wherever it was reaped, and must not be held up there: so each of
    // them goes to the kernel as a request of its own.
    void set_aside_each(Request& first, unsigned count) noexcept {
        Request* request = &first;
        for (; count != 0; --count) {
            Request* const next = request->merged;
            role_.set_aside.push(*request);
            request = next;
        }
    }
    void place(Request& request) noexcept {
        switch (driver_.route(request)) {
        case Route::kernel:
            // Those behind it are not to overtake it.
            if (!role_.set_aside.empty() ||
                (holder_.borrows() && (keeps_holder_waiting(request) || !holder_.owns(request))))
                role_.set_aside.push(request);
            else
                push_into_slot(request);
            return;
        case Route::done:
            finish(request, 0);
            return;
        case Route::offload:
            context_.submit_counters.offloaded.add(1);
            if (offload_ == nullptr || !offload_->post(request))
                finish(request, driver_.run_here(request));
            return;
        }
    }
    void push_into_slot(Request& request) noexcept {
        const bool may_block = driver_.may_block(request);
        driver_.push(request, now_);  // from here on it is the poll role's
        // Nothing joins it: see set_aside_each().
        if (may_block)
            driver_.slots().seal();
    }
    bool keeps_holder_waiting(const Request& request) noexcept {
        return holder_.is_caller() ? driver_.may_wait(request) : driver_.may_block(request);
    }
    void finish(Request& request, std::int64_t result) noexcept {
        request.result = result;
        context_.ready.push(request);
        role_.published = true;
    }
    IoSharedContext& context_;
    SubmitRole& role_;
    D& driver_;
    Offload* const offload_;
    const Holder holder_;
    const std::uint64_t now_;
};

// Everything that is still with us answers ECANCELED; what the kernel holds is asked back once.
template <Driver D, class GiveUp>
void cancel_everything(IoSharedContext& context, SubmitRole& role, D& driver, GiveUp& give_up) {
    struct Canceller {
        void push(Request& first) noexcept {
            for_each_member(first, [this](Request& request) {
                request.result = -ECANCELED;
                context.ready.push(request);
            });
        }
        IoSharedContext& context;
    } canceller{context};
    if (poll_request_from_queues(context, SIZE_MAX, canceller) != 0)
        role.published = true;
    for (; !role.set_aside.empty(); role.published = true)
        canceller.push(role.set_aside.pop());
    while (auto* slot = driver.slots().next_continuation())
        give_up(*slot, -ECANCELED);
    while (auto* slot = driver.slots().next_put_off(UINT64_MAX))
        give_up(*slot, -ECANCELED);
    using CancelAll = SubmitRole::CancelAll;
    if (role.cancels_all == CancelAll::yes)
        return;
    if (driver.abandon(give_up, -ECANCELED))
        role.cancels_all = CancelAll::no;  // some of it was withdrawn
    const bool begins = role.cancels_all == CancelAll::no;
    role.cancels_all = CancelAll::yes;
    for (std::uint32_t i = 0; i < driver.slots().depth(); ++i) {
        auto& slot = driver.slots().at(i);
        // relaxed: a slot that completes meanwhile is not harmed by a late cancellation.
        if (slot.state.load(std::memory_order_relaxed) != SlotState::in_kernel)
            continue;
        // After one for which there is no room the others wait for the next step.
        slot.label.cancel_sent = (slot.label.cancel_sent && !begins) ||
                                 (role.cancels_all == CancelAll::yes && driver.cancel(slot));
        if (!slot.label.cancel_sent)
            role.cancels_all = CancelAll::for_some;
    }
}

// Slots that a short transfer or a passing error sends to the kernel again, before any new work.
// The first retries of a piece are immediate, later ones wait: 100 us, doubling, at most 50 ms.
// Each slot waits by itself: a request that hears EAGAIN for ever holds up nobody else, except
// those that were merged with it.
template <Driver D, class GiveUp>
bool push_continuations(IoSharedContext& context, D& driver, GiveUp& give_up) {
    auto& slots = driver.slots();
    bool moved = false;
    const auto is_given_up = [&give_up](typename D::Slot& slot) {
        // relaxed: this role has said it.
        const Asked asked = slot.asked.load(std::memory_order_relaxed);
        if (asked != Asked::nothing)
            give_up(slot, result_of(asked));
        return asked != Asked::nothing;
    };
    while (driver.room() != 0) {
        auto* slot = slots.next_continuation();
        if (slot == nullptr)
            break;
        if (is_given_up(*slot)) {
            moved = true;
            continue;
        }
        if (slot->retries > 3) {
            slots.put_off(*slot, context.clock_ns() +
                                     static_cast<std::uint64_t>(backoff_ns(slot->retries - 4u)));
            continue;
        }
        driver.push_again(*slot);
        moved = true;
    }
    while (slots.has_put_off() && driver.room() != 0) {
        auto* slot = slots.next_put_off(context.clock_ns());
        if (slot == nullptr)
            break;
        if (!is_given_up(*slot))
            driver.push_again(*slot);
        moved = true;
    }
    return moved;
}

inline void sleep_at_most(std::uint64_t limit_ns, SubmitOutcome& outcome) noexcept {
    const auto limit = static_cast<std::int64_t>(std::min<std::uint64_t>(limit_ns, INT64_MAX));
    if (outcome.limit_ns == EventCount::kNoLimit || outcome.limit_ns > limit)
        outcome.limit_ns = limit;
}

// The submitter's sleep ends when the next put-off retry is due. For one that is due by now there
// is no sleep, unless it has no room: then what makes room ends the sleep.
template <Driver D>
void wake_for_put_off(IoSharedContext& context, D& driver, SubmitOutcome& outcome) {
    if (!driver.slots().has_put_off())
        return;
    const std::uint64_t now = context.clock_ns();
    const std::uint64_t due = driver.slots().next_due_ns();
    if (due <= now) {
        outcome.moved |= driver.room() != 0;
        return;
    }
    sleep_at_most(due - now, outcome);
}

// And when the next request may be late.
inline void wake_for_deadlines(IoSharedContext& context, SubmitOutcome& outcome) {
    const std::uint64_t nearest = context.deadlines.nearest();
    if (nearest == Deadlines::kNever)
        return;
    const std::uint64_t now = context.clock_ns();
    if (nearest <= now)
        outcome.moved = true;
    else
        sleep_at_most(nearest - now, outcome);
}

// The engine's own messages, where they are due. True if one waits to be handed over.
template <Driver D>
bool push_signals(IoSharedContext& context, SubmitRole& role, D& driver) {
    bool pushed = false;
    // acquire comes with seq_cst: pairs with the closer's store.
    if (!role.leave_sent && context.closing.draining.load(std::memory_order_seq_cst)) {
        role.leave_sent = driver.push_signal(Signal::leave);  // [model: close-4]
        pushed |= role.leave_sent;
    }
    const bool published = std::exchange(role.published, false);
    if (!context.nudge.due(published))
        return pushed;
    if (!driver.push_signal(Signal::nudge)) {
        context.nudge.not_sent();
        return pushed;
    }
    context.submit_counters.nudges.add(1);
    return true;
}

// After a submit call in vain: how long to wait, or 0 if patience has ended.
inline std::int64_t after_refused_call(IoSharedContext& context, SubmitRole& role) noexcept {
    const std::uint64_t reaped = context.poll_counters.reaped.get();
    if (reaped != role.reaped_before)
        role.attempts = 0;
    role.reaped_before = reaped;
    return ++role.attempts > kSubmitAttemptsMax ? 0 : backoff_ns(role.attempts - 1);
}

}  // namespace steps

// Moves what can be moved: continuations, then new work, then the engine's own signals.
// `before_hand_over` runs when all that can be handed over has been pushed: a thread that holds
// both roles decides there whether to sleep in the same call.
template <Driver D, class BeforeHandOver = void (*)()>
SubmitOutcome submit_step(
    IoSharedContext& context, SubmitRole& role, D& driver, Offload* offload = nullptr,
    Holder holder = Holder::submitter(), BeforeHandOver&& before_hand_over = [] {}) {
    auto& slots = driver.slots();
    SubmitOutcome outcome;
    // acquire: pairs with the closer's release. What is to be continued from now on, or comes from
    // a callback that had passed the gate, is refused by the next step: it must not reach the
    // kernel behind the cancellation, which is sent once.
    const bool cancelling = context.closing.cancelling.load(std::memory_order_acquire);

    // The slot is free again and the request finished: news for this step as well as for the
    // poller.
    const auto end_slot = [&](typename D::Slot& slot, std::int64_t error, bool all) noexcept {
        const bool was_merged = slot.transfer.is_merged();
        const bool goes_on = refuse(slot, error, all, [&](Request& request, std::int64_t result) {
            request.result = result;
            context.ready.push(request);
            role.published = true;
        });
        outcome.moved = true;
        outcome.gave_back |= !goes_on;
        if (!goes_on) {
            slots.give_back(slot);
            return;
        }
        context.submit_counters.merges_broken.add(was_merged ? 1 : 0);
        slots.put_off(slot, 0);
    };
    // By the kernel, for its own sake; or with everything else. An error of several that will not
    // be tried one by one any more is none of theirs.
    auto refused = [&](typename D::Slot& slot, std::int64_t error) noexcept {
        end_slot(slot, cancelling && slot.members != 1 ? -ECANCELED : error, cancelling);
    };
    auto given_up = [&](typename D::Slot& slot, std::int64_t error) noexcept {
        end_slot(slot, error, true);
    };
    // Its kernel may make room at any moment (SQPOLL): what held this step up counts.
    bool was_full = driver.room() == 0;
    if (cancelling)
        steps::cancel_everything(context, role, driver, given_up);
    // Whoever holds the role, so that what is queued by now does not get past an order.
    outcome.moved |= steps::give_up_some(context, role, driver);
    if (!cancelling && holder.is_engine_thread())
        outcome.moved |= steps::push_continuations(context, driver, given_up);
    steps::SlotFiller<D> filler(context, role, driver, offload, holder);
    if (!holder.borrows())
        outcome.moved |= filler.take_set_aside();
    // Looked at once, after prepare(): a slot that comes free later moves the epoch, or is looked
    // for by missed_slots().
    const std::size_t free_slots = slots.available_at_least();
    // What was set aside goes first.
    const bool may_take = !cancelling && role.set_aside.empty();
    if (!holder.borrows() && !role.set_aside.empty() && free_slots != 0)
        outcome.moved = true;  // they have come free since
    const std::size_t room = driver.room();
    was_full |= room == 0;
    if (poll_request_from_queues(context, may_take ? std::min(free_slots, room) : 0, filler) != 0) {
        outcome.moved = true;
        context.space.notify_urgent();
    }

    const auto cancel_withdrawn = [&role] {
        role.cancels_all = SubmitRole::CancelAll::no;
        role.asks_again = true;
    };
    const auto hand_over = [&] {
        const Handed handed = driver.submit(refused);
        if (handed.broken != 0)
            context.log.write(LogLevel::error,
                              "the backend takes no requests any more (%s); they fail with that "
                              "error",
                              std::strerror(handed.broken));
        if (handed.nudge_refused)
            context.nudge.not_sent();
        if (handed.leave_refused)
            role.leave_sent = false;
        if (handed.cancel_refused)
            cancel_withdrawn();
        if (handed.wake_refused)
            context.bell.disarm();
        if (handed.count != 0 || handed.broken != 0)
            role.is_broken = handed.broken != 0;
        outcome.handed += handed.count;
        outcome.moved |= handed.count != 0;
        // Nothing is left over to be tried again; lend_step() goes by that.
        if (handed.count != 0 || handed.error == 0)
            role.attempts = 0;
        if (handed.error == 0)
            return;
        outcome.moved = false;
        outcome.wants = EventCount::Wants::urgent_only;
        outcome.limit_ns = steps::after_refused_call(context, role);
        if (outcome.limit_ns == 0) {
            context.log.write(LogLevel::error,
                              "the kernel refused to take requests %u times in a row (%s); they "
                              "fail with that error",
                              role.attempts, std::strerror(handed.error));
            role.attempts = 0;
            if (driver.abandon(given_up, -handed.error))
                cancel_withdrawn();
        }
    };
    if (context.bell.may_be_armed() && driver.push_signal(Signal::wake))
        context.bell.arm();  // [model: one-1]
    before_hand_over();
    hand_over();
    if (steps::push_signals(context, role, driver))
        hand_over();

    // Nothing tells that there is room again. After something has moved there is another step.
    const bool waits_for_room = !outcome.moved && outcome.limit_ns == EventCount::kNoLimit &&
                                was_full &&
                                (context.backlog() != 0 || slots.has_continuation() ||
                                 slots.has_put_off() || !role.set_aside.empty());
    if (waits_for_room || context.nudge.owed() || context.bell.wants_arming() ||
        (cancelling && role.cancels_all != SubmitRole::CancelAll::yes) || steps::must_ask(role) ||
        (!role.leave_sent && context.closing.draining.load(std::memory_order_relaxed)))
        outcome.limit_ns = backoff_ns(0);  // [model: one-5]
    steps::wake_for_put_off(context, driver, outcome);
    if (!holder.borrows())
        steps::wake_for_deadlines(context, outcome);
    // With a backlog and no slot for it, more work is no news; a free slot is. Without a backlog it
    // is the other way round: so a slot that comes free wakes nobody who has nothing to put into
    // it.
    outcome.starved =
        !cancelling && free_slots == 0 && (!role.set_aside.empty() || context.backlog() != 0);
    if (outcome.starved)
        outcome.wants = EventCount::Wants::urgent_only;
    // Somebody has to reap what is on its way now, or lies on the ready list.
    if (!holder.reaps() && context.standby.must_call())
        context.standby.call_poller();
    return outcome;
}

// After the submitter has announced that it sleeps until slots come free: has one come free before
// the announcement? A poller that lends does not notify of slots, it looks whether somebody waits.
template <Driver D>
bool missed_slots(const SubmitOutcome& outcome, D& driver) noexcept {
    if (!outcome.starved)
        return false;
    std::atomic_thread_fence(std::memory_order_seq_cst);  // [model: lend-1] pairs with lend-2
    return driver.slots().any_released();
}

}  // namespace v0
}  // namespace ioengine
