// SPDX-License-Identifier: MIT
//
// Goal: neither threads that end after they have submitted nor a storm of signals takes a request
// along.
// Method: many short-lived threads that submit one request each, also one the kernel cannot answer
// before they are gone; signals to the process, to the submitting thread and to the engine's
// threads while verified data moves.

#include "tests/support/support.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <sys/epoll.h>
#include <sys/eventfd.h>
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
    std::uint64_t rounds() const { return rounds_.load(); }

  private:
    void send() {
        const std::vector<test::ThreadUse> engine = test::threads_named("ioe-");
        while (!stop_.load()) {
            ::pthread_kill(victim_, SIGUSR1);
            for (const test::ThreadUse& thread : engine)
                ::syscall(SYS_tgkill, ::getpid(), thread.tid, SIGUSR1);
            rounds_.fetch_add(1);
            std::this_thread::sleep_for(100us);
        }
    }

    static std::atomic<std::uint64_t> received_;
    std::atomic<std::uint64_t> rounds_{0};
    pthread_t victim_;
    std::atomic<bool> stop_{false};
    std::thread sender_;
    struct sigaction old_alarm_ {};
    struct sigaction old_user_ {};
};
std::atomic<std::uint64_t> SignalStorm::received_{0};

}  // namespace

// How often epoll_wait(2) of a thread that has submitted fails with EINTR while its request, a read
// of a pipe, is completed elsewhere.
unsigned interrupted_waits(test::Context& io, unsigned rounds) {
    const test::Fd bell(::eventfd(0, EFD_CLOEXEC));
    const test::Fd poll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event interest{};
    interest.events = EPOLLIN;
    REQUIRE(::epoll_ctl(poll.get(), EPOLL_CTL_ADD, bell.get(), &interest) == 0);
    unsigned interrupted = 0;
    for (unsigned i = 0; i < rounds; ++i) {
        test::Pipe pipe;
        char byte = 0;
        const test::PipeEnder ender(pipe);
        const int rings = bell.get();
        REQUIRE(io.read(pipe.read_end(), {&byte, 1}, 0, [rings](Result) {
            const std::uint64_t one = 1;
            if (::write(rings, &one, sizeof one) != sizeof one)
                std::abort();
        }));
        std::thread feeder([&pipe] {
            std::this_thread::sleep_for(2ms);
            pipe.feed("x", 1);
        });
        epoll_event event{};
        int ready = 0;
        while ((ready = ::epoll_wait(poll.get(), &event, 1, -1)) < 0) {
            REQUIRE(errno == EINTR);
            ++interrupted;
        }
        REQUIRE(ready == 1);
        std::uint64_t rung = 0;
        REQUIRE(::read(bell.get(), &rung, sizeof rung) == sizeof rung);
        feeder.join();
        test::settle(io);  // the callback has returned: the pipe may go
    }
    return interrupted;
}

bool endangers_callers(const test::Context& io) {
    // With SQPOLL completions interrupt a thread of the kernel's.
    return io.report().backend == Backend::uring && test::in_force(io, "caller_lending") &&
           !test::in_force(io, "sqpoll");
}

TEST_EACH_BACKEND("no system call of a thread that submits is interrupted, unless it lends",
                  "[submitters][lending]") {
    for (const Lending lending : {Lending::none, Lending::callbacks, Lending::callers}) {
        Options options;
        options.lending = lending;
        auto io = test::make_context(backend, options);
        const unsigned interrupted = interrupted_waits(io, 100);
        // The danger that Options::lending tells of, and the reason why it is not the default.
        if (endangers_callers(io))
            REQUIRE(interrupted > 0);
        else
            REQUIRE(interrupted == 0);
    }
}

TEST_EACH_BACKEND("ten thousand threads that submit one read each and end disturb nobody",
                  "[submitters][kernel-3][scenario-5]") {
    constexpr std::size_t kThreads = test::kThreadSanitizer ? 1'000 : 10'000;
    constexpr std::size_t kAtOnce = 16;
    constexpr std::size_t kBlocks = 64;
    test::TempFile file(kBlocks * kBlock);
    auto buffers = AlignedBuffer::create(kThreads * kBlock);
    REQUIRE(buffers);
    std::vector<unsigned char> content(kBlock);
    for (std::size_t i = 0; i < kBlocks; ++i) {
        test::fill_pattern(content.data(), kBlock, i);
        file.put(content.data(), kBlock, i * kBlock);
    }
    test::Tracker tracker(kThreads);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    for (std::size_t i = 0; i < kThreads; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events[i]->prepare_read(file.direct_fd(), buffers->data() + i * kBlock, kBlock,
                                i % kBlocks * kBlock);
    }
    std::atomic<std::uint64_t> interrupted{0};
    std::size_t kernel_workers = 0;
    Options options;
    options.depth = 32;
    auto io = test::make_context(backend, options);
    for (std::size_t begin = 0; begin < kThreads; begin += kAtOnce) {
        std::vector<std::thread> threads;
        for (std::size_t i = begin; i < std::min(begin + kAtOnce, kThreads); ++i)
            threads.emplace_back([&, i] {
                tracker.submitted(i, io.submit_wait(*events[i]));
                // Long enough for its request to complete meanwhile, now and then.
                const timespec moment{0, 50'000};
                if (::nanosleep(&moment, nullptr) != 0 && errno == EINTR)
                    interrupted.fetch_add(1);
            });
        for (std::thread& thread : threads)
            thread.join();
        kernel_workers = std::max(kernel_workers, test::threads_named("iou-").size());
    }
    tracker.wait_for_notices();
    REQUIRE(tracker.accepted() == kThreads);
    tracker.require_exactly_once();
    if (!endangers_callers(io))
        REQUIRE(interrupted.load() == 0);
    // They belong to the thread that enters the ring, as many as requests are in flight: one pool
    // for each producer would be thousands.
    REQUIRE(kernel_workers <= 64);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < kThreads; ++i)
        wrong += tracker.result(i).raw() != static_cast<std::int64_t>(kBlock) ||
                 !test::has_pattern(buffers->data() + i * kBlock, kBlock, i % kBlocks);
    REQUIRE(wrong == 0);
}

TEST_EACH_BACKEND("a request outlives its thread even if the kernel answers later",
                  "[submitters][kernel-3][scenario-5][race]") {
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
                  "[submitters][F3][G4][kernel-10][defect-1][scenario-17]") {
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
        test::wait_until([&] { return storm.rounds() > 0; }, "waiting for the storm to begin");
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
    // ThreadSanitizer may keep signals back for a thread that does nothing but sleep and be woken.
    REQUIRE((signals > 0 || test::kThreadSanitizer));
    REQUIRE(tracker.accepted() == kRequests);
    tracker.require_exactly_once();
    for (std::size_t i = 0; i < kRequests; ++i)
        REQUIRE(tracker.result(i).raw() == (i % 5 == 4 ? 0 : static_cast<std::int64_t>(kBlock)));
    REQUIRE(test::has_pattern(buffers->data(), buffers->size(), 1));
}
