// SPDX-License-Identifier: MIT
//
// Goal: every action does to a real file what its system call would do, on both backends.
// Method: run the action through the engine, look at the file with plain system calls, and the
// other way round. Actions that a backend lacks run on a helper thread; nobody sees a difference
// but the counter `offloaded`.

#include "tests/support/support.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::size_t kBlock = 4096;

AlignedBuffer make_buffer(std::size_t bytes) {
    auto made = AlignedBuffer::create(bytes);
    REQUIRE(made);
    return *std::move(made);
}

std::uint64_t allocated_bytes(int fd) {
    struct stat info {};
    REQUIRE(::fstat(fd, &info) == 0);
    return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

}  // namespace

TEST_EACH_BACKEND("a read returns what a write stored, direct and buffered", "[actions][B1][B2]") {
    const std::uint64_t seed = test::announced_seed("read after write");
    test::TempFile file(16 * kBlock);
    AlignedBuffer out = make_buffer(kBlock);
    AlignedBuffer in = make_buffer(kBlock);
    auto io = test::make_context(backend);

    std::uint64_t offset = 0;
    for (const int fd : {file.fd(), file.direct_fd()}) {
        test::fill_pattern(out.data(), kBlock, seed + offset);
        const Result written = test::result_of(
            io, [&](Request& r) { r.prepare_write(fd, out.data(), kBlock, offset); });
        REQUIRE(written.bytes() == kBlock);
        file.get(in.data(), kBlock, offset);
        REQUIRE(test::has_pattern(in.data(), kBlock, seed + offset));

        std::memset(in.data(), 0, kBlock);
        const Result read =
            test::result_of(io, [&](Request& r) { r.prepare_read(fd, in.data(), kBlock, offset); });
        REQUIRE(read.bytes() == kBlock);
        REQUIRE(test::has_pattern(in.data(), kBlock, seed + offset));
        offset += 3 * kBlock;
    }
}

TEST_EACH_BACKEND("fsync and fdatasync of a written file succeed with 0", "[actions][B3][B4]") {
    test::TempFile file;
    auto io = test::make_context(backend);
    const char text[] = "durable";
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_write(file.fd(), text, sizeof(text), 0);
            }).bytes() == sizeof(text));
    REQUIRE(test::result_of(io, [&](Request& r) { r.prepare_fdatasync(file.fd()); }).raw() == 0);
    REQUIRE(test::result_of(io, [&](Request& r) { r.prepare_fsync(file.fd()); }).raw() == 0);
}

TEST_EACH_BACKEND("fsync of what cannot be synced fails alike", "[actions][B3][B4][C9]") {
    test::Pipe pipe;
    auto io = test::make_context(backend);
    REQUIRE(test::result_of(io, [&](Request& r) { r.prepare_fsync(pipe.read_end()); }).error() ==
            EINVAL);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_fdatasync(pipe.read_end());
            }).error() == EINVAL);
    REQUIRE(test::result_of(io, [](Request& r) { r.prepare_fsync(test::kClosedFd); }).error() ==
            EBADF);
}

TEST_EACH_BACKEND("vectored writes and reads move every vector in order", "[actions][B7]") {
    const std::uint64_t seed = test::announced_seed("vectored");
    test::TempFile file;
    std::vector<unsigned char> all(kBlock + 17 + 3000 + 1);
    test::fill_pattern(all.data(), all.size(), seed);
    const iovec out[] = {{all.data(), kBlock},
                         {all.data() + kBlock, 17},
                         {nullptr, 0},
                         {all.data() + kBlock + 17, 3001}};
    auto io = test::make_context(backend);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_writev(file.fd(), out, std::size(out), 100);
            }).bytes() == all.size());

    std::vector<unsigned char> back(all.size());
    iovec in[] = {
        {back.data(), 1}, {back.data() + 1, 5000}, {back.data() + 5001, all.size() - 5001}};
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_readv(file.fd(), in, std::size(in), 100);
            }).bytes() == all.size());
    REQUIRE(back == all);
    file.get(back.data(), back.size(), 100);
    REQUIRE(back == all);
}

TEST_EACH_BACKEND("1024 vectors pass and 1025 are refused", "[actions][B7][kernel-5]") {
    test::TempFile file;
    std::vector<unsigned char> data(1025, 'x');
    std::vector<iovec> vectors;
    for (unsigned char& byte : data)
        vectors.push_back({&byte, 1});
    auto io = test::make_context(backend);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_writev(file.fd(), vectors.data(), 1024, 0);
            }).bytes() == 1024);
    const test::Verdict refused = test::verdict_of(
        io, [&](Request& r) { r.prepare_writev(file.fd(), vectors.data(), 1025, 0); });
    REQUIRE(refused.refusal == ErrorCode::invalid_argument);
}

TEST_EACH_BACKEND("a no-op completes with 0", "[actions][B8][B11]") {
    auto io = test::make_context(backend);
    for (int i = 0; i < 100; ++i)
        REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).raw() == 0);
}

TEST_EACH_BACKEND("a user's zero-length read is an ordinary request",
                  "[actions][B9][F9][scenario-2]") {
    test::TempFile file(kBlock);
    unsigned char byte = 7;
    auto io = test::make_context(backend);
    for (int i = 0; i < 300; ++i)
        REQUIRE(test::result_of(io, [&](Request& r) {
                    r.prepare_read(file.fd(), &byte, 0, 0);
                }).raw() == 0);
    REQUIRE(byte == 7);
    // Had one been taken for the exit signal, the poller were gone now.
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_read(file.fd(), &byte, 1, 0);
            }).bytes() == 1);
    REQUIRE(byte == 0);
    const ShutdownReport report = io.shutdown();
    REQUIRE(report.clean);
    REQUIRE(report.completed == 301);
}

TEST_EACH_BACKEND("a zero-length write and empty vectors complete with 0", "[actions][B9]") {
    test::TempFile file(kBlock);
    const iovec empty{nullptr, 0};
    auto io = test::make_context(backend);
    REQUIRE(test::result_of(io, [&](Request& r) { r.prepare_write(file.fd(), "", 0, 5); }).raw() ==
            0);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_readv(file.fd(), &empty, 0, 0);
            }).raw() == 0);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_writev(file.fd(), &empty, 1, 0);
            }).raw() == 0);
    REQUIRE(file.size() == kBlock);
}

TEST_EACH_BACKEND("fallocate extends, keeps the size, punches and zeroes", "[actions][B5][B11]") {
    test::TempFile file;
    auto io = test::make_context(backend);
    const auto allocate = [&](int mode, std::uint64_t offset, std::uint64_t bytes) {
        return test::result_of(
            io, [&](Request& r) { r.prepare_fallocate(file.fd(), mode, offset, bytes); });
    };
    const Result extended = allocate(0, 0, 16 * kBlock);
    if (extended.error() == EOPNOTSUPP)
        SKIP_TEST("fallocate is not supported on " + test::TempFile::file_system());
    REQUIRE(extended.raw() == 0);
    REQUIRE(file.size() == 16 * kBlock);
    REQUIRE(allocated_bytes(file.fd()) >= 16 * kBlock);

    REQUIRE(allocate(FALLOC_FL_KEEP_SIZE, 16 * kBlock, 16 * kBlock).raw() == 0);
    REQUIRE(file.size() == 16 * kBlock);

    std::vector<unsigned char> data(4 * kBlock, 0xEE);
    file.put(data.data(), data.size(), 0);
    const Result punched = allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kBlock);
    const Result zeroed = allocate(FALLOC_FL_ZERO_RANGE, 2 * kBlock, kBlock);
    file.get(data.data(), data.size(), 0);
    const auto value_of = [](const Result& done) { return done.ok() ? 0 : 0xEE; };
    REQUIRE((punched.ok() || punched.error() == EOPNOTSUPP));
    REQUIRE((zeroed.ok() || zeroed.error() == EOPNOTSUPP));
    REQUIRE(data[0] == value_of(punched));
    REQUIRE(data[kBlock] == 0xEE);
    REQUIRE(data[2 * kBlock] == value_of(zeroed));
    REQUIRE(data[3 * kBlock] == 0xEE);
}

TEST_EACH_BACKEND("fallocate reports the errors of its system call", "[actions][B5][C9]") {
    test::TempFile file;
    test::Pipe pipe;
    auto io = test::make_context(backend);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_fallocate(pipe.write_end(), 0, 0, kBlock);
            }).error() == ESPIPE);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_fallocate(file.fd(), FALLOC_FL_PUNCH_HOLE, 0, kBlock);
            }).error() == EOPNOTSUPP);
}

TEST_EACH_BACKEND("sync_file_range of written data succeeds with 0", "[actions][B6][B11]") {
    test::TempFile file;
    std::vector<unsigned char> data(8 * kBlock, 1);
    file.put(data.data(), data.size(), 0);
    auto io = test::make_context(backend);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_sync_file_range(file.fd(), 0, data.size(),
                                          SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
            }).raw() == 0);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_sync_file_range(file.fd(), 0, kBlock, 0x4000);
            }).error() == EINVAL);
}

TEST_EACH_BACKEND("what AIO lacks runs off-thread, its flushes do not", "[actions][B11]") {
    test::TempFile file(kBlock);
    auto io = test::make_context(backend);
    for (int i = 0; i < 5; ++i) {
        REQUIRE(test::result_of(io, [&](Request& r) {
                    r.prepare_sync_file_range(file.fd(), 0, 0, SYNC_FILE_RANGE_WRITE);
                }).raw() == 0);
        REQUIRE(test::result_of(io, [&](Request& r) { r.prepare_fsync(file.fd()); }).raw() == 0);
    }
    // Older kernels lack what the report does not name.
    const bool has_fsync = backend == Backend::uring || test::in_force(io, "aio_fsync");
    const unsigned expected =
        (test::in_force(io, "uring_sync_file_range") ? 0 : 5) + (has_fsync ? 0 : 5);
    REQUIRE(io.stats().offloaded == expected);
}

TEST_EACH_BACKEND("an appending write goes to the end whatever its offset", "[actions][flags]") {
    test::TempFile file;
    auto io = test::make_context(backend);
    for (const char* word : {"one", "two"}) {
        const Result written = test::result_of(io, [&](Request& r) {
            r.prepare_write(file.fd(), word, 3, 0);
            r.flags = kFlagAppend;
        });
        REQUIRE(written.bytes() == 3);
    }
    std::array<char, 6> text{};
    file.get(text.data(), text.size(), 0);
    REQUIRE(std::memcmp(text.data(), "onetwo", 6) == 0);
}

TEST_EACH_BACKEND("durable writes succeed with both flags", "[actions][flags]") {
    test::TempFile file;
    auto io = test::make_context(backend);
    for (const std::uint16_t flag : {kFlagDsync, kFlagSync}) {
        const Result written = test::result_of(io, [&](Request& r) {
            r.prepare_write(file.fd(), "x", 1, 0);
            r.flags = flag;
        });
        REQUIRE(written.bytes() == 1);
    }
}

TEST_EACH_BACKEND("EAGAIN of a NOWAIT read is the user's result", "[actions][flags]") {
    test::Pipe pipe;
    char byte = 0;
    auto io = test::make_context(backend);
    test::PipeEnder ender(pipe);
    const test::Verdict empty = test::verdict_of(io, [&](Request& r) {
        r.prepare_read(pipe.read_end(), &byte, 1, 0);
        r.flags = kFlagNowait;
    });
    if (empty.result == -EOPNOTSUPP)
        SKIP_TEST("this kernel does not take NOWAIT on pipes");
    REQUIRE(empty == test::Verdict{ErrorCode::none, -EAGAIN});
    pipe.feed("y", 1);
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_read(pipe.read_end(), &byte, 1, 0);
                r.flags = kFlagNowait;
            }).bytes() == 1);
    REQUIRE(byte == 'y');
    REQUIRE(io.stats().completion_retries == 0);
}
