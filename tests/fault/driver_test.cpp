// SPDX-License-Identifier: MIT
//
// Goal: a thread that drives its context hears of what others do while it waits, also of what they
// could not do.
// Method: the real kernel; memory for queues runs out in another thread at a chosen moment.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"
#include "tests/support/scarce_memory.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <poll.h>
#include <thread>
#include <unistd.h>

using namespace ioengine;
using test::first;

namespace {

std::atomic<int> g_driver{0};
std::atomic<bool> g_counted{false};

// The other thread has counted its request in, so the queue is full; and now it wants memory.
void* nothing_once_the_driver_sleeps(std::size_t) {
    g_counted = true;
    // Asleep a few times in a row: in the kernel, and not over a lock for a moment.
    int looks = 0;
    test::wait_until(
        [&looks] {
            looks = test::is_asleep(g_driver) ? looks + 1 : 0;
            return looks == 20;
        },
        "waiting for the driver to sleep");
    return nullptr;
}

}  // namespace

TEST_EACH_BACKEND(
    "a driver that waits for a place hears that another thread had no memory to take it",
    "[fault][threading][H13]") {
    Options options;
    options.threading = Threading::caller;
    options.queue_limit = 1;
    test::FaultPlan plan;
    auto io = test::make_faulty(backend, plan, options);

    g_driver = 0;
    g_counted = false;
    const test::ScarceMemory scarce(nothing_once_the_driver_sleeps);

    test::Latch over(1);
    ErrorCode ran{};
    ErrorCode pushed{};
    ErrorCode waited{};
    bool clean = false;
    std::thread host([&] {
        ran = io.run_once(Run::now).code;
        g_driver = ::gettid();
        test::wait_until([] { return g_counted.load(); }, "waiting for another to fill the queue");
        Request own;
        own.prepare_nop();
        pushed = io.submit_wait(own).code();
        waited = io.wait(own);
        clean = io.shutdown().clean;
        over.count_down();
    });
    test::wait_until([] { return g_driver != 0; }, "waiting for a driver");
    Request other;
    other.prepare_nop();
    REQUIRE(io.submit(other).code() == ErrorCode::no_memory);
    over.wait("waiting for a driver that waits for a place");
    host.join();
    REQUIRE(ran == ErrorCode::none);
    REQUIRE(pushed == ErrorCode::none);
    REQUIRE(waited == ErrorCode::none);
    REQUIRE(clean);
}

TEST_EACH_BACKEND("a host that polls is told when to come again after a busy kernel",
                  "[fault][threading][H13][F4]") {
    const test::PatternFile file(1, 61);
    test::FaultPlan plan;
    plan.fail_submit(first(5), EAGAIN);
    test::Reads reads(file, 1);
    Options options;
    options.threading = Threading::caller;
    auto io = test::make_faulty(backend, plan, options);
    pollfd done{io.completion_fd(), POLLIN, 0};
    REQUIRE(done.fd >= 0);
    reads.submit(io, 0);
    int told = 0;
    while (reads.tracker().notices() == 0) {
        const RunReport report = io.run_once(Run::now);
        REQUIRE(report.code == ErrorCode::none);
        if (reads.tracker().notices() != 0)
            break;
        told += report.again_in_ns >= 0;
        // Without a word to the contrary the descriptor must come to say so.
        const auto limit_ms = report.again_in_ns < 0
                                  ? static_cast<int>(test::kSafetyBound.count()) * 1000
                                  : static_cast<int>(report.again_in_ns / 1'000'000) + 1;
        const int ready = ::poll(&done, 1, limit_ms);
        REQUIRE(ready >= 0);
        REQUIRE((ready == 1 || report.again_in_ns >= 0));
    }
    REQUIRE(told > 0);
    REQUIRE(plan.injected("submit call failed") == 5);
    REQUIRE(reads.right(0));
    REQUIRE(io.shutdown().clean);
}

TEST_EACH_BACKEND("a driver that shuts down by itself is not told to come",
                  "[fault][threading][shutdown]") {
    const test::PatternFile file(1, 62);
    test::FaultPlan plan;
    plan.hold(first(1));
    test::Reads reads(file, 1);
    Options options;
    options.threading = Threading::caller;
    auto io = test::make_faulty(backend, plan, options);
    REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
    reads.submit(io, 0);
    const ShutdownReport late = io.shutdown(std::chrono::milliseconds(1));
    REQUIRE(late.code == ErrorCode::timed_out);
    REQUIRE(late.in_kernel == 1);
    REQUIRE(plan.logged("the thread that drives this context") == 0);
    ShutdownReport elsewhere;
    std::thread([&] { elsewhere = io.shutdown(std::chrono::milliseconds(0)); }).join();
    REQUIRE(elsewhere.code == ErrorCode::timed_out);
    REQUIRE(plan.logged("the thread that drives this context") == 1);
    plan.release();
    REQUIRE(io.shutdown().clean);
    reads.tracker().require_exactly_once();
}
