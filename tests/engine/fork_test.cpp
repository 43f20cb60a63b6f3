// SPDX-License-Identifier: MIT
//
// Goal: a forked child that touches an inherited context gets an error, never a hang, a second
// notice or an effect on its parent; it may leave, and may make a context of its own.
// Method: fork with requests queued, in the kernel, and being delivered; look from both sides.

#include "tests/support/support.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <sys/ioctl.h>
#include <utility>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

void require_success(const test::ChildOutcome& child) {
    INFO(child.output);
    REQUIRE(child.signal == 0);
    REQUIRE(child.exit_code == 0);
}

}  // namespace

TEST_EVERY_BACKEND("a forked child is refused everything, at once",
                   "[fork][kernel-11][scenario-18]") {
    test::KeptEvent event;
    event.prepare_nop();
    auto io = test::make_context(backend);
    REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    require_success(test::run_child([&] {
        CHILD_CHECK(io.submit(event).code() == ErrorCode::forked);
        CHILD_CHECK(io.submit_wait(event).code() == ErrorCode::forked);
        CHILD_CHECK(io.submit_wait_for(event, 1s).code() == ErrorCode::forked);
        auto closure = [owned = std::make_unique<int>(7)](Result) {};
        CHILD_CHECK(io.nop(std::move(closure)).code() == ErrorCode::forked);
        const ShutdownReport report = io.shutdown();
        CHILD_CHECK(!report.clean);
        CHILD_CHECK(report.code == ErrorCode::forked);
        CHILD_CHECK(io.shutdown(1s).code == ErrorCode::forked);
        (void)io.stats();
        (void)io.dump();
        CHILD_CHECK(io.report().backend == backend);
        return 0;
    }));
    REQUIRE(io.submit(event));
    event.callback.done.wait();
    REQUIRE(io.shutdown().completed == 2);
}

TEST_EVERY_BACKEND("a forked child that waits is told, at once", "[fork][kernel-11][scenario-18]") {
    auto io = test::make_context(backend);
    Request alone;
    alone.prepare_nop();
    Group group(io);
    require_success(test::run_child([&] {
        CHILD_CHECK(io.perform(alone).code() == ErrorCode::forked);
        CHILD_CHECK(io.submit(alone).code() == ErrorCode::forked);
        CHILD_CHECK(io.wait(alone) == ErrorCode::forked);
        CHILD_CHECK(group.submit(alone).code() == ErrorCode::forked);
        CHILD_CHECK(group.wait() == ErrorCode::forked);
        return 0;
    }));
    REQUIRE(group.submit(alone));
    REQUIRE(group.wait() == ErrorCode::none);
    REQUIRE(alone.outcome().ok());
}

TEST_EACH_BACKEND("what a group has staged a forked child does not hand over",
                  "[fork][kernel-11]") {
    test::Pipe pipe;
    Options options;
    options.lending = Lending::callers;
    options.threading = Threading::split;
    auto io = test::make_context(backend, options);
    std::this_thread::sleep_for(20ms);  // or the submitter may be up, and take it
    Group group(io);
    Request request;
    request.prepare_write(pipe.write_end(), "once", 4, 0);
    REQUIRE(group.submit(request));
    require_success(test::run_child([&] {
        group.start();
        return 0;
    }));
    group.start();
    REQUIRE(group.wait() == ErrorCode::none);
    REQUIRE(request.outcome().bytes() == 4);
    int there = -1;
    REQUIRE(::ioctl(pipe.read_end(), FIONREAD, &there) == 0);
    REQUIRE(there == 4);
    REQUIRE(io.stats().stale_completions == 0);
}

TEST_EVERY_BACKEND("a forked child makes no descriptor of an inherited context", "[fork]") {
    Options options;
    options.threading = Threading::caller;
    auto io = test::make_context(backend, options);
    require_success(test::run_child([&] {
        CHILD_CHECK(io.completion_fd() < 0);
        return 0;
    }));
    REQUIRE(io.completion_fd() >= 0);
    REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
}

TEST_EVERY_BACKEND("a forked child may destroy the inherited context", "[fork][kernel-11]") {
    auto io = std::make_unique<test::Context>(test::make_context(backend));
    REQUIRE(test::result_of(*io, [](Request& r) { r.prepare_nop(); }).ok());
    require_success(test::run_child([&] {
        io.reset();
        return 0;
    }));
    REQUIRE(test::result_of(*io, [](Request& r) { r.prepare_nop(); }).ok());
    REQUIRE(io->shutdown().clean);
}

TEST_EVERY_BACKEND("a fork amid traffic gives no second notice and harms no parent",
                   "[fork][kernel-11][A10][scenario-18][race]") {
    constexpr std::size_t kRequests = 2000;
    test::Tracker tracker(kRequests);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    for (std::size_t i = 0; i < kRequests; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events.back()->prepare_nop();
    }
    auto io = test::make_context(backend, 16);
    for (std::size_t i = 0; i < kRequests; ++i) {
        tracker.submitted(i, io.submit_wait(*events[i]));
        if (i % 500 == 250) {
            std::uint64_t seen_in_child = 0;
            require_success(test::run_child([&] {
                seen_in_child = tracker.notices();
                CHILD_CHECK(io.shutdown().code == ErrorCode::forked);
                std::this_thread::sleep_for(20ms);
                CHILD_CHECK(tracker.notices() == seen_in_child);
                return 0;
            }));
        }
    }
    REQUIRE(io.shutdown().clean);
    tracker.require_exactly_once();
    REQUIRE(tracker.accepted() == kRequests);
}

TEST_EACH_BACKEND("a read in the kernel at the time of a fork completes once, in the parent",
                  "[fork][kernel-11][scenario-18][race]") {
    test::Pipe pipe;
    char in[8] = {};
    test::KeptEvent event;
    event.prepare_read(pipe.read_end(), in, sizeof(in), 0);
    auto io = test::make_context(backend);
    test::PipeEnder ender(pipe);
    REQUIRE(io.submit(event));
    test::wait_until([&] { return io.stats().running == 1; }, "waiting for the read to start");
    require_success(test::run_child([&] {
        CHILD_CHECK(io.shutdown().code == ErrorCode::forked);
        pipe.feed("child", 5);
        std::this_thread::sleep_for(20ms);
        CHILD_CHECK(!event.callback.done.open());
        return 0;
    }));
    event.callback.done.wait();
    REQUIRE(event.callback.result.bytes() == 5);
    REQUIRE(std::string(in) == "child");
}

TEST_EACH_BACKEND("a forked child may make a context of its own", "[fork][kernel-11]") {
    if (test::kThreadSanitizer)
        SKIP_TEST("ThreadSanitizer ends a multi-threaded program's child that starts a thread");
    test::TempFile file(4096);
    auto io = test::make_context(backend);
    // A thread that is just starting may hold a lock of the C library or of a sanitizer for ever.
    REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    require_success(test::run_child([&] {
        Options options;
        options.backend = backend;
        auto made = test::Context::create(options);
        if (!made)
            std::printf("%s; %s\n", made.error().message, made.error().hint);
        CHILD_CHECK(made);
        char in[16];
        test::Latch done(1);
        CHILD_CHECK(made->read(file.fd(), in, 0, [&](Result result) {
            CHILD_CHECK(result.bytes() == sizeof(in));
            done.count_down();
        }));
        done.wait();
        CHILD_CHECK(io.nop([](Result) {}).code() == ErrorCode::forked);
        CHILD_CHECK(made->shutdown().clean);
        return 0;
    }));
    REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
}

TEST_EVERY_BACKEND("a forked child may leave through exit()", "[fork]") {
    auto io = test::make_context(backend);
    REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    require_success(test::run_child([]() -> int { std::exit(0); }));
    REQUIRE(io.shutdown().clean);
}
