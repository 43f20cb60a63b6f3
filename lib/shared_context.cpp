// SPDX-License-Identifier: MIT
//
// The user's side of the shared context: taking requests in, giving results out.
#include "lib/shared_context.hpp"

#include "lib/clock.hpp"
#include "lib/lease.hpp"
#include "lib/piece.hpp"
#include "lib/request_state.hpp"

#include <ioengine/engine.hpp>

#include <cerrno>

namespace ioengine {
inline namespace v0 {

namespace {
// Trivial, so that the library can be unloaded: no destructor is registered with any thread.
struct RunningCallback {
    IoSharedContext* context;
    const RunningCallback* outer;  // which waits for `context`
    bool hands_over;               // does this thread hand over afterwards what is submitted in it?
};
IOENGINE_NEAR_THREAD thread_local const RunningCallback* t_running = nullptr;
}  // namespace

namespace {

Acceptance answer(const RequestQueue::Pushed& pushed, const Request& request,
                  Channel channel) noexcept {
    switch (pushed.outcome) {
    case RequestQueue::Pushed::yes:
        return Acceptance(RequestHandle{&request, pushed.generation, channel});
    case RequestQueue::Pushed::full:
        return {ErrorCode::queue_full, "the channel's queue is at Options::queue_limit; try again "
                                       "after a completion, or use submit_wait()"};
    case RequestQueue::Pushed::no_memory:
        break;
    }
    return {ErrorCode::no_memory, "no memory for a block of the queue; try again later"};
}

Acceptance refuse_closed() noexcept {
    return {ErrorCode::shutting_down, "shutdown() has begun; the context takes no new work"};
}

}  // namespace

Acceptance IoSharedContext::push(Request& request, Channel channel, Push how) noexcept {
    if (channel == Channel::automatic)
        channel = is_read(request.action) ? Channel::read : Channel::write;
    if (drives_here())
        return push_own(request, channel);
    // A callback of this context needs not enter: what it belongs to is counted as completed after
    // it, so nobody leaves meanwhile.
    const bool in_own_callback = in_callback();
    if (in_own_callback ? gate.closed() : !gate.enter())  // [model: close-8]
        return refuse_closed();
    set_queue(request, channel);
    const std::uint64_t deadline_ns = request.deadline_ns;  // for it may be gone
    const RequestQueue::Pushed pushed = queue_of(channel).push(request);
    if (pushed == RequestQueue::Pushed::yes && how == Push::wakes)
        tell_submitter(in_own_callback);
    if (pushed == RequestQueue::Pushed::yes)
        tell_of_deadline(deadline_ns);
    if (pushed == RequestQueue::Pushed::full)
        wake_for_work();  // quiet ones may fill it, and their owner be in no hurry
    if (pushed == RequestQueue::Pushed::no_memory) {
        space.notify_urgent();  // the place that was counted is there again
        wake_urgently();        // a driver that waits for it sleeps elsewhere
    }
    // The last touch: the context may be closed and gone from here on.
    if (!in_own_callback)
        gate.leave();
    return answer(pushed, request, channel);
}

// On the thread that holds both roles. Whether everybody has left is for itself to say, so it needs
// not enter. And it is awake: it looks at the queues before it sleeps. Unless it has announced its
// sleep, and went back to a host who polls: then it rings its own bell.
Acceptance IoSharedContext::push_own(Request& request, Channel channel) noexcept {
    if (gate.closed())
        return refuse_closed();
    set_queue(request, channel);
    const std::uint64_t deadline_ns = request.deadline_ns;
    const RequestQueue::Pushed pushed = queue_of(channel).push_own(request);
    if (submitter.announced())
        wake_for_work();
    if (pushed == RequestQueue::Pushed::yes)
        tell_of_deadline(deadline_ns);
    return answer(pushed, request, channel);
}

void IoSharedContext::set_queue(Request& first, Channel channel) noexcept {
    first.queue = channel;
    if (config.histograms)
        first.submit_ns = clock_ns();
    Request* member = &first;
    for (unsigned left = first.followers; left != 0; --left) {
        member = member->merged;
        member->queue = channel;
        member->submit_ns = first.submit_ns;
    }
}

void IoSharedContext::tell_of_deadline(std::uint64_t deadline_ns) noexcept {
    if (deadline_ns != 0 && deadlines.note(deadline_ns))
        wake_urgently();
}

void IoSharedContext::tell_submitter(bool in_own_callback) noexcept {
    if (in_own_callback && config.lends && config.sink == nullptr)
        return;  // the thread that runs the callback hands over afterwards: lend_step(), Waiter
    if (config.callers_lend && !in_own_callback && callers_step.run != nullptr)
        callers_step.run(callers_step.user);
    else
        wake_for_work();
}

void IoSharedContext::cancel(std::unique_ptr<CancelOrder> order) noexcept {
    // The order may end the last request, and its callback lead to the end of the context: the
    // closer waits for who is inside. Not the gate: a context that closes takes orders.
    standby.enter();
    // acquire comes with accepted(): what this thread knows to be accepted is in it.
    order->accepted = {static_cast<std::uint32_t>(prio.accepted()),
                       static_cast<std::uint32_t>(read.accepted()),
                       static_cast<std::uint32_t>(write.accepted())};
    cancel_orders.give(std::move(order));
    wake_urgently();
    standby.exit();
}

RequestQueue& IoSharedContext::queue_of(Channel channel) noexcept {
    return channel == Channel::prio ? prio : channel == Channel::read ? read : write;
}

void IoSharedContext::run_completion(CompletionFunction complete, Request& request,
                                     bool hands_over) noexcept {
    const RunningCallback running{this, t_running, hands_over};
    t_running = &running;
    complete(&request);
    t_running = running.outer;
}

void IoSharedContext::note(const Request& request) noexcept {
    if (lease::is_wanted(request) && lease::is_told(request))
        return;  // and noted
    // What was told early is held until the kernel has given it back: see take_completion().
    if (request.buffer_index != 0 && !(lease::is_wanted(request) && lease::is_early(request)))
        registered.put_back(request);
    if (request.result < 0) {
        poll_counters.failed.add(1);
        if (request.result == -ECANCELED)
            poll_counters.cancelled.add(1);
        if (request.result == -ETIMEDOUT)
            poll_counters.timed_out.add(1);
    } else if (is_read(request.action)) {
        poll_counters.bytes_read.add(static_cast<std::uint64_t>(request.result));
    } else if (is_write(request.action)) {
        poll_counters.bytes_written.add(static_cast<std::uint64_t>(request.result));
    }
    if (config.histograms)
        latency.record(clock_ns() - request.submit_ns);
}

// With kFlagEarlyResult. True: the request's end has come.
bool IoSharedContext::tell_result(Request& request) noexcept {
    if (!lease::is_told(request)) {
        if (lease::is_early(request))
            lease_watch.begin(request);
        run_completion(request.complete, request, true);
        if (!lease::told(request))
            return false;
    }
    lease_watch.end(request);
    lease::end(request);
    return true;
}

bool IoSharedContext::finish(Request& request) noexcept {
    if (lease::is_wanted(request) && !tell_result(request))
        return false;
    // All that is needed of it, because its callback may free it or submit it again.
    const CompletionFunction complete = request.complete;
    std::uint32_t* const countdown =
        request_state::is_counted(request) ? request.countdown : nullptr;
    request_state::set_idle(request);
    if (complete != nullptr)
        run_completion(complete, request, true);
    // A waiter that holds the poll role may sleep there while another thread runs its callbacks.
    if (countdown != nullptr && WaitWord(*countdown).count_down())
        request_nudge();
    return true;
}

bool IoSharedContext::deliver(Request& request) noexcept {
    if (config.sink == nullptr || request.complete == nullptr)
        return finish(request);
    handed_out_.fetch_add(1, std::memory_order_relaxed);  // ordered by the sink's own hand-over
    config.sink(config.sink_user, Delivery(&request, this));
    return false;
}

void IoSharedContext::finish_handed_out(Request& request) noexcept {
    // seq_cst on both: the count comes before this look at `draining`, and the closer's store to
    // `draining` comes before the poller's look at the count. One of the two sees the other, so the
    // last completion of a closing context is either counted in time or announced.
    if (finish(request)) {
        completed_.fetch_add(1, std::memory_order_seq_cst);
        // seq_cst on both, here and in OneThreadRunner::once(): a driver says that it sleeps over
        // completions, and looks at the count after that. One of the two sees the other.
        if (driver_counts.load(std::memory_order_seq_cst))
            wake_urgently();
    }
    if (closing.draining.load(std::memory_order_seq_cst))
        request_nudge();                                  // [model: close-6]
    handed_out_.fetch_sub(1, std::memory_order_release);  // the last touch of the context
}

bool IoSharedContext::in_callback() const noexcept {
    return t_running != nullptr && t_running->context == this && t_running->hands_over;
}

bool IoSharedContext::inside_callback() const noexcept {
    for (const RunningCallback* frame = t_running; frame != nullptr; frame = frame->outer)
        if (frame->context == this)
            return true;
    return false;
}

IoSharedContext* IoSharedContext::of_running_callback() noexcept {
    return t_running != nullptr ? t_running->context : nullptr;
}

std::uint64_t IoSharedContext::clock_ns() const noexcept {
    return config.clock_ns != nullptr ? config.clock_ns(config.clock_user) : now_ns();
}

std::uint64_t IoSharedContext::coarse_ns() const noexcept {
    return config.clock_ns != nullptr ? config.clock_ns(config.clock_user) : coarse_now_ns();
}

void IoSharedContext::read_stats(Stats& stats) const noexcept {
    // `completed` before `accepted`, so that the difference is never negative.
    stats.completed = completed();
    stats.queued_prio = prio.waiting();
    stats.queued_read = read.waiting();
    stats.queued_write = write.waiting();
    stats.accepted = accepted();
    stats.pending = stats.accepted - stats.completed;
    stats.failed = poll_counters.failed.get();
    stats.refused_full = shared_counters.refused_full.get();
    stats.refused_other = shared_counters.refused_other.get();
    stats.bytes_read = poll_counters.bytes_read.get();
    stats.bytes_written = poll_counters.bytes_written.get();
    stats.submit_calls = submit_counters.submit_calls.get();
    stats.submit_retries = submit_counters.submit_retries.get();
    stats.requests_refused_by_kernel = submit_counters.requests_refused_by_kernel.get();
    stats.wait_calls = poll_counters.wait_calls.get();
    stats.reaped = poll_counters.reaped.get();
    stats.reaped_by_waiters = poll_counters.reaped_by_waiters.get();
    stats.polled = poll_counters.polled.get();
    stats.polled_refused = poll_counters.polled_refused.get();
    stats.merged = submit_counters.merged.get();
    stats.merges_broken = submit_counters.merges_broken.get() + poll_counters.merges_broken.get();
    stats.continuations = poll_counters.continuations.get();
    stats.completion_retries = poll_counters.completion_retries.get();
    stats.stale_completions = poll_counters.stale_completions.get();
    stats.cq_overflows = poll_counters.cq_overflows.get();
    stats.nudges = submit_counters.nudges.get();
    stats.submitter_wakes = shared_counters.submitter_wakes.get();
    stats.offloaded = submit_counters.offloaded.get();
    stats.fixed_buffers = submit_counters.fixed_buffers.get();
    stats.fixed_files = submit_counters.fixed_files.get();
    stats.fixed_unused = submit_counters.fixed_unused.get();
    stats.callbacks_threw = shared_counters.callbacks_threw.get();
    stats.slow_deliveries = delivery_counters.slow_deliveries.get();
    stats.longest_delivery_ns = delivery_counters.longest_delivery_ns.get();
    stats.watchdog_reports = submit_counters.watchdog_reports.get();
    stats.cancelled = poll_counters.cancelled.get();
    stats.timed_out = poll_counters.timed_out.get();
    if (config.histograms)
        stats.latency = latency.summary();
}

void Delivery::run() noexcept {
    static_cast<IoSharedContext*>(context_)->finish_handed_out(*request_);
}

namespace detail {

void callback_threw(const char* what) noexcept {
    IoSharedContext* const context = IoSharedContext::of_running_callback();
    if (context == nullptr)
        return;
    context->shared_counters.callbacks_threw.add(1);
    context->log.write(
        LogLevel::error,
        "a callback threw (%s); callbacks must be noexcept, the exception is dropped", what);
}

}  // namespace detail

}  // namespace v0
}  // namespace ioengine
