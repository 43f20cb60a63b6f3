// SPDX-License-Identifier: MIT
//
// LinuxAio: the calls through which the AIO driver reaches the kernel. Raw system calls; libaio
// gives the types. A fault layer or a simulation takes this class's place in tests.
#pragma once

#include "drivers/files.hpp"

#include <libaio.h>

#include <utility>

namespace ioengine {
inline namespace v0 {

class LinuxAio : public LinuxFiles {
  public:
    LinuxAio() noexcept = default;
    LinuxAio(LinuxAio&& other) noexcept
        : context_(std::exchange(other.context_, nullptr)), ring_reap_(other.ring_reap_) {}
    LinuxAio& operator=(LinuxAio&&) = delete;
    ~LinuxAio() { destroy(); }

    // io_setup(2), room for `events`; 0 or -errno. -EAGAIN: fs.aio-max-nr is used up.
    // `ring_reap`: take completions from the shared ring where its layout is the known one.
    int setup(unsigned events, bool ring_reap) noexcept;
    // io_submit(2): how many of `count` were taken, or -errno for the first of them.
    int submit(long count, iocb** list) noexcept;
    // io_getevents(2) for at least one event: how many, or -errno. -EINTR is not retried.
    int wait(long max, io_event* events, std::int64_t limit_ns) noexcept;
    // Up to `max` events that are there now: how many, or -errno.
    int peek(long max, io_event* events) noexcept;
    // What peek() would find; 0 where only io_getevents(2) could tell.
    unsigned completions_ready() const noexcept;
    // io_cancel(2): 0 or -errno. Most kernels refuse for most files.
    int cancel(iocb& control) noexcept;
    // io_destroy(2): waits for what is in flight.
    void destroy() noexcept;

    bool reaps_from_ring() const noexcept { return ring_reap_; }

  private:
    io_context_t context_ = nullptr;
    bool ring_reap_ = false;
};

}  // namespace v0
}  // namespace ioengine
