// SPDX-License-Identifier: MIT
//
// WorkerPool: the threads behind IOWorkers. Contexts hand it deliveries through the same sink that
// users may give: to a context a pool is nothing special.
//
// The backlog is bounded: a poller that finds it full waits for a place. That cannot deadlock: a
// callback that submits never waits, and the calls that do wait are refused from callbacks.
#pragma once

#include "lib/event_count.hpp"
#include "lib/thread.hpp"

#include <ioengine/options.hpp>
#include <ioengine/workers.hpp>

#include <concurrentqueue.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace ioengine {
inline namespace v0 {
namespace abi {

// A worker that is preempted while it takes a delivery keeps that block's place in its producer's
// index; the index must not have to grow while the others go on. 32 KiB for each poller.
struct BacklogTraits : moodycamel::ConcurrentQueueDefaultTraits {
    static const size_t IMPLICIT_INITIAL_INDEX_SIZE = 2048;
};

struct WorkerPool {
    explicit WorkerPool(std::uint32_t backlog_limit)
        : backlog_max_(backlog_limit), backlog_(backlog_limit < 4096 ? backlog_limit : 4096) {}

    bool start(std::uint32_t threads, const ThreadSetup& setup) noexcept;
    void stop() noexcept;

    // Options::sink of a context with this pool.
    static void take(void* pool, Delivery delivery) noexcept;

    // True on a thread of this pool.
    bool on_worker_thread() const noexcept;

    void hold() noexcept { shares_.fetch_add(1, std::memory_order_relaxed); }
    // Ends and frees the pool with the last share.
    void release() noexcept;

  private:
    void run() noexcept;
    void count_off() noexcept;

    // constant after start()
    const std::uint32_t backlog_max_;
    std::unique_ptr<Thread[]> threads_;
    std::uint32_t thread_count_ = 0;

    // shared
    std::atomic<std::uint32_t> shares_{1};   // acq_rel when dropped: the last one sees all
    std::atomic<std::uint32_t> waiting_{0};  // deliveries in the backlog: bounds it; acq_rel
    std::atomic<bool> stopping_{false};      // set (release) by the last share, read (acquire)
    moodycamel::ConcurrentQueue<Delivery, BacklogTraits> backlog_;
    EventCount news_;   // workers park here
    EventCount space_;  // pollers park here
};

}  // namespace abi
}  // namespace v0
}  // namespace ioengine
