// SPDX-License-Identifier: MIT
//
// Goal: the same mistake gives the same answer on both backends, and a bad request fails alone.
// Method: a table of mistakes, each with the answer it must get; batches of good requests with bad
// ones at the head, in the middle and at the end, which reach the kernel in one call because a plug
// holds them back until all are queued.

#include "tests/support/blocks.hpp"
#include "tests/support/support.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::uint64_t kOffsetMax = INT64_MAX;

struct Mistake {
    std::string name;
    std::function<void(Request&)> prepare;
};

constexpr test::Verdict kRefused{ErrorCode::invalid_argument, 0};
constexpr test::Verdict completed_with(int error) {
    return {ErrorCode::none, -error};
}

// statx(2) with STATX_DIOALIGN, Linux 6.1: without it the library cannot know what a file demands.
bool says_how_to_align(int fd) {
    constexpr unsigned kDioAlign = 0x2000;
    struct statx status {};
    return ::statx(fd, "", AT_EMPTY_PATH, kDioAlign, &status) == 0 &&
           (status.stx_mask & kDioAlign) != 0;
}

AlignedBuffer make_buffer(std::size_t bytes) {
    auto made = AlignedBuffer::create(bytes);
    REQUIRE(made);
    return *std::move(made);
}

}  // namespace

TEST_EVERY_BACKEND("an ill-formed request is refused at once and stays with the caller",
                   "[errors][ownership][scenario-15]") {
    test::TempFile file(kBlock);
    char byte = 0;
    const int fd = file.fd();
    const auto good = [&](Request& r) { r.prepare_read(fd, &byte, 1, 0); };
    const std::vector<Mistake> mistakes = {
        {"nothing prepared", [](Request&) {}},
        {"unknown action", [&](Request& r) { good(r), r.action = static_cast<IOAction>(200); }},
        {"unknown channel", [&](Request& r) { good(r), r.channel = static_cast<Channel>(77); }},
        {"unknown flag", [&](Request& r) { good(r), r.flags = 0x4000; }},
        {"flag on a flush", [&](Request& r) { r.prepare_fsync(fd), r.flags = kFlagNowait; }},
        {"negative fd", [&](Request& r) { r.prepare_read(-1, &byte, 1, 0); }},
        {"negative fd to flush", [&](Request& r) { r.prepare_fsync(-1); }},
        {"appending read", [&](Request& r) { good(r), r.flags = kFlagAppend; }},
        {"reserved buffer index", [&](Request& r) { good(r), r.buffer_index = 1; }},
        {"early result without a deadline",
         [&](Request& r) { good(r), r.flags = kFlagEarlyResult; }},
        {"NULL buffer", [&](Request& r) { r.prepare_read(fd, nullptr, 1, 0); }},
        {"NULL buffer to write", [&](Request& r) { r.prepare_write(fd, nullptr, 1, 0); }},
        {"NULL vectors", [&](Request& r) { r.prepare_readv(fd, nullptr, 1, 0); }},
        {"offset too large", [&](Request& r) { r.prepare_read(fd, &byte, 1, kOffsetMax + 1); }},
        {"end beyond the largest offset",
         [&](Request& r) { r.prepare_read(fd, &byte, 2, kOffsetMax - 1); }},
        {"length that wraps around", [&](Request& r) { r.prepare_read(fd, &byte, ~0ULL, 1); }},
        {"fallocate beyond the largest offset",
         [&](Request& r) { r.prepare_fallocate(fd, 0, kOffsetMax, kOffsetMax); }},
    };
    auto io = test::make_context(backend);
    for (const Mistake& mistake : mistakes) {
        INFO(mistake.name);
        CHECK(test::verdict_of(io, mistake.prepare) == kRefused);
    }
    const Stats stats = io.stats();
    REQUIRE(stats.accepted == 0);
    REQUIRE(stats.refused_other == mistakes.size());
}

TEST_EVERY_BACKEND("vectors that add up to too much are refused", "[errors][A12]") {
    char byte = 0;
    const iovec vectors[] = {{&byte, SIZE_MAX / 2}, {&byte, SIZE_MAX / 2}, {&byte, SIZE_MAX / 2}};
    auto io = test::make_context(backend);
    REQUIRE(test::verdict_of(io, [&](Request& r) { r.prepare_readv(0, vectors, 3, 0); }) ==
            kRefused);
}

TEST_EVERY_BACKEND("a request that is still submitted is refused a second time", "[errors]") {
    test::KeptEvent event;
    event.prepare_nop();
    auto io = test::make_context(backend);
    {
        test::Plug plug(io);
        REQUIRE(io.submit(event));
        REQUIRE(io.submit(event).code() == ErrorCode::invalid_argument);
    }
    event.callback.done.wait();
    REQUIRE(io.shutdown().completed == 2);
}

TEST_EACH_BACKEND("the same mistake gives the same error on both backends",
                  "[errors][kernel-4][scenario-15]") {
    test::TempFile file(4 * kBlock);
    test::Pipe pipe;
    const test::Fd read_only = file.reopen(O_RDONLY);
    const test::Fd write_only = file.reopen(O_WRONLY);
    const int closed_fd = ::fcntl(file.fd(), F_DUPFD_CLOEXEC, 500);
    REQUIRE(::close(closed_fd) == 0);
    void* unmapped = ::mmap(nullptr, kBlock, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(unmapped != MAP_FAILED);
    char byte = 0;
    iovec bad_vector{unmapped, 10};
    const int fd = file.fd();

    struct Case {
        Mistake mistake;
        int error;
    };
    const std::vector<Case> cases = {
        {{"closed fd", [&](Request& r) { r.prepare_read(closed_fd, &byte, 1, 0); }}, EBADF},
        {{"huge fd", [&](Request& r) { r.prepare_write(INT32_MAX, &byte, 1, 0); }}, EBADF},
        {{"read of a write-only fd",
          [&](Request& r) { r.prepare_read(write_only.get(), &byte, 1, 0); }},
         EBADF},
        {{"write to a read-only fd",
          [&](Request& r) { r.prepare_write(read_only.get(), &byte, 1, 0); }},
         EBADF},
        {{"unmapped buffer", [&](Request& r) { r.prepare_read(fd, unmapped, 10, 0); }}, EFAULT},
        {{"unmapped buffer to write", [&](Request& r) { r.prepare_write(fd, unmapped, 10, 0); }},
         EFAULT},
        {{"unmapped vector", [&](Request& r) { r.prepare_readv(fd, &bad_vector, 1, 0); }}, EFAULT},
        {{"fsync of a bad fd", [&](Request& r) { r.prepare_fsync(closed_fd); }}, EBADF},
        {{"fallocate of a bad fd", [&](Request& r) { r.prepare_fallocate(closed_fd, 0, 0, 1); }},
         EBADF},
        {{"sync_file_range of a bad fd",
          [&](Request& r) { r.prepare_sync_file_range(closed_fd, 0, 0, 0); }},
         EBADF},
        {{"fallocate of no bytes", [&](Request& r) { r.prepare_fallocate(fd, 0, 0, 0); }}, EINVAL},
        {{"sync_file_range of a pipe",
          [&](Request& r) { r.prepare_sync_file_range(pipe.read_end(), 0, 0, 0); }},
         ESPIPE},
    };
    auto io = test::make_context(backend);
    for (const Case& wrong : cases) {
        INFO(wrong.mistake.name);
        CHECK(test::verdict_of(io, wrong.mistake.prepare) == completed_with(wrong.error));
    }
    REQUIRE(::munmap(unmapped, kBlock) == 0);
    REQUIRE(io.shutdown().clean);
}

TEST_EACH_BACKEND("misaligned direct I/O fails with EINVAL whatever its size",
                  "[errors][kernel-9][alignment][scenario-15]") {
    if (test::is_disabled("direct_align"))
        SKIP_TEST("IOENGINE_DISABLE says that the kernel does not tell how to align");
    test::TempFile file(16 * kBlock);
    if (!file.direct())
        SKIP_TEST(test::TempFile::file_system() + " does not take O_DIRECT");
    if (!says_how_to_align(file.direct_fd()))
        SKIP_TEST("the kernel does not say how direct I/O on " + test::TempFile::file_system() +
                  " must be aligned");
    AlignedBuffer buffer = make_buffer(4 * kBlock);
    const int fd = file.direct_fd();
    unsigned char* const data = buffer.data();
    iovec vectors[] = {{data, 512}, {data + 513, 512}};
    const std::vector<Mistake> mistakes = {
        {"buffer off by 1, 512 bytes", [&](Request& r) { r.prepare_read(fd, data + 1, 512, 0); }},
        {"buffer off by 1, a block", [&](Request& r) { r.prepare_read(fd, data + 1, kBlock, 0); }},
        {"buffer off by 1, written", [&](Request& r) { r.prepare_write(fd, data + 1, kBlock, 0); }},
        {"buffer off by 1, two blocks",
         [&](Request& r) { r.prepare_read(fd, data + 1, 2 * kBlock, 0); }},
        {"offset off by 1", [&](Request& r) { r.prepare_read(fd, data, 512, 1); }},
        {"length off by 1", [&](Request& r) { r.prepare_read(fd, data, 513, 0); }},
        {"second vector off by 1", [&](Request& r) { r.prepare_readv(fd, vectors, 2, 0); }},
    };
    auto io = test::make_context(backend);
    for (const Mistake& mistake : mistakes) {
        INFO(mistake.name);
        CHECK(test::verdict_of(io, mistake.prepare) == completed_with(EINVAL));
    }
    REQUIRE(test::result_of(io, [&](Request& r) { r.prepare_read(fd, data, kBlock, 0); }).bytes() ==
            kBlock);
}

TEST_EACH_BACKEND("a bad request fails alone, at the head, in the middle and at the end",
                  "[errors][F5][defect-2][kernel-4][scenario-9]") {
    constexpr std::size_t kBatch = 8;
    test::TempFile file(kBatch * kBlock);
    AlignedBuffer buffer = make_buffer(kBatch * kBlock);
    for (const std::vector<std::size_t>& bad :
         {std::vector<std::size_t>{0}, {3}, {7}, {0, 1}, {0, 3, 7}, {0, 1, 2, 3, 4, 5, 6, 7}}) {
        for (const bool misaligned : {false, true}) {
            if (misaligned && !file.direct())
                continue;
            const std::vector<unsigned char> content(kBatch * kBlock, 0x3C);
            file.put(content.data(), content.size(), 0);
            std::fill_n(buffer.data(), buffer.size(), static_cast<unsigned char>(0));
            test::Tracker tracker(kBatch);
            std::vector<std::unique_ptr<test::TrackedEvent>> events;
            auto io = test::make_context(backend, 16);
            {
                test::Plug plug(io);
                for (std::size_t i = 0; i < kBatch; ++i) {
                    const bool is_bad = std::find(bad.begin(), bad.end(), i) != bad.end();
                    unsigned char* const place = buffer.data() + i * kBlock;
                    events.push_back(
                        std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
                    if (is_bad && misaligned)
                        events[i]->prepare_read(file.direct_fd(), place + 1, 511, i * kBlock);
                    else
                        events[i]->prepare_read(is_bad ? test::kClosedFd : file.direct_fd(), place,
                                                kBlock, i * kBlock);
                    tracker.submitted(i, io.submit(*events[i]));
                }
            }
            tracker.wait_for_notices();
            tracker.require_exactly_once();
            REQUIRE(tracker.accepted() == kBatch);
            for (std::size_t i = 0; i < kBatch; ++i) {
                const bool is_bad = std::find(bad.begin(), bad.end(), i) != bad.end();
                INFO("bad ones: " << bad.size() << ", event " << i);
                if (is_bad) {
                    REQUIRE(tracker.result(i).error() == (misaligned ? EINVAL : EBADF));
                    REQUIRE(buffer.data()[i * kBlock] == 0);
                } else {
                    REQUIRE(tracker.result(i).bytes() == kBlock);
                    REQUIRE(buffer.data()[i * kBlock + kBlock - 1] == 0x3C);
                }
            }
            const ShutdownReport report = io.shutdown();  // no slot leaked: nothing to wait for
            REQUIRE(report.clean);
            REQUIRE(io.stats().free_slots == 16);
        }
    }
}

TEST_EACH_BACKEND("a shutdown after nothing but bad requests is clean", "[errors][F5][defect-2]") {
    char byte = 0;
    test::Tracker tracker(50);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    auto io = test::make_context(backend, 2);
    for (std::size_t i = 0; i < tracker.size(); ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events.back()->prepare_read(test::kClosedFd, &byte, 1, 0);
        tracker.submitted(i, io.submit(*events.back()));
    }
    REQUIRE(io.shutdown().clean);
    tracker.require_exactly_once();
    REQUIRE(tracker.accepted() == 50);
}

// The caller must not do this; if it happens, the kernel decides which file it is, once and for all
// of a request's bytes.
TEST_EACH_BACKEND("a descriptor closed or reused in flight: each request once, whole, or EBADF",
                  "[errors][scenario-16][race]") {
    constexpr std::size_t kRequests = 64;
    test::Blocks first(kRequests);
    test::Blocks second(kRequests);
    for (std::size_t i = 0; i < kRequests; ++i) {
        test::fill_pattern(second.at(i), kBlock, kRequests + i);
        second.file.put(second.at(i), kBlock, i * kBlock);
    }
    for (const bool reused : {false, true}) {
        const int fd = ::dup(first.file.direct_fd());
        REQUIRE(fd >= 0);
        test::Tracker tracker(kRequests);
        std::vector<std::unique_ptr<test::TrackedEvent>> events;
        auto io = test::make_context(backend, 8);
        for (std::size_t i = 0; i < kRequests; ++i) {
            events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
            events[i]->prepare_read(fd, first.at(i), kBlock, i * kBlock);
            tracker.submitted(i, io.submit(*events[i]));
            // By number: ThreadSanitizer takes closing a descriptor in use for a data race.
            if (i == kRequests / 2 && reused)
                REQUIRE(::syscall(SYS_dup3, second.file.direct_fd(), fd, O_CLOEXEC) == fd);
            else if (i == kRequests / 2)
                REQUIRE(::syscall(SYS_close, fd) == 0);
        }
        tracker.wait_for_notices();
        tracker.require_exactly_once();
        for (std::size_t i = 0; i < kRequests; ++i) {
            INFO("request " << i << ": " << tracker.result(i).raw() << (reused ? ", reused" : ""));
            if (!reused && tracker.result(i).error() == EBADF)
                continue;
            REQUIRE(tracker.result(i).bytes() == kBlock);
            REQUIRE((first.right(i) ||
                     (reused && test::has_pattern(first.at(i), kBlock, kRequests + i))));
        }
        REQUIRE(io.shutdown().clean);
        REQUIRE(io.stats().free_slots == 8);
        if (reused)
            ::syscall(SYS_close, fd);
    }
}
