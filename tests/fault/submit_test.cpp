// SPDX-License-Identifier: MIT
//
// Goal: whatever the submit call answers, every request completes once with its own result, in
// bounded time, without spinning.
// Method: the whole engine over the real kernel, with submit calls that fail, take a part, or meet
// a bad entry.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

using namespace ioengine;
using test::every;
using test::first;
using test::nth;

namespace {

// The requests that the kernel took, by block, each at its first time.
std::vector<std::uint64_t> blocks_in_order(const test::FaultPlan& plan) {
    std::vector<std::uint64_t> blocks;
    for (const test::Entry& entry : plan.taken())
        blocks.push_back(entry.offset / test::kBlock);
    return blocks;
}

std::vector<std::uint64_t> counting(std::size_t count) {
    std::vector<std::uint64_t> numbers(count);
    for (std::size_t i = 0; i < count; ++i)
        numbers[i] = i;
    return numbers;
}

}  // namespace

TEST_EACH_BACKEND("a submit call that takes a part of its batch is made again for the rest",
                  "[fault][submit][F2][kernel-4][scenario-9]") {
    constexpr std::size_t kCount = 200;
    const test::PatternFile file(kCount, 1);
    for (const std::size_t part : {1u, 2u, 3u, 7u}) {
        test::FaultPlan plan;
        plan.fail_submit(first(3), EAGAIN);  // lets a batch gather
        plan.limit_submit(every(), part);
        test::Reads reads(file, kCount);
        auto io = test::make_faulty(backend, plan, 64);
        reads.submit_all(io);
        reads.wait();
        INFO(plan.text());
        REQUIRE(reads.count_right() == kCount);
        REQUIRE(plan.injected("submit call limited") > 0);
        REQUIRE(blocks_in_order(plan) == counting(kCount));
        test::settle(io);
        REQUIRE(io.stats().free_slots == 64);
    }
}

TEST_EACH_BACKEND("defect 1: a submit call interrupted by a signal is made again at once",
                  "[fault][submit][F3][G4][defect-1]") {
    constexpr std::size_t kCount = 100;
    const test::PatternFile file(kCount, 2);
    test::FaultPlan plan;
    for (std::uint64_t i = 1; i < 400; i += 2)
        plan.fail_submit(nth(i), EINTR);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 16);
    reads.submit_all(io);
    reads.wait();
    INFO(plan.text());
    REQUIRE(reads.count_right() == kCount);
    REQUIRE(plan.injected("submit call failed: Interrupted") > 0);
    REQUIRE(io.stats().submit_retries >= plan.injected());
    REQUIRE(blocks_in_order(plan) == counting(kCount));
}

TEST_EACH_BACKEND("a shortage of the kernel is waited out, with nothing in flight too, and order "
                  "is kept",
                  "[fault][submit][F4][G4][defect-5][scenario-10]") {
    constexpr std::size_t kCount = 40;
    const test::PatternFile file(kCount, 3);
    for (const int error : {EAGAIN, ENOMEM, EBUSY}) {
        if (error == EBUSY && backend == Backend::aio)
            continue;  // no answer of io_submit(2)
        test::FaultPlan plan;
        // At the very first call nothing is in flight that could wake anybody.
        plan.fail_submit(first(8), error);
        plan.fail_submit({12, 18}, error);
        test::Reads reads(file, kCount);
        auto io = test::make_faulty(backend, plan, 4);
        reads.submit_all(io);
        reads.wait();
        INFO(plan.text());
        REQUIRE(plan.injected("submit call failed") >= 8);
        REQUIRE(reads.count_right() == kCount);
        REQUIRE(blocks_in_order(plan) == counting(kCount));
    }
}

TEST_EACH_BACKEND("defect 5: a long shortage is not met by spinning, and ends well",
                  "[fault][submit][F4][D9][defect-5][scenario-10]") {
    constexpr std::size_t kCount = 20;
    const test::PatternFile file(kCount, 4);
    test::FaultPlan plan;
    plan.fail_submit(every(), EAGAIN);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    const auto begun = std::chrono::steady_clock::now();
    reads.submit_all(io);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const std::uint64_t calls = plan.submit_calls();
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::steady_clock::now() - begun)
                            .count();
    // 100 us, doubled up to 50 ms: nine calls in the first 51 ms, then one per 50 ms. Submissions
    // that come meanwhile do not hurry it. A host's run_once() tries, sleeps, and tries again.
    INFO(calls << " calls in " << passed << " ms");
    REQUIRE(calls >= 1);
    const std::uint64_t each = test::drives_contexts() ? 2 : 1;
    REQUIRE(calls <= each * (11 + static_cast<std::uint64_t>(passed) / 50));
    plan.calm();
    reads.wait();
    REQUIRE(reads.count_right() == kCount);
}

TEST_EACH_BACKEND("defect 5: with every slot busy the engine sleeps, however much is queued",
                  "[fault][submit][D9][defect-5]") {
    constexpr std::size_t kCount = 100;
    const test::PatternFile file(kCount, 5);
    test::FaultPlan plan;
    plan.hold(first(4));
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    reads.submit_all(io);
    test::wait_until([&] { return plan.held() == 4; }, "waiting for four completions held back");
    // One thread for both roles may yet hear of the last submissions, and watch its bell again.
    std::uint64_t calls = 0;
    test::wait_until(
        [&] {
            const std::uint64_t before = std::exchange(calls, plan.submit_calls());
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            return before == calls;
        },
        "waiting for a submitter that sleeps");
    const std::uint64_t wakes = io.stats().submitter_wakes;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const std::uint64_t calls_then = plan.submit_calls();
    const ioengine::Stats then = io.stats();
    plan.release();
    reads.wait();
    REQUIRE(calls_then == calls);
    REQUIRE(then.submitter_wakes == wakes);
    REQUIRE(then.queued_read == kCount - 4);
    REQUIRE(reads.count_right() == kCount);
}

TEST_EACH_BACKEND("defect 2: a request that the kernel refuses fails alone, with its errno, at "
                  "the head, in the middle and at the end",
                  "[fault][submit][F5][G2][defect-2][kernel-4][scenario-9]") {
    constexpr std::size_t kCount = 8;
    const test::PatternFile file(kCount, 6);
    for (const std::vector<std::size_t>& bad : std::vector<std::vector<std::size_t>>{
             {0}, {3}, {7}, {0, 1, 2}, {0, 3, 7}, {0, 1, 2, 3, 4, 5, 6, 7}}) {
        for (const int error : {EBADF, EINVAL, EFAULT, EOPNOTSUPP}) {
            test::FaultPlan plan;
            plan.fail_submit(first(4), EAGAIN);  // lets a batch gather
            for (const std::size_t block : bad)
                plan.refuse(every(), error, test::at_offset(block * test::kBlock));
            test::Reads reads(file, kCount);
            auto io = test::make_faulty(backend, plan, 16);
            reads.submit_all(io);
            reads.wait();
            INFO(plan.text());
            REQUIRE(plan.injected("refused") == bad.size());
            for (const std::size_t block : bad)
                REQUIRE(reads.result(block).raw() == -error);
            REQUIRE(reads.count_right() == kCount - bad.size());
            reads.tracker().require_exactly_once();
            test::settle(io);
            REQUIRE(io.stats().free_slots == 16);
            REQUIRE(io.stats().failed == bad.size());
            REQUIRE(io.shutdown().clean);
        }
    }
}

TEST_EACH_BACKEND("an error that does not pass refuses every request with that errno; once it is "
                  "gone the engine works on, and shuts down",
                  "[fault][submit][G2]") {
    constexpr std::size_t kCount = 20;
    const test::PatternFile file(kCount, 7);
    for (const int error : {EPERM, EBADF, ENXIO}) {
        test::FaultPlan plan;
        plan.fail_submit(every(), error);
        test::Reads denied(file, kCount);
        auto io = test::make_faulty(backend, plan, 8);
        denied.submit_all(io);
        denied.wait();
        INFO(plan.text());
        for (std::size_t i = 0; i < kCount; ++i)
            REQUIRE(denied.result(i).raw() == -error);
        test::settle(io);
        REQUIRE(io.stats().free_slots == 8);

        plan.calm();
        test::Reads served(file, kCount);
        served.submit_all(io);
        served.wait();
        REQUIRE(served.count_right() == kCount);
        REQUIRE(io.shutdown().clean);
        REQUIRE(io.stats().completed == 2 * kCount);
    }
}

TEST_EACH_BACKEND("an engine whose requests the kernel refuses for good still shuts down",
                  "[fault][submit][shutdown]") {
    constexpr std::size_t kCount = 20;
    const test::PatternFile file(kCount, 8);
    test::FaultPlan plan;
    plan.fail_submit(every(), EPERM);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    reads.submit_all(io);
    const ShutdownReport report = io.shutdown();
    INFO(plan.text());
    REQUIRE(report.clean);
    REQUIRE(report.completed == kCount);
    reads.tracker().require_exactly_once();
    for (std::size_t i = 0; i < kCount; ++i)
        REQUIRE(reads.result(i).raw() == -EPERM);
}

TEST_EACH_BACKEND("a nudge that the kernel does not take is owed, and sent again until it is",
                  "[fault][submit][nudge]") {
    test::require_two_threads();  // one thread sees what it refuses, and nobody nudges it
    const test::PatternFile file(1, 9);
    for (const int error : {EPERM, EAGAIN, EINTR}) {
        test::FaultPlan plan;
        test::Reads reads(file, 1);
        auto io = test::make_faulty(backend, plan, 4);
        // The poller sleeps in the kernel when the request is refused: only a nudge can wake it.
        test::wait_until([&] { return plan.waits() > 0; }, "waiting for the poller to sleep");
        plan.fail_submit(nth(1), EPERM);
        plan.fail_submit(first(5), error, test::is_signal);
        reads.submit_all(io);
        reads.wait();
        INFO(plan.text());
        REQUIRE(reads.result(0).raw() == -EPERM);
        REQUIRE(io.stats().nudges >= 1);
        REQUIRE(plan.injected("submit call failed") == 6);
        REQUIRE(plan.given(test::Entry::Kind::nudge) >= 1);
        REQUIRE(io.shutdown().clean);
    }
}

TEST_EACH_BACKEND("defect 7: an exit signal that the kernel does not take is sent again until it "
                  "is",
                  "[fault][submit][F9][shutdown][defect-7]") {
    const test::PatternFile file(4, 10);
    for (const int error : {EPERM, EBADF, EAGAIN, EINTR}) {
        test::FaultPlan plan;
        test::Reads reads(file, 4);
        auto io = test::make_faulty(backend, plan, 4);
        reads.submit_all(io);
        reads.wait();
        plan.fail_submit(first(5), error, test::is_signal);
        REQUIRE(io.shutdown().clean);
        INFO(plan.text());
        REQUIRE(plan.injected("submit call failed") == 5);
        REQUIRE(plan.given(test::Entry::Kind::leave) == 1);
        REQUIRE(plan.in_kernel_when_destroyed() == 0);
        REQUIRE(reads.count_right() == 4);
    }
}
