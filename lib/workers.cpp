// SPDX-License-Identifier: MIT
//
// The worker threads' loop.
#include "lib/workers.hpp"

#include "lib/check.hpp"
#include "lib/settings.hpp"

#include <cerrno>
#include <new>

namespace ioengine {
inline namespace v0 {
namespace abi {

namespace {
// The pool whose callback this thread is running. Trivial, so that the library can be unloaded.
thread_local const WorkerPool* t_working_for = nullptr;
}  // namespace

bool WorkerPool::start(std::uint32_t threads, const ThreadSetup& setup) noexcept {
    threads_.reset(new (std::nothrow) Thread[threads]);
    if (threads_ == nullptr)
        return false;
    for (; thread_count_ < threads; ++thread_count_)
        if (!threads_[thread_count_].start([this] { run(); }, setup, ThreadRole::worker))
            return false;
    return true;
}

void WorkerPool::stop() noexcept {
    stopping_.store(true, std::memory_order_release);
    news_.notify_urgent();
    for (std::uint32_t i = 0; i < thread_count_; ++i)
        threads_[i].join();
}

void WorkerPool::take(void* user, Delivery delivery) noexcept {
    WorkerPool& pool = *static_cast<WorkerPool*>(user);
    // A place is counted only if there is one: counting first and backing out would show others a
    // full backlog that is not, and let them sleep through the wake-up.
    for (;;) {
        const std::uint32_t seen = pool.space_.prepare();
        std::uint32_t waiting = pool.waiting_.load(std::memory_order_acquire);
        if (waiting >= pool.backlog_max_)
            pool.space_.park(seen, EventCount::Wants::anything);
        else if (pool.waiting_.compare_exchange_weak(waiting, waiting + 1,
                                                     std::memory_order_acq_rel))
            break;
    }
    // Without memory for a block of the queue the poller does the work: late is better than never.
    if (!pool.backlog_.enqueue(delivery)) {
        pool.count_off();
        delivery.run();
        return;
    }
    pool.news_.notify_work();
}

// A poller sleeps only after it saw the backlog at its limit; the first decrement after that finds
// the limit and wakes it.
void WorkerPool::count_off() noexcept {
    if (waiting_.fetch_sub(1, std::memory_order_acq_rel) == backlog_max_)
        space_.notify_urgent();
}

void WorkerPool::run() noexcept {
    t_working_for = this;
    moodycamel::ConsumerToken consumer(backlog_);
    for (;;) {
        const std::uint32_t seen = news_.prepare();
        Delivery delivery;
        if (backlog_.try_dequeue(consumer, delivery)) {
            count_off();
            delivery.run();
            continue;
        }
        // acquire: pairs with stop(). Contexts hold shares, so nothing comes after the last one.
        if (stopping_.load(std::memory_order_acquire))
            return;
        news_.park(seen, EventCount::Wants::anything);
    }
}

bool WorkerPool::on_worker_thread() const noexcept {
    return t_working_for == this;
}

void WorkerPool::release() noexcept {
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) != 1)
        return;
    if (on_worker_thread())
        misused("the last share of an IOWorkers pool was dropped inside one of its callbacks");
    stop();
    delete this;
}

WorkerPool* workers_create(std::uint32_t threads, std::uint32_t backlog_limit,
                           void (*on_thread_start)(void* user, ThreadRole role), void* thread_user,
                           Error* error) noexcept {
    if (threads < 1 || threads > 256 || backlog_limit < 1 || backlog_limit > (1u << 20)) {
        fill_error(*error, ErrorCode::invalid_argument, 0,
                   "IOWorkers::create: threads or backlog_limit is out of range",
                   "use 1 to 256 threads and a backlog of 1 to 1048576");
        return nullptr;
    }
    WorkerPool* const pool = new (std::nothrow) WorkerPool(backlog_limit);
    if (pool == nullptr) {
        fill_error(*error, ErrorCode::no_memory, 0, "IOWorkers::create: out of memory", "");
        return nullptr;
    }
    ThreadSetup setup;
    setup.on_start = on_thread_start;
    setup.user = thread_user;
    if (!pool->start(threads, setup)) {
        fill_error(*error, ErrorCode::system, EAGAIN, "cannot start a worker thread",
                   "raise the limit on threads (ulimit -u, the container's pids.max) or ask for "
                   "fewer");
        pool->release();
        return nullptr;
    }
    return pool;
}

void workers_release(WorkerPool* pool) noexcept {
    pool->release();
}

}  // namespace abi
}  // namespace v0
}  // namespace ioengine
