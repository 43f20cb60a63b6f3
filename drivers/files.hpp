// SPDX-License-Identifier: MIT
//
// What a real kernel says about open files: how transfers on them end, and how direct I/O must be
// aligned. Part of every real kernel seam; a simulation answers for its own files.
#pragma once

#include "lib/offload.hpp"
#include "lib/short_io.hpp"

#include <ioengine/request.hpp>

#include <utility>

namespace ioengine {
inline namespace v0 {

struct LinuxFiles {
    // fstat(2): regular files and block devices transfer whole; a regular file has an end.
    static FileShape shape_of(int fd) noexcept;

    // -EINVAL if this is a direct transfer whose memory, offset or length the file's statx(2)
    // STATX_DIOALIGN (Linux 6.1) forbids, else 0. Without this check the answer depends on the
    // size: a buffer that is off by one byte passes at 512 bytes and fails at 4096. Costs two
    // system calls for transfers that are not a multiple of 512 in every respect, nothing for the
    // others.
    static int alignment_refusal(const Request& request) noexcept;

    // fstat(2): true for transfers on anything but regular files and block devices (pipes, sockets,
    // terminals, eventfds), if they are given at offset 0, the only one that means anything there:
    // nobody is asked about the others.
    static bool is_stream(const Request& request) noexcept;

    // fcntl(2) and fstat(2): a transfer on a regular file or block device that is opened with
    // O_DIRECT, or no transfer at all: io_submit(2) leaves those to the device.
    static bool is_direct(const Request& request) noexcept;

    static std::int64_t run_here(const Request& request) noexcept { return run_blocking(request); }

    // An empty memory file, for a probe to write to: memfd_create(2). Its descriptor, or -errno.
    static int open_scratch() noexcept;
    static void close_scratch(int fd) noexcept;
};

// The file of the engine's own zero-length reads: /dev/null, else a memory file. Owned.
class SignalFile {
  public:
    SignalFile() noexcept = default;
    // fd() is -errno if the process can have neither.
    static SignalFile open() noexcept;
    SignalFile(SignalFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    SignalFile& operator=(SignalFile&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~SignalFile() { close(); }

    int fd() const noexcept { return fd_; }
    void close() noexcept;

  private:
    int fd_ = -1;
};

}  // namespace v0
}  // namespace ioengine
