// SPDX-License-Identifier: MIT
//
// Goal: rings that are too small, that spill over and that wrap lose nothing and keep order.
// Method: the whole engine over real rings of a few entries.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <memory>
#include <thread>
#include <vector>

using namespace ioengine;
using test::every;
using test::first;

namespace {

// Reads block after block, its own next request from each callback, until all turns are used up.
struct Chain {
    struct Shared {
        test::Context* io;
        const test::PatternFile* file;
        std::size_t blocks;
        std::atomic<std::int64_t> turns;
        std::atomic<std::uint64_t> wrong{0};
        test::Latch over;
    };
    Shared* shared;
    unsigned char data[test::kBlock];
    std::size_t block = 0;

    void operator()(IOEvent<Chain>& event) noexcept {
        if (event.result != static_cast<std::int64_t>(sizeof data) ||
            !shared->file->matches(data, block))
            shared->wrong.fetch_add(1);
        step(event);
    }
    void step(IOEvent<Chain>& event) noexcept {
        if (shared->turns.fetch_sub(1) <= 0) {
            shared->over.count_down();
            return;
        }
        block = (block + 1) % shared->blocks;
        event.prepare_read(shared->file->fd(), data, sizeof data, block * test::kBlock);
        if (!shared->io->submit(event)) {
            shared->wrong.fetch_add(1);
            shared->over.count_down();
        }
    }
};

// Runs `turns` reads in `width` chains.
std::uint64_t run_chains(test::Context& io, const test::PatternFile& file, std::size_t blocks,
                         std::size_t width, std::int64_t turns) {
    Chain::Shared shared{&io, &file, blocks, {turns}, {}, test::Latch(width)};
    std::vector<std::unique_ptr<IOEvent<Chain>>> chains;
    for (std::size_t i = 0; i < width; ++i) {
        chains.push_back(std::make_unique<IOEvent<Chain>>());
        chains.back()->callback.shared = &shared;
        chains.back()->callback.block = i % blocks;
        chains.back()->callback.step(*chains.back());
    }
    shared.over.wait();
    return shared.wrong.load();
}

}  // namespace

TEST_CASE("completions that spill over a tiny completion ring are counted, fetched, and none is "
          "lost",
          "[fault][ring][uring][G3][scenario-8]") {
    test::require_backend(Backend::uring);
    test::require_two_threads();  // somebody hands over while nobody reaps
    constexpr std::size_t kCount = 64;
    const test::PatternFile file(kCount, 61);
    for (int round = 0; round < 20; ++round) {
        test::FaultPlan plan;
        plan.sq_entries = 4;
        plan.cq_entries = 4;
        test::Reads reads(file, kCount);
        auto io = test::make_faulty(Backend::uring, plan, kCount);
        {
            test::Plug plug(io);  // nobody reaps while it is in
            reads.submit_all(io);
            test::wait_until([&] { return plan.taken().size() == kCount + 1; },
                             "waiting for the kernel to take all requests");
        }
        reads.wait();
        REQUIRE(io.shutdown().clean);
        const Stats stats = io.stats();
        INFO(plan.text());
        REQUIRE(reads.count_right() == kCount);
        reads.tracker().require_exactly_once();
        REQUIRE(stats.cq_overflows > 0);
        REQUIRE(stats.stale_completions == 0);
        REQUIRE(stats.completed == kCount + 1);
    }
}

TEST_CASE("an exit signal comes through a completion ring that has spilled over",
          "[fault][ring][uring][G3][F10]") {
    test::require_backend(Backend::uring);
    test::require_two_threads();  // the same
    constexpr std::size_t kCount = 32;
    const test::PatternFile file(kCount, 62);
    test::FaultPlan plan;
    plan.sq_entries = 4;
    plan.cq_entries = 4;
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(Backend::uring, plan, kCount);
    auto plug = std::make_unique<test::Plug>(io);
    reads.submit_all(io);
    test::wait_until([&] { return plan.taken().size() == kCount + 1; },
                     "waiting for the kernel to take all requests");
    std::thread closer([&] { REQUIRE(io.shutdown().clean); });
    plug.reset();
    closer.join();
    REQUIRE(reads.count_right() == kCount);
    reads.tracker().require_exactly_once();
}

TEST_CASE("defect 6: more slots than submission entries: the backlog goes in order, in parts, "
          "each request once",
          "[fault][ring][uring][H3][defect-6]") {
    test::require_backend(Backend::uring);
    constexpr std::size_t kCount = 1000;
    const test::PatternFile file(kCount, 63);
    for (const std::uint32_t entries : {1u, 2u, 4u}) {
        test::FaultPlan plan;
        plan.sq_entries = entries;
        plan.cq_entries = 256;
        test::Reads reads(file, kCount);
        auto io = test::make_faulty(Backend::uring, plan, 64);
        reads.submit_all(io);
        reads.wait();
        REQUIRE(io.shutdown().clean);
        REQUIRE(reads.count_right() == kCount);
        const std::vector<test::Entry> taken = plan.taken();
        REQUIRE(taken.size() == kCount);
        for (std::size_t i = 0; i < kCount; ++i)
            REQUIRE(taken[i].offset == i * test::kBlock);
        // Every call took something: none was made in vain, none was needed twice. A bell may take
        // a call each time that it is armed.
        const std::uint64_t bells =
            test::one_thread() ? plan.given(test::Entry::Kind::wake) + 1 : 0;
        REQUIRE(plan.submit_calls() <= kCount + 1 + bells);
        REQUIRE(plan.submit_calls() >= kCount / entries);
    }
}

TEST_CASE("defect 6: a full submission ring that the kernel will not empty holds the backlog in "
          "the queues, and lets it go in order",
          "[fault][ring][uring][H3][F4][defect-6]") {
    test::require_backend(Backend::uring);
    constexpr std::size_t kCount = 300;
    const test::PatternFile file(kCount, 64);
    test::FaultPlan plan;
    plan.sq_entries = 4;
    plan.cq_entries = 64;
    plan.fail_submit(every(), EBUSY);
    test::Reads reads(file, kCount);
    Options options;
    options.depth = 64;
    options.queue_limit = kCount - 4;
    auto io = test::make_faulty(Backend::uring, plan, options);
    for (std::size_t i = 0; i < 4; ++i)
        reads.submit(io, i);
    test::wait_until([&] { return io.stats().running == 4; }, "waiting for a full ring");
    for (std::size_t i = 4; i < kCount; ++i)
        reads.submit(io, i);
    test::wait_until([&] { return plan.submit_calls() > 12; }, "waiting for calls in vain");
    REQUIRE(io.stats().queued_read == kCount - 4);
    test::KeptEvent surplus;
    surplus.prepare_read(file.fd(), reads.buffer(0), test::kBlock, 0);
    REQUIRE(io.submit(surplus).code() == ErrorCode::queue_full);  // backpressure
    plan.calm();
    reads.wait();
    REQUIRE(reads.count_right() == kCount);
    const std::vector<test::Entry> taken = plan.taken();
    for (std::size_t i = 0; i < kCount; ++i)
        REQUIRE(taken[i].offset == i * test::kBlock);
}

TEST_CASE(
    "kernel behaviour 4: without SUBMIT_ALL a bad entry stops the call, and what is behind it "
    "follows",
    "[fault][ring][uring][F5][kernel-4]") {
    test::require_backend(Backend::uring);
    constexpr std::size_t kCount = 16;
    const test::PatternFile file(kCount, 65);
    const test::Fd write_only = file.file().reopen(O_WRONLY);
    test::FaultPlan plan;
    plan.submit_all = false;
    plan.fail_submit(first(4), EAGAIN);  // lets a batch gather
    test::Reads reads(file, kCount);
    for (const std::size_t bad : {0u, 3u, 4u, 15u})
        reads.event(bad).fd = write_only.get();
    auto io = test::make_faulty(Backend::uring, plan, kCount);
    reads.submit_all(io);
    reads.wait();
    INFO(plan.text());
    for (const std::size_t bad : {0u, 3u, 4u, 15u})
        REQUIRE(reads.result(bad).raw() == -EBADF);
    REQUIRE(reads.count_right() == kCount - 4);
    reads.tracker().require_exactly_once();
}

TEST_EACH_BACKEND("rings of a few entries that wrap tens of thousands of times lose nothing",
                  "[fault][ring][G10][F13]") {
    constexpr std::int64_t kTurns = 140'000;  // more than 2^17
    constexpr std::size_t kBlocks = 37;
    const test::PatternFile file(kBlocks, 66);
    test::FaultPlan plan;
    plan.sq_entries = 2;
    plan.cq_entries = 4;
    auto io = test::make_faulty(backend, plan, 5);
    REQUIRE(run_chains(io, file, kBlocks, 7, kTurns) == 0);
    test::settle(io);
    REQUIRE(io.stats().completed == kTurns);
    REQUIRE(io.stats().bytes_read == static_cast<std::uint64_t>(kTurns) * test::kBlock);
    REQUIRE(io.stats().stale_completions == 0);
    REQUIRE(io.stats().free_slots == 5);
    REQUIRE(io.shutdown().clean);
}

TEST_CASE("AIO completions fetched by system call and from the ring are the same",
          "[fault][ring][aio][F13]") {
    test::require_backend(Backend::aio);
    constexpr std::size_t kBlocks = 37;
    const test::PatternFile file(kBlocks, 67);
    for (const bool from_ring : {false, true}) {
        test::FaultPlan plan;
        plan.aio_ring_reap = from_ring;
        auto io = test::make_faulty(Backend::aio, plan, 3);
        REQUIRE(run_chains(io, file, kBlocks, 5, 5000) == 0);
        test::settle(io);
        REQUIRE(io.stats().completed == 5000);
        REQUIRE(io.stats().stale_completions == 0);
    }
}
