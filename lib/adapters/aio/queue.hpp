// SPDX-License-Identifier: MIT
//
// Queue: what a program knows as an io_context_t: an engine's context, as many operations as the
// program asked for, and those of them that are done and not yet fetched.
//
//   io_submit()                              the engine's poller
//     free operations -> prepare() -> Group     Finish: result, line of the done, wake who waits
//   io_getevents()
//     line of the done -> io_event, free again
//
// An operation is the program's from io_submit() until io_getevents() has fetched its event, as in
// the kernel: so many may be in flight or waiting to be fetched, and no more.
//
// Why no wake-up is lost: a thread that waits counts itself among the sleepers and reads the epoch
// under the mutex of the line; whoever appends moves the epoch under it if anybody sleeps.
#pragma once

#include "lib/adapters/aio/operation.hpp"
#include "lib/adapters/aio/poll_thread.hpp"

#include <ioengine/ioengine.hpp>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <libaio.h>
#include <memory>
#include <mutex>

namespace ioengine_aio {

class Queue {
  public:
    // 0, or -errno as io_setup(2) has it.
    static int create(unsigned operations, std::unique_ptr<Queue>& made) noexcept;
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;
    // Waits until all that is in flight is done; nobody hears of it.
    ~Queue();

    // Each as the system call of that name. Any thread.
    int submit(long count, iocb** list) noexcept;
    int get_events(long least, long most, io_event* events, const timespec* limit,
                   const sigset_t* mask) noexcept;
    int cancel(iocb& control) noexcept;
    // Nobody waits in get_events() any more: it returns what it has, or -EINVAL.
    void close() noexcept;

    // It is done, on whatever thread.
    void finish(Operation& operation, std::int64_t result) noexcept;

  private:
    Queue(ioengine::IOContext<> engine, std::unique_ptr<Operation[]> operations,
          unsigned count) noexcept;

    // A sleeper with a signal mask: ppoll(2) alone can swap that and sleep in one.
    struct Listener {
        int bell = -1;  // an eventfd
        Listener* next = nullptr;
    };

    Operation* take_free() noexcept;
    void give_free(Operation* first, Operation* last) noexcept;
    int start(Operation& operation) noexcept;
    // Takes up to `most` that are done.
    long fetch(long most, io_event* events) noexcept;
    // Until so many are done, or something else calls for a look. 0, or -errno.
    int sleep(unsigned wanted, std::int64_t limit_ns, const sigset_t* mask) noexcept;
    // Under the mutex: the caller calls wake() afterwards.
    void call_sleepers() noexcept;
    void wake() noexcept;

    const std::unique_ptr<Operation[]> operations_;
    const unsigned capacity_;
    ioengine::IOContext<> engine_;
    PollThread poll_thread_;

    std::mutex submit_mutex_;  // a group is for one thread at a time
    ioengine::Group group_;

    alignas(64) std::mutex free_mutex_;
    Operation* free_ = nullptr;

    alignas(64) std::mutex done_mutex_;  // the rest
    Operation* first_done_ = nullptr;
    Operation* last_done_ = nullptr;
    unsigned done_ = 0;
    unsigned sleepers_ = 0;
    unsigned wanted_ = 0;  // by the least patient of the sleepers
    bool closed_ = false;
    Listener* listeners_ = nullptr;
    alignas(64) std::uint32_t epoch_ = 0;  // futex(2); moved under done_mutex_
};

}  // namespace ioengine_aio
