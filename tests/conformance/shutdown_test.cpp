// SPDX-License-Identifier: MIT
//
// Goal: shutdown refuses, drains, ends the threads, reports, and can be asked twice; past a
// deadline it names what the kernel still holds; nothing touches the user's memory afterwards.
// Method: shut down at every moment that matters: idle, all slots busy, queues full, from several
// threads, from a callback, with a read of an empty pipe that nobody answers. Such a read is a
// request that never completes: in io_uring it lies in the kernel, in AIO io_submit(2) itself
// blocks.

#include "tests/support/support.hpp"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

TEST_EVERY_BACKEND("submit after shutdown is refused and the event stays with the caller",
                   "[shutdown][A6]") {
    test::KeptEvent event;
    event.prepare_nop();
    auto io = test::make_context(backend);
    REQUIRE(io.shutdown().clean);
    for (int i = 0; i < 3; ++i) {
        const Acceptance refused = io.submit(event);
        REQUIRE(refused.code() == ErrorCode::shutting_down);
        REQUIRE(std::strlen(refused.detail()) > 0);
    }
    REQUIRE(io.submit_wait(event).code() == ErrorCode::shutting_down);
    REQUIRE(io.submit_wait_for(event, 1ms).code() == ErrorCode::shutting_down);
    REQUIRE(io.nop([](Result) {}).code() == ErrorCode::shutting_down);
    REQUIRE_FALSE(event.callback.done.open());
    REQUIRE(io.stats().accepted == 0);

    auto other = test::make_context(backend);  // the event is as good as new
    REQUIRE(other.submit(event));
    event.callback.done.wait();
}

TEST_EVERY_BACKEND("shutdown completes everything that was accepted", "[shutdown][A9][A10]") {
    constexpr std::size_t kRequests = 3000;
    test::Tracker tracker(kRequests);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    auto io = test::make_context(backend, 4);
    for (std::size_t i = 0; i < kRequests; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events.back()->prepare_nop();
        tracker.submitted(i, io.submit(*events.back()));
    }
    const ShutdownReport report = io.shutdown();
    REQUIRE(report.clean);
    REQUIRE(report.code == ErrorCode::none);
    REQUIRE(report.accepted == tracker.accepted());
    REQUIRE(report.completed == tracker.accepted());
    REQUIRE(report.cancelled == 0);
    REQUIRE(report.named == 0);
    tracker.require_exactly_once();
    test::wait_for_engine_threads(0);
}

TEST_EVERY_BACKEND("shutdown is idempotent", "[shutdown][A9]") {
    auto io = test::make_context(backend);
    REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    for (int i = 0; i < 3; ++i) {
        const ShutdownReport report = i == 1 ? io.shutdown(1s) : io.shutdown();
        REQUIRE(report.clean);
        REQUIRE(report.completed == 1);
    }
}

TEST_EVERY_BACKEND("several threads may shut down at once and all see it clean",
                   "[shutdown][A9][race]") {
    constexpr int kThreads = 4;
    test::Latch done(500);
    auto io = test::make_context(backend);
    for (int i = 0; i < 500; ++i)
        REQUIRE(io.nop([&](Result) { done.count_down(); }));
    std::atomic<int> clean{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i)
        threads.emplace_back([&] { clean += io.shutdown().clean; });
    for (std::thread& thread : threads)
        thread.join();
    REQUIRE(clean == kThreads);
    REQUIRE(done.open());
}

TEST_EVERY_BACKEND("the destructor drains and ends the threads", "[shutdown][A9][scenario-3]") {
    constexpr int kRequests = 1000;
    test::Latch done(kRequests);
    {
        auto io = test::make_context(backend, 2);
        for (int i = 0; i < kRequests; ++i)
            REQUIRE(io.nop([&](Result) { done.count_down(); }));
    }
    REQUIRE(done.open());
    test::wait_for_engine_threads(0);
}

TEST_EVERY_BACKEND("an unused context ends at once", "[shutdown][A9]") {
    for (const std::uint32_t depth : {1u, 128u}) {
        auto io = test::make_context(backend, depth);
        const ShutdownReport report = io.shutdown();
        REQUIRE(report.clean);
        REQUIRE(report.accepted == 0);
    }
}

TEST_EVERY_BACKEND("the exit signal works at depth 1 and with every slot busy",
                   "[shutdown][F9][F10][defect-7][kernel-1]") {
    for (const std::uint32_t depth : {1u, 2u, 16u}) {
        test::SlotFillers fillers;
        auto io = test::make_context(backend, depth);
        test::Plug plug(io);
        fillers.fill(io);
        const ShutdownReport early = io.shutdown(20ms);  // the plug holds all notices back
        REQUIRE_FALSE(early.clean);
        REQUIRE(early.code == ErrorCode::timed_out);
        REQUIRE(early.accepted == depth + 1);
        plug.release();
        REQUIRE(io.shutdown().clean);
    }
}

TEST_EACH_BACKEND("the exit signal overtakes older reads and nothing is lost",
                  "[shutdown][F9][kernel-1][defect-7][scenario-1][race]") {
    constexpr std::size_t kReads = 64;
    test::TempFile file(kReads * 65536);
    std::vector<std::vector<unsigned char>> buffers(kReads, std::vector<unsigned char>(65536));
    for (int round = 0; round < 10; ++round) {
        test::Tracker tracker(kReads);
        std::vector<std::unique_ptr<test::TrackedEvent>> events;
        auto io = test::make_context(backend, kReads);
        for (std::size_t i = 0; i < kReads; ++i) {
            events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
            events.back()->prepare_read(file.fd(), buffers[i].data(), buffers[i].size(), i * 65536);
            tracker.submitted(i, io.submit(*events.back()));
        }
        REQUIRE(io.shutdown().clean);
        REQUIRE(tracker.notices() == kReads);
        tracker.require_exactly_once();
        for (std::size_t i = 0; i < kReads; ++i)
            REQUIRE(tracker.result(i).bytes() == 65536);
    }
}

TEST_EACH_BACKEND("nothing writes into a buffer once shutdown has returned",
                  "[shutdown][kernel-2][defect-8][scenario-3][race]") {
    constexpr std::size_t kReads = 32;
    constexpr std::size_t kBytes = 128 * 1024;
    test::TempFile file;
    const std::vector<unsigned char> content(kReads * kBytes, 0x11);
    file.put(content.data(), content.size(), 0);
    auto made = AlignedBuffer::create(kReads * kBytes);
    REQUIRE(made);
    auto io = test::make_context(backend, kReads);
    for (std::size_t i = 0; i < kReads; ++i)
        REQUIRE(io.read(file.direct_fd(), Bytes(made->data() + i * kBytes, kBytes), i * kBytes,
                        [](Result) {}));
    REQUIRE(io.shutdown().clean);
    std::memset(made->data(), 0x22, made->size());
    std::this_thread::sleep_for(100ms);
    for (std::size_t i = 0; i < made->size(); ++i)
        if (made->data()[i] != 0x22)
            FAIL("byte " << i << " was written after shutdown");
    SUCCEED();
}

TEST_EACH_BACKEND("past its deadline shutdown names what the kernel holds",
                  "[shutdown][deadline][defect-12][scenario-20]") {
    test::Pipe pipe;
    char in[100] = {};
    test::KeptEvent event;
    event.prepare_read(pipe.read_end(), in, sizeof(in), 0);
    auto io = test::make_context(backend);
    test::PipeEnder ender(pipe);
    REQUIRE(io.submit(event));
    test::wait_until([&] { return io.stats().running == 1; }, "waiting for the read to start");
    const auto begin = std::chrono::steady_clock::now();
    const ShutdownReport report = io.shutdown(50ms);
    REQUIRE(std::chrono::steady_clock::now() - begin >= 50ms);
    if (report.clean) {
        // The engine could cancel it: then it is the read's result, and nothing is held.
        REQUIRE(report.cancelled == 1);
        event.callback.done.wait();
        REQUIRE(event.callback.result.error() == ECANCELED);
    } else {
        REQUIRE(report.code == ErrorCode::timed_out);
        REQUIRE(report.in_kernel == 1);
        REQUIRE(report.named == 1);
        REQUIRE(report.held[0].action == IOAction::read);
        REQUIRE(report.held[0].fd == pipe.read_end());
        REQUIRE(report.held[0].length == sizeof(in));
        REQUIRE(report.held[0].age_ns > 0);
        REQUIRE_FALSE(event.callback.done.open());
        REQUIRE(io.nop([](Result) {}).code() == ErrorCode::shutting_down);
        pipe.feed("late", 4);
        event.callback.done.wait();
        REQUIRE(event.callback.result.bytes() == 4);
    }
    const ShutdownReport second = io.shutdown();
    REQUIRE(second.clean);
    REQUIRE(second.completed == 1);
    test::wait_for_engine_threads(0);
}

TEST_EACH_BACKEND("past its deadline shutdown cancels what still waits in the queues",
                  "[shutdown][deadline]") {
    constexpr std::size_t kWaiting = 20;
    test::Pipe pipe;
    char in[8] = {};
    test::KeptEvent stuck;
    stuck.prepare_read(pipe.read_end(), in, sizeof(in), 0);
    test::Tracker tracker(kWaiting);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    auto io = test::make_context(backend, 1);
    test::PipeEnder ender(pipe);
    REQUIRE(io.submit(stuck));
    test::wait_until([&] { return io.stats().running == 1; }, "waiting for the read to start");
    for (std::size_t i = 0; i < kWaiting; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events.back()->prepare_fsync(pipe.read_end());
        tracker.submitted(i, io.submit(*events.back()));
    }
    const ShutdownReport report = io.shutdown(50ms);
    REQUIRE(report.accepted == kWaiting + 1);
    REQUIRE(report.queued + report.cancelled + report.in_kernel + report.delivering +
                (report.completed - report.cancelled) ==
            report.accepted);
    pipe.close_write_end();
    const ShutdownReport second = io.shutdown();
    REQUIRE(second.clean);
    REQUIRE(tracker.notices() == kWaiting);
    tracker.require_exactly_once();
    for (std::size_t i = 0; i < kWaiting; ++i)
        REQUIRE((tracker.result(i).error() == ECANCELED || tracker.result(i).error() == EINVAL));
}

TEST_EVERY_BACKEND("shutdown from a callback is would_deadlock and does nothing",
                   "[shutdown][would-deadlock][scenario-7]") {
    test::Latch done(1);
    ShutdownReport from_callback;
    ShutdownReport from_callback_timed;
    ErrorCode submitted = ErrorCode::none;
    test::KeptEvent extra;
    extra.prepare_nop();
    auto io = test::make_context(backend);
    REQUIRE(io.nop([&](Result) {
        from_callback = io.shutdown();
        from_callback_timed = io.shutdown(1ms);
        submitted = io.submit(extra).code();
        done.count_down();
    }));
    done.wait();
    REQUIRE_FALSE(from_callback.clean);
    REQUIRE(from_callback.code == ErrorCode::would_deadlock);
    REQUIRE(from_callback_timed.code == ErrorCode::would_deadlock);
    REQUIRE(submitted == ErrorCode::none);
    extra.callback.done.wait();
    REQUIRE(io.shutdown().clean);
}

TEST_EVERY_BACKEND("a waiting submission from a callback is would_deadlock",
                   "[shutdown][would-deadlock][A8]") {
    test::Latch done(1);
    test::KeptEvent event;
    event.prepare_nop();
    ErrorCode waiting = ErrorCode::none;
    ErrorCode timed = ErrorCode::none;
    auto workers = IOWorkers::create(1);
    REQUIRE(workers);
    for (const bool in_pool : {false, true}) {
        Options options;
        options.workers = in_pool ? &*workers : nullptr;
        test::Latch called(1);
        auto io = test::make_context(backend, options);
        REQUIRE(io.nop([&](Result) {
            waiting = io.submit_wait(event).code();
            timed = io.submit_wait_for(event, 1s).code();
            called.count_down();
        }));
        called.wait();
        REQUIRE(waiting == ErrorCode::would_deadlock);
        REQUIRE(timed == ErrorCode::would_deadlock);
        REQUIRE(io.shutdown().completed == 1);
    }
    REQUIRE_FALSE(event.callback.done.open());
}

TEST_EVERY_BACKEND("destroying a context in its own callback aborts with a message",
                   "[shutdown][would-deadlock][scenario-7]") {
    const test::ChildOutcome child = test::run_child([backend] {
        Options options;
        options.backend = backend;
        auto made = test::Context::create(options);
        CHILD_CHECK(made);
        auto* io = new test::Context(*std::move(made));
        CHILD_CHECK(io->nop([io](Result) { delete io; }));
        test::Latch never(1);
        never.wait();
        return 0;
    });
    INFO(child.output);
    REQUIRE(child.signal == SIGABRT);
    REQUIRE(child.output.find("callback") != std::string::npos);
}

TEST_EACH_BACKEND("the destructor logs what it waits for", "[shutdown][log]") {
    struct Seen {
        test::Latch about_read{1};
        std::atomic<bool> once{false};
        static void take(void* self, LogLevel, const char* text) {
            auto* seen = static_cast<Seen*>(self);
            if (std::strstr(text, "read") != nullptr && !seen->once.exchange(true))
                seen->about_read.count_down();
        }
    } seen;
    test::Pipe pipe;
    char in[8];
    Options options;
    options.log = &Seen::take;
    options.log_user = &seen;
    std::thread destroyer;
    {
        auto io = std::make_unique<test::Context>(test::make_context(backend, options));
        REQUIRE(io->read(pipe.read_end(), in, 0, [](Result) {}));
        destroyer = std::thread([io = std::move(io)]() mutable { io.reset(); });
    }
    seen.about_read.wait("waiting for the destructor to name the read it waits for");
    pipe.close_write_end();
    destroyer.join();
    REQUIRE(seen.once);
}
