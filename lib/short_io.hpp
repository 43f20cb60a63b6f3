// SPDX-License-Identifier: MIT
//
// short_io: what a completion means for its request: done, to be carried on, or to be tried again.
//
//   result                               request
//   all that was left                    done
//   fewer bytes, file carries on         continued with advanced pointer, length and offset
//   fewer bytes, NOWAIT/ATOMIC/APPEND,   done, short
//     pipe, socket, or end of file
//   0 for a read                         done: end of file, or what came before it
//   ENOSPC, EDQUOT, EFBIG after bytes    done, short: those bytes are on the file
//   EINVAL after bytes                   done, short: the rest of a direct transfer that ended in
//                                        the middle of a block cannot be asked for
//   EINTR, EAGAIN (without NOWAIT)       tried again, a bounded number of times; never a flush
//   ECANCELED that nobody asked for      tried again where repeating is harmless: reads, and writes
//                                        at a fixed offset (an exiting thread takes its io_uring
//                                        requests along: io_uring_enter(2), "task exit")
//   any other error                      done, with that error, whatever came before
//   more bytes than asked for, or any    EIO: the device talks nonsense, or of a status
//     for a flush                        (NVMe passthrough says errors with positive numbers)
#pragma once

#include "lib/piece.hpp"

#include <ioengine/request.hpp>

#include <cerrno>
#include <cstdint>
#include <type_traits>

namespace ioengine {
inline namespace v0 {

// What a driver can say about an open file.
struct FileShape {
    bool transfers_whole = false;    // regular file or block device
    std::uint64_t end = UINT64_MAX;  // bytes in a regular file, else unknown
};

enum class Verdict : std::uint8_t { done, carry_on, retry };

struct Judgement {
    Verdict verdict = Verdict::done;
    std::int64_t result = 0;  // for `done`
};

// Completions with a passing error that one piece may see before the error is the user's.
constexpr std::uint16_t kPieceRetriesMax = 64;

constexpr bool is_passing(int error, const Request& request, bool cancelling) noexcept {
    if (is_flush(request.action))
        return false;
    switch (error) {
    case EINTR:
        return true;
    case EAGAIN:
        return (request.flags & kFlagNowait) == 0;
    case ECANCELED:
        return !cancelling && (is_read(request.action) ||
                               (is_write(request.action) && (request.flags & kFlagAppend) == 0));
    default:
        return false;
    }
}

// `shape_of(fd)` is asked only when a transfer came back short.
template <class ShapeOf>
requires std::is_invocable_r_v<FileShape, ShapeOf&, int>
[[gnu::always_inline]] inline Judgement short_io(const Request& request, Transfer& transfer,
                                                 std::uint16_t& retries, std::int64_t result,
                                                 bool cancelling, ShapeOf&& shape_of) noexcept {
    const auto done = [](std::int64_t value) { return Judgement{Verdict::done, value}; };
    const auto done_so_far = [&] { return done(static_cast<std::int64_t>(transfer.bytes_done())); };

    if (result < 0) {
        const int error = static_cast<int>(-result);
        if (is_passing(error, request, cancelling) && retries < kPieceRetriesMax) {
            ++retries;
            return {Verdict::retry, 0};
        }
        const bool keeps_bytes =
            error == ENOSPC || error == EDQUOT || error == EFBIG || error == EINVAL;
        if (keeps_bytes && transfer.bytes_done() > 0)
            return done_so_far();
        return done(result);
    }
    if (!moves_bytes(request.action))
        return done(result == 0 ? 0 : -EIO);
    if (static_cast<std::uint64_t>(result) > transfer.bytes_left())
        return done(-EIO);

    transfer.advance(static_cast<std::uint64_t>(result));
    retries = 0;
    if (transfer.bytes_left() == 0 || result == 0)
        return done_so_far();
    if ((request.flags & (kFlagNowait | kFlagAtomic | kFlagAppend)) != 0)
        return done_so_far();
    const FileShape shape = shape_of(request.fd);
    if (!shape.transfers_whole)
        return done_so_far();
    // Asking on past the end would only hear 0, or EINVAL for a direct read from mid-block.
    if (is_read(request.action) && request.offset + transfer.bytes_done() >= shape.end)
        return done_so_far();
    return {Verdict::carry_on, 0};
}

}  // namespace v0
}  // namespace ioengine
