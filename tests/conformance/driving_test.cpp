// SPDX-License-Identifier: MIT
//
// Goal: with Threading::caller a thread of the host's drives the context, and it alone hands over
// and runs callbacks; others submit and wait; nobody is forgotten, whoever sleeps where. With
// Threading::owner one thread of the engine does it.
// Method: a driver thread of the test's, producers beside it, epoll(7) on the descriptor that the
// context gives.

#include "tests/support/blocks.hpp"
#include "tests/support/support.hpp"

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <poll.h>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

using test::Blocks;
using test::kBlock;

Options driven(std::uint32_t depth = 16) {
    Options options;
    options.threading = Threading::caller;
    options.depth = depth;
    return options;
}

struct Count {
    std::atomic<int>* count;
    std::atomic<std::thread::id>* last;
    void operator()(Result) const noexcept {
        last->store(std::this_thread::get_id());
        count->fetch_add(1);
    }
};
using Counted = std::unique_ptr<IOEvent<Count>>;

// One for each block.
std::vector<Counted> submit_reads(test::Context& io, Blocks& blocks, Count count) {
    std::vector<Counted> events;
    for (std::size_t i = 0; i < blocks.count; ++i) {
        events.push_back(std::make_unique<IOEvent<Count>>(count));
        events.back()->prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
        REQUIRE(io.submit(*events.back()));
    }
    return events;
}

// Drives until the context says that it is over. Nobody else will have driven it.
class Driver {
  public:
    explicit Driver(test::Context& io)
        : thread_([this, &io] {
              RunReport report = io.run_once(Run::now);
              drives_.count_down();
              while (report.code == ErrorCode::none)
                  report = io.run_once();
              last_ = report.code;
          }) {
        drives_.wait();
    }
    ~Driver() {
        thread_.join();
        CHECK(last_ == ErrorCode::shutting_down);
    }

  private:
    test::Latch drives_{1};
    ErrorCode last_ = ErrorCode::none;
    std::thread thread_;
};

}  // namespace

TEST_EVERY_BACKEND("whoever drives hands over and runs callbacks, and nobody else does",
                   "[threading][H13]") {
    const std::uint64_t threads = test::thread_count();
    auto io = test::make_context(backend, driven());
    REQUIRE(test::thread_count() == threads);
    std::atomic<int> done{0};
    std::atomic<std::thread::id> last;
    IOEvent<Count> event(Count{&done, &last});
    event.prepare_nop();
    REQUIRE(io.submit(event));
    std::this_thread::sleep_for(5ms);
    REQUIRE(done == 0);
    std::uint64_t completed = 0;
    while (done == 0) {
        const RunReport report = io.run_once();
        REQUIRE(report.code == ErrorCode::none);
        completed += report.completed;
    }
    REQUIRE(completed == 1);
    REQUIRE(last.load() == std::this_thread::get_id());
    REQUIRE(io.run_once(Run::now).completed == 0);
    REQUIRE(io.shutdown().clean);
    REQUIRE(io.run_once().code == ErrorCode::shutting_down);
}

TEST_EACH_BACKEND("a driven context moves the right bytes", "[threading][H13]") {
    Blocks blocks(32);
    auto io = test::make_context(backend, driven(8));
    std::atomic<int> done{0};
    std::atomic<std::thread::id> last;
    const auto events = submit_reads(io, blocks, Count{&done, &last});
    while (done < 32)
        REQUIRE(io.run_once().code == ErrorCode::none);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(blocks.right(i));
}

TEST_EVERY_BACKEND("a thread that does not drive is told so", "[threading]") {
    auto io = test::make_context(backend, driven());
    REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    std::thread([&io] {
        CHECK(io.run_once().code == ErrorCode::wrong_thread);
        CHECK(io.run_for(1h).code == ErrorCode::wrong_thread);
    }).join();
    REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
}

TEST_EVERY_BACKEND("a callback that drives its own context would wait for itself", "[threading]") {
    auto io = test::make_context(backend, driven());
    ErrorCode code = ErrorCode::none;
    REQUIRE(io.nop([&](Result) noexcept { code = io.run_once().code; }));
    while (code == ErrorCode::none)
        REQUIRE(io.run_once().code == ErrorCode::none);
    REQUIRE(code == ErrorCode::would_deadlock);
}

TEST_EVERY_BACKEND("a context with threads of its own is not driven", "[threading]") {
    for (const Threading threading : {Threading::split, Threading::owner}) {
        if (threading == Threading::split && test::drives_contexts())
            continue;  // this suite makes another kind of it
        Options options;
        options.threading = threading;
        auto io = test::make_context(backend, options);
        REQUIRE(io.run_once().code == ErrorCode::unsupported);
        REQUIRE(io.completion_fd() < 0);
        REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    }
}

TEST_EVERY_BACKEND("others submit while the driver sleeps in the kernel", "[threading][H4][H5]") {
    constexpr std::size_t kThreads = 4;
    constexpr std::size_t kEach = 2000;
    test::Tracker tracker(kThreads * kEach);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    for (std::size_t i = 0; i < tracker.size(); ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events.back()->prepare_nop();
    }
    auto io = test::make_context(backend, driven());
    {
        const Driver driver(io);
        test::in_threads(kThreads, kEach, [&](std::size_t i) {
            if (i % 100 == 0)
                std::this_thread::sleep_for(100us);  // so that it falls asleep
            tracker.submitted(i, io.submit_wait(*events[i]));
        });
        tracker.wait_for_notices();
        std::thread([&io] { CHECK(io.shutdown().clean); }).join();
    }
    tracker.require_exactly_once();
    REQUIRE(tracker.refused() == 0);
}

TEST_EVERY_BACKEND("a loop over completion_fd() misses nothing", "[threading][H13]") {
    constexpr std::size_t kRequests = 3000;
    test::Tracker tracker(kRequests);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    for (std::size_t i = 0; i < kRequests; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events.back()->prepare_nop();
    }
    auto io = test::make_context(backend, driven());
    const int fd = io.completion_fd();
    REQUIRE(fd >= 0);
    REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    std::thread producer([&] {
        for (std::size_t i = 0; i < kRequests; ++i) {
            if (i % 20 == 0)
                std::this_thread::sleep_for(50us);
            tracker.submitted(i, io.submit_wait(*events[i]));
        }
    });
    while (tracker.notices() < kRequests) {
        pollfd watched{fd, POLLIN, 0};
        // A wake-up that is lost would last until the program's safety bound.
        REQUIRE(::poll(&watched, 1, static_cast<int>(test::kSafetyBound.count()) * 1000) == 1);
        REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    }
    producer.join();
    tracker.require_exactly_once();
    // And it is quiet when there is nothing to do.
    while (io.run_once(Run::now).completed != 0) {
    }
    pollfd watched{fd, POLLIN, 0};
    for (int looks = 0; ::poll(&watched, 1, 0) == 1 && looks < 10; ++looks)
        REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    REQUIRE(::poll(&watched, 1, 0) == 0);
}

TEST_EVERY_BACKEND("a thousand submissions ring a sleeping driver once", "[threading][H4]") {
    constexpr std::size_t kRequests = 1000;
    test::Tracker tracker(kRequests);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    auto io = test::make_context(backend, driven());
    REQUIRE(io.completion_fd() >= 0);
    while (io.run_once(Run::now).completed != 0) {
    }
    const std::uint64_t before = io.stats().submitter_wakes;
    // It has said that it sleeps, and its host does something else.
    std::thread([&] {
        for (std::size_t i = 0; i < kRequests; ++i) {
            events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
            events.back()->prepare_nop();
            tracker.submitted(i, io.submit(*events.back()));
        }
    }).join();
    REQUIRE(io.stats().submitter_wakes == before + 1);
    while (tracker.notices() < kRequests)
        REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    tracker.require_exactly_once();
    REQUIRE(tracker.refused() == 0);
}

TEST_EVERY_BACKEND("what a wait leaves to be done, the descriptor says", "[threading][wait]") {
    for (const bool waits : {true, false}) {
        auto io = test::make_context(backend, driven());
        const int fd = io.completion_fd();
        REQUIRE(fd >= 0);
        REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
        int first = 0;
        int done = 0;
        Request last;
        last.prepare_nop();
        REQUIRE(io.nop([&](Result) noexcept {
            ++first;
            REQUIRE(io.nop([&](Result) noexcept { ++done; }));
        }));
        REQUIRE(io.submit(last));
        if (waits)
            REQUIRE(io.wait(last) == ErrorCode::none);
        while (first == 0)
            REQUIRE(io.run_for(1us).code == ErrorCode::none);
        while (done == 0) {
            pollfd watched{fd, POLLIN, 0};
            REQUIRE(::poll(&watched, 1, static_cast<int>(test::kSafetyBound.count()) * 1000) == 1);
            REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
        }
    }
}

TEST_EVERY_BACKEND("a run whose time is over when it begins does one round", "[threading]") {
    auto io = test::make_context(backend, driven());
    int done = 0;
    REQUIRE(io.nop([&](Result) noexcept { ++done; }));
    while (done == 0)
        REQUIRE(io.run_for(0ns).code == ErrorCode::none);
    REQUIRE(io.shutdown().clean);
    REQUIRE(io.run_for(0ns).code == ErrorCode::shutting_down);
}

TEST_EVERY_BACKEND("a descriptor says what was submitted before it was asked for", "[threading]") {
    auto io = test::make_context(backend, driven());
    int done = 0;
    REQUIRE(io.nop([&](Result) noexcept { ++done; }));
    const int fd = io.completion_fd();
    REQUIRE(fd >= 0);
    while (done == 0) {
        pollfd watched{fd, POLLIN, 0};
        REQUIRE(::poll(&watched, 1, static_cast<int>(test::kSafetyBound.count()) * 1000) == 1);
        REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    }
}

TEST_EACH_BACKEND("a wait drives, and so does perform()", "[threading][wait]") {
    Blocks blocks(8);
    auto io = test::make_context(backend, driven(4));
    Request request;
    request.prepare_read(blocks.file.direct_fd(), blocks.at(0), kBlock, 0);
    REQUIRE(io.perform(request));
    REQUIRE(request.outcome().bytes() == kBlock);
    REQUIRE(blocks.right(0));
    Group group(io);
    for (std::size_t i = 1; i < blocks.count; ++i)
        REQUIRE(group.read(blocks.file.direct_fd(), Bytes(blocks.at(i), kBlock), i * kBlock));
    REQUIRE(group.wait() == ErrorCode::none);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(blocks.right(i));
}

TEST_EVERY_BACKEND("a driver that waits for room makes it", "[threading][D2]") {
    std::atomic<int> done{0};
    std::atomic<std::thread::id> last;
    std::vector<Counted> events;
    Options options = driven(1);
    options.queue_limit = 1;
    auto io = test::make_context(backend, options);
    REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    for (int i = 0; i < 50; ++i) {
        events.push_back(std::make_unique<IOEvent<Count>>(Count{&done, &last}));
        events.back()->prepare_nop();
        REQUIRE(
            (i % 2 == 0 ? io.submit_wait(*events.back()) : io.submit_wait_for(*events.back(), 1h)));
    }
    REQUIRE(done >= 48);
    REQUIRE(io.shutdown().clean);
    REQUIRE(done == 50);
    REQUIRE(last.load() == std::this_thread::get_id());
}

TEST_EACH_BACKEND("threads that do not drive may wait for one that does", "[threading][wait]") {
    Blocks blocks(4);
    auto io = test::make_context(backend, driven(4));
    {
        const Driver driver(io);
        std::atomic<int> wrong{0};
        std::vector<std::thread> waiting;
        for (std::size_t i = 0; i < blocks.count; ++i)
            waiting.emplace_back([&, i] {
                for (int round = 0; round < 200; ++round) {
                    Request request;
                    request.prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
                    wrong += !io.perform(request) ||
                             request.outcome().raw() != static_cast<std::int64_t>(kBlock);
                }
            });
        for (std::thread& thread : waiting)
            thread.join();
        REQUIRE(wrong == 0);
        REQUIRE(io.shutdown().clean);
    }
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(blocks.right(i));
}

TEST_EVERY_BACKEND("run_once() returns when a worker has run a callback", "[threading][delivery]") {
    auto workers = IOWorkers::create(2);
    REQUIRE(workers);
    Options options = driven();
    options.workers = &*workers;
    auto io = test::make_context(backend, options);
    test::Latch over(1);
    int wrong = 0;
    std::thread host([&] {
        for (int round = 0; round < 200; ++round) {
            std::atomic<bool> done{false};
            const auto callback = [&done, round](Result) noexcept {
                if (round % 20 == 0)
                    std::this_thread::sleep_for(2ms);  // so that the driver sleeps by then
                done = true;
            };
            wrong += !io.nop(callback);
            RunReport report;
            while (report.completed == 0 && report.code == ErrorCode::none)
                report = io.run_once();
            wrong += report.completed != 1 || !done;
        }
        wrong += !io.shutdown().clean;
        over.count_down();
    });
    over.wait("waiting for a driver that sleeps over what workers end");
    host.join();
    REQUIRE(wrong == 0);
}

TEST_EVERY_BACKEND(
    "whoever shuts down a context whose driver has stopped is told whom it waits for",
    "[threading][shutdown]") {
    std::atomic<int> named{0};
    Options options = driven();
    options.log_user = &named;
    options.log = [](void* user, LogLevel, const char* message) {
        if (std::strstr(message, "the thread that drives this context") != nullptr)
            ++*static_cast<std::atomic<int>*>(user);
    };
    auto io = test::make_context(backend, options);
    REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    ShutdownReport report;
    std::thread([&] { report = io.shutdown(0ms); }).join();
    REQUIRE_FALSE(report.clean);
    REQUIRE(report.code == ErrorCode::timed_out);
    REQUIRE(named == 1);
    // It comes back, after all.
    REQUIRE(io.shutdown().clean);
    REQUIRE(named == 1);
}

TEST_EVERY_BACKEND("no descriptor is made for a context that has been shut down", "[threading]") {
    auto io = test::make_context(backend, driven());
    REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    REQUIRE(io.shutdown().clean);
    REQUIRE(io.completion_fd() < 0);
}

TEST_EVERY_BACKEND("the driver's wait ends when workers have run its callbacks",
                   "[threading][wait]") {
    auto workers = IOWorkers::create(1);
    REQUIRE(workers);
    Options options = driven();
    options.workers = &*workers;
    auto io = test::make_context(backend, options);
    struct Late {
        bool* ran;
        void operator()(Result) const noexcept {
            std::this_thread::sleep_for(2ms);  // so that the driver falls asleep
            *ran = true;
        }
    };
    for (int round = 0; round < 5; ++round) {
        bool ran = false;
        IOEvent<Late> event(Late{&ran});
        event.prepare_nop();
        Group group(io);
        REQUIRE(group.submit(event));
        REQUIRE(group.wait() == ErrorCode::none);
        REQUIRE(ran);
    }
}

TEST_EACH_BACKEND("the descriptor tells of requests that went as one", "[threading][merge]") {
    Blocks blocks(8);
    Options options = driven(2);
    options.merge = true;
    auto io = test::make_context(backend, options);
    const int fd = io.completion_fd();
    REQUIRE(fd >= 0);
    std::atomic<int> done{0};
    std::atomic<std::thread::id> last;
    const auto events = submit_reads(io, blocks, Count{&done, &last});
    while (done < 8) {
        pollfd watched{fd, POLLIN, 0};
        REQUIRE(::poll(&watched, 1, static_cast<int>(test::kSafetyBound.count()) * 1000) == 1);
        REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    }
    REQUIRE(io.stats().merged == 7);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(blocks.right(i));
}

TEST_EVERY_BACKEND("whoever polls is told that it is over", "[threading][H4]") {
    for (int round = 0; round < 20; ++round) {
        auto io = test::make_context(backend, driven());
        const int fd = io.completion_fd();
        REQUIRE(fd >= 0);
        RunReport report = io.run_once(Run::now);  // or the closer would be the driver
        bool clean = false;
        std::thread closer([&] { clean = io.shutdown().clean; });
        while (report.code == ErrorCode::none) {
            pollfd watched{fd, POLLIN, 0};
            REQUIRE(::poll(&watched, 1, static_cast<int>(test::kSafetyBound.count()) * 1000) == 1);
            report = io.run_once(Run::now);
        }
        closer.join();
        REQUIRE(clean);
        REQUIRE(report.code == ErrorCode::shutting_down);
    }
}

TEST_EVERY_BACKEND("run_for() ends with its time", "[threading]") {
    auto io = test::make_context(backend, driven());
    const auto begun = std::chrono::steady_clock::now();
    REQUIRE(io.run_for(20ms).code == ErrorCode::none);
    REQUIRE(std::chrono::steady_clock::now() - begun >= 20ms);
}

TEST_EACH_BACKEND("a wait of the driver ends with its limit", "[threading][wait]") {
    if (backend == Backend::aio)
        SKIP_TEST("AIO waits for a pipe inside the submit call");
    test::Pipe pipe;
    char byte = 0;
    Request request;
    request.prepare_read(pipe.read_end(), &byte, 1, 0);
    auto io = test::make_context(backend, driven());
    REQUIRE(io.submit(request));
    REQUIRE(io.wait_for(request, 20ms) == ErrorCode::timed_out);
    pipe.feed("x", 1);
    REQUIRE(io.wait(request) == ErrorCode::none);
    REQUIRE(request.outcome().bytes() == 1);
}

TEST_EVERY_BACKEND("lending with one thread for both roles is refused", "[threading]") {
    for (const Threading threading : {Threading::owner, Threading::caller})
        for (const Lending lending : {Lending::none, Lending::callers}) {
            Options options;
            options.backend = backend;
            options.threading = threading;
            options.lending = lending;
            const auto made = IOContext<>::create(options);
            REQUIRE_FALSE(made);
            REQUIRE(made.error().code == ErrorCode::invalid_argument);
        }
}

TEST_EVERY_BACKEND("an owner runs callbacks on one thread of its own", "[threading]") {
    Options options;
    options.threading = Threading::owner;
    const std::uint64_t threads = test::thread_count();
    auto io = test::make_context(backend, options);
    REQUIRE(test::thread_count() == threads + 1);
    std::atomic<int> done{0};
    std::atomic<std::thread::id> first;
    std::atomic<std::thread::id> last;
    std::vector<Counted> events;
    for (int i = 0; i < 200; ++i) {
        events.push_back(std::make_unique<IOEvent<Count>>(Count{&done, i == 0 ? &first : &last}));
        events.back()->prepare_nop();
        REQUIRE(io.submit_wait(*events.back()));
    }
    test::wait_until([&] { return done == 200; }, "waiting for the callbacks");
    REQUIRE(first.load() == last.load());
    REQUIRE(first.load() != std::this_thread::get_id());
}

TEST_EVERY_BACKEND("a driven context that nobody drove can be destroyed, with requests in it",
                   "[threading]") {
    std::atomic<int> done{0};
    std::atomic<std::thread::id> last;
    IOEvent<Count> event(Count{&done, &last});
    event.prepare_nop();
    {
        auto io = test::make_context(backend, driven());
        REQUIRE(io.submit(event));
    }
    REQUIRE(done == 1);
}

TEST_EVERY_BACKEND("a driven context may be destroyed while its driver drives it",
                   "[threading][H4]") {
    for (int round = 0; round < 50; ++round) {
        auto io = std::make_unique<test::Context>(test::make_context(backend, driven()));
        test::Latch drives(1);
        ErrorCode last = ErrorCode::none;
        std::thread driver([&drives, &last, &context = *io] {
            RunReport report = context.run_once(Run::now);
            drives.count_down();
            while (report.code == ErrorCode::none)
                report = context.run_once();
            last = report.code;  // and not once more
        });
        drives.wait();
        std::atomic<bool> called{false};
        REQUIRE(io->nop([&called](Result) noexcept { called = true; }));
        io.reset();
        driver.join();
        REQUIRE(called);
        REQUIRE(last == ErrorCode::shutting_down);
    }
}

TEST_EACH_BACKEND("run_once() returns when it has told a result early", "[threading][lease][H12]") {
    if (backend == Backend::aio)
        SKIP_TEST("AIO waits for a pipe inside io_submit(2)");
    struct Told {
        int results = 0;
        int releases = 0;
        void operator()(IOEvent<Told>& event) noexcept {
            ++(event.notice() == Notice::result ? results : releases);
        }
    };
    test::Pipe pipe;
    char in[8] = {};
    IOEvent<Told> event;
    Options options = driven();
    options.disable = "uring_async_cancel";  // so that the kernel holds on
    auto io = test::make_context(backend, options);
    event.prepare_read(pipe.read_end(), in, sizeof in, 0);
    event.flags = kFlagEarlyResult;
    event.expire_after(20ms);
    REQUIRE(io.submit(event));
    REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    const bool reached = io.stats().running == 1;
    std::this_thread::sleep_for(30ms);  // busy with something else
    const RunReport report = io.run_once();
    REQUIRE(report.code == ErrorCode::none);
    REQUIRE(event.callback.results == 1);
    if (reached) {
        REQUIRE(report.completed == 0);
        REQUIRE(event.callback.releases == 0);
        pipe.feed("late", 4);
    }
    while (event.callback.releases == 0)
        REQUIRE(io.run_once().code == ErrorCode::none);
    REQUIRE(io.shutdown().clean);
}
