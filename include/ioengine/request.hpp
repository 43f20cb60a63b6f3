// SPDX-License-Identifier: MIT
//
// Request: one read, write or flush as plain data. The engine's whole knowledge of a user's work.
//
// A Request lives in storage that the caller owns, usually as the base of an IOEvent. From an
// accepted submission until its completion function is entered it belongs to the engine: the caller
// neither changes nor frees it, nor the buffer, and keeps the file descriptor open. When the
// completion function is entered it is the caller's again: free it, or submit it anew, right there.
// The engine does not touch a request after that.
#ifndef IOENGINE_REQUEST_HPP
#define IOENGINE_REQUEST_HPP

#include <ioengine/export.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

struct iovec;  // <sys/uio.h>

namespace ioengine {
inline namespace v0 {

// What to do. A flush is not ordered after writes still in flight: wait for their completions
// first.
enum class IOAction : std::uint8_t {
    none = 0,         // not prepared; refused
    read,             // pread(2) of `length` bytes
    write,            // pwrite(2) of `length` bytes
    readv,            // preadv2(2); data points at `length` iovecs
    writev,           // pwritev2(2); data points at `length` iovecs
    fsync,            // fsync(2)
    fdatasync,        // fdatasync(2)
    fallocate,        // fallocate(2) with args.mode on [offset, offset + length)
    sync_file_range,  // sync_file_range(2) with args.mode as its flags
    nop,              // nothing; completes with 0 through the same machinery
};

// Which queue a request waits in. Requests of one channel that one thread submits are handed to the
// kernel in that order (merged ones that have to be broken up go on one by one); nothing orders
// their completion.
enum class Channel : std::uint8_t {
    automatic = 0,  // read and readv go to `read`, everything else to `write`
    prio,           // before the other two
    read,
    write,
};

// Request::flags, a bit set. All apply to reads and writes only (RWF_* of preadv2(2)).
enum RequestFlag : std::uint16_t {
    kFlagNone = 0,
    kFlagNowait = 1,   // fail with EAGAIN rather than block; never retried, never continued
    kFlagAppend = 2,   // write at the end of the file; offset is ignored; never continued
    kFlagDsync = 4,    // this write as if the file were opened with O_DSYNC
    kFlagSync = 8,     // this write as if the file were opened with O_SYNC
    kFlagAtomic = 16,  // untorn write (Linux 6.11); never continued
};

// What became of a request: the kernel's own convention in a type that is hard to misread.
class Result {
  public:
    constexpr Result() noexcept = default;
    constexpr explicit Result(std::int64_t value) noexcept : value_(value) {}

    constexpr bool ok() const noexcept { return value_ >= 0; }
    // Bytes moved, 0 for a flush and at end of file. Fewer than asked for means end of file, or no
    // space after some bytes. 0 if the request failed.
    constexpr std::uint64_t bytes() const noexcept {
        return value_ >= 0 ? static_cast<std::uint64_t>(value_) : 0;
    }
    // The errno of a failed request, positive; 0 if it succeeded.
    constexpr int error() const noexcept { return value_ < 0 ? static_cast<int>(-value_) : 0; }
    // >= 0 bytes, < 0 is -errno.
    constexpr std::int64_t raw() const noexcept { return value_; }

  private:
    std::int64_t value_ = 0;
};

struct Request;

// Entered exactly once per accepted request: on the poller thread, an IOWorkers thread, or wherever
// Options::sink takes it; inside Group::wait(), and any wait with Wait::help, on the thread that
// waits; for what an IOMergeSubmitter could not hand over, in its destructor. Must not throw. Must
// not block for long: it holds up all that come after.
//
// A request without one is for wait(), perform() or a Group: whoever waits learns that it is done.
using CompletionFunction = void (*)(Request* request) noexcept;

// Two cache lines: the first is all that the hot path touches. Not frozen before version 1.0.
struct alignas(64) Request {
    // -- the line of the hot path ------------------------------------------------------------
    CompletionFunction complete = nullptr;
    Request* next = nullptr;  // engine's while submitted
    std::int32_t fd = -1;     // borrowed: stays open until the completion
    IOAction action = IOAction::none;
    Channel channel = Channel::automatic;
    std::uint16_t flags = kFlagNone;  // RequestFlag bits
    std::uint64_t offset = 0;         // bytes from the start of the file; at most 2^63 - 1
    void* data = nullptr;             // buffer, or iovec array; borrowed until the completion
    std::uint64_t length = 0;         // bytes; for readv and writev the number of iovecs (0..1024)
    std::int64_t result = 0;          // valid in the completion: >= 0 bytes, < 0 is -errno
    std::uint16_t buffer_index = 0;   // reserved for registered buffers; must be 0
    std::uint16_t io_priority = 0;    // ioprio_set(2) value, 0: the submitting thread's
    std::uint8_t state = 0;  // engine's: 0 idle, 1 submitted, 3 and to be counted down, 4 gathered
    Channel queue = Channel::automatic;  // engine's: the channel it was queued in
    std::uint16_t followers = 0;         // engine's: requests merged behind it while it is queued

    // -- the rest ----------------------------------------------------------------------------
    std::uint64_t deadline_ns = 0;       // reserved; must be 0
    std::uint32_t word = 0;              // engine's: what wait() waits on where nobody counts
    std::uint32_t generation = 0;        // engine's
    std::uint32_t* countdown = nullptr;  // engine's: the Group's counter, or `word`
    std::uint64_t submit_ns = 0;         // engine's: CLOCK_MONOTONIC, only with Options::histograms
    struct Arguments {
        std::int32_t mode = 0;  // fallocate: its mode; sync_file_range: its flags
        std::uint32_t reserved32 = 0;
        std::uint64_t reserved[2] = {};
    } args;
    Request* merged = nullptr;  // engine's: the next of those merged with it

    Result outcome() const noexcept { return Result(result); }

    // Each prepare_* describes a new operation and forgets the old one; the completion function and
    // what derived classes hold stay. Call them only while the request is not submitted.

    void prepare_read(int file, void* buffer, std::uint64_t bytes, std::uint64_t at) noexcept {
        prepare(IOAction::read, file, buffer, bytes, at);
    }
    void prepare_write(int file, const void* buffer, std::uint64_t bytes,
                       std::uint64_t at) noexcept {
        prepare(IOAction::write, file, const_cast<void*>(buffer), bytes, at);
    }
    // `vectors` is an array of `count` iovecs, borrowed with the buffers it names.
    void prepare_readv(int file, const ::iovec* vectors, std::uint64_t count,
                       std::uint64_t at) noexcept {
        prepare(IOAction::readv, file, const_cast<::iovec*>(vectors), count, at);
    }
    void prepare_writev(int file, const ::iovec* vectors, std::uint64_t count,
                        std::uint64_t at) noexcept {
        prepare(IOAction::writev, file, const_cast<::iovec*>(vectors), count, at);
    }
    void prepare_fsync(int file) noexcept { prepare(IOAction::fsync, file, nullptr, 0, 0); }
    void prepare_fdatasync(int file) noexcept { prepare(IOAction::fdatasync, file, nullptr, 0, 0); }
    void prepare_fallocate(int file, int mode, std::uint64_t at, std::uint64_t bytes) noexcept {
        prepare(IOAction::fallocate, file, nullptr, bytes, at);
        args.mode = mode;
    }
    void prepare_sync_file_range(int file, std::uint64_t at, std::uint64_t bytes,
                                 unsigned range_flags) noexcept {
        prepare(IOAction::sync_file_range, file, nullptr, bytes, at);
        args.mode = static_cast<std::int32_t>(range_flags);
    }
    void prepare_nop() noexcept { prepare(IOAction::nop, -1, nullptr, 0, 0); }

  private:
    void prepare(IOAction what, int file, void* buffer, std::uint64_t size,
                 std::uint64_t at) noexcept {
        action = what;
        channel = Channel::automatic;
        flags = kFlagNone;
        fd = file;
        data = buffer;
        length = size;
        offset = at;
        result = 0;
        io_priority = 0;
        args = Arguments();
    }
};

static_assert(sizeof(Request) == 128, "two cache lines");
static_assert(offsetof(Request, deadline_ns) == 64, "the hot path touches one line");
static_assert(std::is_standard_layout<Request>::value, "plain data");

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_REQUEST_HPP
