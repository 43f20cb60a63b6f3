// SPDX-License-Identifier: MIT
//
// Goal: whatever a completion says, the request comes to its right end: carried on, tried again, or
// finished with exactly its own bytes or errno, once.
// Method: the whole engine over the real kernel; completions that are short, fail, lie, come twice,
// late or out of order.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"

#include <cerrno>
#include <cstdint>
#include <vector>

using namespace ioengine;
using test::every;
using test::first;
using test::nth;

TEST_EACH_BACKEND("defect 4: every errno of a completion is the result of its request and of no "
                  "other",
                  "[fault][completion][G2][C9][defect-4]") {
    const std::vector<int> errors = {EIO,    ENODATA, ENOSPC,    ENODEV,    EOPNOTSUPP,
                                     EFAULT, EPERM,   ETIMEDOUT, EREMOTEIO, EDQUOT,
                                     EFBIG,  EINVAL,  EBADF,     ENOMEM};
    const test::PatternFile file(errors.size() + 1, 11);
    test::FaultPlan plan;
    for (std::size_t i = 0; i < errors.size(); ++i)
        plan.fail(every(), errors[i], test::at_offset(i * test::kBlock));
    test::Reads reads(file, errors.size() + 1);
    auto io = test::make_faulty(backend, plan, 8);
    reads.submit_all(io);
    reads.wait();
    INFO(plan.text());
    for (std::size_t i = 0; i < errors.size(); ++i)
        REQUIRE(reads.result(i).raw() == -errors[i]);
    REQUIRE(reads.right(errors.size()));
    reads.tracker().require_exactly_once();
    test::settle(io);
    REQUIRE(io.stats().failed == errors.size());
    REQUIRE(io.stats().completion_retries == 0);
}

TEST_EACH_BACKEND(
    "defect 13: a result counts the bytes of its own request, however many come at once",
    "[fault][completion][defect-13]") {
    constexpr std::size_t kCount = 16;
    const test::PatternFile file(kCount, 10);
    test::FaultPlan plan;
    plan.hold(every());
    test::Reads reads(file, kCount);
    for (std::size_t i = 0; i < kCount; ++i)
        reads.event(i).length = i * 100;
    auto io = test::make_faulty(backend, plan, kCount);
    reads.submit_all(io);
    test::wait_until([&] { return plan.held() == kCount; }, "waiting for completions held back");
    plan.release();  // so that all of them are reaped together
    reads.wait();
    for (std::size_t i = 0; i < kCount; ++i)
        REQUIRE(reads.result(i).raw() == static_cast<std::int64_t>(i * 100));
    reads.tracker().require_exactly_once();
}

TEST_EACH_BACKEND("a passing error of a completion is tried again, and nothing of it is seen",
                  "[fault][completion][F3][F4][G4]") {
    constexpr std::size_t kCount = 30;
    const test::PatternFile file(kCount, 12);
    test::FaultPlan plan;
    plan.fail({1, 40}, EAGAIN);
    plan.fail({45, 60}, EINTR);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 8);
    reads.submit_all(io);
    reads.wait();
    INFO(plan.text());
    REQUIRE(plan.injected("failed") == 56);
    REQUIRE(reads.count_right() == kCount);
    test::settle(io);
    REQUIRE(io.stats().completion_retries == 56);
    REQUIRE(io.stats().free_slots == 8);
}

TEST_EACH_BACKEND("a NOWAIT request's EAGAIN is its result at once", "[fault][completion]") {
    const test::PatternFile file(1, 13);
    test::FaultPlan plan;
    plan.fail(every(), EAGAIN);
    auto io = test::make_faulty(backend, plan, 4);
    unsigned char data[test::kBlock];
    const Result result = test::result_of(io, [&](Request& request) {
        request.prepare_read(file.fd(), data, sizeof data, 0);
        request.flags = kFlagNowait;
    });
    REQUIRE(result.raw() == -EAGAIN);
    REQUIRE(plan.injected("failed") == 1);
}

TEST_EACH_BACKEND("kernel behaviour 3: a transfer that the kernel cancelled unasked is done again, "
                  "where that is harmless",
                  "[fault][completion][kernel-3]") {
    const test::PatternFile file(2, 14);
    test::FaultPlan plan;
    auto io = test::make_faulty(backend, plan, 4);
    unsigned char data[test::kBlock];
    test::fill_pattern(data, sizeof data, 99);

    plan.fail(nth(1), ECANCELED);
    const Result written = test::result_of(io, [&](Request& request) {
        request.prepare_write(file.fd(), data, sizeof data, test::kBlock);
    });
    REQUIRE(written.raw() == test::kBlock);
    REQUIRE(file.has(1, 99));

    plan.calm();
    plan.fail(nth(1), ECANCELED);
    const Result read = test::result_of(
        io, [&](Request& request) { request.prepare_read(file.fd(), data, sizeof data, 0); });
    REQUIRE(read.raw() == test::kBlock);
    REQUIRE(file.matches(data, 0));

    plan.calm();
    plan.fail(nth(1), ECANCELED);
    const Result appended = test::result_of(io, [&](Request& request) {
        request.prepare_write(file.fd(), data, sizeof data, 0);
        request.flags = kFlagAppend;
    });
    REQUIRE(appended.raw() == -ECANCELED);
    REQUIRE(plan.injected("failed") == 3);
}

TEST_EACH_BACKEND("a failed flush is never tried again, whatever its errno",
                  "[fault][completion][B3][B4][scenario-13]") {
    const test::PatternFile file(1, 15);
    for (const int error : {EIO, EAGAIN, EINTR, ECANCELED, ENOSPC}) {
        test::FaultPlan plan;
        plan.fail(every(), error);
        auto io = test::make_faulty(backend, plan, 4);
        const auto flush = [&](bool data_only) {
            return test::result_of(io, [&](Request& request) {
                if (data_only)
                    request.prepare_fdatasync(file.fd());
                else
                    request.prepare_fsync(file.fd());
            });
        };
        REQUIRE(flush(false).raw() == -error);
        REQUIRE(flush(true).raw() == -error);
        INFO(plan.text());
        REQUIRE(plan.taken().size() == 2);
        plan.calm();
        REQUIRE(flush(false).raw() == 0);
    }
}

TEST_EACH_BACKEND("a completion of more bytes than were asked for is EIO", "[fault][completion]") {
    const test::PatternFile file(3, 16);
    test::FaultPlan plan;
    plan.lengthen(nth(2), 1);
    test::Reads reads(file, 3);
    auto io = test::make_faulty(backend, plan, 4);
    reads.submit_all(io);
    reads.wait();
    REQUIRE(reads.result(1).raw() == -EIO);
    REQUIRE(reads.count_right() == 2);
}

TEST_EACH_BACKEND("a flush that completes with a positive number has failed",
                  "[fault][completion][B3]") {
    const test::PatternFile file(1, 22);
    test::FaultPlan plan;
    plan.lengthen(nth(1), 0x4002);
    auto io = test::make_faulty(backend, plan, 4);
    const auto flush = [&](Request& request) { request.prepare_fsync(file.fd()); };
    REQUIRE(test::result_of(io, flush).raw() == -EIO);
    REQUIRE(test::result_of(io, flush).raw() == 0);
}

TEST_EACH_BACKEND("a completion that comes twice is a notice once, and a message",
                  "[fault][completion][H1]") {
    constexpr std::size_t kCount = 100;
    const test::PatternFile file(kCount, 17);
    test::FaultPlan plan;
    plan.repeat(every());
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 8);
    reads.submit_all(io);
    reads.wait();
    REQUIRE(io.shutdown().clean);
    INFO(plan.text());
    REQUIRE(reads.count_right() == kCount);
    reads.tracker().require_exactly_once();
    const Stats stats = io.stats();
    REQUIRE(stats.completed == kCount);
    REQUIRE(stats.stale_completions >= kCount - 1);  // the last may come after the end
    REQUIRE(stats.stale_completions <= kCount);
    REQUIRE(plan.logged("completion of no living request") > 0);
}

TEST_EACH_BACKEND("a completion that comes again while its slot has another request is not that "
                  "one's",
                  "[fault][completion][H1]") {
    constexpr std::size_t kCount = 4;
    const test::PatternFile file(kCount, 18);
    test::FaultPlan plan;
    plan.copy(first(kCount));
    test::Reads old(file, kCount);
    test::Reads young(file, kCount);
    auto io = test::make_faulty(backend, plan, kCount);  // so the same slots serve both
    old.submit_all(io);
    old.wait();
    plan.hold(every());
    young.submit_all(io);
    test::wait_until([&] { return plan.held() == kCount; }, "waiting for completions held back");
    plan.replay();
    test::wait_until([&] { return io.stats().stale_completions == kCount; },
                     "waiting for stale completions");
    REQUIRE(young.tracker().notices() == 0);
    plan.release();
    young.wait();
    INFO(plan.text());
    REQUIRE(old.count_right() == kCount);
    REQUIRE(young.count_right() == kCount);
    REQUIRE(io.shutdown().clean);
    old.tracker().require_exactly_once();
    young.tracker().require_exactly_once();
}

TEST_EACH_BACKEND("a second completion of one piece is not that of the next", "[fault][completion]"
                                                                              "[H1][F6]") {
    constexpr std::size_t kCount = 20;
    const test::PatternFile file(kCount, 19);
    test::FaultPlan plan;
    plan.shorten(every(), 1024);
    plan.repeat(every());
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    reads.submit_all(io);
    reads.wait();
    REQUIRE(io.shutdown().clean);
    INFO(plan.text());
    REQUIRE(reads.count_right() == kCount);
    REQUIRE(plan.taken().size() == 4 * kCount);
    reads.tracker().require_exactly_once();
}

TEST_EACH_BACKEND("completions in any order, some of them late, are each their own request's",
                  "[fault][completion][A10]") {
    const std::uint64_t seed = test::announced_seed("shuffled completions");
    constexpr std::size_t kCount = 500;
    const test::PatternFile file(kCount, 20);
    test::FaultPlan plan;
    plan.shuffle(seed);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 32);
    reads.submit_all(io);
    reads.wait();
    REQUIRE(io.shutdown().clean);
    REQUIRE(reads.count_right() == kCount);
    reads.tracker().require_exactly_once();
}

TEST_EACH_BACKEND("one request that keeps answering EAGAIN does not hold up the others",
                  "[fault][completion][F5]") {
    constexpr std::size_t kCount = 400;
    const test::PatternFile file(kCount, 21);
    test::FaultPlan plan;
    plan.fail(every(), EAGAIN, test::at_offset(0));
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    reads.submit_all(io);
    reads.wait();
    INFO(plan.text());
    // Its patience ends after 64 retries. All others were through long before.
    REQUIRE(reads.result(0).raw() == -EAGAIN);
    REQUIRE(reads.count_right() == kCount - 1);
    std::size_t retries_before_the_last = 0;
    const std::vector<test::Entry> taken = plan.taken();
    std::size_t others = 0;
    for (const test::Entry& entry : taken) {
        if (entry.offset != 0)
            ++others;
        else if (others < kCount - 1)
            ++retries_before_the_last;
    }
    REQUIRE(retries_before_the_last < 32);
}
