// SPDX-License-Identifier: MIT
//
// Goal: neither threads that end after they have submitted nor a storm of signals takes a request
// along.
// Method: many short-lived threads that submit one request each, also one the kernel cannot answer
// before they are gone; signals to the process, to the submitting thread and to the engine's
// threads while verified data moves.

#include "tests/support/support.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <sys/syscall.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kBlock = 4096;

// Lets SIGALRM and SIGUSR1 rain, with handlers that interrupt system calls, for a scope.
class SignalStorm {
  public:
    SignalStorm() : victim_(::pthread_self()) {
        struct sigaction action {};
        action.sa_handler = [](int) { received_.fetch_add(1, std::memory_order_relaxed); };
        ::sigemptyset(&action.sa_mask);
        action.sa_flags = 0;  // not SA_RESTART: that would hide what is to be seen
        ::sigaction(SIGALRM, &action, &old_alarm_);
        ::sigaction(SIGUSR1, &action, &old_user_);
        const itimerval often{{0, 300}, {0, 300}};
        ::setitimer(ITIMER_REAL, &often, nullptr);
        sender_ = std::thread([this] { send(); });
    }
    SignalStorm(const SignalStorm&) = delete;
    SignalStorm& operator=(const SignalStorm&) = delete;
    ~SignalStorm() {
        stop_.store(true);
        sender_.join();
        const itimerval never{};
        ::setitimer(ITIMER_REAL, &never, nullptr);
        std::this_thread::sleep_for(10ms);  // what is on its way still finds the handler
        ::sigaction(SIGALRM, &old_alarm_, nullptr);
        ::sigaction(SIGUSR1, &old_user_, nullptr);
    }
    static std::uint64_t received() { return received_.load(std::memory_order_relaxed); }

  private:
    void send() {
        const std::vector<test::ThreadUse> engine = test::threads_named("ioe-");
        while (!stop_.load()) {
            ::pthread_kill(victim_, SIGUSR1);
            for (const test::ThreadUse& thread : engine)
                ::syscall(SYS_tgkill, ::getpid(), thread.tid, SIGUSR1);
            std::this_thread::sleep_for(100us);
        }
    }

    static std::atomic<std::uint64_t> received_;
    pthread_t victim_;
    std::atomic<bool> stop_{false};
    std::thread sender_;
    struct sigaction old_alarm_ {};
    struct sigaction old_user_ {};
};
std::atomic<std::uint64_t> SignalStorm::received_{0};

}  // namespace

TEST_EACH_BACKEND("a thread may end after it has submitted: every notice arrives",
                  "[submitters][kernel-3]") {
    constexpr std::size_t kThreads = 200;
    test::TempFile file(kThreads * kBlock);
    std::vector<unsigned char> content(kBlock);
    auto buffers = AlignedBuffer::create(kThreads * kBlock);
    REQUIRE(buffers);
    for (std::size_t i = 0; i < kThreads; ++i) {
        test::fill_pattern(content.data(), kBlock, i);
        file.put(content.data(), kBlock, i * kBlock);
    }
    test::Tracker tracker(kThreads);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    auto io = test::make_context(backend, 16);
    for (std::size_t i = 0; i < kThreads; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events[i]->prepare_read(file.direct_fd(), buffers->data() + i * kBlock, kBlock, i * kBlock);
        std::thread([&, i] { tracker.submitted(i, io.submit(*events[i])); }).join();
    }
    tracker.wait_for_notices();
    REQUIRE(tracker.accepted() == kThreads);
    tracker.require_exactly_once();
    for (std::size_t i = 0; i < kThreads; ++i) {
        REQUIRE(tracker.result(i).raw() == kBlock);
        REQUIRE(test::has_pattern(buffers->data() + i * kBlock, kBlock, i));
    }
}

TEST_EACH_BACKEND("a request outlives its thread even if the kernel answers later",
                  "[submitters][kernel-3]") {
    constexpr std::size_t kThreads = 16;
    std::vector<test::Pipe> pipes(kThreads);
    char in[kThreads] = {};
    test::Tracker tracker(kThreads);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    auto io = test::make_context(backend, kThreads);
    std::vector<std::unique_ptr<test::PipeEnder>> enders;
    for (std::size_t i = 0; i < kThreads; ++i)
        enders.push_back(std::make_unique<test::PipeEnder>(pipes[i]));
    for (std::size_t i = 0; i < kThreads; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events[i]->prepare_read(pipes[i].read_end(), &in[i], 1, 0);
        std::thread([&, i] { tracker.submitted(i, io.submit(*events[i])); }).join();
    }
    std::this_thread::sleep_for(50ms);
    REQUIRE(tracker.accepted() == kThreads);
    REQUIRE(tracker.notices() == 0);
    for (std::size_t i = 0; i < kThreads; ++i)
        pipes[i].feed("z", 1);
    tracker.wait_for_notices();
    tracker.require_exactly_once();
    for (std::size_t i = 0; i < kThreads; ++i) {
        REQUIRE(tracker.result(i).raw() == 1);
        REQUIRE(in[i] == 'z');
    }
}

TEST_EACH_BACKEND("a storm of signals disturbs nothing",
                  "[submitters][F3][G4][kernel-10][defect-1]") {
    constexpr std::size_t kRequests = 3000;
    constexpr std::size_t kSlots = 64;
    test::TempFile file(kSlots * kBlock);
    auto buffers = AlignedBuffer::create(kSlots * kBlock);
    REQUIRE(buffers);
    test::fill_pattern(buffers->data(), buffers->size(), 1);
    file.put(buffers->data(), buffers->size(), 0);
    test::Tracker tracker(kRequests);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    std::uint64_t signals = 0;
    {
        auto io = test::make_context(backend, 8);
        const SignalStorm storm;
        const std::uint64_t before = SignalStorm::received();
        test::wait_until([&] { return SignalStorm::received() > before; },
                         "waiting for the storm to begin");
        for (std::size_t i = 0; i < kRequests; ++i) {
            const std::size_t place = i % kSlots * kBlock;
            events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
            if (i % 5 == 4)
                events[i]->prepare_fdatasync(file.fd());
            else
                events[i]->prepare_read(i % 2 == 0 ? file.direct_fd() : file.fd(),
                                        buffers->data() + place, kBlock, place);
            tracker.submitted(i, io.submit_wait(*events[i]));
        }
        tracker.wait_for_notices();
        REQUIRE(io.shutdown().clean);
        signals = SignalStorm::received() - before;
    }
    REQUIRE(signals > 0);
    REQUIRE(tracker.accepted() == kRequests);
    tracker.require_exactly_once();
    for (std::size_t i = 0; i < kRequests; ++i)
        REQUIRE(tracker.result(i).raw() == (i % 5 == 4 ? 0 : static_cast<std::int64_t>(kBlock)));
    REQUIRE(test::has_pattern(buffers->data(), buffers->size(), 1));
}
