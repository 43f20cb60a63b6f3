// SPDX-License-Identifier: MIT
//
// Goal: every row of the table atop lib/short_io.hpp.
// Method: a request, its progress so far, one completion; the judgement is compared with the row.

#include "lib/short_io.hpp"
#include "tests/unit/unit.hpp"

#include <cerrno>
#include <cstdint>
#include <ostream>

using namespace ioengine;

namespace {

constexpr std::uint64_t kLength = 4096;
constexpr FileShape kRegular{true, 1u << 20};
constexpr FileShape kDevice{true, UINT64_MAX};
constexpr FileShape kPipe{false, UINT64_MAX};

struct Judged {
    Verdict verdict;
    std::int64_t result;
    bool operator==(const Judged& other) const {
        return verdict == other.verdict && result == other.result;
    }
};
std::ostream& operator<<(std::ostream& out, const Judged& judged) {
    const char* const names[] = {"done", "carry_on", "retry"};
    return out << names[static_cast<int>(judged.verdict)] << " " << judged.result;
}

Judged done(std::int64_t result) {
    return {Verdict::done, result};
}
constexpr Judged kCarryOn{Verdict::carry_on, 0};
constexpr Judged kRetry{Verdict::retry, 0};

// A request under way.
struct Case {
    explicit Case(IOAction action, std::uint16_t flags = kFlagNone,
                  std::uint64_t length = kLength) {
        request.action = action;
        request.flags = flags;
        request.length = length;
        request.fd = 5;
        transfer.begin(request);
    }
    Case& after(std::uint64_t bytes) {
        transfer.advance(bytes);
        return *this;
    }
    Judged judge(std::int64_t result, const FileShape& shape = kRegular, bool cancelling = false) {
        const Judgement judgement =
            short_io(request, transfer, retries, result, cancelling, [&](int fd) {
                asked_fd = fd;
                return shape;
            });
        return {judgement.verdict, judgement.result};
    }

    Request request;
    Transfer transfer;
    std::uint16_t retries = 0;
    int asked_fd = -1;
};

Case a_read() {
    return Case(IOAction::read);
}
Case a_write() {
    return Case(IOAction::write);
}

}  // namespace

TEST_CASE("all that was left: done, with the bytes of all pieces", "[short-io]") {
    REQUIRE(a_read().judge(kLength) == done(kLength));
    REQUIRE(a_write().after(96).judge(4000) == done(kLength));
}

TEST_CASE("fewer bytes of a file or device: carried on, without asking more than once",
          "[short-io][F6]") {
    Case write = a_write();
    REQUIRE(write.judge(512) == kCarryOn);
    REQUIRE(write.asked_fd == 5);
    REQUIRE(write.transfer.bytes_done() == 512);
    REQUIRE(write.judge(512) == kCarryOn);
    REQUIRE(write.judge(kLength - 1024) == done(kLength));
    REQUIRE(a_read().judge(1, kDevice) == kCarryOn);
}

TEST_CASE("fewer bytes at the end of the file: done, short", "[short-io][F7]") {
    REQUIRE(a_read().judge(100, FileShape{true, 100}) == done(100));
    REQUIRE(a_read().judge(100, FileShape{true, 99}) == done(100));
    REQUIRE(a_read().judge(100, FileShape{true, 101}) == kCarryOn);
    Case at_offset = a_read();
    at_offset.request.offset = 1000;
    REQUIRE(at_offset.judge(100, FileShape{true, 1100}) == done(100));
}

TEST_CASE("fewer bytes written at the end of the file: carried on, a write makes it longer",
          "[short-io]") {
    REQUIRE(a_write().judge(100, FileShape{true, 100}) == kCarryOn);
}

TEST_CASE("fewer bytes with NOWAIT, ATOMIC or APPEND: done, short", "[short-io]") {
    for (const std::uint16_t flag : {kFlagNowait, kFlagAtomic, kFlagAppend}) {
        REQUIRE(Case(IOAction::write, flag).judge(512) == done(512));
        REQUIRE(Case(IOAction::writev, flag, 0).judge(0) == done(0));
    }
    REQUIRE(Case(IOAction::write, kFlagDsync).judge(512) == kCarryOn);
}

TEST_CASE("fewer bytes of a pipe or socket: done, short", "[short-io]") {
    REQUIRE(a_read().judge(7, kPipe) == done(7));
    REQUIRE(a_write().judge(7, kPipe) == done(7));
}

TEST_CASE("nothing: the end of the file, or what came before it", "[short-io][F7]") {
    REQUIRE(a_read().judge(0) == done(0));
    REQUIRE(a_read().after(512).judge(0) == done(512));
    REQUIRE(a_write().after(512).judge(0) == done(512));
}

TEST_CASE("no space after some bytes: those bytes count; without any, the error does",
          "[short-io]") {
    for (const int error : {ENOSPC, EDQUOT, EFBIG, EINVAL}) {
        REQUIRE(a_write().after(512).judge(-error) == done(512));
        REQUIRE(a_write().judge(-error) == done(-error));
    }
}

TEST_CASE("any other error is the result, whatever came before", "[short-io][C9]") {
    for (const int error : {EIO, EBADF, ENODATA, ENODEV, EFAULT, EOPNOTSUPP, EPERM, ENOMEM}) {
        REQUIRE(a_read().judge(-error) == done(-error));
        REQUIRE(a_read().after(512).judge(-error) == done(-error));
        REQUIRE(Case(IOAction::fsync).judge(-error) == done(-error));
    }
}

TEST_CASE("EINTR and EAGAIN: tried again, a bounded number of times", "[short-io][F3][F4]") {
    for (const int error : {EINTR, EAGAIN}) {
        Case read = a_read();
        for (unsigned i = 0; i < kPieceRetriesMax; ++i)
            REQUIRE(read.judge(-error) == kRetry);
        REQUIRE(read.judge(-error) == done(-error));
    }
}

TEST_CASE("progress gives a piece its retries back", "[short-io]") {
    Case read = a_read();
    for (unsigned i = 0; i < kPieceRetriesMax; ++i)
        REQUIRE(read.judge(-EAGAIN) == kRetry);
    REQUIRE(read.judge(1) == kCarryOn);
    REQUIRE(read.judge(-EAGAIN) == kRetry);
    REQUIRE(read.retries == 1);
}

TEST_CASE("EAGAIN with NOWAIT is the user's result, EINTR is not", "[short-io]") {
    Case read(IOAction::read, kFlagNowait);
    REQUIRE(read.judge(-EAGAIN) == done(-EAGAIN));
    REQUIRE(read.judge(-EINTR) == kRetry);
}

TEST_CASE("a flush is never tried again", "[short-io]") {
    for (const IOAction action : {IOAction::fsync, IOAction::fdatasync})
        for (const int error : {EINTR, EAGAIN, ECANCELED, EIO})
            REQUIRE(Case(action).judge(-error) == done(-error));
}

TEST_CASE("ECANCELED that nobody asked for: tried again where repeating is harmless",
          "[short-io]") {
    for (const IOAction action :
         {IOAction::read, IOAction::readv, IOAction::write, IOAction::writev})
        REQUIRE(Case(action, kFlagNone, 0).judge(-ECANCELED) == kRetry);
    REQUIRE(Case(IOAction::write, kFlagAppend).judge(-ECANCELED) == done(-ECANCELED));
    for (const IOAction action : {IOAction::fsync, IOAction::fdatasync, IOAction::fallocate,
                                  IOAction::sync_file_range, IOAction::nop})
        REQUIRE(Case(action).judge(-ECANCELED) == done(-ECANCELED));
}

TEST_CASE("ECANCELED while a shutdown cancels is the result", "[short-io]") {
    REQUIRE(a_read().judge(-ECANCELED, kRegular, true) == done(-ECANCELED));
    REQUIRE(a_write().after(512).judge(-ECANCELED, kRegular, true) == done(-ECANCELED));
}

TEST_CASE("more bytes than asked for is EIO", "[short-io]") {
    REQUIRE(a_read().judge(kLength + 1) == done(-EIO));
    REQUIRE(a_read().after(4000).judge(97) == done(-EIO));
    REQUIRE(a_read().judge(INT64_MAX) == done(-EIO));
}

TEST_CASE("operations without bytes succeed with 0 and nothing else", "[short-io]") {
    for (const IOAction action : {IOAction::fsync, IOAction::fdatasync, IOAction::fallocate,
                                  IOAction::sync_file_range, IOAction::nop}) {
        REQUIRE(Case(action).judge(0) == done(0));
        REQUIRE(Case(action).judge(1) == done(-EIO));  // a status that is no errno
    }
}

TEST_CASE("defect 9: results beyond 32 bits are exact", "[short-io][A12][defect-9]") {
    constexpr std::uint64_t kLong = (std::uint64_t{1} << 33) + 5;
    Case read(IOAction::read, kFlagNone, kLong);
    std::uint64_t left = kLong;
    while (left > Transfer::kPieceMax) {
        REQUIRE(read.judge(std::int64_t{Transfer::kPieceMax}, kDevice) == kCarryOn);
        left -= Transfer::kPieceMax;
    }
    REQUIRE(read.judge(static_cast<std::int64_t>(left), kDevice) ==
            done(static_cast<std::int64_t>(kLong)));
}
