// SPDX-License-Identifier: MIT
//
// fstat(2), fcntl(2) and statx(2) for drivers/files.hpp.
#include "drivers/files.hpp"

#include "lib/piece.hpp"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace ioengine {
inline namespace v0 {

namespace {

// linux/stat.h since 6.1; Debian 12's libc does not name the two fields.
constexpr unsigned kStatxDioAlign = 0x2000;
struct StatxPrefix {
    std::uint32_t mask;
    std::uint32_t before[37];  // up to and with stx_mnt_id: 152 bytes in all
    std::uint32_t dio_mem_align;
    std::uint32_t dio_offset_align;
    std::uint64_t after[12];
};
static_assert(sizeof(StatxPrefix) == 256, "struct statx of the kernel's ABI");

bool misaligned(std::uint64_t value, std::uint32_t alignment) noexcept {
    return alignment > 1 && (value & (alignment - 1)) != 0;
}

// Every address, and every length, of the request or-ed together: its lowest set bits.
struct Extent {
    std::uint64_t addresses = 0;
    std::uint64_t lengths = 0;
};
Extent extent_of(const Request& request) noexcept {
    Extent extent;
    if (!is_vectored(request.action)) {
        extent.addresses = reinterpret_cast<std::uintptr_t>(request.data);
        extent.lengths = request.length;
        return extent;
    }
    const auto* vectors = static_cast<const iovec*>(request.data);
    for (std::uint64_t i = 0; i < request.length; ++i) {
        extent.addresses |= reinterpret_cast<std::uintptr_t>(vectors[i].iov_base);
        extent.lengths |= vectors[i].iov_len;
    }
    return extent;
}

}  // namespace

int LinuxFiles::open_scratch() noexcept {
    const int fd = ::memfd_create("ioengine-probe", MFD_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

void LinuxFiles::close_scratch(int fd) noexcept {
    ::close(fd);
}

FileShape LinuxFiles::shape_of(int fd) noexcept {
    struct stat status;
    FileShape shape;
    if (::fstat(fd, &status) != 0)
        return shape;
    if (S_ISREG(status.st_mode)) {
        shape.transfers_whole = true;
        shape.end = static_cast<std::uint64_t>(status.st_size);
    } else if (S_ISBLK(status.st_mode)) {
        shape.transfers_whole = true;
    }
    return shape;
}

int LinuxFiles::alignment_refusal(const Request& request) noexcept {
    if (!moves_bytes(request.action))
        return 0;
    const Extent extent = extent_of(request);
    if (((extent.addresses | extent.lengths | request.offset) & 511) == 0)
        return 0;
    const int flags = ::fcntl(request.fd, F_GETFL);
    if (flags < 0 || (flags & O_DIRECT) == 0)
        return 0;
    StatxPrefix status{};
    if (::syscall(SYS_statx, request.fd, "", AT_EMPTY_PATH, kStatxDioAlign, &status) != 0 ||
        (status.mask & kStatxDioAlign) == 0)
        return 0;
    const bool forbidden = misaligned(extent.addresses, status.dio_mem_align) ||
                           misaligned(extent.lengths, status.dio_offset_align) ||
                           misaligned(request.offset, status.dio_offset_align);
    return forbidden ? -EINVAL : 0;
}

bool LinuxFiles::is_stream(const Request& request) noexcept {
    struct stat status;
    return request.offset == 0 && moves_bytes(request.action) &&
           ::fstat(request.fd, &status) == 0 && !S_ISREG(status.st_mode) &&
           !S_ISBLK(status.st_mode);
}

bool LinuxFiles::is_direct(const Request& request) noexcept {
    if (!moves_bytes(request.action))
        return true;
    struct stat status;
    const int flags = ::fcntl(request.fd, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) != 0 && ::fstat(request.fd, &status) == 0 &&
           (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
}

SignalFile SignalFile::open() noexcept {
    SignalFile file;
    file.fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (file.fd_ < 0)
        file.fd_ = ::memfd_create("ioengine-signal", MFD_CLOEXEC);
    if (file.fd_ < 0)
        file.fd_ = -errno;
    return file;
}

void SignalFile::close() noexcept {
    if (fd_ >= 0)
        ::close(fd_);
    fd_ = -1;
}

}  // namespace v0
}  // namespace ioengine
