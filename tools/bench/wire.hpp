// SPDX-License-Identifier: MIT
//
// Wire: the concept that the hand-written loops are written against: one kernel interface used
// directly, with nothing of the engine.
//
// A wire has two ends. One thread at a time queues and submits, one waits and reaps; they may be
// the same thread, and with Setup::one_thread they must be the one that made the wire.
#ifndef TOOLS_BENCH_WIRE_HPP
#define TOOLS_BENCH_WIRE_HPP

#include "tools/bench/session.hpp"
#include "tools/bench/stream.hpp"

#include <concepts>
#include <cstdint>
#include <string>

namespace bench {

enum class Setup : std::uint8_t {
    one_thread,   // everything that makes one thread fast
    two_threads,  // plain: a submitter and a poller
};

struct IgnoreCompletion {
    void operator()(Lane*, std::int64_t) const noexcept {}
};

template <class W>
concept Wire = requires(W& wire, Lane& lane, const Workload& workload) {
    W(workload, Setup::one_thread);
    // The submitting end. queue() always has room for every lane.
    wire.queue(lane);
    wire.queue_exit();  // completes like a lane, but is reaped as a null pointer
    wire.submit();
    // Both ends in one system call where the interface has one.
    wire.submit_and_wait();
    // The reaping end. wait() sleeps until something is ready; reap() passes (lane, result) on, for
    // at most so many.
    wire.wait();
    { wire.ready() } -> std::same_as<unsigned>;
    wire.reap(IgnoreCompletion{}, 1U);
    // What of the set-up is in force, in words.
    { wire.note() } -> std::convertible_to<std::string>;
};

}  // namespace bench

#endif  // TOOLS_BENCH_WIRE_HPP
