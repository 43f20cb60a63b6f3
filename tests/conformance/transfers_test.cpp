// SPDX-License-Identifier: MIT
//
// Goal: transfers are whole. Short then means end of file, or no space after some bytes; pipes and
// sockets are not continued; lengths, offsets and results above 2 GiB are exact.
// Method: files of known content and size. What makes the kernel transfer less than asked for here:
// the end of a file, its limit of 2 GiB per call, a full file system, a pipe. Large transfers use a
// sparse memory file and a buffer that maps the same 2 MiB again and again, so they cost little
// memory.

#include "tests/support/support.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kGiB = 1u << 30;

// `bytes` bytes of address space that show the same kWindow bytes of memory over and over, apart
// from the windows that were unfolded, which have memory of their own.
class FoldedMemory {
  public:
    static constexpr std::uint64_t kWindow = 2 * kMiB;

    explicit FoldedMemory(std::uint64_t bytes) : bytes_(bytes) {
        REQUIRE(bytes % kWindow == 0);
        const test::Fd memory(::memfd_create("folded", MFD_CLOEXEC));
        REQUIRE(memory.valid());
        REQUIRE(::ftruncate(memory.get(), kWindow) == 0);
        void* region =
            ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        REQUIRE(region != MAP_FAILED);
        base_ = static_cast<unsigned char*>(region);
        for (std::uint64_t at = 0; at < bytes; at += kWindow)
            map_at(at, MAP_SHARED, memory.get());
    }
    FoldedMemory(const FoldedMemory&) = delete;
    FoldedMemory& operator=(const FoldedMemory&) = delete;
    ~FoldedMemory() { ::munmap(base_, bytes_); }

    void unfold(std::uint64_t at) { map_at(at, MAP_PRIVATE | MAP_ANONYMOUS, -1); }
    unsigned char* data() { return base_; }

  private:
    void map_at(std::uint64_t at, int flags, int fd) {
        void* mapped =
            ::mmap(base_ + at, kWindow, PROT_READ | PROT_WRITE, MAP_FIXED | flags, fd, 0);
        REQUIRE(mapped == base_ + at);
    }

    unsigned char* base_ = nullptr;
    std::uint64_t bytes_;
};

// A sparse memory file of kLong bytes with a pattern in the windows on both sides of each GiB and
// in the last window: where pieces meet, and where 32-bit counts end.
constexpr std::uint64_t kLong = 2 * kGiB + 256 * kMiB;
constexpr std::uint64_t kMarked[] = {kGiB - FoldedMemory::kWindow, kGiB,
                                     2 * kGiB - FoldedMemory::kWindow, 2 * kGiB,
                                     kLong - FoldedMemory::kWindow};

test::Fd make_long_file(std::uint64_t seed) {
    test::Fd file(::memfd_create("sparse", MFD_CLOEXEC));
    REQUIRE(file.valid());
    REQUIRE(::ftruncate(file.get(), static_cast<off_t>(kLong)) == 0);
    std::vector<unsigned char> window(FoldedMemory::kWindow);
    for (const std::uint64_t at : kMarked) {
        test::fill_pattern(window.data(), window.size(), seed + at);
        REQUIRE(::pwrite(file.get(), window.data(), window.size(), static_cast<off_t>(at)) ==
                static_cast<ssize_t>(window.size()));
    }
    return file;
}

void require_marks(unsigned char* data, std::uint64_t seed) {
    for (const std::uint64_t at : kMarked)
        REQUIRE(test::has_pattern(data + at, FoldedMemory::kWindow, seed + at));
}

}  // namespace

TEST_EACH_BACKEND("a read at the end of a file is a short success", "[transfers][F7]") {
    const std::uint64_t seed = test::announced_seed("end of file");
    test::TempFile file;
    std::vector<unsigned char> content(kBlock + 100);
    test::fill_pattern(content.data(), content.size(), seed);
    file.put(content.data(), content.size(), 0);

    std::vector<unsigned char> in(3 * kBlock, 0xAA);
    auto io = test::make_context(backend);
    const Result across = test::result_of(
        io, [&](Request& r) { r.prepare_read(file.fd(), in.data(), in.size(), 0); });
    REQUIRE(across.ok());
    REQUIRE(across.bytes() == content.size());
    REQUIRE(std::equal(content.begin(), content.end(), in.begin()));
    REQUIRE(std::all_of(in.begin() + static_cast<std::ptrdiff_t>(content.size()), in.end(),
                        [](unsigned char byte) { return byte == 0xAA; }));

    const Result beyond = test::result_of(
        io, [&](Request& r) { r.prepare_read(file.fd(), in.data(), kBlock, kGiB); });
    REQUIRE(beyond.ok());
    REQUIRE(beyond.bytes() == 0);
}

TEST_EACH_BACKEND("a direct read across the end of a file is a short success", "[transfers][F7]") {
    test::TempFile file;
    std::vector<unsigned char> content(kBlock + 100, 0x5A);
    file.put(content.data(), content.size(), 0);
    auto made = AlignedBuffer::create(4 * kBlock);
    REQUIRE(made);
    auto io = test::make_context(backend);
    const Result result = test::result_of(
        io, [&](Request& r) { r.prepare_read(file.direct_fd(), made->data(), made->size(), 0); });
    REQUIRE(result.raw() == static_cast<std::int64_t>(content.size()));
    REQUIRE(std::memcmp(made->data(), content.data(), content.size()) == 0);
}

TEST_EACH_BACKEND("a vectored read across the end of a file is short",
                  "[transfers][F7][kernel-5]") {
    test::TempFile file;
    file.put("0123456789", 10, 0);
    char head[4] = {};
    char tail[64] = {};
    iovec vectors[] = {{head, sizeof(head)}, {tail, sizeof(tail)}};
    auto io = test::make_context(backend);
    const Result result =
        test::result_of(io, [&](Request& r) { r.prepare_readv(file.fd(), vectors, 2, 1); });
    REQUIRE(result.bytes() == 9);
    REQUIRE(std::memcmp(head, "1234", 4) == 0);
    REQUIRE(std::memcmp(tail, "56789\0", 6) == 0);
}

TEST_EACH_BACKEND("a read of more than 2 GiB is continued: pointer, offset and length advance",
                  "[transfers][A12][F6][F8][defect-3][defect-9][scenario-15]") {
    const std::uint64_t seed = test::announced_seed("long read");
    const test::Fd file = make_long_file(seed);
    FoldedMemory memory(kLong);
    for (const std::uint64_t at : kMarked)
        memory.unfold(at);
    auto io = test::make_context(backend);
    const Result result = test::result_of(
        io, [&](Request& r) { r.prepare_read(file.get(), memory.data(), kLong, 0); });
    REQUIRE(result.raw() == static_cast<std::int64_t>(kLong));
    require_marks(memory.data(), seed);
    test::settle(io);
    const Stats stats = io.stats();
    REQUIRE(stats.continuations >= 1);
    REQUIRE(stats.bytes_read == kLong);
    REQUIRE(stats.completed == 1);
    REQUIRE(stats.free_slots == stats.depth);
}

TEST_EACH_BACKEND("a vectored read of more than 2 GiB is continued in the middle of a vector",
                  "[transfers][A12][B7][F6][defect-3]") {
    const std::uint64_t seed = test::announced_seed("long vectored read");
    const test::Fd file = make_long_file(seed);
    FoldedMemory memory(kLong);
    for (const std::uint64_t at : kMarked)
        memory.unfold(at);
    constexpr std::uint64_t kFirst = 3 * kMiB + 5;
    const iovec vectors[] = {{memory.data(), kFirst},
                             {memory.data() + kFirst, 2 * kGiB},
                             {memory.data() + kFirst + 2 * kGiB, kLong - kFirst - 2 * kGiB}};
    auto io = test::make_context(backend);
    const Result result =
        test::result_of(io, [&](Request& r) { r.prepare_readv(file.get(), vectors, 3, 0); });
    REQUIRE(result.raw() == static_cast<std::int64_t>(kLong));
    require_marks(memory.data(), seed);
    REQUIRE(vectors[1].iov_base == memory.data() + kFirst);
    REQUIRE(vectors[1].iov_len == 2 * kGiB);
}

TEST_EACH_BACKEND("offsets above 2 and 4 GiB are exact", "[transfers][A12][defect-9]") {
    test::TempFile file(6 * kGiB);
    const std::uint64_t offsets[] = {2 * kGiB - 8, 2 * kGiB, 4 * kGiB - 8, 4 * kGiB + 5};
    auto io = test::make_context(backend);
    for (const std::uint64_t& offset : offsets)
        REQUIRE(test::result_of(io, [&](Request& r) {
                    r.prepare_write(file.fd(), &offset, sizeof(offset), offset);
                }).bytes() == sizeof(offset));
    for (const std::uint64_t offset : offsets) {
        std::uint64_t stored = 0;
        file.get(&stored, sizeof(stored), offset);
        REQUIRE(stored == offset);
        stored = 0;
        REQUIRE(test::result_of(io, [&](Request& r) {
                    r.prepare_read(file.fd(), &stored, sizeof(stored), offset);
                }).bytes() == sizeof(stored));
        REQUIRE(stored == offset);
    }
}

TEST_EACH_BACKEND("a read of a pipe is not continued", "[transfers]") {
    test::Pipe pipe;
    pipe.feed("hello", 5);
    char in[64] = {};
    auto io = test::make_context(backend);
    test::PipeEnder ender(pipe);
    const Result some = test::result_of(
        io, [&](Request& r) { r.prepare_read(pipe.read_end(), in, sizeof(in), 0); });
    REQUIRE(some.bytes() == 5);
    REQUIRE(std::memcmp(in, "hello", 5) == 0);
    pipe.close_write_end();
    REQUIRE(test::result_of(io, [&](Request& r) {
                r.prepare_read(pipe.read_end(), in, sizeof(in), 0);
            }).raw() == 0);
    REQUIRE(io.stats().continuations == 0);
}

TEST_EACH_BACKEND("a read of a socket is not continued", "[transfers]") {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const test::Fd ours(ends[0]);
    const test::Fd theirs(ends[1]);
    REQUIRE(::send(theirs.get(), "abc", 3, 0) == 3);
    char in[64] = {};
    auto io = test::make_context(backend);
    const Result some =
        test::result_of(io, [&](Request& r) { r.prepare_read(ours.get(), in, sizeof(in), 0); });
    REQUIRE(some.bytes() == 3);
    REQUIRE(io.stats().continuations == 0);
}

TEST_EACH_BACKEND("a write to a full file system is short, then ENOSPC",
                  "[transfers][kernel-6][scenario-13]") {
    test::Fd file = test::open_on_small_file_system(kMiB);
    if (!file.valid())
        SKIP_TEST("this user may not make a file system (fsopen needs CAP_SYS_ADMIN)");
    std::vector<unsigned char> data(2 * kMiB, 0x77);
    auto io = test::make_context(backend);
    const Result some = test::result_of(
        io, [&](Request& r) { r.prepare_write(file.get(), data.data(), data.size(), 0); });
    REQUIRE(some.ok());
    REQUIRE(some.bytes() > 0);
    REQUIRE(some.bytes() < data.size());
    REQUIRE(some.bytes() % kBlock == 0);
    const Result none = test::result_of(io, [&](Request& r) {
        r.prepare_write(file.get(), data.data(), data.size(), some.bytes());
    });
    REQUIRE(none.error() == ENOSPC);
    std::vector<unsigned char> back(some.bytes());
    const Result read = test::result_of(
        io, [&](Request& r) { r.prepare_read(file.get(), back.data(), back.size(), 0); });
    REQUIRE(read.bytes() == back.size());
    REQUIRE(std::equal(back.begin(), back.end(), data.begin()));
}

TEST_EACH_BACKEND("a write beyond RLIMIT_FSIZE is short, then EFBIG",
                  "[transfers][kernel-10][scenario-17]") {
    const test::ChildOutcome child = test::run_child([backend] {
        ::signal(SIGXFSZ, SIG_IGN);  // the kernel's default is to end the process
        const rlimit limit{kMiB, kMiB};
        CHILD_CHECK(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
        const test::TempFile file;
        const std::vector<unsigned char> data(2 * kMiB, 0x44);
        Options options;
        options.backend = backend;
        auto io = test::Context::create(options);
        CHILD_CHECK(io);
        for (const std::uint64_t offset : {std::uint64_t{0}, kMiB}) {
            test::KeptEvent event;
            event.prepare_write(file.fd(), data.data(), data.size(), offset);
            CHILD_CHECK(io->submit(event));
            event.callback.done.wait();
            std::printf("at %llu: %lld\n", static_cast<unsigned long long>(offset),
                        static_cast<long long>(event.result));
            CHILD_CHECK(event.result == (offset == 0 ? static_cast<std::int64_t>(kMiB) : -EFBIG));
        }
        CHILD_CHECK(io->shutdown().clean);
        return 0;
    });
    INFO(child.output);
    REQUIRE(child.exit_code == 0);
}

TEST_EACH_BACKEND("a request reports bytes, never the number of events", "[transfers][defect-13]") {
    test::TempFile file(kBlock);
    std::vector<unsigned char> in(777);
    auto io = test::make_context(backend);
    for (int i = 0; i < 10; ++i)
        REQUIRE(test::result_of(io, [&](Request& r) {
                    r.prepare_read(file.fd(), in.data(), in.size(), 0);
                }).bytes() == in.size());
    REQUIRE(io.stats().bytes_read == 10 * in.size());
}
