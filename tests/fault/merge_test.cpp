// SPDX-License-Identifier: MIT
//
// Goal: when a merged transfer fails, is short, is refused or is called off, each of its requests
// hears what it would have heard alone, once, and every byte is right.
// Method: the whole engine over the real kernel, where the layer makes the merged transfer, which
// is known by its vectors, or one of the single ones that follow it, go wrong.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"
#include "tests/support/scarce_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;
using test::every;
using test::first;
using test::kBlock;
using test::nth;

namespace {

constexpr std::size_t kCount = 8;

bool is_merged(const test::Entry& entry) {
    return entry.is_request() &&
           (entry.action == IOAction::readv || entry.action == IOAction::writev);
}

void add_all(IOMergeSubmitter& submitter, test::Reads& reads) {
    for (std::size_t i = 0; i < reads.count(); ++i) {
        const Acceptance acceptance = submitter.add(reads.event(i));
        reads.tracker().submitted(i, acceptance);
        REQUIRE(acceptance);
    }
}

// Reads of blocks 0 to kCount - 1, as one.
void submit_merged(test::Context& io, test::Reads& reads) {
    IOMergeSubmitter submitter(io, reads.event(0).fd, IOAction::read, 1 << 20);
    add_all(submitter, reads);
    REQUIRE(submitter.flush());
}

void run_merged(test::Context& io, test::Reads& reads) {
    submit_merged(io, reads);
    reads.wait();
    test::settle(io);
    reads.tracker().require_exactly_once();
}

}  // namespace

TEST_EACH_BACKEND("a failure in the middle of a merged transfer is one request's, not its "
                  "neighbours'",
                  "[fault][merge][E10][scenario-11]") {
    const test::PatternFile file(kCount, 1);
    for (const std::size_t bad : {std::size_t{0}, std::size_t{3}, kCount - 1}) {
        test::FaultPlan plan;
        plan.fail(every(), EIO, is_merged);  // fails whole, as over a bad sector
        plan.fail(every(), EIO, [bad](const test::Entry& entry) {
            return !is_merged(entry) && entry.is_request() && entry.offset == bad * kBlock;
        });
        test::Reads reads(file, kCount);
        auto io = test::make_faulty(backend, plan, 2);
        run_merged(io, reads);
        for (std::size_t i = 0; i < kCount; ++i) {
            INFO("block " << i << " of which " << bad << " is bad\n" << plan.text());
            if (i == bad)
                REQUIRE(reads.result(i).error() == EIO);
            else
                REQUIRE(reads.right(i));
        }
        // All at once, then each by itself, in order.
        const std::vector<test::Entry> taken = plan.taken();
        REQUIRE(taken.size() == kCount + 1);
        for (std::size_t i = 0; i < kCount; ++i)
            REQUIRE(taken[i + 1].offset == i * kBlock);
        REQUIRE(io.stats().merges_broken == 1);
        REQUIRE(io.stats().free_slots == 2);
    }
}

TEST_EACH_BACKEND("a merged read that is short by any number of bytes goes on where it stopped",
                  "[fault][merge][E9]") {
    const test::PatternFile file(kCount, 2);
    for (const std::uint64_t bytes :
         {0u, 1u, 4095u, 4096u, 4097u, 5000u, 12'288u, 20'000u, 32'767u}) {
        INFO(bytes << " bytes");
        test::FaultPlan plan;
        plan.shorten(nth(1), bytes);
        test::Reads reads(file, kCount);
        auto io = test::make_faulty(backend, plan, 2);
        run_merged(io, reads);
        REQUIRE(reads.count_right() == kCount);
        // What was there already is not read again.
        const std::vector<test::Entry> taken = plan.taken();
        REQUIRE(taken.size() == 1 + kCount - bytes / kBlock);
        REQUIRE(taken[1].offset == bytes);
        REQUIRE(io.stats().bytes_read == kCount * kBlock);
    }
}

TEST_EACH_BACKEND("a merged write that is short puts every byte where it belongs, once",
                  "[fault][merge][E9]") {
    for (const std::uint64_t bytes : {0u, 1u, 4096u, 5000u, 20'000u, 32'767u}) {
        test::TempFile file(kCount * kBlock);
        std::vector<unsigned char> data(kCount * kBlock);
        test::fill_pattern(data.data(), data.size(), bytes);
        test::FaultPlan plan;
        plan.shorten(nth(1), bytes);
        test::Tracker tracker(kCount);
        std::vector<std::unique_ptr<test::TrackedEvent>> events;
        auto io = test::make_faulty(backend, plan, 2);
        {
            IOMergeSubmitter writes(io, file.fd(), IOAction::write, 1 << 20);
            for (std::size_t i = 0; i < kCount; ++i) {
                events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
                events[i]->prepare_write(file.fd(), &data[i * kBlock], kBlock, i * kBlock);
                tracker.submitted(i, writes.add(*events[i]));
            }
        }
        tracker.wait_for_notices();
        test::settle(io);
        tracker.require_exactly_once();
        std::vector<unsigned char> found(data.size());
        file.get(found.data(), found.size(), 0);
        REQUIRE(found == data);
        for (std::size_t i = 0; i < kCount; ++i)
            REQUIRE(tracker.result(i).raw() == kBlock);
        std::uint64_t moved = 0;
        for (const test::Entry& entry : plan.taken())
            moved += is_merged(entry) ? bytes : kBlock - entry.offset % kBlock;
        REQUIRE(moved == data.size());
    }
}

TEST_EACH_BACKEND(
    "no space in the midst of a merged write: those before it are written, the one in "
    "it is short, each after it hears so itself",
    "[fault][merge][E9][E10]") {
    test::TempFile file(kCount * kBlock);
    std::vector<unsigned char> data(kCount * kBlock, 7);
    test::FaultPlan plan;
    plan.shorten(nth(1), 2 * kBlock + 100);
    plan.fail(every(), ENOSPC, [](const test::Entry& entry) {
        return entry.is_request() && entry.offset >= 2 * kBlock + 100;
    });
    std::vector<Request> requests(kCount);
    auto io = test::make_faulty(backend, plan, 2);
    {
        IOMergeSubmitter writes(io, file.fd(), IOAction::write, 1 << 20);
        for (std::size_t i = 0; i < kCount; ++i) {
            requests[i].prepare_write(file.fd(), &data[i * kBlock], kBlock, i * kBlock);
            REQUIRE(writes.add(requests[i]));
        }
    }
    for (Request& request : requests)
        REQUIRE(io.wait(request) == ErrorCode::none);
    for (std::size_t i = 0; i < kCount; ++i)
        REQUIRE(requests[i].result == (i < 2    ? static_cast<std::int64_t>(kBlock)
                                       : i == 2 ? 100
                                                : -ENOSPC));
}

TEST_EACH_BACKEND("a merged transfer that the kernel refuses goes on one by one",
                  "[fault][merge][E10][F5]") {
    const test::PatternFile file(kCount, 3);
    test::FaultPlan plan;
    plan.refuse(every(), EINVAL, is_merged);
    plan.refuse(nth(3), EINVAL,
                [](const test::Entry& entry) { return entry.is_request() && !is_merged(entry); });
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 2);
    run_merged(io, reads);
    INFO(plan.text());
    REQUIRE(reads.result(2).error() == EINVAL);
    REQUIRE(reads.count_right() == kCount - 1);
    REQUIRE(io.stats().merges_broken == 1);
    REQUIRE(io.stats().free_slots == 2);
}

TEST_EACH_BACKEND("a passing error is no reason to break a merged transfer up", "[fault][merge]") {
    const test::PatternFile file(kCount, 4);
    for (const int error : {EINTR, EAGAIN}) {
        test::FaultPlan plan;
        plan.fail(first(3), error);
        test::Reads reads(file, kCount);
        auto io = test::make_faulty(backend, plan, 2);
        run_merged(io, reads);
        REQUIRE(reads.count_right() == kCount);
        REQUIRE(plan.taken().size() == 4);
        REQUIRE(io.stats().merges_broken == 0);
        REQUIRE(io.stats().completion_retries == 3);
    }
}

TEST_EACH_BACKEND("a submit call in vain keeps a merged transfer whole", "[fault][merge][F4]") {
    const test::PatternFile file(kCount, 5);
    test::FaultPlan plan;
    plan.fail_submit(first(3), EAGAIN);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 2);
    submit_merged(io, reads);
    reads.wait();
    REQUIRE(reads.count_right() == kCount);
    REQUIRE(plan.taken().size() == 1);
}

TEST_EACH_BACKEND("past the deadline each of a merged transfer hears ECANCELED, or what it got",
                  "[fault][merge][shutdown]") {
    const test::PatternFile file(2 * kCount, 6);
    test::FaultPlan plan;
    plan.hold(every());
    test::Reads reads(file, kCount);
    test::Tracker queued_tracker(kCount);
    std::vector<std::unique_ptr<test::TrackedEvent>> queued;
    auto io = test::make_faulty(backend, plan, 1);
    submit_merged(io, reads);
    test::wait_until([&] { return plan.taken().size() == 1; }, "waiting for the kernel to take it");
    {
        IOMergeSubmitter submitter(io, file.fd(), IOAction::read, 1 << 20);
        for (std::size_t i = 0; i < kCount; ++i) {
            queued.push_back(
                std::make_unique<test::TrackedEvent>(test::Tracked{&queued_tracker, i}));
            queued[i]->prepare_read(file.fd(), reads.buffer(i), kBlock, (kCount + i) * kBlock);
            queued_tracker.submitted(i, submitter.add(*queued[i]));
        }
    }
    const ShutdownReport late = io.shutdown(1ms);
    REQUIRE_FALSE(late.clean);
    REQUIRE(late.in_kernel == kCount);
    REQUIRE(late.held[0].merged == kCount);
    REQUIRE(late.held[0].length == kCount * kBlock);
    queued_tracker.wait_for_notices();
    for (std::size_t i = 0; i < kCount; ++i)
        REQUIRE(queued_tracker.result(i).error() == ECANCELED);
    plan.release();
    REQUIRE(io.shutdown().clean);
    reads.tracker().require_exactly_once();
    queued_tracker.require_exactly_once();
    for (std::size_t i = 0; i < kCount; ++i)
        REQUIRE((reads.right(i) || reads.result(i).error() == ECANCELED));
}

TEST_EACH_BACKEND(
    "nobody gives up a merged transfer for one of its requests; what the kernel says of "
    "it stands for each",
    "[fault][merge][cancel][H6]") {
    const test::PatternFile file(kCount, 9);
    test::FaultPlan plan;
    plan.hold(every(), is_merged);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 4);
    RequestHandle one;
    {
        IOMergeSubmitter submitter(io, file.fd(), IOAction::read, 1 << 20);
        add_all(submitter, reads);
        const Acceptance accepted = submitter.flush();
        REQUIRE(accepted);
        one = accepted.handle();
    }
    test::wait_until([&] { return plan.held() == 1; }, "waiting for the kernel to have it");
    // What is submitted later goes after the order.
    const auto after_the_order = [&] {
        Request other;
        unsigned char byte = 0;
        other.prepare_read(file.fd(), &byte, 1, 0);
        REQUIRE(io.submit(other));
        REQUIRE(io.wait(other) == ErrorCode::none);
    };
    REQUIRE(io.cancel(one) == ErrorCode::none);
    after_the_order();
    REQUIRE(plan.given(test::Entry::Kind::cancel) == 0);
    // All of them are meant: now the kernel is asked, and knows nothing of it any more.
    REQUIRE(io.cancel_all() == ErrorCode::none);
    after_the_order();
    plan.release();
    reads.wait();
    reads.tracker().require_exactly_once();
    REQUIRE(reads.count_right() == kCount);
    test::settle(io);
    REQUIRE(plan.given(test::Entry::Kind::cancel) == (backend == Backend::uring ? 1 : 0));
    REQUIRE(io.stats().cancelled == 0);
}

TEST_EACH_BACKEND("storms: merged reads and writes under every fault at once are each answered "
                  "once and rightly",
                  "[fault][merge]") {
    const std::uint64_t seed = test::announced_seed("merged storm");
    test::Random random(seed);
    constexpr std::size_t kBlocks = 256;
    const test::PatternFile file(kBlocks, 7);
    std::uint64_t merged = 0;
    std::uint64_t broken = 0;
    for (int round = 0; round < 30; ++round) {
        test::FaultPlan plan;
        plan.shuffle(random.next());
        for (std::uint64_t i = 1; i < 400; i += 1 + random.below(12)) {
            switch (random.below(4)) {
            case 0:
                plan.shorten(nth(i), random.below(9 * kBlock));
                break;
            case 1:
                plan.fail(nth(i), EAGAIN);
                break;
            case 2:
                plan.refuse(nth(i), EIO, is_merged);
                break;
            default:
                plan.fail(nth(i), EIO, is_merged);
                break;
            }
        }
        plan.fail_submit(nth(1 + random.below(5)), EAGAIN);
        test::Reads reads(file, kBlocks);
        Options options;
        options.depth = 1 + static_cast<std::uint32_t>(random.below(8));
        options.merge = true;
        options.merge_limit = static_cast<std::uint32_t>(kBlock * (1 + random.below(20)));
        auto io = test::make_faulty(backend, plan, options);
        reads.submit_all(io);
        reads.wait();
        REQUIRE(io.shutdown().clean);
        reads.tracker().require_exactly_once();
        // A short read of 0 bytes in the midst of a file is its end, as far as anybody can tell.
        for (std::size_t i = 0; i < kBlocks; ++i) {
            INFO("round " << round << ", block " << i << ": " << reads.result(i).raw());
            REQUIRE(reads.result(i).ok());
            if (reads.result(i).bytes() == kBlock)
                REQUIRE(reads.right(i));
        }
        REQUIRE(io.stats().free_slots == options.depth);
        merged += io.stats().merged;
        broken += io.stats().merges_broken;
    }
    REQUIRE(merged > 1000);
    REQUIRE(broken > 10);
}

TEST_EACH_BACKEND(
    "without memory for the queue what was gathered is kept, goes on singly or later, "
    "and at the end is told",
    "[fault][merge][E11]") {
    const test::PatternFile file(kCount, 8);
    test::FaultPlan plan;
    for (const bool singly : {true, false}) {
        test::Reads reads(file, kCount);
        auto io = test::make_faulty(backend, plan, 2);
        IOMergeSubmitter submitter(io, reads.event(0).fd, IOAction::read, 1 << 20);
        {
            const test::ScarceMemory scarce(0);
            add_all(submitter, reads);
            REQUIRE(submitter.flush().code() == ErrorCode::no_memory);
            REQUIRE(submitter.buffer().count() == kCount);
            REQUIRE(io.stats().accepted == 0);
        }
        if (singly) {
            submitter.take_back();
            for (std::size_t i = 0; i < kCount; ++i)
                REQUIRE(io.submit(reads.event(i)));
        } else {
            REQUIRE(submitter.flush());
        }
        reads.wait();
        test::settle(io);
        reads.tracker().require_exactly_once();
        REQUIRE(reads.count_right() == kCount);
        REQUIRE(io.stats().merged == (singly ? 0 : kCount - 1));
    }
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 2);
    {
        const test::ScarceMemory scarce(0);
        IOMergeSubmitter submitter(io, reads.event(0).fd, IOAction::read, 1 << 20);
        add_all(submitter, reads);
    }
    reads.tracker().require_exactly_once();
    for (std::size_t i = 0; i < kCount; ++i)
        REQUIRE(reads.result(i).error() == ENOMEM);
    REQUIRE(io.stats().accepted == 0);
}
