// SPDX-License-Identifier: MIT
//
// Reading submission queue entries.
#include "drivers/sim/sim_uring.hpp"

#include <cerrno>
#include <cstring>
#include <poll.h>

namespace ioengine {
inline namespace v0 {

namespace {

// 0, or the -errno that the entry completes with. See the prep functions of liburing.h for where
// each operation keeps its arguments.
int translate(const io_uring_sqe& sqe, SimOperation& out) noexcept {
    out.token = sqe.user_data;
    out.fd = sqe.fd;
    out.data = reinterpret_cast<void*>(sqe.addr);
    out.size = sqe.len;
    out.offset = sqe.off;
    // Nothing that we use sets these: links, drains, chosen buffers, credentials. What look_up()
    // has found is there no more.
    if (sqe.flags != 0 || sqe.buf_index != 0 || sqe.personality != 0 || sqe.addr3 != 0)
        return -EINVAL;
    switch (sqe.opcode) {
    case IORING_OP_NOP:
        out.action = IOAction::nop;
        return 0;
    case IORING_OP_READ:
    case IORING_OP_READV:
        out.action = IOAction::read;
        break;
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
        out.action = IOAction::write;
        break;
    case IORING_OP_FSYNC:
        out.action =
            (sqe.fsync_flags & IORING_FSYNC_DATASYNC) != 0 ? IOAction::fdatasync : IOAction::fsync;
        return sqe.addr != 0 || sqe.ioprio != 0 ? -EINVAL : 0;
    case IORING_OP_FALLOCATE:
        out.action = IOAction::fallocate;
        out.mode = static_cast<int>(sqe.len);
        out.size = sqe.addr;
        return sqe.rw_flags != 0 || sqe.ioprio != 0 ? -EINVAL : 0;
    case IORING_OP_SYNC_FILE_RANGE:
        out.action = IOAction::sync_file_range;
        return sqe.addr != 0 || sqe.ioprio != 0 ? -EINVAL : 0;
    default:
        return -EINVAL;
    }
    out.vectored = sqe.opcode == IORING_OP_READV || sqe.opcode == IORING_OP_WRITEV;
    out.rw_flags = static_cast<int>(sqe.rw_flags);
    return 0;
}

}  // namespace

io_uring_sqe* SimUring::next_sqe() noexcept {
    if (room() == 0)
        return nullptr;
    io_uring_sqe& sqe = entry(tail_++);
    std::memset(&sqe, 0xA5, sizeof sqe);
    return &sqe;
}

int SimUring::submit(unsigned completions) noexcept {
    world_->seam();
    const unsigned count = unsubmitted();
    const int answer =
        world_->called(SimCall::submit, count, shape_.sqpoll ? show() : submit_prefix());
    // Only when all was taken (io_uring/io_uring.c, io_uring_enter()); how many, whatever ends it.
    if (completions != 0 && answer > 0 && static_cast<unsigned>(answer) == count)
        world_->sleep(-1);
    see_completions();
    world_->seam();
    return answer;
}

int SimUring::submit_prefix() {
    SimFaults& faults = world_->faults();
    const unsigned count = unsubmitted();
    if (count == 0)
        return 0;
    if (shape_.disabled)
        return -EBADFD;
    if (const int answer = faults.submit_answer(world_->now_ns(), true))
        return answer;
    if (shape_.busy_when_spilled && overflowed()) {
        world_->flush_spilled(shape_.iopoll);
        if (overflowed()) {
            faults.note(Fault::ebusy);
            return -EBUSY;
        }
    }
    const auto limit = static_cast<unsigned>(faults.entries_taken(count));
    for (unsigned taken = 0; taken < limit; ++taken) {
        const io_uring_sqe sqe = entry(head_++);
        if (start(sqe))
            continue;
        faults.note(taken == 0 ? Fault::bad_head : Fault::bad_middle);
        if (!shape_.submit_all)
            return static_cast<int>(taken + 1);
    }
    return static_cast<int>(limit);
}

// See LinuxUring::show(): liburing publishes the entries, and then calls the thread if it sleeps.
int SimUring::show() {
    if (shape_.disabled)
        return -EBADFD;
    SimFaults& faults = world_->faults();
    const unsigned count = unsubmitted();
    is_asleep_ |= head_ == published_ && faults.random().coin();
    published_ = tail_;
    world_->serve({this, [](void* self) { return static_cast<SimUring*>(self)->has_entries(); },
                   [](void* self) { static_cast<SimUring*>(self)->take_some(); }},
                  shape_.iopoll);
    if (is_asleep_ && count != 0) {
        if (const int answer = faults.submit_answer(world_->now_ns(), false))
            return answer == -EINTR ? -EINTR : -EAGAIN;
        is_asleep_ = false;
    }
    shown_ = published_;
    return static_cast<int>(count);
}

bool SimUring::has_entries() const noexcept {
    return !is_asleep_ && head_ != published_ &&
           !(shape_.busy_when_spilled && world_->spilled(shape_.iopoll) != 0);
}

// It goes on behind an entry that fails at once, now or the next time.
void SimUring::take_some() {
    for (auto left = world_->faults().random().between(1, published_ - head_); left != 0; --left) {
        const io_uring_sqe sqe = entry(head_++);
        if (!start(sqe))
            world_->faults().note(Fault::bad_middle);
    }
}

bool SimUring::start(const io_uring_sqe& sqe) {
    if (sqe.opcode == IORING_OP_ASYNC_CANCEL && !shape_.iopoll) {
        start_cancel(sqe);
        return true;
    }
    SimOperation operation;
    operation.polled = shape_.iopoll;
    operation.kernel_asks = shape_.sqpoll;
    if (sqe.opcode == IORING_OP_POLL_ADD && !shape_.iopoll)
        return start_watch(sqe);
    io_uring_sqe plain = sqe;
    int answer = look_up(plain);
    if (answer == 0)
        answer = translate(plain, operation);
    else
        operation.token = sqe.user_data;
    if (answer == 0 && operation.action != IOAction::nop &&
        world_->files.find(operation.fd) == nullptr)
        answer = -EBADF;
    if (answer == 0)
        answer = world_->faults().entry_answer();
    if (answer == 0 && shape_.iopoll) {
        answer = polling_answer(operation);
        if (answer == -EOPNOTSUPP) {  // found when it is issued: io_uring_enter(2) has taken it
            world_->answer_at_once(operation, answer);
            return true;
        }
    }
    if (answer == 0) {
        world_->begin(operation);
        return true;
    }
    // A read that is refused with EINVAL is one that cannot be polled, if it is a trial. Only the
    // driver knows that.
    if (operation.polled && answer == -EINVAL && is_read(operation.action))
        answer = -EFAULT;
    world_->answer_at_once(operation, answer);
    return false;
}

// io_rw_init_file() and, for the device, submit_bio_noacct(): Linux 6.18 refuses the reads of a
// device without poll queues, and takes its writes.
int SimUring::polling_answer(const SimOperation& operation) {
    if (!moves_bytes(operation.action))
        return -EINVAL;
    const SimFile& file = *world_->files.find(operation.fd);
    const auto passes = [&] {
        return file.can_be_polled ||
               (is_write(operation.action) && world_->faults().random().coin());
    };
    return file.direct && passes() ? 0 : -EOPNOTSUPP;
}

int SimUring::look() noexcept {
    world_->seam();
    const bool denied = world_->faults().denied(world_->now_ns());
    if (!denied && !has_news())
        world_->lose_cpu();
    if (!denied && !shape_.sqpoll)
        world_->ask_devices();
    see_completions();
    return world_->called(SimCall::wait, 1, denied ? -EPERM : 0);
}

// io_uring/rsrc.c: a second table is EBUSY; io_uring/rw.c and io_uring.c: an empty place is EBADF
// for a file and EFAULT for a buffer, as is memory outside of it.
int SimUring::make_table(TableKind kind, std::uint32_t places, bool) {
    std::vector<TableItem>& table = kind == TableKind::buffers ? buffers_ : files_;
    if (!table.empty())
        return -EBUSY;
    table.resize(places);
    return 0;
}

int SimUring::update_table(TableKind kind, std::uint32_t first, const TableItem* items,
                           std::uint32_t count) noexcept {
    std::vector<TableItem>& table = kind == TableKind::buffers ? buffers_ : files_;
    if (table.empty())
        return -ENXIO;
    if (first + count > table.size())
        return -EINVAL;
    SimFaults& faults = world_->faults();
    if (!faults.is_calm() && faults.random().chance(shape_.tables_refuse_ppm)) {
        if (count == 1 || faults.random().coin())
            return -ENOMEM;
        count = static_cast<std::uint32_t>(faults.random().between(1, count - 1));
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        if (items[i].fd >= 0 && world_->files.find(items[i].fd) == nullptr)
            return i != 0 ? static_cast<int>(i) : -EBADF;
        table[first + i] = items[i];
    }
    return static_cast<int>(count);
}

int SimUring::look_up(io_uring_sqe& sqe) const noexcept {
    if ((sqe.flags & ~IOSQE_FIXED_FILE) != 0)
        return -EINVAL;  // before any table is looked at: see translate()
    if ((sqe.flags & IOSQE_FIXED_FILE) != 0) {
        const auto place = static_cast<std::size_t>(sqe.fd);
        if (place >= files_.size() || files_[place].fd < 0)
            return -EBADF;
        sqe.fd = files_[place].fd;
        sqe.flags = static_cast<std::uint8_t>(sqe.flags & ~IOSQE_FIXED_FILE);
    }
    if (sqe.opcode != IORING_OP_READ_FIXED && sqe.opcode != IORING_OP_WRITE_FIXED)
        return 0;
    if (sqe.buf_index >= buffers_.size() || buffers_[sqe.buf_index].data == nullptr)
        return -EFAULT;
    const TableItem& buffer = buffers_[sqe.buf_index];
    const std::uint64_t begin = sqe.addr - reinterpret_cast<std::uintptr_t>(buffer.data);
    if (begin > buffer.size || sqe.len > buffer.size - begin)
        return -EFAULT;
    sqe.opcode = sqe.opcode == IORING_OP_READ_FIXED ? IORING_OP_READ : IORING_OP_WRITE;
    sqe.buf_index = 0;
    return 0;
}

// The answer to a cancellation comes after the completion of what it cancelled.
void SimUring::start_cancel(const io_uring_sqe& sqe) {
    SimOperation operation;
    operation.token = sqe.user_data;
    world_->answer_at_once(operation, world_->cancel(sqe.addr));
}

bool SimUring::start_watch(const io_uring_sqe& sqe) {
    SimOperation operation;
    operation.token = sqe.user_data;
    operation.fd = sqe.fd;
    const int answer = sqe.flags != 0 || sqe.len != 0 || sqe.poll32_events != POLLIN
                           ? -EINVAL
                           : world_->faults().entry_answer();
    if (answer == 0)
        world_->watch(operation);
    else
        world_->answer_at_once(operation, answer);
    return answer == 0;
}

int SimUring::wait(std::int64_t limit_ns) noexcept {
    world_->seam();
    const bool denied = world_->faults().denied(world_->now_ns());
    const bool slept = !denied && !world_->has_completion() && world_->sleep(limit_ns);
    int answer = 0;
    if (!world_->has_completion())
        answer = denied ? -EPERM : slept && limit_ns >= 0 ? 0 : -EINTR;
    if (world_->ready() == 0)
        world_->flush_spilled();
    see_completions();
    return world_->called(SimCall::wait, 1, answer);
}

FileShape SimUring::shape_of(int fd) const noexcept {
    world_->seam();
    return world_->files.shape_of(fd);
}

int SimUring::alignment_refusal(const Request& request) const noexcept {
    if (world_->watcher.scheduled != nullptr)
        world_->watcher.scheduled(world_->watcher.user, request);
    world_->seam();
    return world_->files.alignment_refusal(request);
}

}  // namespace v0
}  // namespace ioengine
