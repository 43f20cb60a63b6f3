// SPDX-License-Identifier: MIT
//
// Goal: the end of a context: the exit signal is known by nothing but its tag and means nothing by
// itself, everything accepted completes first, and only then is the kernel's context destroyed.
// Method: the whole engine over the real kernel, which holds completions back while the engine
// shuts down.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

using namespace ioengine;
using test::every;
using test::first;
using test::nth;

namespace {

// shutdown() on a thread of its own.
class Closer {
  public:
    explicit Closer(test::Context& io) : thread_([this, &io] { report_ = io.shutdown(); }) {}
    ShutdownReport join() {
        thread_.join();
        return report_;
    }

  private:
    ShutdownReport report_;
    std::thread thread_;
};

void wait_for_leave(const test::FaultPlan& plan) {
    test::wait_until([&] { return plan.given(test::Entry::Kind::leave) == 1; },
                     "waiting for the exit signal to be reaped");
}

}  // namespace

TEST_EACH_BACKEND("kernel behaviour 1: an exit signal that overtakes older reads ends nothing "
                  "before they are back",
                  "[fault][exit][F9][kernel-1][defect-7][defect-8][scenario-1]") {
    for (const std::uint32_t depth : {1u, 8u}) {
        const test::PatternFile file(depth, 31);
        test::FaultPlan plan;
        plan.hold(every());
        test::Reads reads(file, depth);
        auto io = test::make_faulty(backend, plan, depth);
        reads.submit_all(io);
        test::wait_until([&] { return plan.held() == depth; }, "waiting for all slots busy");
        Closer closer(io);
        wait_for_leave(plan);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        REQUIRE(plan.in_kernel_when_destroyed() == -1);
        REQUIRE(reads.tracker().notices() == 0);
        plan.release();
        const ShutdownReport report = closer.join();
        REQUIRE(report.clean);
        REQUIRE(report.completed == depth);
        REQUIRE(reads.count_right() == depth);
        reads.tracker().require_exactly_once();
        REQUIRE(plan.in_kernel_when_destroyed() == 0);
    }
}

TEST_EACH_BACKEND(
    "defect 7: what was queued behind busy slots completes after the exit signal was seen",
    "[fault][exit][F9][F10][defect-7]") {
    constexpr std::size_t kCount = 30;
    const test::PatternFile file(kCount, 32);
    test::FaultPlan plan;
    plan.hold(first(1));
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 1);
    reads.submit_all(io);
    test::wait_until([&] { return plan.held() == 1; }, "waiting for the slot to be busy");
    Closer closer(io);
    wait_for_leave(plan);
    REQUIRE(plan.in_kernel_when_destroyed() == -1);
    plan.release();
    REQUIRE(closer.join().clean);
    REQUIRE(reads.count_right() == kCount);
    reads.tracker().require_exactly_once();
}

TEST_EACH_BACKEND("completions of nothing are not the exit signal: the engine works on",
                  "[fault][exit][F9][B9][scenario-2]") {
    constexpr std::size_t kCount = 50;
    const test::PatternFile file(kCount, 33);
    test::FaultPlan plan;
    plan.shorten(first(kCount), 0);
    test::Reads empty(file, kCount);
    test::Reads full(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    empty.submit_all(io);
    empty.wait();
    for (std::size_t i = 0; i < kCount; ++i)
        REQUIRE(empty.result(i).raw() == 0);
    full.submit_all(io);
    full.wait();
    REQUIRE(full.count_right() == kCount);
    REQUIRE(plan.given(test::Entry::Kind::leave) == 0);
    REQUIRE(io.shutdown().clean);
    REQUIRE(plan.given(test::Entry::Kind::leave) == 1);
}

TEST_EACH_BACKEND("an exit signal that completes with an error, or twice, is one all the same",
                  "[fault][exit][F9]") {
    const test::PatternFile file(4, 34);
    for (const bool twice : {false, true}) {
        test::FaultPlan plan;
        if (twice)
            plan.repeat(every(), test::is_leave);
        else
            plan.fail(every(), EIO, test::is_leave);
        test::Reads reads(file, 4);
        auto io = test::make_faulty(backend, plan, 4);
        reads.submit_all(io);
        REQUIRE(io.shutdown().clean);
        REQUIRE(plan.injected() == 1);
        REQUIRE(reads.count_right() == 4);
    }
}

TEST_EACH_BACKEND("a shortage during shutdown delays it and loses nothing",
                  "[fault][exit][F4][shutdown]") {
    constexpr std::size_t kCount = 40;
    const test::PatternFile file(kCount, 35);
    test::FaultPlan plan;
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    plan.fail_submit({2, 9}, EAGAIN);
    plan.fail_submit(first(4), EAGAIN, test::is_signal);
    plan.limit_submit(every(), 1);
    reads.submit_all(io);
    REQUIRE(io.shutdown().clean);
    INFO(plan.text());
    REQUIRE(plan.injected("submit call failed") >= 8);
    REQUIRE(reads.count_right() == kCount);
    REQUIRE(plan.in_kernel_when_destroyed() == 0);
}

TEST_EACH_BACKEND("shutdown past its deadline names what the kernel holds, and a second one ends "
                  "it",
                  "[fault][exit][shutdown][kernel-13]") {
    const test::PatternFile file(3, 36);
    test::FaultPlan plan;
    plan.hold(every());
    test::Reads reads(file, 3);
    auto io = test::make_faulty(backend, plan, 2);
    reads.submit_all(io);
    test::wait_until([&] { return plan.held() == 2; }, "waiting for all slots busy");
    const ShutdownReport late = io.shutdown(std::chrono::milliseconds(20));
    REQUIRE_FALSE(late.clean);
    REQUIRE(late.code == ErrorCode::timed_out);
    REQUIRE(late.in_kernel == 2);
    REQUIRE(late.named == 2);
    REQUIRE(late.held[0].fd == file.fd());
    REQUIRE(late.held[0].age_ns >= late.held[1].age_ns);
    REQUIRE(late.queued == 0);
    REQUIRE(plan.in_kernel_when_destroyed() == -1);
    // The one that still waited for a slot was cancelled.
    REQUIRE(reads.tracker().notices() == 1);
    REQUIRE(reads.result(2).raw() == -ECANCELED);
    plan.release();
    const ShutdownReport report = io.shutdown();
    REQUIRE(report.clean);
    REQUIRE(report.completed == 3);
    REQUIRE(report.cancelled == 1);
    REQUIRE(reads.right(0));
    REQUIRE(reads.right(1));
    reads.tracker().require_exactly_once();
}

TEST_EACH_BACKEND("a request that continues when a shutdown's deadline passes is cancelled, not "
                  "carried on",
                  "[fault][exit][shutdown]") {
    const test::PatternFile file(1, 37);
    test::FaultPlan plan;
    plan.shorten(every(), 512);
    plan.hold(nth(1));
    test::Reads reads(file, 1);
    auto io = test::make_faulty(backend, plan, 2);
    reads.submit_all(io);
    test::wait_until([&] { return plan.held() == 1; }, "waiting for a completion held back");
    REQUIRE_FALSE(io.shutdown(std::chrono::milliseconds(5)).clean);
    plan.release();
    REQUIRE(io.shutdown().clean);
    REQUIRE(reads.result(0).raw() == -ECANCELED);
    REQUIRE(plan.taken().size() == 1);
}

TEST_EACH_BACKEND(
    "defects 8 and 12, kernel behaviour 2: the destructor waits for the kernel before it "
    "gives the context up",
    "[fault][exit][H11][defect-8][defect-12][kernel-2][scenario-3]") {
    const test::PatternFile file(8, 38);
    test::FaultPlan plan;
    plan.hold(every());
    test::Reads reads(file, 8);
    std::optional<test::Context> io(test::make_faulty(backend, plan, 8));
    reads.submit_all(*io);
    test::wait_until([&] { return plan.held() == 8; }, "waiting for all slots busy");
    std::thread destroyer([&] { io.reset(); });
    wait_for_leave(plan);
    REQUIRE(plan.in_kernel_when_destroyed() == -1);
    plan.release();
    destroyer.join();
    REQUIRE(plan.in_kernel_when_destroyed() == 0);
    REQUIRE(reads.count_right() == 8);
    reads.tracker().require_exactly_once();
}

TEST_EACH_BACKEND("cancellations that the kernel refuses, now or for good, are sent again",
                  "[fault][exit][shutdown][kernel-13]") {
    if (backend == Backend::aio)
        SKIP_TEST("AIO cancels by a call of its own, which most files refuse for ever");
    for (const int error : {EAGAIN, EPERM}) {
        test::FaultPlan plan;
        plan.fail_submit(first(3), error, [](const test::Entry& entry) {
            return entry.kind == test::Entry::Kind::cancel;
        });
        test::Pipe pipe;
        char byte = 0;
        test::KeptEvent never;
        never.prepare_read(pipe.read_end(), &byte, 1, 0);
        auto io = test::make_faulty(backend, plan, 2);
        const test::PipeEnder ender(pipe);
        REQUIRE(io.submit(never));
        test::wait_until([&] { return io.stats().running == 1; }, "waiting for it in the kernel");
        static_cast<void>(io.shutdown(std::chrono::milliseconds(1)));
        REQUIRE(io.shutdown().clean);
        INFO(plan.text());
        REQUIRE(plan.injected("submit call failed") == 3);
        never.callback.done.wait();
        REQUIRE(never.outcome().error() == ECANCELED);
    }
}
