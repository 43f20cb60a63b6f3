// SPDX-License-Identifier: MIT
//
// Goal: what a ring with IORING_SETUP_IOPOLL does on a device with poll queues and on one without:
// the ground on which a polled mode of the engine stands.
// Method: liburing alone, without the engine. IOENGINE_TEST_POLLED names a device that has poll
// queues and is otherwise idle, IOENGINE_TEST_NOT_POLLED one that has none.

#include "tests/support/blocks.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <liburing.h>
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
        ::io_uring_prep_read(::io_uring_get_sqe(&ring_), fd, memory, kBlock, offset);
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

// Whether it is of the kernels that refuse to poll a queue that cannot be polled: from Linux 6.6
// to 6.14 each read says so; before and after they are served by interrupts.
bool refuses_to_poll() {
    utsname about{};
    unsigned major = 0;
    unsigned minor = 0;
    REQUIRE(::uname(&about) == 0);
    REQUIRE(std::sscanf(about.release, "%u.%u", &major, &minor) == 2);
    return major == 6 && minor >= 6 && minor <= 14;
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

TEST_CASE("a polled ring on a device without poll queues is refused by Linux 6.6 to 6.14, by each "
          "read, and served by others",
          "[polled][G7][kernel-7]") {
    const std::string path = device("IOENGINE_TEST_NOT_POLLED");
    const test::Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    REQUIRE(fd.valid());
    auto memory = *ioengine::AlignedBuffer::create(kBlock);
    PolledRing ring;
    const int expected = refuses_to_poll() ? -EOPNOTSUPP : static_cast<int>(kBlock);
    REQUIRE(ring.read(fd.get(), memory.data(), 0) == expected);
}
