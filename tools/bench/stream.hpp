// SPDX-License-Identifier: MIT
//
// Stream: what happens before and after each request, the same for every contender: take a step,
// get the buffer ready; then count, time and verify.
//
// A contender is only the way from begin() to finish(). That keeps the comparison fair and each
// contender short. A stream belongs to one thread at a time: the one that begins its requests is
// the one that finishes them.
#ifndef TOOLS_BENCH_STREAM_HPP
#define TOOLS_BENCH_STREAM_HPP

#include "tools/bench/clock.hpp"
#include "tools/bench/histogram.hpp"
#include "tools/bench/inbox.hpp"
#include "tools/bench/verifier.hpp"
#include "tools/bench/walk.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace bench {

class Stream;

// One request that is submitted again and again, always with the same buffer.
struct Lane {
    Lane* next = nullptr;  // in an Inbox
    Stream* stream = nullptr;
    std::byte* buffer = nullptr;
    std::uint64_t offset = 0;
    std::uint64_t block = 0;
    std::uint64_t begun_ns = 0;
    std::int64_t result = 0;  // of the kernel, on its way from one thread to another
    std::uint32_t index = 0;
    // Set with release by the thread that submits, read with acquire by the one that reaps, where
    // these are two threads of the bench's own: the way through the kernel orders nothing in C++.
    std::atomic<bool> submitted{false};
    bool write = false;
    bool timed = false;  // see Stream
};

// The first request that failed, for the message.
struct FirstError {
    std::int64_t result = 0;  // -errno, or the bytes of a short transfer
    std::uint64_t offset = 0;
    bool write = false;
};

// What one stream has seen. `completed` is read by the thread that prints the live line; the rest
// once the stream is at rest.
struct Tally {
    std::atomic<std::uint64_t> completed{0};  // relaxed: one writer, only shown
    Histogram latency;
    std::uint64_t errors = 0;
    std::uint64_t last_ns = 0;
    FirstError first_error;
};

// Reading the clock costs as much as a good part of what an engine does for a request. A loop that
// reaps reads it once for all that it finds; a callback, or a thread that is handed one request
// after the other, cannot. So with many in flight those time one request of sixteen: end_of().
class Stream {
  public:
    // `least_bytes`: a transfer of so many is not an error. `times_each` request, or one of
    // several.
    Stream(Walk walk, std::uint32_t block_bytes, std::uint32_t least_bytes, bool times_each,
           const std::atomic<bool>& stop, Verifier* verifier) noexcept
        : walk_(walk), block_bytes_(block_bytes), least_bytes_(least_bytes),
          timed_mask_(times_each ? 0 : kTimedOneOf - 1), stop_(stop), verifier_(verifier) {}

    // For who does not have the time already: when the request ended, or 0 if it is not timed.
    static std::uint64_t end_of(const Lane& lane) noexcept { return lane.timed ? now_ns() : 0; }

    // Makes the lane ready to be submitted. False: there is nothing left to do, retire it. `now`: 0
    // if nobody has read the clock.
    bool begin(Lane& lane, std::uint64_t now) noexcept {
        Step step;
        if (stop_.load(std::memory_order_relaxed) || !walk_.next(step))
            return false;
        lane.write = step.write;
        lane.block = step.block;
        if (verifier_ != nullptr) [[unlikely]]
            lane.block = verifier_->begin(step.block, step.write, lane.buffer);
        lane.offset = lane.block * block_bytes_;
        lane.timed = (begun_++ & timed_mask_) == 0;
        lane.begun_ns = now == 0 && lane.timed ? now_ns() : now;
        return true;
    }

    // Takes the result in: bytes, or -errno. False: a verified read found wrong data. `now`: 0 if
    // it is not to be timed.
    bool finish(Lane& lane, std::int64_t result, std::uint64_t now) noexcept {
        const bool whole = result == static_cast<std::int64_t>(block_bytes_);
        bool right = true;
        if (verifier_ != nullptr) [[unlikely]]
            right = verifier_->finish(lane.block, lane.write, whole, lane.buffer);
        if (result < static_cast<std::int64_t>(least_bytes_)) [[unlikely]]
            note_error(lane, result);
        // What is still under way when time is up is not counted, but is verified all the same.
        if (!stop_.load(std::memory_order_relaxed)) {
            tally_.completed.store(tally_.completed.load(std::memory_order_relaxed) + 1,
                                   std::memory_order_relaxed);
            if (now != 0) {
                tally_.latency.add(now - lane.begun_ns);
                tally_.last_ns = now;
            }
        }
        return right;
    }

    // How many of its lanes have not retired. A producer ends when there are none.
    void lane_joined() noexcept { open_lanes_.fetch_add(1, std::memory_order_relaxed); }
    void lane_retired() noexcept { open_lanes_.fetch_sub(1, std::memory_order_relaxed); }
    std::uint32_t open_lanes() const noexcept {
        return open_lanes_.load(std::memory_order_relaxed);
    }

    Tally& tally() noexcept { return tally_; }
    Inbox<Lane>& inbox() noexcept { return inbox_; }
    std::uint32_t block_bytes() const noexcept { return block_bytes_; }

  private:
    static constexpr std::uint32_t kTimedOneOf = 16;

    void note_error(const Lane& lane, std::int64_t result) noexcept {
        if (tally_.errors++ == 0)
            tally_.first_error = {result, lane.offset, lane.write};
    }

    Walk walk_;
    const std::uint32_t block_bytes_;
    const std::uint32_t least_bytes_;
    const std::uint32_t timed_mask_;
    std::uint32_t begun_ = 0;
    const std::atomic<bool>& stop_;
    Verifier* const verifier_;  // null: contents do not matter
    Tally tally_;
    std::atomic<std::uint32_t> open_lanes_{0};  // relaxed: a producer retires its lanes itself
    Inbox<Lane> inbox_;  // mode wake: lanes on their way back to the producer
};

}  // namespace bench

#endif  // TOOLS_BENCH_STREAM_HPP
