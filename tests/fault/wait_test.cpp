// SPDX-License-Identifier: MIT
//
// Goal: whatever the waiting system call answers, the poller neither ends, nor spins, nor takes
// nothing for something.
// Method: the whole engine over the real kernel, with waits that fail or come back empty.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>

using namespace ioengine;
using test::every;
using test::first;
using test::nth;

TEST_EACH_BACKEND("defect 1, kernel behaviour 10: waits interrupted by signals end nothing and "
                  "lose nothing",
                  "[fault][wait][F3][G4][defect-1][kernel-10]") {
    constexpr std::size_t kCount = 300;
    const test::PatternFile file(kCount, 51);
    test::FaultPlan plan;
    plan.fail_wait({1, 50}, EINTR);
    for (std::uint64_t i = 60; i < 1000; i += 2)
        plan.fail_wait(nth(i), EINTR);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    for (std::size_t i = 0; i < kCount; ++i) {
        reads.submit(io, i);
        if (i % 10 == 0)  // lets the poller go to sleep in between
            reads.wait();
    }
    reads.wait();
    REQUIRE(io.shutdown().clean);
    INFO(plan.text());
    REQUIRE(plan.injected("wait failed: Interrupted") >= 50);
    REQUIRE(reads.count_right() == kCount);
    reads.tracker().require_exactly_once();
    REQUIRE(plan.logged("waiting for completions failed") == 0);
}

TEST_EACH_BACKEND("kernel behaviour 10: a wait that comes back with nothing is asked again, and is "
                  "no completion",
                  "[fault][wait][kernel-10][kernel-11]") {
    constexpr std::size_t kCount = 100;
    const test::PatternFile file(kCount, 52);
    test::FaultPlan plan;
    plan.fail_wait({1, 40}, 0);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    reads.submit_all(io);
    reads.wait();
    test::settle(io);
    REQUIRE(io.stats().completed == kCount);
    REQUIRE(io.stats().stale_completions == 0);
    REQUIRE(reads.count_right() == kCount);
    REQUIRE(io.shutdown().clean);
    // One thread for both roles often sleeps in the submit call instead.
    REQUIRE(plan.injected("wait failed: nothing") == std::min<std::uint64_t>(40, plan.waits()));
    REQUIRE(plan.injected("wait failed: nothing") > (test::one_thread() ? 0 : 39));
    reads.tracker().require_exactly_once();
}

TEST_EACH_BACKEND("a wait that fails for want of something is tried again after a while, and "
                  "completions come meanwhile",
                  "[fault][wait][F4][G4]") {
    constexpr std::size_t kCount = 30;
    const test::PatternFile file(kCount, 53);
    for (const int error : {EAGAIN, EBUSY, ENOMEM, EINVAL}) {
        test::FaultPlan plan;
        plan.fail_wait(first(8), error);
        test::Reads reads(file, kCount);
        auto io = test::make_faulty(backend, plan, 4);
        reads.submit_all(io);
        reads.wait();
        REQUIRE(reads.count_right() == kCount);
        test::wait_until([&] { return plan.injected("wait failed") == 8; },
                         "waiting for the waits to have failed");
        REQUIRE(io.shutdown().clean);
        INFO(plan.text());
        // What is expected to pass is nobody's business; what is not is said once.
        REQUIRE(plan.logged("waiting for completions failed") == (error == EINVAL ? 1 : 0));
    }
}

TEST_EACH_BACKEND("a wait whose limit passes is no failure, in any threading",
                  "[fault][wait][G1]") {
    const test::PatternFile file(1, 54);
    for (const Threading threading : {Threading::split, Threading::owner, Threading::caller}) {
        test::FaultPlan plan;
        test::Pipe pipe;
        char byte = 0;
        Options options;
        options.threading = threading;
        auto io = test::make_faulty(backend, plan, options);
        Request request;
        request.prepare_read(pipe.read_end(), &byte, 1, 0);
        if (backend == Backend::aio) {  // which would wait for the pipe inside io_submit(2)
            request.prepare_read(file.fd(), &byte, 1, 0);
            plan.hold(first(1));
        }
        REQUIRE(io.submit(request));
        REQUIRE(io.wait_for(request, std::chrono::milliseconds(20)) == ErrorCode::timed_out);
        pipe.feed("x", 1);
        plan.release();
        REQUIRE(io.wait(request) == ErrorCode::none);
        REQUIRE(request.outcome().bytes() == 1);
        if (threading == Threading::caller)
            REQUIRE(io.run_for(std::chrono::milliseconds(20)).code == ErrorCode::none);
        REQUIRE(io.shutdown().clean);
        REQUIRE(plan.logged("waiting for completions failed") == 0);
    }
}

TEST_EACH_BACKEND("waits that fail on and on are not met by spinning", "[fault][wait][D9]") {
    test::FaultPlan plan;
    plan.fail_wait(every(), EAGAIN);
    auto io = test::make_faulty(backend, plan, 4);
    const auto begun = std::chrono::steady_clock::now();
    test::wait_until([&] { return plan.waits() >= 10; }, "waiting for waits to fail");
    const std::uint64_t before = plan.waits();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const std::uint64_t waits = plan.waits() - before;
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::steady_clock::now() - begun)
                            .count();
    INFO(waits << " waits in " << passed << " ms");
    REQUIRE(waits <= 2 + static_cast<std::uint64_t>(passed) / 50);
    REQUIRE(io.shutdown().clean);
}
