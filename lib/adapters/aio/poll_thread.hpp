// SPDX-License-Identifier: MIT
//
// PollThread: IO_CMD_POLL, which the engine does not know: one thread in poll(2) for all of them,
// started by the first.
#pragma once

#include "lib/adapters/aio/operation.hpp"

#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <vector>

namespace ioengine_aio {

class PollThread {
  public:
    explicit PollThread(Queue& queue) noexcept : queue_(queue) {}
    PollThread(const PollThread&) = delete;
    PollThread& operator=(const PollThread&) = delete;
    ~PollThread();

    // 0: it will end with the events that came, or with 0 if it is cancelled. Any thread.
    int add(Operation& operation) noexcept;
    // False if it is none of its.
    bool cancel(const iocb& control) noexcept;
    // Cancels all.
    void stop() noexcept;

  private:
    static void* enter(void* self) noexcept;
    int launch() noexcept;
    void run() noexcept;
    // Takes those out that are ready by `looked_at`, or cancelled.
    void finish_some(const std::vector<pollfd>& looked_at,
                     const std::vector<Operation*>& whose) noexcept;
    void ring() const noexcept;

    Queue& queue_;
    std::mutex mutex_;  // the rest
    std::vector<Operation*> waiting_;
    // Ended by the thread itself: its last look may name them still, and must not be taken for a
    // look at the next operation in the same place.
    std::vector<Operation*> cancelled_;
    // Room for the thread's next look at all that wait. It cannot say no when there is no memory,
    // so add() finds it.
    std::vector<pollfd> room_for_fds_;
    std::vector<Operation*> room_for_whose_;
    bool stopping_ = false;
    bool running_ = false;
    int bell_ = -1;  // an eventfd: look again
    pthread_t thread_{};
};

}  // namespace ioengine_aio
