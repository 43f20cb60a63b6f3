// SPDX-License-Identifier: MIT
//
// Bell: how a thread that holds both roles, and sleeps in the kernel for completions, hears of
// anything else: a pipe that its own backend watches for it (Signal::wake). Whoever would wake
// a submitter by futex(2) writes to it instead, once for each time that the thread announced its
// sleep: EventCount::ring_by().
//
// Why no call is lost: the thread announces its sleep before it sleeps, and only while the bell is
// armed; who notifies it afterwards writes, which ends the sleep as a completion. A pipe keeps what
// was written before it is watched, so that arming late loses nothing either.
//
// Not an eventfd: the ring tells of completions by an eventfd of its own, and the kernel does not
// signal one eventfd while it wakes those who watch another, but puts that off, and Linux 6.18 does
// so only once (io_uring/eventfd.c, IO_EVENTFD_OP_SIGNAL_BIT).
//
// Linux 6.12.117 does the same with a pipe, if the ring has DEFER_TASKRUN: of requests to poll, the
// ring's eventfd tells once and never again, though the ring itself wakes whoever sleeps in it
// (tests/guests; neither 6.1 nor 6.18). So where a loop polls an eventfd for completions, whoever
// rings writes to that as well.
//
// The model is tests/models/one_thread.pml.
//
// It lives as long as the context: a worker may ring while the roles have been left already.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace ioengine {
inline namespace v0 {

class Bell {
  public:
    Bell() noexcept = default;
    Bell(const Bell&) = delete;
    Bell& operator=(const Bell&) = delete;
    ~Bell() {
        for (const int fd : {fds_[0], fds_[1], eventfd_.load(std::memory_order_relaxed)})
            if (fd >= 0)
                ::close(fd);
    }

    // Before anybody rings. 0 or -errno.
    int open() noexcept { return ::pipe2(fds_, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0; }
    // What to watch. -1: there is none, and never will be.
    int fd() const noexcept { return fds_[0]; }

    // This eventfd hears of each ring as well, from now on: a copy of it, because the backend
    // closes its own before the last worker may ring. 0 or -errno.
    int also_tell(int eventfd) noexcept {
        if (eventfd == fd() || eventfd_.load(std::memory_order_relaxed) >= 0)
            return 0;
        const int copy = ::fcntl(eventfd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
            return -errno;
        eventfd_.store(copy, std::memory_order_relaxed);
        return 0;
    }

    // Any thread. A pipe that is full says enough, and so does an eventfd.
    void ring() const noexcept {
        const char byte = 0;
        [[maybe_unused]] ssize_t written = ::write(fds_[1], &byte, 1);
        const int eventfd = eventfd_.load(std::memory_order_relaxed);
        const std::uint64_t one = 1;
        if (eventfd >= 0)
            written = ::write(eventfd, &one, sizeof one);
    }

    // -- the thread that holds both roles ------------------------------------------------------

    bool wants_arming() const noexcept { return fds_[0] >= 0 && !armed_; }
    // The backend watches it, or has refused to.
    void arm() noexcept { armed_ = true; }
    void disarm() noexcept { armed_ = false; }
    // The kernel would not go on watching it: to be armed again, but not in this very step, or a
    // kernel that never watches it would keep the thread busy.
    void failed() noexcept {
        armed_ = false;
        rests_ = true;
    }
    bool may_be_armed() noexcept { return wants_arming() && !std::exchange(rests_, false); }
    // It rang: the backend watches it no more.
    void heard() noexcept {
        char bytes[64];
        // [model: one-8] or it would ring at once again, and the thread never sleep
        while (::read(fds_[0], bytes, sizeof bytes) == static_cast<ssize_t>(sizeof bytes)) {
        }
        armed_ = false;  // [model: one-9]
    }

  private:
    int fds_[2] = {-1, -1};
    // relaxed: it is asked for before the first run, and whoever rings has seen an announcement,
    // which comes after that.
    std::atomic<int> eventfd_{-1};
    bool armed_ = false;
    bool rests_ = false;  // for one step
};

}  // namespace v0
}  // namespace ioengine
