// SPDX-License-Identifier: MIT
//
// Goal: ten thousand requests on a ring of 64 submission and 128 completion entries all complete,
// each once; a submission ring that is full is neither spun upon nor reorders a class; completions
// that spill over are counted and fetched; nothing grows with the number of requests.
// Method: a forked child in which seccomp answers ENOMEM to every ring of more than 64 entries, as
// a small limit of locked memory does, in each threading, with the kernel taking submissions as
// well. First requests that end inside the submit call: their order is the order of submission.
// Then reads of one pipe that all wait in the kernel at once, until one write ends
// them all. Where the engine cannot reap meanwhile, because a callback holds it, the completion
// ring must have spilled over.

#include "tests/engine/children.hpp"
#include "tests/support/support.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using namespace test::children;

namespace {

constexpr std::uint32_t kMany = 10'000;
constexpr std::uint64_t kRingEntriesMax = 64;

struct Setting {
    const char* name;
    Threading threading;
    RingMode ring;
    const char* disable;
    // DEFER_TASKRUN posts a few completions at a time, when the one thread asks for them.
    bool spills;
};

const Setting kSettings[] = {
    {"split", Threading::split, RingMode::interrupts, nullptr, true},
    {"split, one by one", Threading::split, RingMode::interrupts, "submit_all,sized_cq", true},
    {"owner", Threading::owner, RingMode::interrupts, nullptr, false},
    {"owner, older kernel", Threading::owner, RingMode::interrupts, "single_issuer,defer_taskrun",
     true},
    {"caller", Threading::caller, RingMode::interrupts, nullptr, false},
    {"caller, older kernel", Threading::caller, RingMode::interrupts, "ext_arg", true},
    {"split, SQPOLL", Threading::split, RingMode::sqpoll, nullptr, true},
    {"owner, SQPOLL", Threading::owner, RingMode::sqpoll, nullptr, true},
    {"caller, SQPOLL", Threading::caller, RingMode::sqpoll, nullptr, true},
};

// Who runs callbacks is one thread at a time, so they need no lock; the latch publishes.
struct Notices {
    explicit Notices(std::size_t count) : seen(count), done(count) { order.reserve(count); }
    std::vector<std::uint8_t> seen;
    std::vector<std::uint32_t> order;
    std::size_t wrong_results = 0;
    bool holds_first = false;  // the first callback waits for go_on
    test::Latch first{1};
    test::Latch go_on{1};
    test::Latch done;
};

struct Noted {
    Notices* notices = nullptr;
    std::uint32_t index = 0;
    void operator()(Result result) const noexcept {
        notices->wrong_results += result.raw() == 1 ? 0 : 1;
        ++notices->seen[index];
        notices->order.push_back(index);
        if (notices->order.size() == 1 && notices->holds_first) {
            notices->first.count_down();
            notices->go_on.wait("waiting for the test to let the engine go");
        }
        notices->done.count_down();
    }
};
using NotedEvent = IOEvent<Noted>;

void check(const Notices& notices) {
    CHILD_CHECK(notices.wrong_results == 0);
    CHILD_CHECK(notices.order.size() == kMany);
    for (const std::uint8_t count : notices.seen)
        CHILD_CHECK(count == 1);
}

// Each of one byte, all into the same place.
void submit_reads(test::Context& io, int fd, std::vector<NotedEvent>& events, Notices& notices,
                  char& byte) {
    for (std::uint32_t i = 0; i < kMany; ++i) {
        events[i].callback = {&notices, i};
        events[i].prepare_read(fd, &byte, 1, 0);
        CHILD_CHECK(io.submit(events[i]));
    }
}

// Threading::caller: the thread that drives, until the context says that it is over.
class Driver {
  public:
    explicit Driver(test::Context& io)
        : thread_([&io] {
              while (io.run_once().code == ErrorCode::none) {
              }
          }) {}
    ~Driver() { thread_.join(); }

  private:
    std::thread thread_;
};

// Reads of /dev/zero end as they are submitted. The first callback holds whoever runs it; a
// submitter goes on meanwhile.
void go_in_order(test::Context& io, std::vector<NotedEvent>& events, bool has_two_threads) {
    const test::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    Notices notices(kMany);
    notices.holds_first = true;
    char byte = 1;
    submit_reads(io, zero.get(), events, notices, byte);
    notices.first.wait();
    if (has_two_threads)
        test::wait_until([&io] { return io.stats().queued_read == 0; },
                         "waiting for all reads to be in the kernel");
    notices.go_on.count_down();
    notices.done.wait();
    check(notices);
    for (std::uint32_t i = 0; i < kMany; ++i)
        CHILD_CHECK(notices.order[i] == i);
}

// They all wait for a pipe. The first byte makes one of them hold whoever runs callbacks, the
// others come while it is held. Where that is the thread that the kernel would interrupt to read
// them, they are read when it is let go; else somebody reads them at once.
void wait_all_at_once(test::Context& io, std::vector<NotedEvent>& events, bool read_by_others) {
    test::Pipe pipe;
    Notices notices(kMany);
    notices.holds_first = true;
    char byte = 1;
    submit_reads(io, pipe.read_end(), events, notices, byte);
    test::wait_until([&io] { return io.stats().free_slots == 0; },
                     "waiting for all reads to be in the kernel");
    const std::vector<char> bytes(kMany, 'x');
    pipe.feed(bytes.data(), 1);
    notices.first.wait();
    pipe.feed(bytes.data(), kMany - 1);
    int left = read_by_others ? 1 : 0;
    test::wait_until([&] { return left == 0 || ::ioctl(pipe.read_end(), FIONREAD, &left) != 0; },
                     "waiting for all bytes to be read");
    notices.go_on.count_down();
    notices.done.wait();
    check(notices);
}

void require_many_through_a_small_ring(const Setting& setting) {
    for (const char* const name : {"IOENGINE_THREADING", "IOENGINE_RING", "IOENGINE_LENDING"})
        ::unsetenv(name);
    // Else the kernel may make one large page of many small ones, also of those that nobody has
    // touched, while memory is measured (khugepaged).
    CHILD_CHECK(::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    test::deny({{"io_uring_setup", ENOMEM, 0, kRingEntriesMax + 1, true}});
    Options options = options_for(Backend::uring);
    options.depth = kMany;
    options.queue_limit = kMany;
    options.threading = setting.threading;
    options.ring = setting.ring;
    options.sqpoll_idle_ms = 1;
    options.disable = setting.disable;
    auto made = test::Context::create(options);
    if (!made)
        print(made.error());
    CHILD_CHECK(made);
    const auto report_text = to_text(made->report());
    std::printf("%s", report_text.c_str());
    const bool sized = setting.disable == nullptr || !std::strstr(setting.disable, "sized_cq");
    CHILD_CHECK(!sized || std::strstr(report_text.c_str(), "64 submission and 128 completion"));
    CHILD_CHECK(made->stats().depth == kMany);
    std::optional<Driver> driver;
    if (setting.threading == Threading::caller)
        driver.emplace(*made);
    constexpr int kRounds = 4;
    std::uint64_t bytes_half_way = 0;
    // Made once: glibc 2.36 hardly uses freed memory with an alignment again.
    std::vector<NotedEvent> events(kMany);
    for (int round = 0; round < kRounds; ++round) {
        go_in_order(*made, events, setting.threading == Threading::split);
        wait_all_at_once(*made, events,
                         setting.threading == Threading::split || setting.ring == RingMode::sqpoll);
        if (round == kRounds / 2 - 1)
            bytes_half_way = test::rss_bytes();
    }
    CHILD_CHECK(test::rss_bytes() < bytes_half_way + (1u << 20));
    const ShutdownReport report = made->shutdown();
    const Stats stats = made->stats();
    std::printf("overflows %llu, submit calls %llu, in vain %llu\n",
                static_cast<unsigned long long>(stats.cq_overflows),
                static_cast<unsigned long long>(stats.submit_calls),
                static_cast<unsigned long long>(stats.submit_retries));
    CHILD_CHECK(report.clean);
    CHILD_CHECK(stats.completed == kRounds * 2 * kMany);
    CHILD_CHECK(stats.free_slots == kMany);
    CHILD_CHECK(!setting.spills || stats.cq_overflows > 0);
    // No spinning on a full ring: each call takes a few, and hardly any is in vain.
    CHILD_CHECK(stats.submit_calls <= stats.completed / 4);
    CHILD_CHECK(stats.submit_retries < 100);
}

}  // namespace

TEST_CASE("ten thousand requests on a ring of 64 entries complete once each, in order",
          "[backlog][G3][H3]") {
    test::require_backend(Backend::uring);
    test::require_deny();
    for (const Setting& setting : kSettings) {
        INFO(setting.name);
        require_child_succeeds([&setting] { require_many_through_a_small_ring(setting); });
    }
}
