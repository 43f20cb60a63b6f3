// SPDX-License-Identifier: MIT
//
// Deals lanes out to streams, keeps the time of a slice, adds the tallies up.
#include "tools/bench/session.hpp"

#include "tools/bench/clock.hpp"
#include "tools/bench/failure.hpp"
#include "tools/bench/live_line.hpp"
#include "tools/bench/target.hpp"

#include <algorithm>
#include <sys/resource.h>

namespace bench {

namespace {

std::string describe(const FirstError& error, std::uint32_t block_bytes) {
    const std::string what = error.write ? "a write" : "a read";
    const std::string where = " at offset " + std::to_string(error.offset);
    if (error.result < 0)
        return what + where + ": " + errno_text(static_cast<int>(-error.result));
    return what + where + " moved " + std::to_string(error.result) + " of " +
           std::to_string(block_bytes) + " bytes";
}

double to_us(const timeval& time) noexcept {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
}

}  // namespace

Session::Session(const Workload& workload, const Slice& slice, unsigned streams)
    : lanes_(workload.options.depth), alive_(workload.options.depth) {
    const std::uint64_t blocks = workload.target.blocks();
    // A read of /dev/zero ends early where a signal, or work for the task, is pending: mem.c of the
    // kernel looks after each page.
    const bool may_be_short = workload.target.kind() == TargetKind::character_device;
    const std::uint32_t least_bytes = may_be_short ? 1 : workload.options.block_bytes;
    // A load of so many requests ends with its last one, when it is done.
    const bool times_each = slice.requests != 0 || workload.options.depth / streams < 8;
    Random seeds(workload.seed);
    for (unsigned i = 0; i < streams; ++i) {
        const std::uint64_t share = slice.requests / streams + (i < slice.requests % streams);
        // Sequential streams start evenly spread, as separate files would.
        const Walk walk(workload.options.rw, blocks, blocks / streams * i, seeds.next(),
                        slice.requests == 0 ? Walk::kUnlimited : share);
        streams_.push_back(std::make_unique<Stream>(walk, workload.options.block_bytes, least_bytes,
                                                    times_each, stop_, workload.verifier));
    }
    for (std::uint32_t i = 0; i < workload.options.depth; ++i) {
        lanes_[i].index = i;
        lanes_[i].buffer = workload.arena.buffer(i);
        lanes_[i].stream = streams_[i % streams].get();
        lanes_[i].stream->lane_joined();
    }
}

void Session::abort(const std::string& message) noexcept {
    {
        const std::lock_guard lock(mutex_);
        if (failure_.empty())
            failure_ = message;
    }
    // Here, not when the bell is heard: lanes should retire from now on.
    stop_.store(true, std::memory_order_relaxed);
    stop_early();
}

Session::Usage Session::usage() noexcept {
    rusage now;
    getrusage(RUSAGE_SELF, &now);
    return {to_us(now.ru_utime) + to_us(now.ru_stime),
            static_cast<double>(now.ru_nvcsw) + static_cast<double>(now.ru_nivcsw)};
}

void Session::start_clocks() noexcept {
    usage_before_ = usage();
    begun_ns_ = now_ns();
}

Measurement Session::keep_time(const Slice& slice, const std::string& name, LiveLine& live) {
    wait_for_end(slice, name, live);
    const std::uint64_t stopped_ns = now_ns();
    stop_.store(true, std::memory_order_relaxed);
    const Usage usage_after = usage();
    while (!all_retired())
        bell_.wait();

    const std::lock_guard lock(mutex_);
    if (!failure_.empty())
        throw Failure(kExitWrong, failure_);

    Measurement sum;
    add_tallies(sum);
    std::uint64_t end_ns = stopped_ns;
    // A count of requests ends with the last of them, not when this thread woke up.
    if (slice.requests != 0) {
        end_ns = begun_ns_;
        for (const auto& stream : streams_)
            end_ns = std::max(end_ns, stream->tally().last_ns);
    }
    sum.seconds = static_cast<double>(end_ns - begun_ns_) / 1e9;
    sum.cpu_us = usage_after.cpu_us - usage_before_.cpu_us;
    sum.context_switches = usage_after.context_switches - usage_before_.context_switches;
    return sum;
}

// Sleeps to the end in one piece where nobody watches: waking up to look costs context switches.
void Session::wait_for_end(const Slice& slice, const std::string& name, LiveLine& live) {
    constexpr std::uint64_t kLongest = std::uint64_t{3600} * 1'000'000'000U;
    const auto limit_ns = static_cast<std::uint64_t>(slice.seconds * 1e9);
    const std::uint64_t pause_ns = live.shown() ? LiveLine::kPeriodNs : kLongest;
    while (!over_.load(std::memory_order_relaxed) && !all_retired()) {
        const std::uint64_t elapsed_ns = now_ns() - begun_ns_;
        if (slice.requests == 0 && elapsed_ns >= limit_ns)
            return;
        live.show(name, completed(), elapsed_ns, slice);
        const std::uint64_t left_ns = slice.requests == 0 ? limit_ns - elapsed_ns : kLongest;
        static_cast<void>(bell_.wait_for_ns(std::min(left_ns, pause_ns)));
    }
}

std::uint64_t Session::completed() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& stream : streams_)
        sum += stream->tally().completed.load(std::memory_order_relaxed);
    return sum;
}

void Session::add_tallies(Measurement& sum) const {
    for (const auto& stream : streams_) {
        const Tally& tally = stream->tally();
        sum.requests += tally.completed.load(std::memory_order_relaxed);
        sum.errors += tally.errors;
        sum.latency.merge(tally.latency);
        if (sum.first_error.empty() && tally.errors != 0)
            sum.first_error = describe(tally.first_error, stream->block_bytes());
    }
}

}  // namespace bench
