// SPDX-License-Identifier: MIT
//
// Goal: what a ring with IORING_SETUP_IOPOLL does on a device with poll queues and on one without,
// which is the ground on which drivers/uring/polled_driver.hpp stands; and that with the engine,
// too, no interrupt comes.
// Method: liburing alone, and the engine. IOENGINE_TEST_POLLED names a device that has poll
// queues and is otherwise idle, IOENGINE_TEST_NOT_POLLED one that has none.

#include "tests/support/blocks.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <liburing.h>
#include <poll.h>
#include <sstream>
#include <string>
#include <sys/utsname.h>
#include <unistd.h>

using test::kBlock;

namespace {

constexpr unsigned kReads = 100;

std::string device(const char* variable) {
    const char* const path = std::getenv(variable);
    if (path == nullptr)
        SKIP_TEST(std::string(variable) + " names no device: only in a guest of tests/guests");
    return path;
}

class PolledRing {
  public:
    PolledRing() { REQUIRE(::io_uring_queue_init(8, &ring_, IORING_SETUP_IOPOLL) == 0); }
    PolledRing(const PolledRing&) = delete;
    PolledRing& operator=(const PolledRing&) = delete;
    ~PolledRing() { ::io_uring_queue_exit(&ring_); }

    int read(int fd, void* memory, std::uint64_t offset) {
        return result_of(
            [&](io_uring_sqe* sqe) { ::io_uring_prep_read(sqe, fd, memory, kBlock, offset); });
    }
    template <class Prepare>
    int result_of(Prepare&& prepare) {
        prepare(::io_uring_get_sqe(&ring_));
        REQUIRE(::io_uring_submit(&ring_) == 1);
        io_uring_cqe* completion = nullptr;
        REQUIRE(::io_uring_wait_cqe(&ring_, &completion) == 0);
        const int result = completion->res;
        ::io_uring_cqe_seen(&ring_, completion);
        return result;
    }

  private:
    io_uring ring_{};
};

// How often this device's queues have interrupted; `name` is such as "nvme1".
std::uint64_t interrupts_of(const std::string& name) {
    std::ifstream file("/proc/interrupts");
    std::uint64_t all = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.find(name + 'q') == std::string::npos)
            continue;
        std::istringstream words(line);
        std::string number;
        words >> number;
        for (std::uint64_t count = 0; words >> count;)
            all += count;
    }
    return all;
}

// "nvme1" for a link to /dev/nvme1n1.
std::string controller_of(const std::string& path) {
    char target[64] = {};
    REQUIRE(::readlink(path.c_str(), target, sizeof target - 1) > 0);
    const std::string name = std::string(target).substr(std::string("/dev/").size());
    return name.substr(0, name.find('n', 1));
}

// Whether it is of the kernels that refuse to poll a queue that cannot be polled: since Linux 6.6
// each read says so (seen on 6.12; on 6.18 on a file); before, they are served by interrupts.
bool refuses_to_poll() {
    utsname about{};
    unsigned major = 0;
    unsigned minor = 0;
    REQUIRE(::uname(&about) == 0);
    REQUIRE(std::sscanf(about.release, "%u.%u", &major, &minor) == 2);
    return major > 6 || (major == 6 && minor >= 6);
}

}  // namespace

TEST_CASE("a polled ring reads from a device with poll queues, and no interrupt comes",
          "[polled][G7][kernel-7]") {
    const std::string path = device("IOENGINE_TEST_POLLED");
    const test::Fd fd(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    REQUIRE(fd.valid());
    auto memory = *ioengine::AlignedBuffer::create(kBlock);
    for (unsigned i = 0; i < kReads; ++i) {
        test::fill_pattern(memory.data(), kBlock, i);
        REQUIRE(::pwrite(fd.get(), memory.data(), kBlock, static_cast<off_t>(i * kBlock)) ==
                static_cast<ssize_t>(kBlock));
    }
    const std::string controller = controller_of(path);
    const std::uint64_t before = interrupts_of(controller);
    REQUIRE(before > 0);  // of the writes
    PolledRing ring;
    for (unsigned i = 0; i < kReads; ++i) {
        REQUIRE(ring.read(fd.get(), memory.data(), i * kBlock) == static_cast<int>(kBlock));
        REQUIRE(test::has_pattern(memory.data(), kBlock, i));
    }
    REQUIRE(interrupts_of(controller) == before);
}

TEST_CASE("a polled ring takes no flush, no poll and no cancellation, and no buffered file",
          "[polled][G7]") {
    const std::string path = device("IOENGINE_TEST_POLLED");
    const test::Fd direct(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    const test::Fd buffered(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(direct.valid());
    REQUIRE(buffered.valid());
    auto memory = *ioengine::AlignedBuffer::create(kBlock);
    PolledRing ring;
    CHECK(ring.result_of([&](io_uring_sqe* sqe) { ::io_uring_prep_fsync(sqe, direct.get(), 0); }) ==
          -EINVAL);
    CHECK(ring.result_of([&](io_uring_sqe* sqe) {
        ::io_uring_prep_poll_add(sqe, direct.get(), POLLIN);
    }) == -EINVAL);
    CHECK(ring.result_of([](io_uring_sqe* sqe) { ::io_uring_prep_cancel64(sqe, 1, 0); }) ==
          -EINVAL);
    CHECK(ring.read(buffered.get(), memory.data(), 0) == -EOPNOTSUPP);
}

TEST_CASE("with RingMode::iopoll the engine reads and writes without an interrupt",
          "[polled][iopoll][G7]") {
    const std::string path = device("IOENGINE_TEST_POLLED");
    const test::Fd fd(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    REQUIRE(fd.valid());
    auto memory = *ioengine::AlignedBuffer::create(kReads * kBlock);
    const auto at = [&memory](unsigned i) { return memory.data() + i * kBlock; };
    const std::string controller = controller_of(path);
    for (const ioengine::RingMode ring :
         {ioengine::RingMode::iopoll, ioengine::RingMode::iopoll_sqpoll})
        for (const ioengine::Threading threading :
             {ioengine::Threading::owner, ioengine::Threading::caller}) {
            INFO("ring mode " << static_cast<int>(ring) << ", threading "
                              << static_cast<int>(threading));
            ioengine::Options options;
            options.ring = ring;
            options.threading = threading;
            auto io = test::make_context(ioengine::Backend::uring, options);
            ioengine::Request first;
            first.prepare_read(fd.get(), at(0), kBlock, 0);
            REQUIRE(io.perform(first));
            REQUIRE(io.stats().polled == 1);
            const std::uint64_t before = interrupts_of(controller);
            REQUIRE(before > 0);
            for (const bool writes : {true, false}) {
                ioengine::Group group(io);
                for (unsigned i = 0; i < kReads; ++i) {
                    const ioengine::Bytes bytes(at(i), kBlock);
                    if (writes)
                        test::fill_pattern(at(i), kBlock, 7000 + i);
                    else
                        std::memset(at(i), 0, kBlock);
                    REQUIRE((writes ? group.write(fd.get(), bytes, i * kBlock)
                                    : group.read(fd.get(), bytes, i * kBlock)));
                }
                REQUIRE(group.wait() == ioengine::ErrorCode::none);
                for (unsigned i = 0; i < kReads; ++i)
                    REQUIRE(test::has_pattern(at(i), kBlock, 7000 + i));
            }
            REQUIRE(interrupts_of(controller) == before);
            REQUIRE(io.stats().polled == 1 + 2 * kReads);
            REQUIRE(io.shutdown().clean);
        }
}

TEST_CASE("a polled ring on a device without poll queues is refused since Linux 6.6, by each read, "
          "and served before",
          "[polled][G7][kernel-7]") {
    const std::string path = device("IOENGINE_TEST_NOT_POLLED");
    const test::Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    REQUIRE(fd.valid());
    auto memory = *ioengine::AlignedBuffer::create(kBlock);
    PolledRing ring;
    const int expected = refuses_to_poll() ? -EOPNOTSUPP : static_cast<int>(kBlock);
    REQUIRE(ring.read(fd.get(), memory.data(), 0) == expected);
}
