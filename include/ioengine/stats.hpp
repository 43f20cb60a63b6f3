// SPDX-License-Identifier: MIT
//
// What a context can be asked about itself: Stats, InFlight, ShutdownReport.
#ifndef IOENGINE_STATS_HPP
#define IOENGINE_STATS_HPP

#include <ioengine/error.hpp>
#include <ioengine/request.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {

// Percentiles of a log-linear histogram: each is the upper edge of its bucket, at most 1/16 too
// large. Nanoseconds. All 0 while nothing was recorded.
struct LatencySummary {
    std::uint64_t samples = 0;
    std::uint64_t p50_ns = 0;
    std::uint64_t p90_ns = 0;
    std::uint64_t p99_ns = 0;
    std::uint64_t p999_ns = 0;
    std::uint64_t p9999_ns = 0;
    std::uint64_t max_ns = 0;
};

// A snapshot. Each number is exact by itself; between numbers it is exact once nothing moves.
// None is ever negative or counts backwards, gauges aside.
struct Stats {
    std::uint32_t struct_size = sizeof(Stats);

    // -- gauges: now -------------------------------------------------------------------------
    std::uint32_t depth = 0;        // slots in all
    std::uint32_t free_slots = 0;   // slots without a request
    std::uint32_t running = 0;      // slots with one: in the kernel or on the way
    std::uint64_t queued_prio = 0;  // waiting in each channel
    std::uint64_t queued_read = 0;
    std::uint64_t queued_write = 0;
    std::uint64_t pending = 0;  // accepted and not yet completed, wherever they are

    // -- counters: since create --------------------------------------------------------------
    std::uint64_t accepted = 0;
    std::uint64_t completed = 0;      // completion function has returned
    std::uint64_t failed = 0;         // of these, with an error
    std::uint64_t refused_full = 0;   // queue_full
    std::uint64_t refused_other = 0;  // any other refusal
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_written = 0;
    std::uint64_t submit_calls = 0;    // calls that handed requests to the kernel, by a system call
                                       // unless its own thread is awake for that (SQPOLL)
    std::uint64_t submit_retries = 0;  // of these, answered EAGAIN, EBUSY or EINTR
    std::uint64_t requests_refused_by_kernel =
        0;                                // transfers, by the submit call itself: EBADF, ...
    std::uint64_t wait_calls = 0;         // system calls that waited for completions
    std::uint64_t reaped = 0;             // completions taken from the kernel
    std::uint64_t reaped_by_waiters = 0;  // of these, by threads inside wait()
    std::uint64_t polled = 0;             // of these, of a device that was asked for them (IOPOLL)
    std::uint64_t polled_refused = 0;  // transfers that could not be polled and went again without
    std::uint64_t merged = 0;          // requests that came along with the one before them
    std::uint64_t merges_broken = 0;   // merged transfers that went on request by request
    std::uint64_t continuations = 0;   // short transfers carried on
    std::uint64_t completion_retries = 0;  // completions with a passing error, submitted again
    std::uint64_t stale_completions = 0;   // completions of no living request, ignored
    std::uint64_t cq_overflows = 0;        // times the completion ring had spilled over; none lost
    std::uint64_t nudges = 0;              // zero-length reads (or NOPs) that woke the poller
    std::uint64_t submitter_wakes = 0;     // system calls that woke the submitter
    std::uint64_t offloaded = 0;           // operations the backend lacks, run on a helper thread
    std::uint64_t fixed_buffers = 0;  // transfers on a registered buffer; of several parts each
    std::uint64_t fixed_files = 0;    // operations on a registered file, likewise
    std::uint64_t fixed_unused = 0;   // registered buffers and files named, and not in force
    std::uint64_t callbacks_threw = 0;
    std::uint64_t slow_deliveries = 0;      // batches of callbacks that held the poller over 10 ms
    std::uint64_t longest_delivery_ns = 0;  // to a few milliseconds: a coarse clock
    std::uint64_t watchdog_reports = 0;

    std::uint64_t cancelled = 0;  // requests that ended with ECANCELED
    std::uint64_t timed_out = 0;  // with ETIMEDOUT: at their deadline, or by the device

    LatencySummary latency;  // submit to completion; only with Options::histograms
};

// A request the engine holds, or several that were merged, described without touching it.
struct InFlight {
    IOAction action = IOAction::none;
    Channel channel = Channel::automatic;
    std::int32_t fd = -1;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;  // as in the request; of merged ones the sum
    std::uint32_t merged = 1;  // requests that go as one
    std::uint64_t age_ns = 0;  // since it left its queue
    char stage[16] = {};       // "filled", "in_kernel", "completed", "continuing"
};

// What shutdown did. `clean` means: every accepted request has completed, the engine's threads have
// ended, the kernel context is gone.
struct ShutdownReport {
    static constexpr std::uint32_t kNamed = 16;

    std::uint32_t struct_size = sizeof(ShutdownReport);
    bool clean = false;
    ErrorCode code = ErrorCode::none;  // timed_out, would_deadlock, forked
    std::uint64_t accepted = 0;
    std::uint64_t completed = 0;
    std::uint64_t cancelled = 0;   // completed with ECANCELED because the deadline had passed
    std::uint64_t queued = 0;      // still waiting for a slot
    std::uint64_t delivering = 0;  // completed by the kernel, callback not returned yet
    std::uint64_t in_kernel = 0;   // still held by the kernel; their buffers must stay
    std::uint32_t named = 0;       // how many of these `held` describes, the oldest first
    InFlight held[kNamed];
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_STATS_HPP
