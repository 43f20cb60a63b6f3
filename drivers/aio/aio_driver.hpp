// SPDX-License-Identifier: MIT
//
// AioDriver: Linux AIO. Requests are built into the iocb of their slot, batched, and handed over
// with io_submit(2), errno by errno.
//
// The batch is a list of iocbs in order. io_submit takes a prefix of it. An error belongs to the
// first iocb that was not taken: a bad one (EBADF, EINVAL, EFAULT ...) is refused by itself and the
// call is made again for the rest, so that it never harms its neighbours; a shortage (EAGAIN) keeps
// the rest for later.
//
// Beyond `depth` slots the context has room for the exit signal and for a nudge (or, with one
// thread, its bell), whose iocbs live here: so both can be sent at depth 1 and with every slot
// busy.
#pragma once

#include "drivers/files.hpp"
#include "drivers/request_flags.hpp"
#include "lib/driver.hpp"

#include <ioengine/request.hpp>

#include <libaio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace ioengine {
inline namespace v0 {

struct AioSlot : Slot {
    iocb control;
};

struct AioSetup {
    std::uint32_t depth = 128;
    std::uint32_t merge_limit = 0;  // bytes in one slot; 0: one request each
    SignalFile signal_file;
    int bell_fd = -1;             // where one thread holds both roles: lib/bell.hpp
    bool check_alignment = true;  // of direct transfers, before the kernel sees them
    bool native_fsync = true;     // IOCB_CMD_FSYNC, Linux 4.18
    SubmitCounters* submit_counters = nullptr;
    PollCounters* poll_counters = nullptr;
};

template <class K>
concept AioKernel = requires(K& kernel, iocb** list, io_event* events, iocb& control, Request& r) {
    { kernel.submit(1L, list) }
    noexcept->std::same_as<int>;
    { kernel.wait(1L, events, std::int64_t{}) }
    noexcept->std::same_as<int>;
    { kernel.peek(1L, events) }
    noexcept->std::same_as<int>;
    { kernel.cancel(control) }
    noexcept->std::same_as<int>;
    { kernel.destroy() }
    noexcept;
    { kernel.shape_of(0) }
    noexcept->std::same_as<FileShape>;
    { kernel.alignment_refusal(r) }
    noexcept->std::same_as<int>;
    { kernel.run_here(r) }
    noexcept->std::same_as<std::int64_t>;
    { kernel.is_stream(r) }
    noexcept->std::same_as<bool>;
    { kernel.is_direct(r) }
    noexcept->std::same_as<bool>;
    { kernel.completions_ready() }
    noexcept->std::same_as<unsigned>;
    { kernel.reaps_from_ring() }
    noexcept->std::same_as<bool>;
};

template <AioKernel Kernel>
class AioDriver {
  public:
    using Slot = AioSlot;

    // `kernel` has been set up with room for events_for(depth) events.
    AioDriver(Kernel kernel, AioSetup setup)
        : kernel_(std::move(kernel)), setup_(std::move(setup)),
          slots_(setup_.depth, setup_.merge_limit), batch_(new iocb*[setup_.depth + kSignals]) {}
    AioDriver(const AioDriver&) = delete;
    AioDriver& operator=(const AioDriver&) = delete;
    // Whoever polls it may do so until the context is gone.
    ~AioDriver() {
        if (done_fd_ >= 0)
            ::close(done_fd_);
    }

    static constexpr unsigned events_for(std::uint32_t depth) noexcept { return depth + kSignals; }

    SlotPool<AioSlot>& slots() noexcept { return slots_; }
    Kernel& kernel() noexcept { return kernel_; }

    // -- submit role -------------------------------------------------------------------------

    Route route(const Request& request) const noexcept {
        switch (request.action) {
        case IOAction::nop:  // IOCB_CMD_NOOP is EINVAL on every kernel (fs/aio.c)
            return Route::done;
        case IOAction::fsync:
        case IOAction::fdatasync:
            return setup_.native_fsync ? Route::kernel : Route::offload;
        case IOAction::fallocate:
        case IOAction::sync_file_range:
            return Route::offload;
        default:
            return Route::kernel;
        }
    }
    int refusal(const Request& request) const noexcept {
        return setup_.check_alignment ? kernel_.alignment_refusal(request) : 0;
    }
    std::int64_t run_here(const Request& request) noexcept { return kernel_.run_here(request); }

    // io_submit(2) itself waits for a pipe, a socket or a terminal.
    bool may_block(const Request& request) noexcept { return kernel_.is_stream(request); }
    // Nor does it return before the device has answered, unless the file is opened for direct I/O.
    bool may_wait(const Request& request) noexcept { return !kernel_.is_direct(request); }
    std::size_t room() const noexcept { return SIZE_MAX; }  // a place for every slot
    void push(Request& request, std::uint64_t now) noexcept { add(slots_.take(request, now)); }
    void append(Request& request) noexcept {
        AioSlot& slot = slots_.append(request);
        fill(slot);
        slots_.hand_over(slot);
    }
    void push_again(AioSlot& slot) noexcept { add(slot); }

    template <RefuseFunction<AioSlot> Refuse>
    Handed submit(Refuse& refuse) noexcept {
        slots_.seal();
        Handed handed;
        std::uint32_t begin = 0;
        while (begin < batched_) {
            setup_.submit_counters->submit_calls.add(1);
            const int rc = kernel_.submit(static_cast<long>(batched_ - begin), &batch_[begin]);
            if (rc > 0) {
                begin += static_cast<std::uint32_t>(rc);
                handed.count += static_cast<std::uint32_t>(rc);
                continue;
            }
            switch (-rc) {
            case EINTR:  // io_submit(2) does not list it; harmless to ask again
                setup_.submit_counters->submit_retries.add(1);
                continue;
            case 0:       // nothing taken and no reason given: as if short of something
            case EAGAIN:  // the context is full, or the kernel is short of memory
            case ENOMEM:
                setup_.submit_counters->submit_retries.add(1);
                handed.error = rc == 0 ? EAGAIN : -rc;
                keep_from(begin);
                return handed;
            default:  // EBADF, EINVAL, EFAULT, EOPNOTSUPP ...: this one, and only this one, is bad
                refuse_one(*batch_[begin++], rc, refuse, handed);
                break;
            }
        }
        batched_ = 0;
        return handed;
    }

    template <RefuseFunction<AioSlot> Refuse>
    bool abandon(Refuse& refuse, std::int64_t error) noexcept {
        std::uint32_t kept = 0;
        for (std::uint32_t i = 0; i < batched_; ++i) {
            const Token token = token_in(*batch_[i]);
            if (token.slot() < slots_.depth())
                refuse(slots_.at(token.slot()), error);
            else
                batch_[kept++] = batch_[i];
        }
        batched_ = kept;
        return false;  // those are calls of their own
    }

    bool push_signal(Signal signal) noexcept {
        iocb& control = signal == Signal::leave ? leave_ : signal == Signal::wake ? wake_ : nudge_;
        if (signal == Signal::wake)
            io_prep_poll(&control, setup_.bell_fd, POLLIN);  // Linux 4.18
        else
            io_prep_pread(&control, setup_.signal_file.fd(), nullptr, 0, 0);
        control.data = reinterpret_cast<void*>(token_of(signal).value);
        say_when_done(control);
        push(control);
        return true;
    }

    bool all_taken() const noexcept { return true; }

    // Most kernels refuse for most files, and will the next time.
    bool cancel(AioSlot& slot) noexcept {
        kernel_.cancel(slot.control);
        return true;
    }

    // -- poll role ---------------------------------------------------------------------------

    std::uint32_t reap(Completion* out, std::uint32_t max) noexcept {
        if (done_fd_ >= 0) {  // before the look: what is done afterwards says so again
            eventfd_t said = 0;
            static_cast<void>(::eventfd_read(done_fd_, &said));
        }
        if (event_count_ == 0) {
            const int rc = kernel_.peek(kEvents, events_.data());
            fill_from(rc);
            if (rc < 0 && done_fd_ >= 0)
                remind();  // there may be some, and nothing will say so again
        }
        std::uint32_t taken = 0;
        while (taken < max && next_event_ < event_count_) {
            const io_event& event = events_[next_event_++];
            out[taken].token.value = reinterpret_cast<std::uintptr_t>(event.data);
            out[taken].result = static_cast<std::int64_t>(event.res);
            ++taken;
        }
        if (next_event_ == event_count_)
            next_event_ = event_count_ = 0;
        return taken;
    }
    std::uint32_t completions_ready() const noexcept {
        return event_count_ - next_event_ + kernel_.completions_ready();
    }
    bool sees_completions() const noexcept { return kernel_.reaps_from_ring(); }
    int wait(std::int64_t limit_ns) noexcept {
        const int rc = kernel_.wait(kEvents, events_.data(), limit_ns);
        fill_from(rc);
        return rc < 0 ? rc : 0;
    }
    FileShape shape_of(int fd) const noexcept { return kernel_.shape_of(fd); }

    // -- both roles, on one thread -----------------------------------------------------------

    bool can_sleep_in_submit() const noexcept { return false; }
    void sleep_in_next_submit() noexcept {}
    int bind() noexcept { return 0; }
    void unbind() noexcept {}
    void remind() noexcept { static_cast<void>(::eventfd_write(done_fd_, 1)); }
    bool polls() const noexcept { return false; }

    // -- any thread --------------------------------------------------------------------------

    // From now on what is handed over says there that it is done.
    int completion_fd() noexcept {
        if (done_fd_ < 0)
            done_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return done_fd_ >= 0 ? done_fd_ : -errno;
    }
    std::uint32_t table_places(TableKind) const noexcept { return 0; }
    int update_table(TableKind, std::uint32_t, const TableItem*, std::uint32_t) noexcept {
        return -EOPNOTSUPP;
    }
    bool limits_waits() const noexcept { return true; }
    bool interrupts_submitter() const noexcept { return false; }

    // -- after both roles have ended ---------------------------------------------------------

    void close() noexcept {
        kernel_.destroy();
        setup_.signal_file.close();
    }

  private:
    static constexpr std::uint32_t kSignals = 2;  // the exit signal, and the nudge or the bell
    static constexpr long kEvents = 64;

    static Token token_in(const iocb& control) noexcept {
        return {reinterpret_cast<std::uintptr_t>(control.data)};
    }

    void push(iocb& control) noexcept { batch_[batched_++] = &control; }

    void say_when_done(iocb& control) const noexcept {
        if (done_fd_ >= 0)
            io_set_eventfd(&control, done_fd_);
    }

    // Builds the iocb for the slot's next piece and appends it to the batch. The state says
    // in_kernel already now: it must before io_submit(2), and nobody looks in between.
    void add(AioSlot& slot) noexcept {
        fill(slot);
        slots_.hand_over(slot);
        push(slot.control);
    }

    void fill(AioSlot& slot) noexcept {
        const Request& request = *slot.request;
        iocb& control = slot.control;
        if (request.buffer_index != 0)
            count_unused(*setup_.submit_counters, request);
        std::memset(&control, 0, sizeof control);
        say_when_done(control);  // here: a slot that another request joins is filled again
        control.data = reinterpret_cast<void*>(slot.token().value);
        control.aio_fildes = request.fd;
        if (is_flush(request.action)) {
            control.aio_lio_opcode =
                request.action == IOAction::fsync ? IO_CMD_FSYNC : IO_CMD_FDSYNC;
            return;
        }
        const Piece piece = slot.transfer.next_piece(request);
        const bool reads = is_read(request.action);
        control.aio_lio_opcode =
            static_cast<short>(piece.vectored ? (reads ? IO_CMD_PREADV : IO_CMD_PWRITEV)
                                              : (reads ? IO_CMD_PREAD : IO_CMD_PWRITE));
        control.u.c.buf = piece.data;
        control.u.c.nbytes = piece.size;
        control.u.c.offset = static_cast<long long>(piece.offset);
        control.aio_rw_flags = static_cast<unsigned>(rwf_of(request.flags));
        if (request.io_priority != 0) {
            control.u.c.flags |= 1u << 1;  // IOCB_FLAG_IOPRIO, linux/aio_abi.h
            control.aio_reqprio = static_cast<short>(request.io_priority);
        }
    }

    template <RefuseFunction<AioSlot> Refuse>
    void refuse_one(iocb& control, std::int64_t error, Refuse& refuse, Handed& handed) noexcept {
        setup_.submit_counters->requests_refused_by_kernel.add(1);
        if (&control == &nudge_)
            handed.nudge_refused = true;
        else if (&control == &leave_)
            handed.leave_refused = true;
        else if (&control == &wake_)
            handed.wake_refused = true;
        else
            refuse(slots_.at(token_in(control).slot()), error);
    }

    void keep_from(std::uint32_t begin) noexcept {
        std::copy(&batch_[begin], &batch_[batched_], &batch_[0]);
        batched_ -= begin;
    }

    void fill_from(int count) noexcept {
        next_event_ = 0;
        event_count_ = count > 0 ? static_cast<std::uint32_t>(count) : 0;
    }

    Kernel kernel_;
    AioSetup setup_;
    SlotPool<AioSlot> slots_;

    // submit role
    const std::unique_ptr<iocb*[]> batch_;
    std::uint32_t batched_ = 0;
    iocb nudge_{};
    iocb leave_{};
    iocb wake_{};
    int done_fd_ = -1;  // an eventfd, if somebody wants to poll for completions

    // poll role
    alignas(64) std::array<io_event, kEvents> events_{};
    std::uint32_t next_event_ = 0;
    std::uint32_t event_count_ = 0;
};

}  // namespace v0
}  // namespace ioengine
