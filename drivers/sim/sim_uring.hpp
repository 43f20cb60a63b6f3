// SPDX-License-Identifier: MIT
//
// SimUring: the simulated kernel behind the calls of an io_uring. Takes the place of LinuxUring in
// UringDriver.
//
// The submission ring is an array of entries of its own; one that is handed out is full of rubbish,
// so that a field which the driver forgets to set shows. submit() consumes a prefix. Errors of a
// request are completions. Completions that do not fit the ring spill over and are fetched when the
// ring is found empty, as liburing and the kernel do (IORING_FEAT_NODROP).
//
// With SQPOLL submit() shows the entries to a thread of the kernel's, which takes them one by one,
// at moments that chance picks, and falls asleep when there are none: then it has to be called.
//
// With IOPOLL it takes nothing but transfers, and refuses with EOPNOTSUPP those of files that
// cannot be polled; what a device is done with stays there until somebody asks.
#pragma once

// Before liburing.h, whose linux/fs.h has a macro BLOCK_SIZE that the queue's header cannot stand.
#include "lib/shared_context.hpp"

#include "drivers/sim/world.hpp"
#include "lib/short_io.hpp"

#include <ioengine/request.hpp>

#include <liburing.h>

#include <concepts>
#include <cstdint>
#include <sys/eventfd.h>
#include <type_traits>
#include <utility>
#include <vector>

namespace ioengine {
inline namespace v0 {

// What peek() fills: the driver's copy of a completion.
template <class E>
concept RingEvent = requires(E& event) {
    requires std::unsigned_integral<decltype(event.user_data)>;
    requires std::signed_integral<decltype(event.result)>;
};

class SimUring {
  public:
    SimUring(SimWorld& world, const SimRingShape& shape)
        : world_(&world), shape_(shape), entries_(shape.sq_entries) {}

    // The tables of registered buffers and files. As the kernel does it: the place of a file that
    // is not open answers EBADF, and what came before it stays.
    int make_table(TableKind kind, std::uint32_t places, bool sparse);
    int update_table(TableKind kind, std::uint32_t first, const TableItem* items,
                     std::uint32_t count) noexcept;

    // -- submit role -------------------------------------------------------------------------

    io_uring_sqe* next_sqe() noexcept;
    // Sleeps, if asked for completions, once all is taken; where nobody can, a signal comes at
    // once.
    int submit(unsigned completions = 0) noexcept;
    unsigned unsubmitted() noexcept { return tail_ - (shape_.sqpoll ? shown_ : head_); }
    unsigned room() noexcept { return shape_.sq_entries - (tail_ - head_); }
    template <class F>
    requires std::is_invocable_v<F&, std::uint64_t>
    void withdraw(F&& taken) noexcept {
        const unsigned first = shape_.sqpoll ? published_ : head_;
        const unsigned end = std::exchange(tail_, first);
        for (unsigned at = first; at != end; ++at) {
            const std::uint64_t token = entry(at).user_data;
            if (world_->watcher.withdrawn != nullptr)
                world_->watcher.withdrawn(world_->watcher.user, token);
            taken(token);
        }
    }

    // -- poll role ---------------------------------------------------------------------------

    template <RingEvent Event>
    int peek(unsigned max, Event* events) noexcept {
        if (const int fd = world_->done_fd(); fd >= 0 && !shape_.iopoll) {
            eventfd_t said = 0;
            static_cast<void>(::eventfd_read(fd, &said));
        }
        world_->seam();
        if (world_->ready(shape_.iopoll) == 0)
            world_->flush_spilled(shape_.iopoll);
        unsigned count = 0;
        SimCompletion completion;
        while (count < max && world_->take(1, &completion, shape_.iopoll) == 1) {
            events[count].user_data = completion.token;
            events[count].result = static_cast<decltype(events->result)>(completion.result);
            ++count;
        }
        see_completions();
        return static_cast<int>(count);
    }
    // If nobody can sleep, the caller sees to it that this would not have to wait. If nothing is
    // there, a signal came, or the limit has passed.
    int wait(std::int64_t limit_ns) noexcept;
    bool limits_waits() const noexcept { return true; }
    unsigned completions_ready() noexcept {
        return shape_.deferred ? seen_ : static_cast<unsigned>(world_->ready(shape_.iopoll));
    }
    bool has_news() noexcept { return world_->has_completion(shape_.iopoll); }
    // With IOPOLL. Whoever asks the devices has no end of it, and loses the CPU now and then: so
    // time passes.
    int look() noexcept;
    bool overflowed() noexcept { return world_->spilled(shape_.iopoll) != 0; }

    int bind() noexcept {
        shape_.disabled = false;
        return 0;
    }
    void unbind() noexcept {}
    int completion_fd() noexcept { return world_->completion_fd(); }
    void remind() noexcept { static_cast<void>(::eventfd_write(world_->done_fd(), 1)); }

    void destroy() noexcept { world_->destroy(); }

    FileShape shape_of(int fd) const noexcept;
    int alignment_refusal(const Request& request) const noexcept;
    std::int64_t run_here(const Request& request) noexcept { return world_->run_here(request); }

  private:
    io_uring_sqe& entry(unsigned at) noexcept { return entries_[at & (shape_.sq_entries - 1)]; }
    int submit_prefix();
    int show();
    bool has_entries() const noexcept;
    void take_some();
    // False if the entry failed at once.
    bool start(const io_uring_sqe& sqe);
    void start_cancel(const io_uring_sqe& sqe);
    bool start_watch(const io_uring_sqe& sqe);
    // 0, or the -errno of what cannot be polled.
    int polling_answer(const SimOperation& operation);
    void see_completions() noexcept { seen_ = static_cast<unsigned>(world_->ready(shape_.iopoll)); }
    // The entry without its places in the tables; or -errno.
    int look_up(io_uring_sqe& sqe) const noexcept;

    SimWorld* world_;
    SimRingShape shape_;
    std::vector<io_uring_sqe> entries_;
    std::vector<TableItem> buffers_;
    std::vector<TableItem> files_;
    // Entries: before head_ the kernel has them; with SQPOLL, before published_ its thread may take
    // them, and before shown_ it was awake, or could be called.
    unsigned head_ = 0;
    unsigned shown_ = 0;
    unsigned published_ = 0;
    unsigned tail_ = 0;
    bool is_asleep_ = true;
    unsigned seen_ = 0;  // completions, by the last call
};

}  // namespace v0
}  // namespace ioengine
