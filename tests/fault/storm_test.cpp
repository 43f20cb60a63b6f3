// SPDX-License-Identifier: MIT
//
// Goal: exactly one notice per accepted request, each with its own true result, when everything
// fails at once, and an end that comes once the faults stop.
// Method: threads that submit reads and writes of blocks of their own, all fault kinds at random
// from one seed, a shutdown in their midst; then the file is compared with what was promised.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

using namespace ioengine;
using test::every;

namespace {

constexpr std::size_t kThreads = 3;
constexpr std::size_t kEach = 300;
constexpr std::size_t kCount = kThreads * kEach;

// A filter that lets one in `n` through, drawn from a seed. Called under the plan's lock only.
test::EntryFilter one_in(std::uint64_t n, std::uint64_t seed, test::EntryFilter of) {
    const auto random = std::make_shared<test::Random>(seed);
    return [random, n, of = std::move(of)](const test::Entry& entry) {
        return of(entry) && random->below(n) == 0;
    };
}
bool any(const test::Entry&) {
    return true;
}

void add_every_fault(test::FaultPlan& plan, test::Random& random) {
    for (const int error : {EAGAIN, EINTR, ENOMEM})
        plan.fail_submit(every(), error, one_in(12, random.next(), any));
    plan.limit_submit(every(), 1 + random.below(8));
    plan.refuse(every(), EBADF, one_in(50, random.next(), test::is_request));
    for (const int error : {EIO, ENODATA, ENOSPC, EFAULT})
        plan.fail(every(), error, one_in(120, random.next(), test::is_request));
    for (const int error : {EAGAIN, EINTR, ECANCELED})
        plan.fail(every(), error, one_in(20, random.next(), test::is_request));
    plan.shorten(every(), 512, one_in(10, random.next(), test::is_request));
    plan.shorten(every(), 1536, one_in(10, random.next(), test::is_request));
    plan.repeat(every(), one_in(15, random.next(), any));
    for (std::uint64_t i = 1; i < 4000; i += 1 + random.below(6))
        plan.fail_wait(test::nth(i), random.below(2) == 0 ? EINTR : 0);
    plan.shuffle(random.next());
}

// Block i is read if i is even and overwritten with a pattern of its own if it is odd.
class MixedWork {
  public:
    MixedWork(const test::PatternFile& file, std::uint64_t seed)
        : file_(file), seed_(seed), tracker_(kCount) {
        auto made = AlignedBuffer::create(kCount * test::kBlock);
        REQUIRE(made.has_value());
        memory_ = *std::move(made);
        for (std::size_t i = 0; i < kCount; ++i) {
            events_.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker_, i}));
            if (is_read(i)) {
                events_[i]->prepare_read(file.fd(), buffer(i), test::kBlock, i * test::kBlock);
            } else {
                test::fill_pattern(buffer(i), test::kBlock, seed_ + i);
                events_[i]->prepare_write(file.fd(), buffer(i), test::kBlock, i * test::kBlock);
            }
        }
    }

    void submit(test::Context& io, std::size_t i) {
        tracker_.submitted(i,
                           io.submit(*events_[i], i % 5 == 0 ? Channel::prio : Channel::automatic));
    }
    test::Tracker& tracker() { return tracker_; }

    // What was promised is so; returns how many requests succeeded in full.
    std::size_t check() {
        std::size_t whole = 0;
        for (std::size_t i = 0; i < kCount; ++i) {
            const Result result = tracker_.result(i);
            if (result.raw() != static_cast<std::int64_t>(test::kBlock)) {
                require_injected(result);
                continue;
            }
            ++whole;
            INFO("block " << i);
            if (is_read(i))
                REQUIRE(file_.matches(buffer(i), i));
            else
                REQUIRE(file_.has(i, seed_ + i));
        }
        return whole;
    }

  private:
    static bool is_read(std::size_t i) { return i % 2 == 0; }
    unsigned char* buffer(std::size_t i) { return memory_.data() + i * test::kBlock; }
    static void require_injected(Result result) {
        if (result.ok())  // no space after some bytes
            REQUIRE((result.bytes() % 512 == 0 && result.bytes() < test::kBlock));
        else
            REQUIRE((result.error() == EBADF || result.error() == EIO ||
                     result.error() == ENODATA || result.error() == ENOSPC ||
                     result.error() == EFAULT));
    }

    const test::PatternFile& file_;
    const std::uint64_t seed_;
    test::Tracker tracker_;
    AlignedBuffer memory_;
    std::vector<std::unique_ptr<test::TrackedEvent>> events_;
};

}  // namespace

TEST_EACH_BACKEND(
    "in a storm of all faults each accepted request gets one notice with its own true "
    "result",
    "[fault][storm][A10][C9][F8]") {
    const std::uint64_t seed = test::announced_seed("fault storm");
    test::Random random(seed);
    for (int round = 0; round < 6; ++round) {
        const test::PatternFile file(kCount, random.next());
        test::FaultPlan plan;
        add_every_fault(plan, random);
        MixedWork work(file, random.next());
        const bool close_early = round % 2 == 1;
        const auto depth = static_cast<std::uint32_t>(1 + random.below(24));
        auto io = test::make_faulty(backend, plan, depth);
        std::vector<std::thread> threads;
        for (std::size_t t = 0; t < kThreads; ++t)
            threads.emplace_back([&, t] {
                for (std::size_t i = 0; i < kEach; ++i)
                    work.submit(io, t * kEach + i);
            });
        if (close_early) {
            REQUIRE(io.shutdown().clean);  // while they submit
        }
        for (std::thread& thread : threads)
            thread.join();
        if (!close_early) {
            work.tracker().wait_for_notices();
            plan.calm();
            REQUIRE(io.shutdown().clean);
        }
        INFO("round " << round << ", depth " << depth << "; " << plan.text());
        work.tracker().require_exactly_once();
        const Stats stats = io.stats();
        REQUIRE(stats.completed == work.tracker().accepted());
        REQUIRE(stats.accepted == stats.completed);
        REQUIRE(stats.free_slots == depth);
        REQUIRE(plan.in_kernel_when_destroyed() == 0);
        if (!close_early) {
            REQUIRE(work.tracker().accepted() == kCount);
            REQUIRE(work.check() > kCount / 2);
            REQUIRE(plan.injected() > kCount / 4);
        }
    }
}
