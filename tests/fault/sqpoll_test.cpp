// SPDX-License-Identifier: MIT
//
// Goal: what the kernel's thread was shown is never taken back while that thread lives, whatever
// the call that wakes it answers; if it is gone, what it has not taken comes back. Method:
// LinuxUring by itself, in a forked child. The thread has fallen asleep when seccomp begins to
// answer io_uring_enter(2) with an error, as no kernel at hand would; it is woken by a thread that
// was there before, to which the filter does not apply.

#include "drivers/uring/uring_kernel.hpp"
#include "drivers/uring/uring_probe.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kFirst = 11;

UringRingSetup small_ring() {
    UringRingSetup ring;
    ring.sq_entries = 8;
    ring.cq_entries = 16;
    ring.sqpoll = true;
    ring.sqpoll_idle_ms = 1;
    return ring;
}

void require_seccomp_and_sqpoll() {
    test::require_backend(Backend::uring);
    test::require_deny();
    LinuxUring kernel;
    UringRingSetup ring = small_ring();
    const int rc = set_up_ring(kernel, ring);
    if (rc != 0)
        SKIP_TEST("io_uring_setup with SQPOLL: " + std::string(std::strerror(-rc)));
}

// A ring of eight entries whose thread of the kernel's sleeps, and a zero-length read to put in.
class Polled {
  public:
    Polled() {
        UringRingSetup ring = small_ring();
        CHILD_CHECK(set_up_ring(kernel, ring) == 0);
        CHILD_CHECK(ring.sqpoll);
        CHILD_CHECK(ring.sq_entries == 8);
        test::wait_until([] { return test::threads_named("iou-sqp").size() == 1; },
                         "waiting for the kernel's thread");
    }

    void put(std::uint64_t user_data) {
        io_uring_sqe* const sqe = kernel.next_sqe();
        CHILD_CHECK(sqe != nullptr);
        ::io_uring_prep_read(sqe, null_.get(), nullptr, 0, 0);
        sqe->user_data = user_data;
    }
    void wait_until_asleep() {
        std::vector<test::ThreadUse> before;
        do {
            before = test::threads_named("iou-sqp");
            std::this_thread::sleep_for(20ms);
        } while (!(before == test::threads_named("iou-sqp")));
    }
    std::vector<std::uint64_t> withdraw() {
        std::vector<std::uint64_t> taken;
        kernel.withdraw([&taken](std::uint64_t user_data) { taken.push_back(user_data); });
        return taken;
    }
    // Completions in the order in which they came.
    std::vector<std::uint64_t> completions(std::size_t count) {
        std::vector<std::uint64_t> found;
        test::wait_until(
            [&] {
                UringEvent event;
                while (kernel.peek(1, &event) == 1) {
                    CHILD_CHECK(event.result == 0);
                    found.push_back(event.user_data);
                }
                return found.size() >= count;
            },
            "waiting for completions");
        return found;
    }

    LinuxUring kernel;

  private:
    test::Fd null_{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
};

// A thread that was there before the filter, and wakes the kernel's when it is told to.
class Waker {
  public:
    explicit Waker(int ring_fd)
        : thread_([this, ring_fd] {
              told_.wait("waiting to be told");
              ::syscall(SYS_io_uring_enter, ring_fd, 0, 0, IORING_ENTER_SQ_WAKEUP, nullptr, 0);
          }) {}
    void wake() {
        told_.count_down();
        thread_.join();
    }

  private:
    test::Latch told_{1};
    std::thread thread_;
};

void require_succeeds(void (*body)()) {
    const test::ChildOutcome child = test::run_child([body] {
        body();
        return 0;
    });
    INFO(child.output);
    REQUIRE(child.signal == 0);
    REQUIRE(child.exit_code == 0);
}

void keep_what_was_shown() {
    Polled ring;
    Waker waker(ring.kernel.fd());
    ring.wait_until_asleep();
    test::deny({{"io_uring_enter", EPERM}});
    ring.put(kFirst);
    ring.put(kFirst + 1);
    CHILD_CHECK(ring.kernel.submit() == -EAGAIN);
    CHILD_CHECK(ring.kernel.unsubmitted() == 2);
    CHILD_CHECK(ring.kernel.submit() == -EAGAIN);
    // A third has not been shown: it alone comes back.
    ring.put(kFirst + 2);
    CHILD_CHECK((ring.withdraw() == std::vector<std::uint64_t>{kFirst + 2}));
    CHILD_CHECK(ring.withdraw().empty());
    CHILD_CHECK(ring.kernel.unsubmitted() == 2);
    CHILD_CHECK(ring.kernel.room() == 6);
    waker.wake();
    CHILD_CHECK((ring.completions(2) == std::vector<std::uint64_t>{kFirst, kFirst + 1}));
    // Nobody has to be woken any more.
    CHILD_CHECK(ring.kernel.submit() == 2);
    CHILD_CHECK(ring.kernel.unsubmitted() == 0);
    CHILD_CHECK(ring.kernel.room() == 8);
}

void take_back_from_a_dead_thread() {
    Polled ring;
    ring.put(kFirst);
    CHILD_CHECK(ring.kernel.submit() == 1);
    CHILD_CHECK((ring.completions(1) == std::vector<std::uint64_t>{kFirst}));
    ring.wait_until_asleep();
    test::deny({{"io_uring_enter", EOWNERDEAD}});
    ring.put(kFirst + 1);
    CHILD_CHECK(ring.kernel.submit() == -EOWNERDEAD);
    ring.put(kFirst + 2);
    CHILD_CHECK((ring.withdraw() == std::vector<std::uint64_t>{kFirst + 1, kFirst + 2}));
    CHILD_CHECK(ring.kernel.unsubmitted() == 0);
    CHILD_CHECK(ring.kernel.room() == 8);
}

}  // namespace

TEST_CASE("what the kernel's thread was shown stays with it when it cannot be woken",
          "[fault][ring_modes][G7][G8]") {
    require_seccomp_and_sqpoll();
    require_succeeds(keep_what_was_shown);
}

TEST_CASE("what a kernel's thread that is gone has not taken comes back",
          "[fault][ring_modes][G7]") {
    require_seccomp_and_sqpoll();
    require_succeeds(take_back_from_a_dead_thread);
}
