// SPDX-License-Identifier: MIT
//
// IOWorkers: threads that run callbacks, so that a slow one does not hold up the poller. One pool
// may serve several contexts.
#ifndef IOENGINE_WORKERS_HPP
#define IOENGINE_WORKERS_HPP

#include <ioengine/error.hpp>
#include <ioengine/export.h>
#include <ioengine/options.hpp>

#include <cstdint>
#include <utility>

namespace ioengine {
inline namespace v0 {

namespace abi {
struct WorkerPool;
IOENGINE_API WorkerPool* workers_create(std::uint32_t threads, std::uint32_t backlog_limit,
                                        void (*on_thread_start)(void* user, ThreadRole role),
                                        void* thread_user, Error* error) noexcept;
IOENGINE_API void workers_release(WorkerPool* pool) noexcept;
}  // namespace abi

// A share in a pool. Contexts made with it hold shares of their own; the threads end, and are
// joined, when the last share is dropped, which must not be inside one of the pool's callbacks.
class IOWorkers {
  public:
    // threads: 1 to 256. backlog_limit: completions that may wait for a thread before pollers wait
    // in turn, 1 to 1048576; a callback that submits never waits for it. on_thread_start: called
    // first on every thread, as Options::on_thread_start.
    static Expected<IOWorkers> create(std::uint32_t threads, std::uint32_t backlog_limit = 65536,
                                      void (*on_thread_start)(void* user,
                                                              ThreadRole role) = nullptr,
                                      void* thread_user = nullptr) noexcept {
        Error error;
        abi::WorkerPool* pool =
            abi::workers_create(threads, backlog_limit, on_thread_start, thread_user, &error);
        if (pool == nullptr)
            return error;
        return IOWorkers(pool);
    }

    IOWorkers(IOWorkers&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)) {}
    IOWorkers& operator=(IOWorkers&& other) noexcept {
        std::swap(pool_, other.pool_);
        return *this;
    }
    IOWorkers(const IOWorkers&) = delete;
    IOWorkers& operator=(const IOWorkers&) = delete;
    ~IOWorkers() {
        if (pool_ != nullptr)
            abi::workers_release(pool_);
    }

    abi::WorkerPool* handle() const noexcept { return pool_; }

  private:
    explicit IOWorkers(abi::WorkerPool* pool) noexcept : pool_(pool) {}
    abi::WorkerPool* pool_ = nullptr;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_WORKERS_HPP
