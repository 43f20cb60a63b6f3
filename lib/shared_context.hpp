// SPDX-License-Identifier: MIT
//
// IoSharedContext: where the user's side and the engine's side meet. It knows no backend, no thread
// and no callback type: queues, counters, the ways to wake each other, and the delivery of results.
//
// Two numbers decide when everything is over: `accepted`, counted before a request is enqueued, and
// `completed`, counted after its completion function has returned. They are equal exactly when
// nothing of the user's is left in the engine.
#pragma once

#include "lib/bell.hpp"
#include "lib/cancel_order.hpp"
#include "lib/closing.hpp"
#include "lib/deadlines.hpp"
#include "lib/engine_stats.hpp"
#include "lib/errands.hpp"
#include "lib/event_count.hpp"
#include "lib/gate.hpp"
#include "lib/lease_watch.hpp"
#include "lib/log.hpp"
#include "lib/nudge.hpp"
#include "lib/ready_list.hpp"
#include "lib/registered.hpp"
#include "lib/request_queue.hpp"
#include "lib/standby.hpp"
#include "lib/this_thread.hpp"

#include <ioengine/error.hpp>
#include <ioengine/options.hpp>
#include <ioengine/request.hpp>
#include <ioengine/stats.hpp>

#include <array>
#include <atomic>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

// What the hot path and the scheduler need of Options, checked and complete.
struct ContextConfig {
    std::uint32_t depth = 128;
    std::uint32_t queue_limit = 4096;
    std::uint32_t read_budget = 16;
    std::uint32_t write_budget = 16;
    std::uint32_t priority_burst = 0;
    std::uint32_t watchdog_ms = 0;
    // Neighbours are merged up to so many bytes; 0: never.
    std::uint32_t merge_limit = 0;
    bool histograms = false;
    // Places for registered buffers and files.
    std::uint32_t registered_buffers = 0;
    std::uint32_t registered_files = 0;
    // What callbacks on the poller submit, the poller hands over: Lending::callbacks.
    bool lends = false;
    // Whoever submits hands over, too: Lending::callers.
    bool callers_lend = false;
    // Such a poller takes few completions at a time from a slow device: lib/reap_cap.hpp.
    bool caps_reaping = true;
    // Who holds the poll role looks for completions for so long before it sleeps; 0: not at all.
    std::uint32_t spin_us = 0;
    // Takes deliveries in place of the poller; null: the poller runs them.
    void (*sink)(void* user, Delivery delivery) = nullptr;
    void* sink_user = nullptr;
    // The clock of the steps: the monotonic one, or a simulation's. Null: CLOCK_MONOTONIC.
    std::uint64_t (*clock_ns)(void* user) = nullptr;
    void* clock_user = nullptr;
    // How a driver's thread naps while the kernel is short of something. Null: nanosleep(2).
    void (*nap)(void* clock_user, std::int64_t nap_ns) = nullptr;
};

// Whose turn it is; see lib/scheduler.hpp. The submit role's own.
struct Turns {
    bool reads = true;
    std::uint32_t left = 0;          // of the budget of the turn
    std::uint32_t priority_run = 0;  // priority requests in a row
};

// Lets the calling thread borrow the submit role for a step. Set by whoever holds the roles, before
// anything is submitted.
struct CallersStep {
    void (*run)(void* user) = nullptr;
    void* user = nullptr;
};

class IoSharedContext {
  public:
    IoSharedContext(const ContextConfig& settings, Log& sink_of_messages)
        : config(settings), log(sink_of_messages), prio(settings.queue_limit, counts[0]),
          read(settings.queue_limit, counts[1]), write(settings.queue_limit, counts[2]),
          registered(settings.registered_buffers, settings.registered_files) {
        turns.left = settings.read_budget;
    }

    // -- any thread --------------------------------------------------------------------------

    // Accepts a well-formed request, or says why not. Never waits. A quiet push wakes nobody: the
    // caller hands over, or wakes the submitter, later.
    enum class Push : std::uint8_t { wakes, quiet };
    Acceptance push(Request& request, Channel channel, Push how = Push::wakes) noexcept;

    // Asks for requests to be given up that were accepted before.
    void cancel(std::unique_ptr<CancelOrder> order) noexcept;

    // With one thread for both roles: is it this one? What it submits takes a shorter way.
    // Only this thread can have stored its own address; or one whose address it has got, and which
    // has driven the context to its end. acquire: pairs with drive_from_here(), by that one.
    bool drives_here() const noexcept {
        return driver_.load(std::memory_order_acquire) == this_thread();
    }
    bool is_driven() const noexcept { return driver_.load(std::memory_order_relaxed) != nullptr; }

    std::uint64_t accepted() const noexcept {
        return prio.accepted() + read.accepted() + write.accepted();
    }
    std::uint64_t completed() const noexcept { return completed_.load(std::memory_order_seq_cst); }

    // Requests waiting in all channels.
    std::uint64_t backlog() const noexcept {
        return prio.waiting() + read.waiting() + write.waiting();
    }

    // Wakes the submitter for work of its own kind, slots, or anything.
    void wake_for_work() noexcept { count_wake(submitter.notify_work()); }
    void wake_for_slots() noexcept { count_wake(submitter.notify_slots()); }
    void wake_urgently() noexcept { count_wake(submitter.notify_urgent()); }

    // News for the poller from a thread without the submit role.
    void request_nudge() noexcept {
        nudge.request();
        wake_urgently();
    }

    // The end of a request: runs its callback, if it has one, and tells who waits for it. Touches
    // it no more after that. False: it was told its result early, and that was not its end.
    bool finish(Request& request) noexcept;

    // The end of a delivery that a sink took, on whatever thread.
    void finish_handed_out(Request& request) noexcept;
    // Deliveries that a sink took and that are not over.
    std::uint64_t handed_out() const noexcept {
        return handed_out_.load(std::memory_order_acquire);
    }

    // After a push that is not quiet, or several that were: sees to it that they are handed over.
    void tell_submitter(bool in_own_callback) noexcept;

    // Runs the callback of a request that was never accepted, on a thread that hands nothing over.
    void call_back_elsewhere(Request& request) noexcept {
        run_completion(request.complete, request, false);
    }

    // True on a thread that is running a callback of this context, and hands over what that submits
    // afterwards.
    bool in_callback() const noexcept;
    // True inside any callback of this context, also while that waits for another context, one of
    // whose callbacks is running.
    bool inside_callback() const noexcept;
    // The context whose callback this thread is running, or null.
    static IoSharedContext* of_running_callback() noexcept;

    std::uint64_t clock_ns() const noexcept;
    // Cheaper, some milliseconds old.
    std::uint64_t coarse_ns() const noexcept;

    void read_stats(Stats& stats) const noexcept;

    // -- the one thread for both roles -------------------------------------------------------

    // Before it drives for the first time; no other thread ever does.
    void own_queues() noexcept {
        for (RequestQueue* queue : {&prio, &read, &write})
            queue->becomes_own();
    }
    // release: pairs with drives_here().
    void drive_from_here() noexcept { driver_.store(this_thread(), std::memory_order_release); }
    // It ends, and its address may be another's.
    void drive_no_more() noexcept { driver_.store(nullptr, std::memory_order_relaxed); }

    // -- poll role ---------------------------------------------------------------------------

    // Notes a request's final result. Once, before it is delivered.
    void note(const Request& request) noexcept;

    // -- the poller's thread, or one that stands in for it -----------------------------------

    // Finishes a request (true); or tells it early, or hands it to the sink.
    bool deliver(Request& request) noexcept;
    // Counts `count` requests that were finished on this thread.
    void count_completed(std::uint64_t count) noexcept {
        // seq_cst: see finish_handed_out().
        completed_.fetch_add(count, std::memory_order_seq_cst);
    }

    // constant after construction
    const ContextConfig config;
    Log& log;
    CallersStep callers_step;

    // any thread
    // What every submission writes and every step of the submitter reads: one line, so that it is
    // moved between cores once.
    alignas(64) EventCount submitter;  // the submitter parks here
    std::array<RequestCount, 3> counts;
    alignas(64) Gate gate;
    RequestQueue prio;
    RequestQueue read;
    RequestQueue write;
    alignas(64) EventCount space;  // submit_wait() parks here
    alignas(64) ReadyList ready;   // finished without the kernel; any thread to poll role
    CancelOrders cancel_orders;    // any thread to submit role
    Deadlines deadlines;           // likewise
    Nudge nudge;
    Bell bell;        // with one thread for both roles
    Errands errands;  // likewise
    RegisteredTables registered;
    alignas(64) Standby standby;
    // With a watchdog: the submitter sleeps without a limit. Set by it before it looks whether
    // anything is on its way for the last time; whoever hands over in its place looks here
    // afterwards, and wakes it. Each side has a fence in between: one of them sees the other.
    std::atomic<bool> unwatched{false};
    // The driver sleeps until requests come to their end, whoever ends them:
    // OneThreadRunner::once() writes, finish_handed_out() reads.
    std::atomic<bool> driver_counts{false};
    alignas(64) Closing closing;
    SharedCounters shared_counters;
    LeaseWatch lease_watch{config.clock_ns == nullptr};

    // submit role
    alignas(64) Turns turns;
    SubmitCounters submit_counters;

    // poll role
    PollCounters poll_counters;
    LatencyHistogram latency;

    // poller's thread
    DeliveryCounters delivery_counters;

  private:
    RequestQueue& queue_of(Channel channel) noexcept;
    Acceptance push_own(Request& request, Channel channel) noexcept;
    void set_queue(Request& first, Channel channel) noexcept;
    void tell_of_deadline(std::uint64_t deadline_ns) noexcept;
    void count_wake(bool made_a_call) noexcept {
        if (made_a_call)
            shared_counters.submitter_wakes.add(1);
    }
    bool tell_result(Request& request) noexcept;
    void run_completion(CompletionFunction complete, Request& request, bool hands_over) noexcept;

    std::atomic<const void*> driver_{nullptr};
    alignas(64) std::atomic<std::uint64_t> completed_{0};
    // Sinks' deliveries: counted by the poll role, counted off as the last touch of the context by
    // whoever ran it (release); the closer waits for 0 (acquire) before it frees anything.
    std::atomic<std::uint64_t> handed_out_{0};
};

}  // namespace v0
}  // namespace ioengine
