// SPDX-License-Identifier: MIT
//
// LinuxUring: the calls through which the io_uring driver reaches the kernel. The seam lies at the
// level of liburing's own calls, because io_uring_submit(3) flushes the ring and enters the kernel
// in one. A fault layer or a simulation takes this class's place in tests.
//
// With SQPOLL a thread of the kernel's takes the entries. submit() shows them to it, and wakes it
// if it says that it sleeps (IORING_SQ_NEED_WAKEUP; liburing has the full barrier between the two,
// io_uring(7)). What was shown counts as handed over, although it lies in the ring for a while; so
// the ring may be full after a submit() that handed over everything: room(). Nothing that was shown
// can be taken back as long as that thread lives.
//
// The submission side (sqe, submit, withdraw) belongs to the submit role, the completion side
// (peek, wait) to the poll role; liburing keeps them in separate fields, so the two need no lock.
#pragma once

#include "drivers/files.hpp"
#include "drivers/uring/uring_flags.hpp"
#include "lib/registered.hpp"

#include <liburing.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <unistd.h>
#include <utility>

namespace ioengine {
inline namespace v0 {

// One completion, copied out of the ring.
struct UringEvent {
    std::uint64_t user_data = 0;
    std::int32_t result = 0;
};

struct UringRingSetup {
    std::uint32_t sq_entries = 0;  // rounded up to a power of two by the kernel
    std::uint32_t cq_entries = 0;
    bool submit_all = true;  // asked for
    bool sized_cq = true;
    // One thread, not the one that sets it up, submits and takes the completions.
    bool one_thread = false;
    bool single_issuer = true;  // then: asked for, with what they bring
    bool defer_taskrun = true;
    bool coop_taskrun = true;
    bool ring_fd = true;
    bool ext_arg = true;  // false: as if the kernel had it not
    // A thread of the kernel's takes the submissions: needed, never given up.
    bool sqpoll = false;
    std::uint32_t sqpoll_idle_ms = 0;
    std::int32_t sqpoll_cpu = -1;  // any
    int attach_fd = -1;            // the ring whose kernel threads it shares; -1: none
    // For transfers that are polled, and nothing else: drivers/uring/polled_driver.hpp.
    bool iopoll = false;
};

// The optional opcodes that we use.
struct UringOpcodes {
    bool fallocate = false;
    bool sync_file_range = false;
    bool async_cancel = false;
};

class LinuxUring : public LinuxFiles {
  public:
    LinuxUring() noexcept = default;
    LinuxUring(LinuxUring&& other) noexcept
        : ring_(std::move(other.ring_)), sqpoll_(other.sqpoll_), wants_fd_(other.wants_fd_),
          disabled_(other.disabled_), done_fd_(std::exchange(other.done_fd_, -1)) {}
    LinuxUring& operator=(LinuxUring&&) = delete;
    ~LinuxUring() {
        destroy();
        // Whoever polls it may do so until the context is gone.
        if (done_fd_ >= 0)
            ::close(done_fd_);
    }

    // Sets up this ring, and fills in the sizes that it got. 0 or -errno.
    int make_ring(UringRingSetup& ring) noexcept;
    // Will bind() be able to enable a ring of a single issuer? Containers deny what it takes.
    static bool can_enable() noexcept;
    // After -ENOMEM for this ring: true, a moment later, if this process has closed a ring lately,
    // whose memory may still count. False in the end, and if the limit is too low in any case.
    bool awaits_memory(const UringRingSetup& ring) noexcept;
    // By IORING_REGISTER_PROBE, Linux 5.6; none if that is denied.
    UringOpcodes opcodes() noexcept;

    // A table of so many empty places. IORING_REGISTER_BUFFERS2 and FILES2 with sparse tables,
    // Linux 5.19; else (not `sparse`) a table of nothing: buffers 5.13, files 5.5. 0 or -errno.
    int make_table(TableKind kind, std::uint32_t places, bool sparse) noexcept;
    // How many places it has filled or cleared, from the first on, or -errno.
    // IORING_REGISTER_BUFFERS_UPDATE, Linux 5.13; FILES_UPDATE, 5.5.
    int update_table(TableKind kind, std::uint32_t first, const TableItem* items,
                     std::uint32_t count) noexcept;
    // -- any thread, while it is set up --------------------------------------------------------

    int fd() const noexcept { return ring_->ring.ring_fd; }
    // Can a thread register the ring's descriptor, which spares a look-up per call? Linux 5.18.
    // bind() does, if its thread has not got sixteen already (IO_RINGFD_REG_MAX).
    bool takes_ring_fd() const noexcept;
    // IORING_FEAT_NATIVE_WORKERS, Linux 5.12: workers belong to threads, and no ring shares them.
    bool has_native_workers() const noexcept;

    // -- submit role -------------------------------------------------------------------------

    // The next free entry, zeroed by liburing's prep calls; null if the ring is full.
    io_uring_sqe* next_sqe() noexcept { return ::io_uring_get_sqe(&ring_->ring); }
    // io_uring_enter(2): how many were consumed, or -errno and none was. Then sleeps until there
    // are `completions`; only where one thread holds both roles.
    int submit(unsigned completions = 0) noexcept {
        if (sqpoll_)
            return show(completions);
        return completions == 0 ? ::io_uring_submit(&ring_->ring)
                                : ::io_uring_submit_and_wait(&ring_->ring, completions);
    }
    // Entries that no submit() has consumed.
    unsigned unsubmitted() noexcept {
        return sqpoll_ ? ring_->ring.sq.sqe_tail - shown_ : ::io_uring_sq_ready(&ring_->ring);
    }
    // Entries that next_sqe() will find.
    unsigned room() noexcept { return ::io_uring_sq_space_left(&ring_->ring); }
    // Takes the entries that were not consumed out of the ring, handing each user_data to `taken`.
    template <class F>
    void withdraw(F&& taken) noexcept {
        io_uring_sq& sq = ring_->ring.sq;
        if (sqpoll_ && !thread_is_gone_) {
            for (unsigned at = sq.sqe_head; at != sq.sqe_tail; ++at)
                taken(sq.sqes[at & *sq.kring_mask].user_data);
            sq.sqe_tail = sq.sqe_head;
            return;
        }
        const unsigned head = *sq.khead;  // moves only inside submit(), which is not running
        shown_ = head;
        for (unsigned at = head; at != sq.sqe_tail; ++at)
            taken(sq.sqes[at & *sq.kring_mask].user_data);
        *sq.ktail = head;
        sq.sqe_head = sq.sqe_tail = head;
    }

    // -- poll role ---------------------------------------------------------------------------

    // Up to `max` completions that are there now. Fetches those that spilled over.
    int peek(unsigned max, UringEvent* events) noexcept;
    // What peek() would find in the ring.
    unsigned completions_ready() noexcept { return ::io_uring_cq_ready(&ring_->ring); }
    // Would peek() find something? Also what waits for the thread to enter the kernel, or has
    // spilled over; from memory alone.
    bool has_news() noexcept {
        constexpr unsigned kWaiting = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;
        return completions_ready() != 0 ||
               (IO_URING_READ_ONCE(*ring_->ring.sq.kflags) & kWaiting) != 0;
    }
    // With IOPOLL: asks the devices once, and does not wait. 0 or -errno. With SQPOLL as well the
    // kernel's thread asks them; then this does nothing.
    int look() noexcept { return sqpoll_ ? 0 : std::min(::io_uring_get_events(&ring_->ring), 0); }
    // Sleeps until there is a completion, or limit_ns have passed (negative: without limit); 0 or
    // -errno. -EINTR is not retried.
    int wait(std::int64_t limit_ns) noexcept;
    // IORING_FEAT_EXT_ARG, Linux 5.11. Without it liburing would submit a timeout, which belongs to
    // the other role.
    bool limits_waits() const noexcept { return (ring_->ring.features & IORING_FEAT_EXT_ARG) != 0; }
    // True if completions have spilled over from the ring into the kernel's memory since last
    // asked.
    bool overflowed() noexcept;

    // -- both roles, on one thread -----------------------------------------------------------

    // The first thing that this thread does with the ring, and the last. 0 or -errno.
    int bind() noexcept;
    void unbind() noexcept;
    // An eventfd that says when peek() has something to look for, from now on; or -errno. (poll(2)
    // of the ring itself misses completions that wait for the thread to ask: DEFER_TASKRUN.)
    int completion_fd() noexcept;
    void remind() noexcept;

    // -- after both roles have ended ---------------------------------------------------------

    void destroy() noexcept;

  private:
    int show(unsigned completions) noexcept;

    // At a fixed address: liburing's ring is pointed into by both roles.
    struct Ring {
        io_uring ring;
    };
    std::unique_ptr<Ring> ring_;
    bool sqpoll_ = false;
    bool wants_fd_ = true;         // bind() registers the ring
    bool thread_is_gone_ = false;  // SQPOLL: submit role; the kernel's thread has ended
    unsigned shown_ = 0;           // SQPOLL: submit role; the tail that submit() said went well
    bool disabled_ = false;        // until bind()
    int done_fd_ = -1;             // completion_fd()
    unsigned memory_awaited_ = 0;
};

}  // namespace v0
}  // namespace ioengine
