// SPDX-License-Identifier: MIT
//
// Bell: how a thread that holds both roles, and sleeps in the kernel for completions, hears of
// anything else: an eventfd that its own backend watches for it (Signal::wake). Whoever would wake
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
// It lives as long as the context: a worker may ring while the roles have been left already.
#pragma once

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace ioengine {
inline namespace v0 {

class Bell {
  public:
    Bell() noexcept = default;
    Bell(const Bell&) = delete;
    Bell& operator=(const Bell&) = delete;
    ~Bell() {
        for (const int fd : fds_)
            if (fd >= 0)
                ::close(fd);
    }

    // Before anybody rings. 0 or -errno.
    int open() noexcept { return ::pipe2(fds_, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0; }
    // What to watch. -1: there is none, and never will be.
    int fd() const noexcept { return fds_[0]; }

    // Any thread. A pipe that is full says enough.
    static void ring(int ringing_fd) noexcept {
        const char byte = 0;
        [[maybe_unused]] const ssize_t written = ::write(ringing_fd, &byte, 1);
    }
    int ringing_fd() const noexcept { return fds_[1]; }

    // -- the thread that holds both roles ------------------------------------------------------

    bool wants_arming() const noexcept { return fds_[0] >= 0 && !armed_; }
    // The backend watches it, or has refused to.
    void arm() noexcept { armed_ = true; }
    void disarm() noexcept { armed_ = false; }
    // It rang: the backend watches it no more.
    void heard() noexcept {
        char bytes[64];
        while (::read(fds_[0], bytes, sizeof bytes) == static_cast<ssize_t>(sizeof bytes)) {
        }
        armed_ = false;
    }

  private:
    int fds_[2] = {-1, -1};
    bool armed_ = false;
};

}  // namespace v0
}  // namespace ioengine
