// SPDX-License-Identifier: MIT
//
// RequestQueue: one channel's waiting requests. Lock-free, bounded, any number of producers, one
// consumer: whoever holds the submit role.
//
// The queue itself is moodycamel::ConcurrentQueue, which is unbounded; the bound is a counter. A
// producer counts itself in only if there is room. (Counting first and backing out when that was
// one too many would let others see a full queue that is not, and, if they wait, miss their
// wake-up.)
//
// The consumer takes them out in bulk, because one at a time halves the rate, and looks at them one
// by one: front() and take(). What it has looked at and not taken still waits.
//
// A request may stand for several that were merged before they were queued. They need one free
// place and take as many as they are: the queue may exceed its limit by kMergeMax - 1.
//
// Whoever wants requests given up that wait here has the consumer take all of them out and look at
// each: remove_if(). What stays is kept in order in front of the queue.
//
// Where the submit role is one thread's for good, that thread's own requests pass a plain list in
// place of the queue: push_own(). The two take turns, so that neither holds up the other for long.
//
// Memory: 8 bytes per waiting request in blocks of 32, which are kept and used again; there are
// enough for twice the limit, or 8192, from the start: a block that is just being handed back must
// not cost an allocation. A thread's first request costs it a producer record of about 5 KiB.
#pragma once

#include "lib/prefetch.hpp"
#include "lib/request_chain.hpp"
#include "lib/stamp.hpp"

#include <ioengine/request.hpp>

#include <concurrentqueue.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace ioengine {
inline namespace v0 {

// Memory for queue blocks; tests make it fail. Changed only while nobody submits.
inline void* (*queue_block_source)(std::size_t size) = std::malloc;

struct QueueTraits : moodycamel::ConcurrentQueueDefaultTraits {
    // Blocks that a producer's index holds before it grows: a queue at the default limit allocates
    // nothing once a thread has submitted to it.
    static const size_t IMPLICIT_INITIAL_INDEX_SIZE = 256;
    static void* malloc(std::size_t size) { return queue_block_source(size); }
    static void free(void* block) { std::free(block); }
};

// How many requests a queue was given, on a line that producers write anyway: see IoSharedContext.
struct RequestCount {
    std::atomic<std::uint64_t> in{0};
    // Some earlier RequestQueue::counted_out_. relaxed: too low is harmless.
    std::atomic<std::uint64_t> known_out{0};
};

class RequestQueue {
  public:
    struct Pushed {
        enum Outcome : std::uint8_t { yes, full, no_memory };
        Outcome outcome = yes;
        std::uint32_t generation = 0;  // if it was: the request's number in this queue
        operator Outcome() const noexcept { return outcome; }
    };

    RequestQueue(std::uint32_t limit, RequestCount& count)
        : limit_(limit), count_(count), requests_(std::min(2 * std::size_t{limit}, kPreallocated)),
          consumer_(requests_) {}

    // Any thread. With those that follow it.
    Pushed push(Request& request) noexcept {
        const std::uint64_t count = std::uint64_t{request.followers} + 1;
        const Pushed counted = count_in(request, count);
        // [model: park-7] counted first, enqueued second: the submitter must not trust the counter.
        if (counted == Pushed::yes && !requests_.enqueue(&request)) {
            count_.in.fetch_sub(count, std::memory_order_acq_rel);
            request.result = 0;
            return {Pushed::no_memory};
        }
        return counted;
    }

    // The one thread that ever has the submit role, before its first push_own(): those that it has
    // pushed by now stay before those.
    void becomes_own() noexcept {
        while (fill_ahead() != 0)
            while (next_ != end_)
                kept_.push(*ahead_[next_++]);
    }
    // That thread.
    Pushed push_own(Request& request) noexcept {
        const std::uint64_t count = std::uint64_t{request.followers} + 1;
        const Pushed counted = count_in(request, count);
        if (counted == Pushed::yes) {
            own_.push(request);
            own_count_ += count;
        }
        return counted;
    }

    // Submit role. The next one, in the order each thread pushed them; null if there is none. May
    // be null though waiting() is positive, while a producer stands between counting and
    // enqueueing.
    Request* front() noexcept {
        if (next_ == end_ && !look())
            return nullptr;
        return ahead_[next_];
    }
    // Submit role. Takes the front, with those that follow it.
    void take() noexcept {
        const Request& request = *ahead_[next_++];
        count_out(std::uint64_t{request.followers} + 1);
    }

    // Submit role. Takes out those that `matches`, and gives each to `sink`. True if there was any.
    template <class Matches, class Sink>
    bool remove_if(Matches&& matches, Sink&& sink) noexcept {
        RequestChain all;
        while (next_ != end_)
            all.push(*ahead_[next_++]);
        all.append(std::exchange(kept_, {}));
        all.append(std::exchange(own_, {}));
        own_count_ = 0;
        while (fill_ahead() != 0)
            while (next_ != end_)
                all.push(*ahead_[next_++]);
        const std::uint64_t removed = all.remove_if(matches, sink);
        kept_ = all;
        count_out(removed);
        return removed != 0;
    }

    // Any thread. Never negative: what is out is read first.
    std::uint64_t waiting() const noexcept {
        const std::uint64_t out = counted_out_.load(std::memory_order_acquire);
        return count_.in.load(std::memory_order_acquire) - out;
    }
    std::uint64_t accepted() const noexcept { return count_.in.load(std::memory_order_acquire); }

  private:
    // Signed: `out` may have passed an `in` that is old by now; the exchange fails then.
    bool has_room(std::uint64_t in, std::uint64_t out) const noexcept {
        return static_cast<std::int64_t>(in - out) < static_cast<std::int64_t>(limit_);
    }

    Pushed count_in(Request& request, std::uint64_t count) noexcept {
        std::uint64_t in = count_.in.load(std::memory_order_relaxed);
        do {
            if (!has_room(in, count_.known_out.load(std::memory_order_relaxed))) {
                // Only now the submit role's line is looked at, which it writes all the time.
                const std::uint64_t out = counted_out_.load(std::memory_order_relaxed);
                count_.known_out.store(out, std::memory_order_relaxed);
                if (!has_room(in, out))
                    return {Pushed::full};
            }
            // acq_rel: a leaving poller that sees the count sees it before the completion's.
        } while (!count_.in.compare_exchange_weak(in, in + count, std::memory_order_acq_rel,
                                                  std::memory_order_relaxed));
        const auto generation = static_cast<std::uint32_t>(in + count);
        stamp_all(request, generation);
        return {Pushed::yes, generation};
    }

    bool look() noexcept {
        const std::uint64_t there = waiting();
        if (there == 0)
            return false;
        if (!kept_.empty()) {
            next_ = end_ = 0;
            take_along(kept_, kBulk);
        } else {
            // Half of the places at least for each, if it fills them.
            if (there == own_count_)
                next_ = end_ = 0;
            else
                fill_ahead(own_.empty() ? kBulk : kBulk / 2);
            own_count_ -= take_along(own_, kBulk);
        }
        for (std::size_t i = 0; i < end_; ++i)
            prefetch_to_read(ahead_[i]);
        return end_ != 0;
    }
    // Up to `end` places ahead. How many requests these are.
    std::uint64_t take_along(RequestChain& chain, std::size_t end) noexcept {
        std::uint64_t count = 0;
        for (; end_ < end && !chain.empty(); ++end_) {
            Request& request = chain.pop();
            count += std::uint64_t{request.followers} + 1;
            ahead_[end_] = &request;
        }
        return count;
    }
    std::size_t fill_ahead(std::size_t max = kBulk) noexcept {
        next_ = 0;
        return end_ = requests_.try_dequeue_bulk(consumer_, ahead_.data(), max);
    }
    void count_out(std::uint64_t count) noexcept {
        // release: pairs with waiting(); who sees these out sees them in.
        counted_out_.store(counted_out_.load(std::memory_order_relaxed) + count,
                           std::memory_order_release);
    }
    static void stamp_all(Request& first, std::uint32_t generation) noexcept {
        stamp::put(first, generation);
        Request* member = &first;
        for (unsigned left = first.followers; left != 0; --left) {
            member = member->merged;
            stamp::put(*member, generation);
        }
    }

    static constexpr std::size_t kPreallocated = 8192;
    static constexpr std::size_t kBulk = 32;

    const std::uint32_t limit_;
    RequestCount& count_;                                    // producers write
    alignas(64) std::atomic<std::uint64_t> counted_out_{0};  // submit role writes
    alignas(64) moodycamel::ConcurrentQueue<Request*, QueueTraits> requests_;

    // submit role's own
    moodycamel::ConsumerToken consumer_;
    std::array<Request*, kBulk> ahead_{};  // out of `requests_`, from next_ to end_ not taken
    RequestChain kept_;                    // likewise, behind those; before all others
    RequestChain own_;                     // by push_own()
    std::uint64_t own_count_ = 0;          // of `own_`, with those that follow
    std::size_t next_ = 0;
    std::size_t end_ = 0;
};

}  // namespace v0
}  // namespace ioengine
