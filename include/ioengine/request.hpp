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

#include <chrono>
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
    // Fail with EAGAIN rather than block, or with EOPNOTSUPP where the file or the backend cannot
    // tell (buffered writes on AIO); never retried, never continued.
    kFlagNowait = 1,
    kFlagAppend = 2,   // write at the end of the file; offset is ignored; never continued
    kFlagDsync = 4,    // this write as if the file were opened with O_DSYNC
    kFlagSync = 8,     // this write as if the file were opened with O_SYNC
    kFlagAtomic = 16,  // untorn write (Linux 6.11); never continued
    // With a deadline and a completion function: that one is entered twice, first with the result,
    // which does not wait longer than the deadline, then when the buffer is back. See Notice. Only
    // while io_submit(2) blocks, on AIO (pipes, buffered files), nothing is told.
    kFlagEarlyResult = 32,
};

// What an entry of the completion function says. Without kFlagEarlyResult there is one entry, with
// the result, and everything is the caller's again.
enum class Notice : std::uint8_t {
    result,    // how it ended. With kFlagEarlyResult the request, its buffer and its descriptor are
               // still the engine's: after a deadline the kernel may yet write to the buffer
    released,  // all is the caller's again; the result is as it was told
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

// A registered buffer or file, as RegisteredBuffers and RegisteredFiles give them. Plain data,
// copied by value; stale once what it stands for was unregistered. Default: none.
struct BufferHandle {
    std::uint32_t place = 0;  // from 1 on; 0: none
    std::uint32_t generation = 0;
};
struct FileHandle {
    std::int32_t fd = -1;
    std::uint32_t place = 0;
    std::uint32_t generation = 0;
};

struct Request;

// Names one submission of a request, for IOContext::cancel(): see Acceptance::handle(). It may
// outlive the request, and names no later submission of the same one (until its channel has
// accepted 2^32 more).
struct RequestHandle {
    const Request* request = nullptr;  // never followed; null: names nothing
    std::uint32_t generation = 0;      // of its channel's submissions
    Channel channel = Channel::automatic;
};

// Entered exactly once per accepted request (twice with kFlagEarlyResult): on the poller thread
// (with Threading::owner and caller: on the one that drives, also in its submit_wait()), an
// IOWorkers thread, or wherever Options::sink takes it; inside Group::wait(), and any wait with
// Wait::help, on the thread that waits; for what an IOMergeSubmitter could not hand over, in its
// destructor. Must not throw. Must not block for long: it holds up all that come after.
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
    std::int64_t result = 0;          // valid in the completion: >= 0 bytes, < 0 is -errno;
                                      // engine's while submitted
    std::uint16_t buffer_index = 0;   // set by use(): registered buffer, 0: none; kUsesFile
    std::uint16_t io_priority = 0;    // ioprio_set(2) value, 0: the submitting thread's
    std::uint8_t state = 0;  // engine's: 0 idle, 1 submitted, 3 and to be counted down, 4 gathered
    Channel queue = Channel::automatic;  // engine's: the channel it was queued in
    std::uint16_t followers = 0;         // engine's: requests merged behind it while it is queued

    // -- the rest ----------------------------------------------------------------------------
    // By when it is to be done, CLOCK_MONOTONIC; 0: whenever. See expire_after().
    std::uint64_t deadline_ns = 0;
    std::uint32_t word = 0;  // engine's: what wait() waits on where nobody counts
    std::uint8_t lease = 0;  // engine's: who has its buffer, with kFlagEarlyResult
    std::uint8_t reserved8[3] = {};
    std::uint32_t* countdown = nullptr;  // engine's: the Group's counter, or `word`
    std::uint64_t submit_ns = 0;         // engine's: CLOCK_MONOTONIC, only with Options::histograms
    struct Arguments {
        std::int32_t mode = 0;         // fallocate: its mode; sync_file_range: its flags
        std::uint32_t file_place = 0;  // set by use(), as the two below
        std::uint32_t buffer_generation = 0;
        std::uint32_t file_generation = 0;
        std::uint64_t reserved = 0;
    } args;
    Request* merged = nullptr;  // engine's: the next of those merged with it

    static constexpr std::uint16_t kUsesFile = 0x8000;   // in buffer_index: a registered file
    static constexpr std::uint16_t kPlaceBits = 0x7FFF;  // in buffer_index: the buffer's place

    Result outcome() const noexcept { return Result(result); }
    // In a completion function, with kFlagEarlyResult: which of the two entries is this? (The
    // engine may write another bit of `lease` meanwhile, when the kernel gives the buffer back.)
    Notice notice() const noexcept {
        return (flags & kFlagEarlyResult) != 0 &&
                       (__atomic_load_n(&lease, __ATOMIC_RELAXED) & kLeaseReleased) != 0
                   ? Notice::released
                   : Notice::result;
    }

    // A deadline so long from now. What is still queued then, or submitted later, ends with
    // ETIMEDOUT and was not done. What is in the kernel is cancelled, and ends when the kernel
    // gives it up: with ETIMEDOUT, or with its real result if the kernel was about to finish it;
    // with AIO most kernels never give up. Such a request is not merged with others. Call it after
    // prepare_*, which forgets the deadline.
    template <class Rep, class Period>
    void expire_after(std::chrono::duration<Rep, Period> limit) noexcept {
        using std::chrono::nanoseconds;
        constexpr std::chrono::hours kFar(24 * 365 * 30);
        const auto left = limit < limit.zero() ? nanoseconds(0)
                          : limit > kFar       ? nanoseconds(kFar)
                                               : std::chrono::duration_cast<nanoseconds>(limit);
        // libstdc++ and libc++ read CLOCK_MONOTONIC for it.
        const nanoseconds now = std::chrono::steady_clock::now().time_since_epoch();
        deadline_ns = static_cast<std::uint64_t>((now + left).count());
    }

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

    // After prepare_*, which forgets it: data and length lie within this registered buffer. For
    // read and write; of readv and writev it changes nothing. The kernel need not look the memory
    // up then. In force or not, the result is the same; see
    // <ioengine/registered.hpp>.
    void use(const BufferHandle& buffer) noexcept {
        const auto place = static_cast<std::uint16_t>(buffer.place & kPlaceBits);
        buffer_index = static_cast<std::uint16_t>((buffer_index & kUsesFile) | place);
        args.buffer_generation = buffer.generation;
    }
    // Likewise: on this registered file, whose descriptor becomes `fd`.
    void use(const FileHandle& file) noexcept {
        fd = file.fd;
        const std::uint16_t bit = file.place != 0 ? kUsesFile : std::uint16_t{0};
        buffer_index = static_cast<std::uint16_t>((buffer_index & kPlaceBits) | bit);
        args.file_place = file.place;
        args.file_generation = file.generation;
    }

    static constexpr std::uint8_t kLeaseReleased = 8;  // of `lease`: it is over

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
        buffer_index = 0;
        io_priority = 0;
        deadline_ns = 0;
        args = Arguments();
    }
};

static_assert(sizeof(Request) == 128, "two cache lines");
static_assert(offsetof(Request, deadline_ns) == 64, "the hot path touches one line");
static_assert(std::is_standard_layout<Request>::value, "plain data");

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_REQUEST_HPP
