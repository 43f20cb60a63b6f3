// SPDX-License-Identifier: MIT
//
// The calls to liburing.
#include "drivers/uring/uring_kernel.hpp"

#include <cerrno>
#include <new>

// Debian 12's headers know it; older ones may not. Linux 5.18.
#ifndef IORING_SETUP_SUBMIT_ALL
#define IORING_SETUP_SUBMIT_ALL (1U << 7)
#endif

namespace ioengine {
inline namespace v0 {

int LinuxUring::setup(UringRingSetup& setup) noexcept {
    std::unique_ptr<Ring> made(new (std::nothrow) Ring());
    if (made == nullptr)
        return -ENOMEM;
    // Submissions come from two threads, one of which takes the completions, so the flags that tie
    // a ring to one thread (SINGLE_ISSUER, DEFER_TASKRUN) are out, and so is COOP_TASKRUN: with it
    // completions wait until the submitter, who may be asleep, next enters the kernel.
    for (;;) {
        io_uring_params params{};
        params.flags = IORING_SETUP_CLAMP;
        if (setup.submit_all)
            params.flags |= IORING_SETUP_SUBMIT_ALL;
        if (setup.sized_cq) {
            params.flags |= IORING_SETUP_CQSIZE;
            params.cq_entries = setup.cq_entries;
        }
        const int rc = ::io_uring_queue_init_params(setup.sq_entries, &made->ring, &params);
        if (rc == 0) {
            setup.sq_entries = params.sq_entries;
            setup.cq_entries = params.cq_entries;
            break;
        }
        if (rc == -EINVAL && setup.submit_all)
            setup.submit_all = false;
        else if (rc == -EINVAL && setup.sized_cq)
            setup.sized_cq = false;
        else
            return rc;
    }
    ring_ = std::move(made);
    return 0;
}

int LinuxUring::peek(unsigned max, UringEvent* events) noexcept {
    io_uring& ring = ring_->ring;
    constexpr unsigned kAtOnce = 64;
    io_uring_cqe* cqes[kAtOnce];
    // Enters the kernel by itself when completions have spilled over and the ring is empty.
    const unsigned count = ::io_uring_peek_batch_cqe(&ring, cqes, max < kAtOnce ? max : kAtOnce);
    for (unsigned i = 0; i < count; ++i) {
        events[i].user_data = cqes[i]->user_data;
        events[i].result = cqes[i]->res;
    }
    ::io_uring_cq_advance(&ring, count);
    return static_cast<int>(count);
}

int LinuxUring::wait(std::int64_t limit_ns) noexcept {
    io_uring_cqe* cqe = nullptr;
    if (limit_ns < 0)
        return ::io_uring_wait_cqe(&ring_->ring, &cqe);
    __kernel_timespec limit{limit_ns / 1'000'000'000, limit_ns % 1'000'000'000};
    const int rc = ::io_uring_wait_cqe_timeout(&ring_->ring, &cqe, &limit);
    return rc == -ETIME ? 0 : rc;  // a limit that was reached is no error
}

bool LinuxUring::overflowed() noexcept {
    return (IO_URING_READ_ONCE(*ring_->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
}

void LinuxUring::destroy() noexcept {
    if (ring_ != nullptr)
        ::io_uring_queue_exit(&ring_->ring);
    ring_.reset();
}

}  // namespace v0
}  // namespace ioengine
