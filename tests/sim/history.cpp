// SPDX-License-Identifier: MIT
//
// Events in words.
#include "tests/sim/history.hpp"

#include <cinttypes>
#include <cstdio>

namespace sim {

namespace {

// How an event reads with a, b and c, in this order; what it does not need comes last.
const char* wording(Event event) noexcept {
    switch (event) {
    case Event::accepted:
        return "user: request #%" PRIu64 " accepted (action %" PRId64 ", channel %" PRId64 ")";
    case Event::refused:
        return "user: request #%" PRIu64 " refused (code %" PRId64 ")";
    case Event::notice:
        return "user: notice of request #%" PRIu64 ": %" PRId64;
    case Event::told:
        return "user: request #%" PRIu64 " is told %" PRId64 ", its buffer is not back";
    case Event::ordered:
        return "user: cancels request #%" PRIu64 ", or (1: a descriptor's, 2: all) %" PRId64
               " (fd %" PRId64 ")";
    case Event::waits_for_space:
        return "user: request #%" PRIu64 " waits for a place in its queue";
    case Event::registered:
        return "user: registers %" PRIu64 " (0: buffers, 1: files: %" PRId64
               "), not in force for code %" PRId64;
    case Event::unregistered:
        return "user: unregisters %" PRIu64 " (0: buffers, 1: files: %" PRId64 ")";
    case Event::submit_step:
        return "submitter: step, moved %" PRIu64 ", wants %" PRId64 ", limit %" PRId64 " ns";
    case Event::submitter_parks:
        return "submitter: parks for %" PRIu64 " (0: work, 1: urgent only), limit %" PRId64 " ns";
    case Event::submitter_wakes:
        return "submitter: wakes (0: woken, 1: time, 2: for nothing): %" PRIu64;
    case Event::submitter_leaves:
        return "submitter: leaves";
    case Event::poll_step:
        return "poller: step, reaped %" PRIu64;
    case Event::poller_sleeps:
        return "poller: sleeps in the kernel";
    case Event::poller_wakes:
        return "poller: awake with %" PRIu64 " completions there, the wait answered %" PRId64;
    case Event::poller_naps:
        return "poller: naps for %" PRIu64 " ns after a failed wait";
    case Event::poller_stands_by:
        return "poller: stands by (0: news came before): %" PRIu64;
    case Event::poller_stands_up:
        return "poller: called";
    case Event::poller_leaves:
        return "poller: leaves";
    case Event::handed_to_sink:
        return "poller: request #%" PRIu64 " handed to the sink";
    case Event::driver_sleeps:
        return "driver: sleeps in the kernel (%" PRIu64 "), limit %" PRId64 " ns";
    case Event::driver_naps:
        return "driver: naps for %" PRIu64 " ns after a failed wait";
    case Event::driver_polls:
        return "driver: polls its descriptor, at most until %" PRIu64 " ns";
    case Event::driver_ran:
        return "driver: %" PRIu64 " completed by run (0: now, 1: once, 2: until) %" PRId64
               ", again in %" PRId64 " ns";
    case Event::driver_waited:
        return "driver: has waited (%" PRIu64 "), code %" PRId64 ", limit %" PRId64 " ns";
    case Event::driver_leaves:
        return "driver: leaves";
    case Event::wait_begins:
        return "waiter %" PRIu64 ": begins to wait";
    case Event::wait_step:
        return "waiter %" PRIu64 ": step, then (0: ends, 1: again, 2: parks, 3: sleeps): %" PRId64;
    case Event::wait_ends:
        return "waiter %" PRIu64 ": leaves, all done: %" PRId64;
    case Event::submit_call:
        return "kernel: submit call for %" PRIu64 " entries answers %" PRId64;
    case Event::wait_call:
        return "kernel: wait call for %" PRIu64 " answers %" PRId64;
    case Event::entered:
        return "kernel: request #%" PRIu64 " enters, offset %" PRId64 ", size %" PRId64;
    case Event::answered:
        return "kernel: request #%" PRIu64 " completes with %" PRId64;
    case Event::refused_by_kernel:
        return "kernel: request #%" PRIu64 " not taken by the submit call: %" PRId64;
    case Event::withdrawn:
        return "kernel: request #%" PRIu64 " withdrawn from the ring";
    case Event::ran_here:
        return "kernel: request #%" PRIu64 " done by a blocking call: %" PRId64;
    case Event::stale:
        return "kernel: a completion of token %" PRIx64 ", long finished, comes again";
    case Event::forked:
        return "the process forks; the child tries this and that, and ends";
    case Event::submitter_exits:
        return "a thread that has submitted exits, and takes %" PRIu64 " requests along";
    case Event::time_passes:
        return "time: nothing can run, on to the next event";
    case Event::gate_closes:
        return "shutdown: the gate closes";
    case Event::draining:
        return "shutdown: nobody is inside, draining";
    case Event::cancelling:
        return "shutdown: the deadline has passed, cancelling";
    case Event::calm:
        return "kernel: faults end here";
    case Event::over:
        return "over";
    }
    return "?";
}

}  // namespace

void History::begin(const ioengine::SimWorld& world, bool verbose) noexcept {
    world_ = &world;
    verbose_ = verbose;
    digest_ = 0xcbf29ce484222325ULL;
    count_ = 0;
}

void History::add(Event event, std::uint64_t a, std::int64_t b, std::int64_t c) noexcept {
    Entry& entry = entries_[count_++ % kKept];
    entry = {world_->now_ns(), a, b, c, event};
    const std::uint64_t words[] = {static_cast<std::uint64_t>(event), entry.now_ns, a,
                                   static_cast<std::uint64_t>(b), static_cast<std::uint64_t>(c)};
    for (const std::uint64_t word : words)
        digest_ = (digest_ ^ word) * 0x9e3779b97f4a7c15ULL + (digest_ >> 29);
    if (verbose_)
        print(count_, entry);
}

void History::print_last(std::size_t count) const noexcept {
    const std::uint64_t kept = count_ < kKept ? count_ : kKept;
    const std::uint64_t shown = count < kept ? count : kept;
    for (std::uint64_t i = count_ - shown; i < count_; ++i)
        print(i + 1, entries_[i % kKept]);
}

void History::print(std::uint64_t number, const Entry& entry) noexcept {
    std::printf("%8" PRIu64 "  %12.6f ms  ", number,
                static_cast<double>(entry.now_ns - 1'000'000'000) / 1e6);
    std::printf(wording(entry.event), entry.a, entry.b, entry.c);
    std::printf("\n");
}

}  // namespace sim
