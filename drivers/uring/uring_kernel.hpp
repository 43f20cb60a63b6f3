// SPDX-License-Identifier: MIT
//
// LinuxUring: the calls through which the io_uring driver reaches the kernel. The seam lies at the
// level of liburing's own calls, because io_uring_submit(3) flushes the ring and enters the kernel
// in one. A fault layer or a simulation takes this class's place in tests.
//
// The submission side (sqe, submit, withdraw) belongs to the submit role, the completion side
// (peek, wait) to the poll role; liburing keeps them in separate fields, so the two need no lock.
#pragma once

#include "drivers/files.hpp"

#include <liburing.h>

#include <cstdint>
#include <memory>
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
        : ring_(std::move(other.ring_)), disabled_(other.disabled_),
          done_fd_(std::exchange(other.done_fd_, -1)) {}
    LinuxUring& operator=(LinuxUring&&) = delete;
    ~LinuxUring() { destroy(); }

    // Sets up this ring, and fills in the sizes that it got. 0 or -errno.
    int make_ring(UringRingSetup& ring) noexcept;
    // Will bind() be able to enable a ring of a single issuer? Containers deny what it takes.
    static bool can_enable() noexcept;
    // After -ENOMEM for this ring: true, a moment later, if this process has closed a ring lately,
    // whose memory may still count. False in the end, and if the limit is too low in any case.
    bool awaits_memory(const UringRingSetup& ring) noexcept;
    // By IORING_REGISTER_PROBE, Linux 5.6; none if that is denied.
    UringOpcodes opcodes() noexcept;

    // -- submit role -------------------------------------------------------------------------

    // The next free entry, zeroed by liburing's prep calls; null if the ring is full.
    io_uring_sqe* next_sqe() noexcept { return ::io_uring_get_sqe(&ring_->ring); }
    // io_uring_enter(2): how many were consumed, or -errno and none was. Then sleeps until there
    // are `completions`; only where one thread holds both roles.
    int submit(unsigned completions = 0) noexcept {
        return completions == 0 ? ::io_uring_submit(&ring_->ring)
                                : ::io_uring_submit_and_wait(&ring_->ring, completions);
    }
    // Entries that no submit() has consumed.
    unsigned unsubmitted() noexcept { return ::io_uring_sq_ready(&ring_->ring); }
    // Entries that next_sqe() will find.
    unsigned room() noexcept { return ::io_uring_sq_space_left(&ring_->ring); }
    // Takes the entries that were not consumed out of the ring, handing each user_data to `taken`.
    template <class F>
    void withdraw(F&& taken) noexcept {
        io_uring_sq& sq = ring_->ring.sq;
        const unsigned head = *sq.khead;  // moves only inside submit(), which is not running
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
    // At a fixed address: liburing's ring is pointed into by both roles.
    struct Ring {
        io_uring ring;
    };
    std::unique_ptr<Ring> ring_;
    bool disabled_ = false;  // until bind()
    int done_fd_ = -1;       // completion_fd()
    unsigned memory_awaited_ = 0;
};

}  // namespace v0
}  // namespace ioengine
