// SPDX-License-Identifier: MIT
//
// UringDriver: io_uring. Requests are built straight into the submission ring; io_uring_enter(2)
// consumes a prefix of it.
//
// Errors of a request come back as its completion. An error of the call itself is the machinery's:
// a shortage (EAGAIN, EBUSY) keeps the entries in the ring for later; anything else means that this
// ring takes no more, so the entries are withdrawn and their requests refused with that errno.
// Without SUBMIT_ALL (before Linux 5.18) the call stops behind an entry that fails at once, so it
// is repeated until nothing is left.
//
// Where a thread of the kernel's takes the entries (SQPOLL), what that thread was shown counts as
// consumed. Then the ring may be full for a moment with nothing left to hand over; a slot that has
// come free proves that its entry was taken, so this needs a ring that is smaller than the depth.
//
// The submission ring has room for every slot, a nudge and the exit signal, unless memory was short
// or the depth is at the kernel's limit of 32768 entries; then room() makes the submit role hand
// over in parts. The completion ring is twice that, so it does not overflow in the regular case. An
// overflow is counted and recovered all the same: the kernel keeps what did not fit
// (IORING_FEAT_NODROP, Linux 5.5) and peek() fetches it.
#pragma once

#include "drivers/files.hpp"
#include "drivers/request_flags.hpp"
#include "drivers/uring/uring_kernel.hpp"
#include "lib/driver.hpp"

#include <ioengine/request.hpp>

#include <array>
#include <cerrno>
#include <cstdint>
#include <poll.h>
#include <utility>

namespace ioengine {
inline namespace v0 {

struct UringSlot : Slot {};

struct UringSetup {
    std::uint32_t depth = 128;
    std::uint32_t merge_limit = 0;  // bytes in one slot; 0: one request each
    SignalFile signal_file;
    int bell_fd = -1;             // where one thread holds both roles: lib/bell.hpp
    bool check_alignment = true;  // of direct transfers, before the kernel sees them
    bool has_fallocate = true;    // opcodes that the probe found
    bool has_sync_file_range = true;
    bool has_async_cancel = true;
    const RegisteredTables* registered = nullptr;  // what is registered, and whether it is in force
    std::uint32_t buffer_places = 0;               // of the kernel's tables; 0: there is none
    std::uint32_t file_places = 0;
    bool sqpoll = false;  // a thread of the kernel's submits
    SubmitCounters* submit_counters = nullptr;
    PollCounters* poll_counters = nullptr;
};

template <class K>
concept UringKernel = requires(K& kernel, UringEvent* events, Request& r, const TableItem* items) {
    { kernel.next_sqe() }
    noexcept->std::same_as<io_uring_sqe*>;
    { kernel.submit(0u) }
    noexcept->std::same_as<int>;
    { kernel.unsubmitted() }
    noexcept->std::same_as<unsigned>;
    { kernel.room() }
    noexcept->std::same_as<unsigned>;
    kernel.withdraw([](std::uint64_t) {});
    { kernel.peek(1u, events) }
    noexcept->std::same_as<int>;
    { kernel.completions_ready() }
    noexcept->std::same_as<unsigned>;
    { kernel.wait(std::int64_t{}) }
    noexcept->std::same_as<int>;
    { kernel.limits_waits() }
    noexcept->std::same_as<bool>;
    { kernel.overflowed() }
    noexcept->std::same_as<bool>;
    { kernel.bind() }
    noexcept->std::same_as<int>;
    kernel.unbind();
    { kernel.completion_fd() }
    noexcept->std::same_as<int>;
    kernel.remind();
    { kernel.update_table(TableKind::files, 0u, items, 1u) }
    noexcept->std::same_as<int>;
    { kernel.destroy() }
    noexcept;
    { kernel.shape_of(0) }
    noexcept->std::same_as<FileShape>;
    { kernel.alignment_refusal(r) }
    noexcept->std::same_as<int>;
    { kernel.run_here(r) }
    noexcept->std::same_as<std::int64_t>;
};

template <UringKernel Kernel>
class UringDriver {
  public:
    using Slot = UringSlot;

    // `kernel` has been set up with sq_entries_for(depth).
    UringDriver(Kernel kernel, UringSetup setup)
        : kernel_(std::move(kernel)), setup_(std::move(setup)),
          slots_(setup_.depth, setup_.merge_limit) {}

    static constexpr std::uint32_t kRingMax = 32768;  // IORING_MAX_ENTRIES
    static constexpr std::uint32_t sq_entries_for(std::uint32_t depth) noexcept {
        return depth + kSignals < kRingMax ? depth + kSignals : kRingMax;
    }
    static constexpr std::uint32_t cq_entries_for(std::uint32_t depth) noexcept {
        return 2 * sq_entries_for(depth);
    }

    SlotPool<UringSlot>& slots() noexcept { return slots_; }
    Kernel& kernel() noexcept { return kernel_; }

    // -- submit role -------------------------------------------------------------------------

    bool may_block(const Request&) const noexcept { return false; }  // io_uring waits on its own
    bool may_wait(const Request&) const noexcept { return false; }
    Route route(const Request& request) const noexcept {
        if (request.action == IOAction::fallocate && !setup_.has_fallocate)
            return Route::offload;
        if (request.action == IOAction::sync_file_range && !setup_.has_sync_file_range)
            return Route::offload;
        // The entry has 32 bits for the length; the system call has 64.
        if (request.action == IOAction::sync_file_range && request.length > UINT32_MAX)
            return Route::offload;
        return Route::kernel;
    }
    int refusal(const Request& request) const noexcept {
        return setup_.check_alignment ? kernel_.alignment_refusal(request) : 0;
    }
    std::int64_t run_here(const Request& request) noexcept { return kernel_.run_here(request); }

    std::size_t room() noexcept { return kernel_.room(); }
    void push(Request& request, std::uint64_t now) noexcept {
        last_ = &add(kernel_, slots_.take(request, now));
    }
    void append(Request& request) noexcept {
        UringSlot& slot = slots_.append(request);
        fill(*last_, slot);
        slots_.hand_over(slot);
    }
    void push_again(UringSlot& slot) noexcept { add(kernel_, slot); }

    template <RefuseFunction<UringSlot> Refuse>
    Handed submit(Refuse& refuse) noexcept {
        slots_.seal();
        Handed handed;
        hand_over(kernel_, std::exchange(sleeps_, false) ? 1 : 0, handed);
        if (handed.broken != 0)
            withdraw_all(refuse, -handed.broken, handed);
        return handed;
    }

    template <RefuseFunction<UringSlot> Refuse>
    bool abandon(Refuse& refuse, std::int64_t error) noexcept {
        Handed handed;
        withdraw_all(refuse, error, handed);
        if (handed.nudge_refused)
            push_signal(Signal::nudge);
        if (handed.leave_refused)
            push_signal(Signal::leave);
        if (handed.wake_refused)
            push_signal(Signal::wake);
        return handed.cancel_refused;
    }

    bool push_signal(Signal signal) noexcept {
        io_uring_sqe* const sqe = kernel_.next_sqe();
        if (sqe == nullptr)
            return false;
        if (signal == Signal::wake)
            ::io_uring_prep_poll_add(sqe, setup_.bell_fd, POLLIN);
        else
            ::io_uring_prep_read(sqe, setup_.signal_file.fd(), nullptr, 0, 0);
        sqe->user_data = token_of(signal).value;
        return true;
    }

    // A thread of the kernel's takes entries when it likes.
    bool all_taken() noexcept { return !setup_.sqpoll || kernel_.room() == capacity_; }

    // IORING_OP_ASYNC_CANCEL, Linux 5.5. Its own completion carries the tag `cancel`.
    bool cancel(UringSlot& slot) noexcept {
        if (!setup_.has_async_cancel)
            return true;
        io_uring_sqe* sqe = kernel_.next_sqe();
        if (sqe == nullptr) {
            kernel_.submit(0);
            sqe = kernel_.next_sqe();
        }
        if (sqe == nullptr)
            return false;
        ::io_uring_prep_cancel64(sqe, slot.token().value, 0);
        sqe->user_data = token_of(Signal::cancel).value;
        return true;
    }

    // -- poll role ---------------------------------------------------------------------------

    std::uint32_t reap(Completion* out, std::uint32_t max) noexcept {
        if (kernel_.overflowed())
            setup_.poll_counters->cq_overflows.add(1);
        const int count = kernel_.peek(max < kEvents ? max : kEvents, events_.data());
        for (int i = 0; i < count; ++i) {
            const UringEvent& event = events_[static_cast<std::size_t>(i)];
            out[i].token.value = event.user_data;
            out[i].result = event.result;
        }
        return count > 0 ? static_cast<std::uint32_t>(count) : 0;
    }
    std::uint32_t completions_ready() noexcept { return kernel_.completions_ready(); }
    bool sees_completions() const noexcept { return true; }
    int wait(std::int64_t limit_ns) noexcept { return kernel_.wait(limit_ns); }
    FileShape shape_of(int fd) const noexcept { return kernel_.shape_of(fd); }

    // -- both roles, on one thread -----------------------------------------------------------

    bool can_sleep_in_submit() const noexcept { return true; }
    void sleep_in_next_submit() noexcept { sleeps_ = true; }
    int bind() noexcept { return kernel_.bind(); }
    void unbind() noexcept { kernel_.unbind(); }
    void remind() noexcept { kernel_.remind(); }
    bool polls() const noexcept { return false; }

    // -- where the kernel listens: any thread, or the one that holds both roles ---------------

    std::uint32_t table_places(TableKind kind) const noexcept {
        return kind == TableKind::buffers ? setup_.buffer_places : setup_.file_places;
    }
    int update_table(TableKind kind, std::uint32_t first, const TableItem* items,
                     std::uint32_t count) noexcept {
        return kernel_.update_table(kind, first, items, count);
    }

    // -- any thread --------------------------------------------------------------------------

    int completion_fd() noexcept { return kernel_.completion_fd(); }
    bool limits_waits() const noexcept { return kernel_.limits_waits(); }
    // Completions run as task work of the submitter: io_uring_setup(2), IORING_SETUP_COOP_TASKRUN.
    bool interrupts_submitter() const noexcept { return !setup_.sqpoll; }

    // -- after both roles have ended ---------------------------------------------------------

    void close() noexcept {
        kernel_.destroy();
        setup_.signal_file.close();
    }

  protected:  // for drivers/uring/polled_driver.hpp, which has a second ring
    static constexpr std::uint32_t kSignals = 2;  // the exit signal, and the nudge or the bell
    static constexpr std::uint32_t kEvents = 64;

    // All that lies in this ring -> kernel. Stops where the call fails, and says so in `handed`.
    void hand_over(Kernel& kernel, unsigned completions, Handed& handed) noexcept {
        while (kernel.unsubmitted() != 0) {
            setup_.submit_counters->submit_calls.add(1);
            const int rc = kernel.submit(std::exchange(completions, 0u));  // [model: one-6]
            if (rc > 0) {
                handed.count += static_cast<std::uint32_t>(rc);
                continue;
            }
            switch (-rc) {
            case EINTR:
                setup_.submit_counters->submit_retries.add(1);
                continue;
            case 0:       // nothing consumed and no reason given: as if short of something
            case EAGAIN:  // io_uring_enter(2): no memory for a request
            case ENOMEM:
            case EBUSY:  // completions have spilled over and want to be reaped first
                setup_.submit_counters->submit_retries.add(1);
                handed.error = rc == 0 ? EAGAIN : -rc;
                return;
            default:  // EBADF, EPERM, ENXIO ...: this ring takes no more
                handed.broken = -rc;
                return;
            }
        }
    }

    // Builds the entry for the slot's next piece. The state says in_kernel already now: it must
    // before io_uring_enter(2), and nobody looks in between.
    io_uring_sqe& add(Kernel& kernel, UringSlot& slot) noexcept {
        io_uring_sqe* const sqe = kernel.next_sqe();
        check(sqe != nullptr, "no more is pushed than there is room for");
        fill(*sqe, slot);
        slots_.hand_over(slot);
        return *sqe;
    }

    void fill(io_uring_sqe& sqe, UringSlot& slot) noexcept {
        const Request& request = *slot.request;
        switch (request.action) {
        case IOAction::nop:
            ::io_uring_prep_nop(&sqe);
            break;
        case IOAction::fsync:
            ::io_uring_prep_fsync(&sqe, request.fd, 0);
            break;
        case IOAction::fdatasync:
            ::io_uring_prep_fsync(&sqe, request.fd, IORING_FSYNC_DATASYNC);
            break;
        case IOAction::fallocate:
            ::io_uring_prep_fallocate(&sqe, request.fd, request.args.mode,
                                      static_cast<off_t>(request.offset),
                                      static_cast<off_t>(request.length));
            break;
        case IOAction::sync_file_range:
            ::io_uring_prep_sync_file_range(&sqe, request.fd, static_cast<unsigned>(request.length),
                                            request.offset, request.args.mode);
            break;
        default:
            fill_transfer(sqe, slot);
            break;
        }
        sqe.user_data = slot.token().value;
        if (request.buffer_index != 0)
            use_registered(sqe, request);
    }

    // What is not in force leaves the entry as it is: an ordinary one. The fixed operations keep
    // their arguments where READ and WRITE have them; vectors have none (before Linux 6.15).
    [[gnu::noinline]] void use_registered(io_uring_sqe& sqe, const Request& request) noexcept {
        SubmitCounters& counters = *setup_.submit_counters;
        if (const std::uint32_t place = file_place_of(request)) {
            const bool is_fixed = setup_.registered->file_in_kernel(place);
            (is_fixed ? counters.fixed_files : counters.fixed_unused).add(1);
            if (is_fixed) {
                sqe.flags |= IOSQE_FIXED_FILE;
                sqe.fd = static_cast<std::int32_t>(place - 1);
            }
        }
        if (const std::uint32_t place = buffer_place_of(request)) {
            const bool is_fixed = setup_.registered->buffer_in_kernel(place) && sqe.len != 0 &&
                                  (sqe.opcode == IORING_OP_READ || sqe.opcode == IORING_OP_WRITE);
            (is_fixed ? counters.fixed_buffers : counters.fixed_unused).add(1);
            if (is_fixed) {
                sqe.opcode =
                    sqe.opcode == IORING_OP_READ ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
                sqe.buf_index = static_cast<std::uint16_t>(place - 1);
            }
        }
    }

    void fill_transfer(io_uring_sqe& sqe, UringSlot& slot) noexcept {
        const Request& request = *slot.request;
        const Piece piece = slot.transfer.next_piece(request);
        const auto size = static_cast<unsigned>(piece.size);  // at most Transfer::kPieceMax
        if (is_read(request.action)) {
            if (piece.vectored)
                ::io_uring_prep_readv(&sqe, request.fd, static_cast<iovec*>(piece.data), size,
                                      piece.offset);
            else
                ::io_uring_prep_read(&sqe, request.fd, piece.data, size, piece.offset);
        } else {
            if (piece.vectored)
                ::io_uring_prep_writev(&sqe, request.fd, static_cast<iovec*>(piece.data), size,
                                       piece.offset);
            else
                ::io_uring_prep_write(&sqe, request.fd, piece.data, size, piece.offset);
        }
        sqe.rw_flags = rwf_of(request.flags);
        sqe.ioprio = request.io_priority;
    }

    template <RefuseFunction<UringSlot> Refuse>
    void withdraw_all(Refuse& refuse, std::int64_t error, Handed& handed) noexcept {
        kernel_.withdraw([&](std::uint64_t user_data) {
            const Token token{user_data};
            switch (static_cast<Signal>(token.slot())) {
            case Signal::nudge:
                handed.nudge_refused = true;
                return;
            case Signal::leave:
                handed.leave_refused = true;
                return;
            case Signal::cancel:
                handed.cancel_refused = true;
                return;
            case Signal::wake:
                handed.wake_refused = true;
                return;
            }
            setup_.submit_counters->requests_refused_by_kernel.add(1);
            refuse(slots_.at(token.slot()), error);
        });
    }

    Kernel kernel_;
    UringSetup setup_;
    SlotPool<UringSlot> slots_;
    io_uring_sqe* last_ = nullptr;  // submit role; of the slot that was pushed last

  private:
    const std::size_t capacity_ = kernel_.room();  // of the empty ring
    bool sleeps_ = false;                          // both roles: the next submit() does

  protected:
    // poll role
    alignas(64) std::array<UringEvent, kEvents> events_{};
};

}  // namespace v0
}  // namespace ioengine
