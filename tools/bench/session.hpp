// SPDX-License-Identifier: MIT
//
// Session: one slice of one contender: its lanes, its streams, and the keeper of its time.
#ifndef TOOLS_BENCH_SESSION_HPP
#define TOOLS_BENCH_SESSION_HPP

#include "tools/bench/arena.hpp"
#include "tools/bench/clock.hpp"
#include "tools/bench/measurement.hpp"
#include "tools/bench/options.hpp"
#include "tools/bench/stream.hpp"

#include <atomic>
#include <concepts>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace bench {

class LiveLine;
class Target;

// What is to be done, the same for every contender and repetition.
struct Workload {
    const BenchOptions& options;
    const Target& target;
    const Arena& arena;
    Verifier* verifier = nullptr;  // null: contents do not matter
    std::uint64_t seed = 0;
};

class Session {
  public:
    // Deals --depth lanes out to `streams` streams, one for each thread that begins requests.
    Session(const Workload& workload, const Slice& slice, unsigned streams);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    std::vector<Lane>& lanes() noexcept { return lanes_; }
    Stream& stream(unsigned index) noexcept { return *streams_[index]; }
    unsigned stream_count() const noexcept { return static_cast<unsigned>(streams_.size()); }

    // Begins every lane of one stream before the first of them is submitted, since from then on the
    // stream belongs to the thread that finishes its requests. Lanes without work retire.
    template <std::invocable<Lane&> Submit>
    void begin_all(Stream& stream, Submit&& submit) {
        const std::uint64_t now = now_ns();
        std::vector<Lane*> ready;
        for (Lane& lane : lanes_) {
            if (lane.stream != &stream)
                continue;
            if (stream.begin(lane, now))
                ready.push_back(&lane);
            else
                retire(lane);
        }
        for (Lane* lane : ready)
            submit(*lane);
    }

    // A lane will not be submitted again. The last one ends the session.
    void retire(Lane& lane) noexcept {
        lane.stream->lane_retired();
        // acq_rel: whoever sees 0 has seen all that the other threads did.
        if (alive_.fetch_sub(1, std::memory_order_acq_rel) == 1)
            bell_.ring();
    }
    bool all_retired() const noexcept { return alive_.load(std::memory_order_acquire) == 0; }

    // Ends the time early: wrong data was found.
    void stop_early() noexcept {
        over_.store(true, std::memory_order_relaxed);
        bell_.ring();
    }
    // The same because a contender cannot go on; measure() then throws Failure with this text. The
    // lanes still have to retire.
    void abort(const std::string& message) noexcept;

    // Starts the clocks, calls `start`, which sets the lanes going, waits until the slice is over
    // and every lane has retired. Throws Failure after abort().
    template <std::invocable Start>
    Measurement measure(const Slice& slice, const std::string& name, LiveLine& live,
                        Start&& start) {
        start_clocks();
        start();
        return keep_time(slice, name, live);
    }

  private:
    // What the kernel has charged to this process so far.
    struct Usage {
        double cpu_us = 0;
        double context_switches = 0;
    };
    static Usage usage() noexcept;

    void start_clocks() noexcept;
    Measurement keep_time(const Slice& slice, const std::string& name, LiveLine& live);
    void wait_for_end(const Slice& slice, const std::string& name, LiveLine& live);
    std::uint64_t completed() const noexcept;
    void add_tallies(Measurement& sum) const;

    std::vector<Lane> lanes_;
    std::vector<std::unique_ptr<Stream>> streams_;
    std::uint64_t begun_ns_ = 0;
    Usage usage_before_;
    std::mutex mutex_;
    std::string failure_;  // under mutex_

    std::atomic<bool> stop_{false};  // relaxed: streams may see it a request late
    std::atomic<bool> over_{false};  // relaxed: the bell orders it
    alignas(64) std::atomic<std::uint32_t> alive_;
    Bell bell_;  // rung when the last lane has retired, and to end early
};

}  // namespace bench

#endif  // TOOLS_BENCH_SESSION_HPP
