// SPDX-License-Identifier: MIT
//
// The two steps that move requests: submit_step() from the queues into the kernel, poll_step() from
// the kernel to the callbacks. They never wait. Whoever runs them decides when to sleep, by what
// the steps and may_sleep() say; that is a thread of lib/split_runner.hpp, or a simulation.
#pragma once

#include "lib/driver.hpp"
#include "lib/offload.hpp"
#include "lib/prefetch.hpp"
#include "lib/reap_cap.hpp"
#include "lib/request_chain.hpp"
#include "lib/request_state.hpp"
#include "lib/role_lock.hpp"
#include "lib/scheduler.hpp"
#include "lib/shared_context.hpp"
#include "lib/wait_word.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace ioengine {
inline namespace v0 {

// -- submit ----------------------------------------------------------------------------------

// Between steps, private to the submit role.
struct SubmitRole {
    // Popped by a borrower that may not hand them over, for the submitter to do.
    RequestChain set_aside;
    std::uint32_t attempts = 0;       // submit calls in vain, in a row
    std::uint64_t reaped_before = 0;  // poll counter at the last attempt: any progress since?
    bool published = false;  // something lies on the ready list that the poller may sleep over
    bool leave_sent = false;
    bool cancel_sent = false;
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
    static Holder poller() noexcept { return {Kind::poller, nullptr}; }
    static Holder waiter(const WaitWord& word) noexcept { return {Kind::waiter, &word}; }
    static Holder caller() noexcept { return {Kind::caller, nullptr}; }

    bool borrows() const noexcept { return kind_ != Kind::submitter; }
    // Will it look for completions after this?
    bool reaps() const noexcept { return kind_ == Kind::poller || kind_ == Kind::waiter; }
    // If not, it hands over nobody else's requests, as a continuation may be.
    bool is_engine_thread() const noexcept {
        return kind_ == Kind::submitter || kind_ == Kind::poller;
    }
    bool is_caller() const noexcept { return kind_ == Kind::caller; }
    bool owns(const Request& request) const noexcept {
        return kind_ != Kind::waiter || word_->counts(request);
    }

  private:
    enum class Kind : std::uint8_t { submitter, poller, waiter, caller };
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
        if (const int refusal = driver_.refusal(request)) {
            finish(request, refusal);
            return;
        }
        switch (driver_.route(request)) {
        case Route::kernel:
            // Those behind it are not to overtake it.
            if (holder_.borrows() && (!role_.set_aside.empty() || keeps_holder_waiting(request) ||
                                      !holder_.owns(request)))
                role_.set_aside.push(request);
            else
                driver_.push(request, now_);
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

    // What borrowers left, as far as there are slots.
    bool take_set_aside() noexcept {
        bool moved = false;
        while (!role_.set_aside.empty() && driver_.room() != 0 &&
               driver_.slots().available() != 0) {
            driver_.push(role_.set_aside.pop(), now_);
            moved = true;
        }
        return moved;
    }

  private:
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
template <Driver D, class Refuse>
void cancel_everything(IoSharedContext& context, SubmitRole& role, D& driver, Refuse& refuse) {
    struct Canceller {
        void push(Request& request) noexcept {
            request.result = -ECANCELED;
            context.ready.push(request);
        }
        IoSharedContext& context;
    } canceller{context};
    if (poll_request_from_queues(context, SIZE_MAX, canceller) != 0)
        role.published = true;
    for (; !role.set_aside.empty(); role.published = true)
        canceller.push(role.set_aside.pop());
    while (auto* slot = driver.slots().next_continuation())
        refuse(*slot, -ECANCELED);
    while (auto* slot = driver.slots().next_put_off(UINT64_MAX))
        refuse(*slot, -ECANCELED);
    if (role.cancel_sent)
        return;
    role.cancel_sent = true;
    driver.abandon(refuse, -ECANCELED);
    for (std::uint32_t i = 0; i < driver.slots().depth(); ++i)
        // relaxed: a slot that completes meanwhile is not harmed by a late cancellation.
        if (driver.slots().at(i).state.load(std::memory_order_relaxed) == SlotState::in_kernel)
            driver.cancel(driver.slots().at(i));
}

// Slots that a short transfer or a passing error sends to the kernel again, before any new work.
// The first retries of a piece are immediate, later ones wait: 100 us, doubling, at most 50 ms.
// Each waits by itself: a request that hears EAGAIN for ever holds up nobody else.
template <Driver D>
bool push_continuations(IoSharedContext& context, D& driver) {
    auto& slots = driver.slots();
    bool moved = false;
    while (driver.room() != 0) {
        auto* slot = slots.next_continuation();
        if (slot == nullptr)
            break;
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
        driver.push_again(*slot);
        moved = true;
    }
    return moved;
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
    const auto left = static_cast<std::int64_t>(due - now);
    if (outcome.limit_ns == EventCount::kNoLimit || outcome.limit_ns > left)
        outcome.limit_ns = left;
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
template <Driver D>
SubmitOutcome submit_step(IoSharedContext& context, SubmitRole& role, D& driver,
                          Offload* offload = nullptr, Holder holder = Holder::submitter()) {
    auto& slots = driver.slots();
    SubmitOutcome outcome;
    // The slot is free again and the request finished: news for this step as well as for the
    // poller.
    auto refuse = [&](typename D::Slot& slot, std::int64_t error) noexcept {
        Request& request = *slot.request;
        slot.retries = kPieceRetriesMax;
        request.result = short_io(request, slot.transfer, slot.retries, error, true, [](int) {
                             return FileShape{};
                         }).result;
        slots.give_back(slot);
        context.ready.push(request);
        role.published = true;
        outcome.moved = true;
        outcome.gave_back = true;
    };

    // acquire: pairs with the closer's release. What is to be continued from now on, or comes from
    // a callback that had passed the gate, is refused by the next step: it must not reach the
    // kernel behind the cancellation, which is sent once.
    const bool cancelling = context.closing.cancelling.load(std::memory_order_acquire);
    if (cancelling)
        steps::cancel_everything(context, role, driver, refuse);
    else if (holder.is_engine_thread())
        outcome.moved |= steps::push_continuations(context, driver);
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
    if (poll_request_from_queues(context, may_take ? std::min(free_slots, driver.room()) : 0,
                                 filler) != 0) {
        outcome.moved = true;
        context.space.notify_urgent();
    }

    const auto hand_over = [&] {
        const Handed handed = driver.submit(refuse);
        if (handed.broken != 0)
            context.log.write(LogLevel::error,
                              "the backend takes no requests any more (%s); they fail with that "
                              "error",
                              std::strerror(handed.broken));
        if (handed.nudge_refused)
            context.nudge.not_sent();
        if (handed.leave_refused)
            role.leave_sent = false;
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
            driver.abandon(refuse, -handed.error);
        }
    };
    hand_over();
    if (steps::push_signals(context, role, driver))
        hand_over();

    if (context.nudge.owed() ||
        (!role.leave_sent && context.closing.draining.load(std::memory_order_relaxed)))
        outcome.limit_ns = backoff_ns(0);
    steps::wake_for_put_off(context, driver, outcome);
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

// -- poll ------------------------------------------------------------------------------------

// Between steps, private to the poll role.
struct PollRole {
    bool leave_seen = false;  // sticky: the signal may overtake older requests
    bool owes = false;        // slots wait to be submitted again: lend_step() sees to it
    ReapCap cap;
    std::array<Completion, kReapChunk> reaped{};
    std::array<Request*, kReapChunk> finished{};
};

// The poll role, with who holds it: the poller's thread, or for a while one inside wait().
struct alignas(64) PollSide {
    RoleLock lock;
    PollRole role;
};

// A batch of callbacks that takes longer holds up every completion behind it, and is counted.
constexpr std::uint64_t kSlowDeliveryNs = 10'000'000;

namespace steps {

// One completion: the engine's own, or a slot's. Returns the request if it is finished.
template <Driver D>
Request* settle(IoSharedContext& context, PollRole& role, D& driver, const Completion& completion,
                bool& continues) {
    auto& counters = context.poll_counters;
    switch (static_cast<Signal>(completion.token.slot())) {
    case Signal::nudge:
        context.nudge.reaped();
        return nullptr;
    case Signal::leave:
        role.leave_seen = true;
        return nullptr;
    case Signal::cancel:
        return nullptr;
    }
    auto* slot = driver.slots().reclaim(completion.token);
    if (slot == nullptr) {
        counters.stale_completions.add(1);
        context.log.write(LogLevel::error, "a completion of no living request was ignored");
        return nullptr;
    }
    Request& request = *slot->request;
    prefetch_to_write(&request);  // for its result, and for the callback that submits it again
    const Judgement verdict = short_io(request, slot->transfer, slot->retries, completion.result,
                                       context.closing.cancelling.load(std::memory_order_relaxed),
                                       [&](int fd) { return driver.shape_of(fd); });
    if (verdict.verdict != Verdict::done) {
        (verdict.verdict == Verdict::retry ? counters.completion_retries : counters.continuations)
            .add(1);
        driver.slots().carry_on(*slot);
        continues = true;
        return nullptr;
    }
    request.result = verdict.result;
    driver.slots().release(*slot);
    return &request;
}

inline void note_delivery_time(IoSharedContext& context, std::uint64_t began_ns) noexcept {
    const std::uint64_t took = context.coarse_ns() - began_ns;
    context.delivery_counters.longest_delivery_ns.raise_to(took);
    if (took > kSlowDeliveryNs)
        context.delivery_counters.slow_deliveries.add(1);
}

// What the kernel has finished, at most `max`: frees the slots and lists the finished requests in
// role.finished.
struct Reaped {
    std::uint32_t completions = 0;
    std::uint32_t finished = 0;
    bool continues = false;  // a slot is to be submitted again
};

template <Driver D>
Reaped reap(IoSharedContext& context, PollRole& role, D& driver, std::uint32_t max) {
    Reaped reaped;
    reaped.completions = driver.reap(role.reaped.data(), max);
    context.poll_counters.reaped.add(reaped.completions);
    for (std::uint32_t i = 0; i < reaped.completions; ++i)
        driver.slots().expect(role.reaped[i].token);
    for (std::uint32_t i = 0; i < reaped.completions; ++i) {
        Request* const request = settle(context, role, driver, role.reaped[i], reaped.continues);
        if (request != nullptr)
            role.finished[reaped.finished++] = request;
    }
    return reaped;
}

}  // namespace steps

// The poller: takes what the kernel has finished, frees its slots, and delivers it, together with
// what was finished without the kernel. True if there was anything.
// `before_delivery` runs between the two: a poller that lends submits there what waited for slots,
// for a callback may wait for somebody who waits for a slot.
template <Driver D, class BeforeDelivery = void (*)()>
bool poll_step(
    IoSharedContext& context, PollRole& role, D& driver, BeforeDelivery&& before_delivery = [] {}) {
    const bool lends = context.config.lends;
    const steps::Reaped reaped =
        steps::reap(context, role, driver, lends ? role.cap.limit() : kReapChunk);
    // The submitter goes on while the callbacks run; unless this thread does its work afterwards.
    if (lends)
        role.owes |= reaped.continues;
    else if (reaped.continues)
        context.wake_urgently();
    else if (reaped.finished != 0)
        context.wake_for_slots();

    if (reaped.completions != 0)
        before_delivery();

    Request* made = context.ready.take_all();
    if (reaped.finished == 0 && made == nullptr)
        return reaped.completions != 0;
    const std::uint64_t began = context.coarse_ns();
    std::uint64_t finished_here = 0;
    const auto deliver = [&](Request& request) noexcept {
        context.note(request);
        finished_here += context.deliver(request) ? 1 : 0;
    };
    for (std::uint32_t i = 0; i < reaped.finished; ++i)
        deliver(*role.finished[i]);
    while (made != nullptr) {
        Request& request = *made;
        made = made->next;
        deliver(request);
    }
    if (finished_here != 0)
        context.count_completed(finished_here);
    steps::note_delivery_time(context, began);
    return true;
}

// The poller's thread, whether or not it holds the poll role: what waiters have reaped for it. True
// if there was anything.
inline bool deliver_foreign(IoSharedContext& context) noexcept {
    Request* list = context.standby.foreign.take_all();
    if (list == nullptr)
        return false;
    const std::uint64_t began = context.coarse_ns();
    std::uint64_t finished_here = 0;
    while (list != nullptr) {
        Request& request = *list;
        list = list->next;
        finished_here += context.deliver(request) ? 1 : 0;
    }
    if (finished_here != 0)
        context.count_completed(finished_here);
    steps::note_delivery_time(context, began);
    return true;
}

struct WaitOutcome {
    bool found = false;             // there was anything
    std::uint64_t called_back = 0;  // callbacks that this thread ran
};

// A thread inside wait() that holds the poll role: finishes its own requests and those that nobody
// calls back, and, if it `helps`, all of them; leaves the others to the poller's thread. It hands
// over nothing: see submit_own().
template <Driver D>
WaitOutcome wait_step(IoSharedContext& context, PollRole& role, D& driver, const WaitWord& word,
                      bool helps) {
    const steps::Reaped reaped = steps::reap(context, role, driver, kReapChunk);
    context.poll_counters.reaped_by_waiters.add(reaped.completions);
    if (reaped.continues)
        context.wake_urgently();
    else if (reaped.finished != 0)
        context.wake_for_slots();
    WaitOutcome outcome;
    Request* made = context.ready.take_all();
    outcome.found = reaped.completions != 0 || made != nullptr;
    if (reaped.finished == 0 && made == nullptr)
        return outcome;

    RequestChain own;
    bool is_foreign = false;
    const auto sort = [&](Request& request) noexcept {
        context.note(request);
        const bool calls_back = context.config.sink == nullptr && (helps || word.counts(request));
        if (request.complete == nullptr || calls_back) {
            outcome.called_back += request.complete != nullptr ? 1 : 0;
            own.push(request);
            return;
        }
        context.standby.foreign.push(request);
        is_foreign = true;
    };
    for (std::uint32_t i = 0; i < reaped.finished; ++i)
        sort(*role.finished[i]);
    while (made != nullptr) {
        Request& request = *made;
        made = made->next;
        sort(request);
    }
    if (is_foreign)
        context.standby.call_poller();  // [model: wait-6]
    std::uint64_t finished_here = 0;
    for (; !own.empty(); ++finished_here)
        context.finish(own.pop());
    if (finished_here != 0)
        context.count_completed(finished_here);
    return outcome;
}

// After a borrower has handed over: does the submitter sleep without looking after the watchdog?
inline bool is_unwatched(const IoSharedContext& context) noexcept {
    if (context.config.watchdog_ms == 0)
        return false;
    std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with SplitRunner's watch()
    return context.unwatched.load(std::memory_order_relaxed);
}

// -- lending ---------------------------------------------------------------------------------

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
            urgent |= slots.has_continuation() || (outcome.handed != 0 && is_unwatched(context));
        }
        noted = side.lock.release();
    }
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

// The leaving rule. Holds for good once it holds: the gate is closed and nobody is inside.
template <Driver D>
bool may_leave(const IoSharedContext& context, const PollRole& role, D& driver) noexcept {
    // `completed` first: a callback that runs now is not in it, but what it submits may be in
    // `accepted`, whenever that is read.
    const std::uint64_t completed = context.completed();
    return role.leave_seen && completed == context.accepted() && driver.slots().all_free() &&
           !context.nudge.pending();  // [model: close-5]
}

// Does anybody have to hold the poll role? Not if nothing is on its way.
inline bool work_is_left(const IoSharedContext& context) noexcept {
    const std::uint64_t completed = context.completed();
    return completed != context.accepted() ||
           context.closing.draining.load(std::memory_order_seq_cst);
}

// Announces sleep and looks again: true if the poll role's holder may sleep in the kernel now. It
// calls context.nudge.awake() when it is back, or at once if it must not sleep.
template <Driver D>
bool may_sleep(IoSharedContext& context, const PollRole& role, D& driver) noexcept {
    context.nudge.fall_asleep();
    return context.ready.empty() && !may_leave(context, role, driver);  // [model: nudge-6]
}

}  // namespace v0
}  // namespace ioengine
