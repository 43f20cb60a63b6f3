// SPDX-License-Identifier: MIT
//
// poll_step(), wait_step(): move requests from the kernel to their callbacks, and to those who wait
// for them. They never wait. Whoever runs them decides when to sleep, by what the steps,
// may_leave() and may_sleep() say: lib/poller.hpp, lib/waiter.hpp.
#pragma once

#include "lib/driver.hpp"
#include "lib/lease.hpp"
#include "lib/merging.hpp"
#include "lib/prefetch.hpp"
#include "lib/reap_cap.hpp"
#include "lib/request_chain.hpp"
#include "lib/role_lock.hpp"
#include "lib/shared_context.hpp"
#include "lib/wait_word.hpp"

#include <array>
#include <cstdint>
#include <utility>

namespace ioengine {
inline namespace v0 {

// Between steps, private to the poll role.
struct PollRole {
    bool leave_seen = false;  // sticky: the signal may overtake older requests
    bool owes = false;        // slots wait to be submitted again: lend_step() sees to it
    ReapCap cap;
    std::array<Completion, kReapChunk> reaped{};
    RequestChain finished;
};

// The poll role, with who holds it: the poller's thread, or for a while one inside wait().
struct alignas(64) PollSide {
    RoleLock lock;
    PollRole role;
};

// A batch of callbacks that takes longer holds up every completion behind it, and is counted.
constexpr std::uint64_t kSlowDeliveryNs = 10'000'000;

namespace steps {

// What became of a completion's slot.
enum class Took : std::uint8_t {
    none,       // it was the engine's own, or nobody's
    freed,      // its slot is free
    continues,  // its slot is to be submitted again
};

// One completion: the engine's own, or a slot's.
template <Driver D>
Took take_completion(IoSharedContext& context, PollRole& role, D& driver,
                     const Completion& completion) {
    auto& counters = context.poll_counters;
    switch (static_cast<Signal>(completion.token.slot())) {
    case Signal::nudge:
        context.nudge.reaped();
        return Took::none;
    case Signal::leave:
        role.leave_seen = true;
        return Took::none;
    case Signal::cancel:
        return Took::none;
    case Signal::wake:
        if (completion.result < 0)
            context.bell.failed();
        else
            context.bell.heard();
        return Took::none;
    }
    auto* slot = driver.slots().reclaim(completion.token);
    if (slot == nullptr) {
        counters.stale_completions.add(1);
        context.log.write(LogLevel::error, "a completion of no living request was ignored");
        return Took::none;
    }
    prefetch_to_write(slot->request);  // for its result, and the callback that submits it again
    if (slot->told) {
        if (slot->request->buffer_index != 0)
            context.registered.put_back(*slot->request);
        if (lease::back(*slot->request))
            role.finished.push(*slot->request);
        driver.slots().release(*slot);
        return Took::freed;
    }
    const Asked asked = slot->asked.load(std::memory_order_acquire);  // pairs with SlotPool::ask()
    const bool cancelling =
        asked != Asked::nothing || context.closing.cancelling.load(std::memory_order_relaxed);
    const auto shape_of = [&](int fd) { return driver.shape_of(fd); };
    const auto finish = [&](Request& request, std::int64_t result) {
        request.result = result;
        role.finished.push(request);
    };
    Verdict verdict = Verdict::done;
    const bool was_merged = slot->transfer.is_merged();
    if (slot->members == 1) {
        Judgement judgement = short_io(*slot->request, slot->transfer, slot->retries,
                                       completion.result, cancelling, shape_of);
        if (asked != Asked::nothing)
            judgement = give_up(judgement, asked);
        verdict = judgement.verdict;
        if (verdict == Verdict::done)
            finish(*slot->request, judgement.result);
    } else {
        verdict = settle_members(*slot, completion.result, cancelling, shape_of, finish);
    }
    if (verdict == Verdict::done) {
        driver.slots().release(*slot);
        return Took::freed;
    }
    if (verdict == Verdict::retry)
        counters.completion_retries.add(1);
    else if (was_merged)
        counters.merges_broken.add(1);
    else if (slot->transfer.bytes_done() != 0)  // and not the turn of the next member
        counters.continuations.add(1);
    driver.slots().carry_on(*slot);
    return Took::continues;
}

// Those whose deadline has passed while the kernel has them are told so, if they want to be. The
// submit role made sure that the kernel had taken the slot; whether it has it still is for this
// role to know, which alone takes completions.
template <Driver D>
void tell_late_ones(IoSharedContext& context, PollRole& role, D& driver) noexcept {
    while (auto* const slot = driver.slots().next_late()) {
        // acquire, both: pair with SlotPool::hand_over() and ask().
        if (slot->state.load(std::memory_order_acquire) != SlotState::in_kernel || slot->told ||
            slot->asked.load(std::memory_order_acquire) != Asked::late)
            continue;
        slot->told = true;
        context.poll_counters.told_early.add(1);
        Request& request = *slot->request;
        request.result = result_of(Asked::timed_out);
        lease::queue_result(request);
        role.finished.push(request);
    }
}

// Runs the callbacks. True if there was any.
inline bool deliver(IoSharedContext& context, RequestChain requests) noexcept {
    if (requests.empty())
        return false;
    const std::uint64_t began = context.coarse_ns();
    std::uint64_t finished_here = 0;
    while (!requests.empty())
        finished_here += context.deliver(requests.pop()) ? 1 : 0;
    if (finished_here != 0)
        context.count_completed(finished_here);
    const std::uint64_t took = context.coarse_ns() - began;
    context.delivery_counters.longest_delivery_ns.raise_to(took);
    if (took > kSlowDeliveryNs)
        context.delivery_counters.slow_deliveries.add(1);
    return true;
}

// What the kernel has finished, at most `max`: frees the slots and lists the finished requests in
// role.finished.
struct Reaped {
    std::uint32_t completions = 0;
    bool frees = false;      // a slot
    bool continues = false;  // a slot is to be submitted again
};

template <Driver D>
Reaped reap(IoSharedContext& context, PollRole& role, D& driver, std::uint32_t max) {
    Reaped reaped;
    reaped.completions = driver.reap(role.reaped.data(), max);
    context.poll_counters.reaped.add(reaped.completions);
    for (std::uint32_t i = 0; i < reaped.completions; ++i)
        driver.slots().expect(role.reaped[i].token);
    for (std::uint32_t i = 0; i < reaped.completions; ++i)
        switch (take_completion(context, role, driver, role.reaped[i])) {
        case Took::none:
            break;
        case Took::freed:
            reaped.frees = true;
            break;
        case Took::continues:
            reaped.continues = true;
            break;
        }
    if (driver.slots().has_late())
        tell_late_ones(context, role, driver);
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
        steps::reap(context, role, driver,
                    lends && context.config.caps_reaping ? role.cap.limit() : kReapChunk);
    // The submitter goes on while the callbacks run; unless this thread does its work afterwards.
    if (lends)
        role.owes |= reaped.continues;
    else if (reaped.continues)
        context.wake_urgently();
    else if (reaped.frees)
        context.wake_for_slots();

    if (reaped.completions != 0)
        before_delivery();

    RequestChain finished = std::exchange(role.finished, {});
    finished.append(context.ready.take_all());
    for (RequestChain rest = finished; !rest.empty();)
        context.note(rest.pop());
    context.registered.settle();
    return steps::deliver(context, finished) || reaped.completions != 0;
}

// The poller's thread, whether or not it holds the poll role: what waiters have reaped for it. True
// if there was anything.
inline bool deliver_foreign(IoSharedContext& context) noexcept {
    return steps::deliver(context, context.standby.foreign.take_all());
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
    else if (reaped.frees)
        context.wake_for_slots();
    WaitOutcome outcome;
    RequestChain finished = std::exchange(role.finished, {});
    finished.append(context.ready.take_all());
    outcome.found = reaped.completions != 0 || !finished.empty();

    RequestChain own;
    bool is_foreign = false;
    while (!finished.empty()) {
        Request& request = finished.pop();
        context.note(request);
        const bool calls_back = context.config.sink == nullptr && (helps || word.counts(request));
        if (request.complete == nullptr || calls_back) {
            outcome.called_back += request.complete != nullptr ? 1 : 0;
            own.push(request);
            continue;
        }
        context.standby.foreign.push(request);
        is_foreign = true;
    }
    context.registered.settle();
    if (is_foreign)
        context.standby.call_poller();  // [model: wait-6]
    std::uint64_t finished_here = 0;
    while (!own.empty())
        finished_here += context.finish(own.pop()) ? 1 : 0;
    if (finished_here != 0)
        context.count_completed(finished_here);
    return outcome;
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
    return context.ready.empty() && !driver.slots().has_late() &&
           !may_leave(context, role, driver);  // [model: nudge-6]
}

}  // namespace v0
}  // namespace ioengine
