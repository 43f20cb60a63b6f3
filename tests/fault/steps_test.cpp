// SPDX-License-Identifier: MIT
//
// Goal: what the steps say about time and patience, exactly: how long to wait, when to give up,
// what is owed. Method: both roles step by step on one thread, over a real driver and kernel, with
// a clock of the test's own.

#include "tests/fault/batch.hpp"
#include "tests/fault/rig.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <vector>

using namespace ioengine;
using test::every;
using test::first;
using test::nth;

namespace {

constexpr std::int64_t kMicrosecond = 1000;
constexpr std::int64_t kMillisecond = 1'000'000;

template <class Rig>
void accept_all(Rig& rig, test::Reads& reads) {
    for (std::size_t i = 0; i < reads.count(); ++i) {
        const Acceptance acceptance = rig.context.push(reads.event(i), Channel::automatic);
        reads.tracker().submitted(i, acceptance);
        REQUIRE(acceptance);
    }
}

// Two reads that are to be carried on: the first hears EAGAIN and is put off, the second has come
// back short.
template <class Rig>
void begin_two(Rig& rig, test::FaultPlan& plan, test::Reads& reads) {
    auto& slots = rig.driver->slots();
    plan.fail(every(), EAGAIN, test::at_offset(0));
    plan.shorten(every(), 512, test::at_offset(test::kBlock));
    plan.hold(every(), test::at_offset(test::kBlock));
    accept_all(rig, reads);
    test::wait_until(
        [&] {
            rig.submit_step();
            rig.poll_step();
            return plan.held() == 1 && slots.has_put_off();
        },
        "waiting for one request put off and one held");
    plan.release();
    rig.poll_until([&] { return slots.has_continuation(); });
}

}  // namespace

TEST_EACH_BACKEND("a submit call in vain is repeated after 100 us, doubling up to 50 ms",
                  "[fault][steps][F4]") {
    const test::PatternFile file(1, 71);
    test::FaultPlan plan;
    test::Reads reads(file, 1);
    test::with_rig(backend, 4, plan, [&](auto& rig) {
        plan.fail_submit(every(), EAGAIN);
        accept_all(rig, reads);
        std::int64_t expected = 100 * kMicrosecond;
        for (int call = 1; call <= 15; ++call) {
            const SubmitOutcome outcome = rig.submit_step();
            REQUIRE_FALSE(outcome.moved);
            REQUIRE(outcome.limit_ns == expected);
            REQUIRE(outcome.wants == EventCount::Wants::urgent_only);
            REQUIRE(plan.submit_calls() == static_cast<std::uint64_t>(call));
            expected = std::min(2 * expected, 50 * kMillisecond);
        }
        plan.calm();
        rig.run_until_quiet();
        REQUIRE(reads.right(0));
        REQUIRE(rig.submit_step().limit_ns == EventCount::kNoLimit);
    });
}

TEST_EACH_BACKEND("after two hundred submit calls in vain, in a row, the error is the user's",
                  "[fault][steps][F4]") {
    const test::PatternFile file(3, 72);
    for (const int error : {EAGAIN, ENOMEM}) {
        test::FaultPlan plan;
        test::Reads reads(file, 3);
        test::with_rig(backend, 4, plan, [&](auto& rig) {
            plan.fail_submit(every(), error);
            accept_all(rig, reads);
            for (std::uint32_t call = 0; call < kSubmitAttemptsMax; ++call) {
                REQUIRE_FALSE(rig.submit_step().moved);
                REQUIRE_FALSE(rig.poll_step());
            }
            REQUIRE(reads.tracker().notices() == 0);
            REQUIRE(rig.submit_step().moved);
            REQUIRE(rig.poll_step());
            REQUIRE(reads.tracker().notices() == 3);
            for (std::size_t i = 0; i < 3; ++i)
                REQUIRE(reads.result(i).raw() == -error);
            REQUIRE(plan.submit_calls() == kSubmitAttemptsMax + 1);
            REQUIRE(rig.driver->slots().all_free());
            REQUIRE(rig.driver->slots().available() == 4);
            // And afterwards everything is as ever.
            plan.calm();
            test::Reads again(file, 3);
            accept_all(rig, again);
            rig.run_until_quiet();
            REQUIRE(again.count_right() == 3);
        });
    }
}

TEST_EACH_BACKEND("a completion in between renews the patience with the submit call",
                  "[fault][steps][F4]") {
    const test::PatternFile file(4, 73);
    test::FaultPlan plan;
    plan.hold(every());
    test::Reads early(file, 2);
    test::Reads late(file, 1);
    test::with_rig(backend, 4, plan, [&](auto& rig) {
        accept_all(rig, early);
        rig.submit_step();
        rig.poll_until([&] { return plan.held() == 2; });
        plan.fail_submit(every(), EAGAIN);
        accept_all(rig, late);
        for (std::uint32_t call = 0; call < kSubmitAttemptsMax; ++call)
            rig.submit_step();
        plan.release();
        REQUIRE(rig.poll_step());
        REQUIRE(early.count_right() == 2);
        REQUIRE(rig.submit_step().limit_ns == 100 * kMicrosecond);
        REQUIRE(late.tracker().notices() == 0);
        plan.calm();
        rig.run_until_quiet();
        REQUIRE(late.count_right() == 1);
    });
}

TEST_EACH_BACKEND("a piece that hears EAGAIN is retried three times at once, then after 100 us, "
                  "doubling up to 50 ms, sixty-four times in all",
                  "[fault][steps][F4]") {
    const test::PatternFile file(1, 74);
    test::FaultPlan plan;
    test::Reads reads(file, 1);
    test::with_rig(backend, 1, plan, [&](auto& rig) {
        plan.fail(every(), EAGAIN);
        accept_all(rig, reads);
        std::uint64_t taken = 1;
        const auto reap_one = [&] {
            const std::uint64_t before = rig.context.poll_counters.reaped.get();
            rig.poll_until([&] { return rig.context.poll_counters.reaped.get() == before + 1; });
        };
        rig.submit_step();
        reap_one();
        for (unsigned retry = 1; retry <= kPieceRetriesMax; ++retry) {
            if (retry > 3) {
                const std::int64_t wait = std::min<std::int64_t>(
                    (100 * kMicrosecond) << std::min(retry - 4, 10u), 50 * kMillisecond);
                REQUIRE(rig.submit_step().limit_ns == wait);
                rig.clock += static_cast<std::uint64_t>(wait) - 1;
                REQUIRE(rig.submit_step().limit_ns == 1);
                REQUIRE(plan.taken().size() == taken);
                rig.clock += 1;
            }
            REQUIRE(rig.submit_step().moved);
            REQUIRE(plan.taken().size() == ++taken);
            REQUIRE(reads.tracker().notices() == 0);
            reap_one();
        }
        REQUIRE(reads.tracker().notices() == 1);
        REQUIRE(reads.result(0).raw() == -EAGAIN);
        REQUIRE(plan.taken().size() == kPieceRetriesMax + 1);
        REQUIRE(rig.driver->slots().all_free());
    });
}

TEST_EACH_BACKEND("requests that are retried later let others pass", "[fault][steps][F4]") {
    const test::PatternFile file(10, 75);
    test::FaultPlan plan;
    test::Reads reads(file, 10);
    test::with_rig(backend, 4, plan, [&](auto& rig) {
        plan.fail(every(), EAGAIN, test::at_offset(0));
        accept_all(rig, reads);
        // Time stands still, so that the fourth retry is never due.
        test::wait_until(
            [&] {
                rig.submit_step();
                rig.poll_step();
                return reads.tracker().notices() == 9;
            },
            "waiting for nine of ten requests");
        REQUIRE(reads.count_right() == 9);
        REQUIRE(rig.driver->slots().in_use() == 1);
        InFlight entry;
        std::size_t found = 0;
        for (std::uint32_t i = 0; i < 4; ++i)
            found += rig.driver->slots().describe(i, rig.clock, entry);
        REQUIRE(found == 1);
        REQUIRE(entry.offset == 0);
        plan.calm();
        rig.run_until_quiet();
        REQUIRE(reads.right(0));
    });
}

TEST_EACH_BACKEND("a bad entry costs one call more, and no good one waits for it",
                  "[fault][steps][F5][kernel-4]") {
    const test::PatternFile file(8, 76);
    test::FaultPlan plan;
    test::Reads reads(file, 8);
    test::with_rig(backend, 8, plan, [&](auto& rig) {
        plan.refuse(every(), EBADF, test::at_offset(3 * test::kBlock));
        accept_all(rig, reads);
        REQUIRE(rig.submit_step().moved);
        // AIO: three taken, the fourth refused, four taken. Ring: four consumed, four consumed.
        REQUIRE(plan.submit_calls() == (backend == Backend::aio ? 3 : 2));
        REQUIRE(plan.taken().size() == (backend == Backend::aio ? 7 : 8));
        rig.run_until_quiet();
        REQUIRE(reads.result(3).raw() == -EBADF);
        REQUIRE(reads.count_right() == 7);
    });
}

TEST_EACH_BACKEND("an owed nudge keeps the submitter's sleep short until it is sent",
                  "[fault][steps][nudge]") {
    const test::PatternFile file(1, 77);
    test::FaultPlan plan;
    test::Reads reads(file, 1);
    test::with_rig(backend, 2, plan, [&](auto& rig) {
        REQUIRE(may_sleep(rig.context, *rig.poll_role, *rig.driver));  // and so it does
        plan.fail_submit(nth(1), EPERM);
        plan.fail_submit(first(3), EPERM, test::is_nudge);
        accept_all(rig, reads);
        for (int refusals = 0; refusals < 3; ++refusals) {
            REQUIRE(rig.submit_step().limit_ns == 100 * kMicrosecond);
            REQUIRE(rig.context.nudge.owed());
            REQUIRE_FALSE(rig.context.nudge.pending());
        }
        REQUIRE(rig.submit_step().limit_ns == EventCount::kNoLimit);
        REQUIRE(rig.context.nudge.pending());
        REQUIRE(rig.driver->wait(-1) == 0);
        rig.context.nudge.awake();
        REQUIRE(rig.poll_step());
        REQUIRE_FALSE(rig.context.nudge.pending());
        REQUIRE(reads.result(0).raw() == -EPERM);
    });
}

TEST_EACH_BACKEND("an exit signal that was refused keeps the submitter's sleep short until it is "
                  "sent, once",
                  "[fault][steps][F9]") {
    test::FaultPlan plan;
    test::with_rig(backend, 2, plan, [&](auto& rig) {
        plan.fail_submit(first(3), EPERM, test::is_leave);
        rig.begin_closing();
        for (int refusals = 0; refusals < 3; ++refusals) {
            REQUIRE(rig.submit_step().limit_ns == 100 * kMicrosecond);
            REQUIRE_FALSE(rig.submit_role.leave_sent);
        }
        REQUIRE(rig.submit_step().limit_ns == EventCount::kNoLimit);
        REQUIRE(rig.submit_role.leave_sent);
        const std::uint64_t calls = plan.submit_calls();
        rig.submit_step();
        REQUIRE(plan.submit_calls() == calls);
        REQUIRE_FALSE(rig.may_leave());
        rig.poll_until([&] { return rig.poll_role->leave_seen; });
        REQUIRE(rig.may_leave());
    });
}

TEST_EACH_BACKEND("with no free slot nothing is submitted, and only a slot is news",
                  "[fault][steps][D3][D9]") {
    const test::PatternFile file(5, 78);
    test::FaultPlan plan;
    plan.hold(first(2));
    test::Reads reads(file, 5);
    test::with_rig(backend, 2, plan, [&](auto& rig) {
        accept_all(rig, reads);
        rig.submit_step();
        rig.poll_until([&] { return plan.held() == 2; });
        const std::uint64_t calls = plan.submit_calls();
        for (int i = 0; i < 3; ++i) {
            const SubmitOutcome outcome = rig.submit_step();
            REQUIRE_FALSE(outcome.moved);
            REQUIRE(outcome.wants == EventCount::Wants::urgent_only);
            REQUIRE(outcome.limit_ns == EventCount::kNoLimit);
        }
        REQUIRE(plan.submit_calls() == calls);
        plan.release();
        rig.run_until_quiet();
        REQUIRE(reads.count_right() == 5);
    });
}

TEST_EACH_BACKEND("a shutdown that cancels refuses what is queued, what continues and what waits "
                  "to be retried, and then leaves",
                  "[fault][steps][shutdown][H7]") {
    const test::PatternFile file(8, 79);
    test::FaultPlan plan;
    test::Reads begun(file, 2);
    test::Reads queued(file, 6);
    test::with_rig(backend, 3, plan, [&](auto& rig) {
        begin_two(rig, plan, begun);
        accept_all(rig, queued);
        const std::size_t taken = plan.taken().size();

        rig.begin_closing();
        rig.context.closing.cancelling.store(true);
        rig.submit_step();
        rig.poll_until([&] { return rig.poll_role->leave_seen; });
        rig.poll_step();
        REQUIRE(begun.tracker().notices() == 2);
        REQUIRE(queued.tracker().notices() == 6);
        for (std::size_t i = 0; i < 2; ++i)
            REQUIRE(begun.result(i).raw() == -ECANCELED);
        for (std::size_t i = 0; i < 6; ++i)
            REQUIRE(queued.result(i).raw() == -ECANCELED);
        REQUIRE(plan.taken().size() == taken);
        REQUIRE(rig.may_leave());
    });
}

TEST_EACH_BACKEND("what waits to be carried on and is given up never goes to the kernel again",
                  "[fault][steps][cancel][deadline][H6][H12]") {
    constexpr std::uint64_t kDeadline = 3'600'000'000'000;
    const test::PatternFile file(2, 81);
    for (const bool is_late : {false, true}) {
        test::FaultPlan plan;
        test::Reads reads(file, 2);
        if (is_late)
            for (std::size_t i = 0; i < 2; ++i)
                reads.event(i).deadline_ns = kDeadline;
        test::with_rig(backend, 2, plan, [&](auto& rig) {
            begin_two(rig, plan, reads);
            const std::size_t taken = plan.taken().size();
            if (is_late)
                rig.clock = kDeadline;
            else
                rig.context.cancel(std::make_unique<CancelOrder>());
            rig.run_until_quiet();
            REQUIRE(reads.tracker().notices() == 2);
            for (std::size_t i = 0; i < 2; ++i)
                REQUIRE(reads.result(i).raw() == (is_late ? -ETIMEDOUT : -ECANCELED));
            REQUIRE(plan.taken().size() == taken);
            REQUIRE(rig.driver->slots().all_free());
        });
    }
}

TEST_EACH_BACKEND("a deadline further away than any sleep does not keep the submitter awake",
                  "[fault][steps][deadline][H12]") {
    const test::PatternFile file(1, 83);
    for (const std::uint64_t deadline_ns : {UINT64_MAX, UINT64_MAX - 1, std::uint64_t{1} << 63}) {
        test::FaultPlan plan;
        test::Reads reads(file, 1);
        reads.event(0).deadline_ns = deadline_ns;
        test::with_rig(backend, 1, plan, [&](auto& rig) {
            plan.hold(first(1));
            accept_all(rig, reads);
            rig.submit_step();
            const std::int64_t limit_ns = rig.submit_step().limit_ns;
            REQUIRE((limit_ns == EventCount::kNoLimit || limit_ns > 3'600'000'000'000));
            plan.release();
            test::wait_until(
                [&] {
                    rig.submit_step();
                    rig.poll_step();
                    return reads.tracker().notices() == 1;
                },
                "waiting for the request");
            REQUIRE(reads.right(0));
        });
    }
}

TEST_CASE("with a ring that is full a step tries once to make room for cancellations",
          "[fault][steps][cancel][H6][G3]") {
    test::require_backend(Backend::uring);
    constexpr std::uint32_t kDepth = 14;  // two places less than the ring has
    const test::PatternFile file(kDepth, 82);
    test::FaultPlan plan;
    test::Reads reads(file, kDepth);
    test::with_rig(Backend::uring, kDepth, plan, [&](auto& rig) {
        plan.fail_submit(every(), EAGAIN);
        accept_all(rig, reads);
        rig.submit_step();
        const std::uint64_t calls = plan.submit_calls();
        rig.context.cancel(std::make_unique<CancelOrder>());
        for (std::uint64_t step = 1; step <= 5; ++step) {
            REQUIRE(rig.submit_step().limit_ns != EventCount::kNoLimit);
            REQUIRE(plan.submit_calls() <= calls + 2 * step);
        }
        plan.calm();
        rig.run_until_quiet();
        for (std::uint32_t i = 0; i < kDepth; ++i)
            REQUIRE((reads.right(i) || reads.result(i).raw() == -ECANCELED));
    });
}

TEST_EACH_BACKEND("no more requests than there are slots are ever with the kernel",
                  "[fault][steps][D3][A7]") {
    constexpr std::size_t kCount = 60;
    const test::PatternFile file(kCount, 80);
    for (const std::uint32_t depth : {1u, 3u, 7u}) {
        test::FaultPlan plan;
        plan.limit_submit(every(), 2);
        test::Reads reads(file, kCount);
        test::with_rig(backend, depth, plan, [&](auto& rig) {
            accept_all(rig, reads);
            test::wait_until(
                [&] {
                    plan.hold(first(1));
                    rig.submit_step();
                    REQUIRE(rig.driver->slots().in_use() <= depth);
                    REQUIRE(plan.taken().size() - reads.tracker().notices() <= depth);
                    plan.release();
                    rig.poll_step();
                    return reads.tracker().notices() == kCount;
                },
                "waiting for all requests");
            REQUIRE(reads.count_right() == kCount);
            REQUIRE(rig.driver->slots().all_free());
        });
    }
}
