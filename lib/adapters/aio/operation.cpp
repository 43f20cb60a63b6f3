// SPDX-License-Identifier: MIT
//
// What io_submit(2) checks before it takes an iocb, in the order of fs/aio.c (Linux 6.1).
#include "lib/adapters/aio/operation.hpp"

#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <new>
#include <sys/stat.h>
#include <unistd.h>

#ifndef RWF_ATOMIC
#define RWF_ATOMIC 0x00000040
#endif

namespace ioengine_aio {

namespace {

// IOCB_FLAG_* of <linux/aio_abi.h>, which cannot be included together with libaio.h.
constexpr unsigned kFlagResultFd = 1;
constexpr unsigned kFlagPriority = 2;

int take_flags(Operation& operation, unsigned asked) noexcept {
    struct Pair {
        unsigned theirs;
        std::uint16_t ours;
    };
    constexpr Pair kPairs[] = {
        {RWF_HIPRI, ioengine::kFlagNone},  // a hint
        {RWF_DSYNC, ioengine::kFlagDsync},   {RWF_SYNC, ioengine::kFlagSync},
        {RWF_NOWAIT, ioengine::kFlagNowait}, {RWF_APPEND, ioengine::kFlagAppend},
        {RWF_ATOMIC, ioengine::kFlagAtomic}};
    for (const Pair& pair : kPairs) {
        if ((asked & pair.theirs) != 0)
            operation.flags = static_cast<std::uint16_t>(operation.flags | pair.ours);
        asked &= ~pair.theirs;
    }
    return asked == 0 ? 0 : -EOPNOTSUPP;
}

int take_vectors(Operation& operation, const iocb& control) noexcept {
    const auto* const theirs = static_cast<const iovec*>(control.u.c.buf);
    const std::uint64_t count = control.u.c.nbytes;
    if (count > IOV_MAX)
        return -EINVAL;
    if (count != 0 && theirs == nullptr)
        return -EFAULT;
    if (operation.vectors_held < count) {
        operation.vectors.reset(new (std::nothrow) iovec[count]);
        operation.vectors_held = operation.vectors != nullptr ? count : 0;
        if (operation.vectors == nullptr)
            return -ENOMEM;
    }
    if (count != 0)
        std::memcpy(operation.vectors.get(), theirs, count * sizeof(iovec));
    return 0;
}

// The kernel says so at once, and programs rely on it.
int check_descriptor(const iocb& control) noexcept {
    const int flags = ::fcntl(control.aio_fildes, F_GETFL);
    if (flags < 0 || (flags & O_PATH) != 0)
        return -EBADF;
    const int mode = flags & O_ACCMODE;
    switch (control.aio_lio_opcode) {
    case IO_CMD_PREAD:
    case IO_CMD_PREADV:
        return mode == O_WRONLY ? -EBADF : 0;
    case IO_CMD_PWRITE:
    case IO_CMD_PWRITEV:
        return mode == O_RDONLY ? -EBADF : 0;
    default:
        return 0;
    }
}

int take_transfer(Operation& operation, const iocb& control, bool is_read) noexcept {
    const auto offset = static_cast<std::uint64_t>(control.u.c.offset);
    if (is_read)
        operation.prepare_read(control.aio_fildes, control.u.c.buf, control.u.c.nbytes, offset);
    else
        operation.prepare_write(control.aio_fildes, control.u.c.buf, control.u.c.nbytes, offset);
    return 0;
}

int take_vectored(Operation& operation, const iocb& control, bool is_read) noexcept {
    if (const int error = take_vectors(operation, control))
        return error;
    const auto offset = static_cast<std::uint64_t>(control.u.c.offset);
    const iovec* const vectors = operation.vectors.get();
    if (is_read)
        operation.prepare_readv(control.aio_fildes, vectors, control.u.c.nbytes, offset);
    else
        operation.prepare_writev(control.aio_fildes, vectors, control.u.c.nbytes, offset);
    return 0;
}

int take_flush(Operation& operation, const iocb& control) noexcept {
    if (control.u.c.buf != nullptr || control.u.c.offset != 0 || control.u.c.nbytes != 0 ||
        control.aio_rw_flags != 0)
        return -EINVAL;
    if (control.aio_lio_opcode == IO_CMD_FSYNC)
        operation.prepare_fsync(control.aio_fildes);
    else
        operation.prepare_fdatasync(control.aio_fildes);
    return 0;
}

int take_poll(Operation& operation, const iocb& control) noexcept {
    // The events lie where a transfer has its buffer.
    if (control.u.c.offset != 0 || control.u.c.nbytes != 0 || control.aio_rw_flags != 0)
        return -EINVAL;
    operation.poll_fd = control.aio_fildes;
    operation.poll_events = static_cast<short>(control.u.poll.events);
    return 0;
}

int take_action(Operation& operation, const iocb& control) noexcept {
    switch (control.aio_lio_opcode) {
    case IO_CMD_PREAD:
        return take_transfer(operation, control, true);
    case IO_CMD_PWRITE:
        return take_transfer(operation, control, false);
    case IO_CMD_PREADV:
        return take_vectored(operation, control, true);
    case IO_CMD_PWRITEV:
        return take_vectored(operation, control, false);
    case IO_CMD_FSYNC:
    case IO_CMD_FDSYNC:
        return take_flush(operation, control);
    case IO_CMD_POLL:
        return take_poll(operation, control);
    default:
        return -EINVAL;
    }
}

// A copy, so that the program may close its own. Nothing but an eventfd is written to.
int take_result_fd(Operation& operation, int fd) noexcept {
    struct stat about {};
    if (::fstat(fd, &about) != 0)
        return -EBADF;
    if ((about.st_mode & S_IFMT) != 0)
        return -EINVAL;  // the kernel's anonymous files have no type
    operation.result_fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return operation.result_fd < 0 ? -errno : 0;
}

}  // namespace

int prepare(Operation& operation, iocb& control) noexcept {
    operation.control = &control;
    operation.data = control.data;
    operation.poll_fd = -1;
    operation.result_fd = -1;
    if (static_cast<std::int64_t>(control.u.c.nbytes) < 0)
        return -EINVAL;
    if (const int error = check_descriptor(control))
        return error;
    if (const int error = take_action(operation, control))
        return error;
    if (!is_poll(operation)) {
        if (const int error = take_flags(operation, control.aio_rw_flags))
            return error;
        if ((control.u.c.flags & kFlagPriority) != 0)
            operation.io_priority = static_cast<std::uint16_t>(control.aio_reqprio);
    }
    const bool has_result_fd = (control.u.c.flags & kFlagResultFd) != 0;
    return has_result_fd ? take_result_fd(operation, static_cast<int>(control.u.c.resfd)) : 0;
}

}  // namespace ioengine_aio
