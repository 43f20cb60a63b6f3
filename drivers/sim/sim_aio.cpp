// SPDX-License-Identifier: MIT
//
// Reading iocbs.
#include "drivers/sim/sim_aio.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ioengine {
inline namespace v0 {

namespace {

std::uint64_t token_in(const iocb& control) noexcept {
    return reinterpret_cast<std::uintptr_t>(control.data);
}

constexpr unsigned kResfd = 1;  // IOCB_FLAG_RESFD, linux/aio_abi.h

// IOCB_CMD_POLL.
bool watches(const iocb& control) noexcept {
    return control.aio_lio_opcode == IO_CMD_POLL;
}

// False for an opcode that io_submit(2) does not know.
bool translate(const iocb& control, SimOperation& out) noexcept {
    switch (control.aio_lio_opcode) {
    case IO_CMD_PREAD:
    case IO_CMD_PREADV:
        out.action = IOAction::read;
        break;
    case IO_CMD_PWRITE:
    case IO_CMD_PWRITEV:
        out.action = IOAction::write;
        break;
    case IO_CMD_FSYNC:
        out.action = IOAction::fsync;
        break;
    case IO_CMD_FDSYNC:
        out.action = IOAction::fdatasync;
        break;
    case IO_CMD_POLL:
        break;
    default:
        return false;
    }
    out.token = token_in(control);
    out.done_fd = (control.u.c.flags & kResfd) != 0 ? static_cast<int>(control.u.c.resfd) : -1;
    out.vectored =
        control.aio_lio_opcode == IO_CMD_PREADV || control.aio_lio_opcode == IO_CMD_PWRITEV;
    out.fd = control.aio_fildes;
    out.data = control.u.c.buf;
    out.size = control.u.c.nbytes;
    out.offset = static_cast<std::uint64_t>(control.u.c.offset);
    out.rw_flags = static_cast<int>(control.aio_rw_flags);
    return true;
}

}  // namespace

int SimAio::submit(long count, iocb** list) noexcept {
    world_->seam();
    const int answer = world_->called(SimCall::submit, count, submit_prefix(count, list));
    world_->seam();
    return answer;
}

int SimAio::submit_prefix(long count, iocb** list) {
    SimFaults& faults = world_->faults();
    if (const int answer = faults.submit_answer(world_->now_ns(), false))
        return answer == -EAGAIN || answer == -ENOMEM || answer == -EINTR
                   ? answer
                   : refuse(*list[0], answer);
    const auto limit =
        static_cast<int>(faults.entries_taken(static_cast<std::uint64_t>(std::max(count, 1L))));
    for (int taken = 0; taken < limit && taken < count; ++taken) {
        const iocb& control = *list[taken];
        // Less room than was asked for is a fault; it ends with the others.
        if (world_->in_flight() + world_->ready() >= events_ && !faults.is_calm()) {
            faults.note(Fault::context_full);
            return taken != 0 ? taken : -EAGAIN;
        }
        SimOperation operation;
        const bool known = translate(control, operation);
        if (const int answer = entry_answer(control, known ? &operation : nullptr, taken == 0)) {
            return taken != 0 ? taken : refuse(control, answer);
        }
        if (watches(control))
            world_->watch(operation);
        else
            world_->begin(operation);
    }
    return std::min(limit, static_cast<int>(count));
}

// An answer that does not pass is about the first entry.
int SimAio::refuse(const iocb& control, int answer) {
    if (world_->watcher.refused != nullptr)
        world_->watcher.refused(world_->watcher.user, token_in(control), answer);
    return answer;
}

int SimAio::entry_answer(const iocb& control, const SimOperation* operation, bool at_head) {
    const std::uint64_t token = token_in(control);
    if (at_head && bad_answer_ != 0 && bad_token_ == token)
        return std::exchange(bad_answer_, 0);
    SimFaults& faults = world_->faults();
    int answer = -EINVAL;
    if (operation != nullptr)
        answer = !watches(control) && world_->files.find(operation->fd) == nullptr
                     ? -EBADF
                     : faults.entry_answer();
    if (answer == 0)
        return 0;
    faults.note(at_head ? Fault::bad_head : Fault::bad_middle);
    if (!at_head) {
        bad_token_ = token;
        bad_answer_ = answer;
    }
    return answer;
}

int SimAio::wait(long max, io_event* events, std::int64_t limit_ns) noexcept {
    world_->seam();
    const bool slept = !world_->has_completion() && world_->sleep(limit_ns);
    const int taken = take(max, events);
    world_->seam();
    const bool late = slept && limit_ns >= 0;
    return world_->called(SimCall::wait, max, taken != 0 ? taken : late ? 0 : -EINTR);
}

int SimAio::peek(long max, io_event* events) noexcept {
    world_->seam();
    return take(max, events);
}

int SimAio::take(long max, io_event* events) {
    constexpr std::size_t kAtOnce = 64;
    SimCompletion completions[kAtOnce];
    const std::size_t count =
        world_->take(std::min(static_cast<std::size_t>(max), kAtOnce), completions);
    for (std::size_t i = 0; i < count; ++i) {
        events[i].data = reinterpret_cast<void*>(completions[i].token);
        events[i].obj = nullptr;
        events[i].res = static_cast<unsigned long>(completions[i].result);
        events[i].res2 = 0;
    }
    return static_cast<int>(count);
}

int SimAio::cancel(iocb& control) noexcept {
    // Where it cancels, the completion comes through the ring all the same (fs/aio.c, io_cancel).
    return world_->cancel(token_in(control)) == 0 ? -EINPROGRESS : -EINVAL;
}

FileShape SimAio::shape_of(int fd) const noexcept {
    world_->seam();
    return world_->files.shape_of(fd);
}

bool SimAio::is_stream(const Request& request) const noexcept {
    return request.offset == 0 && world_->files.is_stream(request.fd);
}

bool SimAio::is_direct(const Request& request) const noexcept {
    return !moves_bytes(request.action) || world_->files.is_direct(request.fd);
}

int SimAio::alignment_refusal(const Request& request) const noexcept {
    if (world_->watcher.scheduled != nullptr)
        world_->watcher.scheduled(world_->watcher.user, request);
    world_->seam();
    return world_->files.alignment_refusal(request);
}

}  // namespace v0
}  // namespace ioengine
