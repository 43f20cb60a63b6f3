// SPDX-License-Identifier: MIT
//
// Goal: a request that is cancelled still has one end; what waits ends at once, what the kernel
// gives up says so, what it has done stands; an order hits nothing that was accepted after it.
// Method: requests held back behind a plug, reads of an empty pipe, which io_uring gives up and AIO
// cannot, and orders given while everything moves.

#include "tests/support/giving_up.hpp"
#include "tests/support/merging.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

using test::Blocks;
using test::kBlock;
using test::KeptEvent;

}  // namespace

TEST_EACH_BACKEND("a cancelled request that is still queued ends with ECANCELED, and only that one",
                  "[cancel][H6][H7]") {
    Blocks blocks(12);
    test::SlotFillers fillers;
    std::array<KeptEvent, 12> events;
    auto io = test::make_context(backend, 2);
    {
        test::Plug plug(io);
        test::hold_queues(io, fillers);
        std::array<RequestHandle, 12> handles;
        for (std::size_t i = 0; i < events.size(); ++i) {
            events[i].prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
            const Acceptance accepted =
                io.submit(events[i], i % 3 == 0 ? Channel::prio : Channel::read);
            REQUIRE(accepted);
            handles[i] = accepted.handle();
        }
        for (const std::size_t i : {0u, 3u, 4u, 11u})
            REQUIRE(io.cancel(handles[i]) == ErrorCode::none);
        test::wait_for_order(io, 8);
    }
    for (std::size_t i = 0; i < events.size(); ++i) {
        events[i].callback.done.wait();
        if (i == 0 || i == 3 || i == 4 || i == 11)
            REQUIRE(events[i].callback.result.error() == ECANCELED);
        else
            REQUIRE((events[i].callback.result.raw() == kBlock && blocks.right(i)));
    }
    test::settle(io);
    REQUIRE(io.stats().cancelled == 4);
    REQUIRE(io.stats().queued_read == 0);
    REQUIRE(io.stats().queued_prio == 0);
}

TEST_EACH_BACKEND("a queue whose requests are cancelled has room again", "[cancel][H7][A8]") {
    test::SlotFillers fillers;
    std::array<KeptEvent, 4> events;
    KeptEvent last;
    Options options;
    options.depth = 1;
    options.queue_limit = 4;
    auto io = test::make_context(backend, options);
    std::thread waits;
    ErrorCode waited = ErrorCode::unsupported;
    {
        test::Plug plug(io);
        test::hold_queues(io, fillers);
        for (auto& event : events) {
            event.prepare_nop();
            REQUIRE(io.submit(event));
        }
        last.prepare_nop();
        REQUIRE(io.submit(last).code() == ErrorCode::queue_full);
        waits = std::thread([&] { waited = io.submit_wait(last).code(); });
        REQUIRE(io.cancel_all() == ErrorCode::none);
        if (!test::one_thread())
            waits.join();  // while the engine still stands
    }
    if (waits.joinable())
        waits.join();
    REQUIRE(waited == ErrorCode::none);
    for (auto& event : events) {
        event.callback.done.wait();
        REQUIRE(event.callback.result.error() == ECANCELED);
    }
    last.callback.done.wait();
    REQUIRE(last.callback.result.ok());
}

TEST_EACH_BACKEND("a request that the kernel can give up is given up", "[cancel][H6]") {
    test::require_giving_up(backend);
    test::Pipe pipe;
    char in[2][8] = {};
    KeptEvent first;
    KeptEvent behind;
    auto io = test::make_context(backend, 1);
    test::PipeEnder ender(pipe);
    first.prepare_read(pipe.read_end(), in[0], sizeof in[0], 0);
    behind.prepare_read(pipe.read_end(), in[1], sizeof in[1], 0);
    const Acceptance accepted = io.submit(first);
    REQUIRE(accepted);
    test::wait_until([&] { return io.stats().running == 1; }, "waiting for the read to start");
    const Acceptance queued = io.submit(behind);
    REQUIRE(queued);
    REQUIRE(io.cancel(queued.handle()) == ErrorCode::none);
    behind.callback.done.wait("waiting for a queued request behind one that never ends");
    REQUIRE(behind.callback.result.error() == ECANCELED);
    REQUIRE_FALSE(first.callback.done.open());
    REQUIRE(io.cancel(accepted.handle()) == ErrorCode::none);
    first.callback.done.wait();
    REQUIRE(first.callback.result.error() == ECANCELED);
    test::settle(io);
    REQUIRE(io.stats().running == 0);
    REQUIRE(io.shutdown().cancelled == 0);  // none by it
}

TEST_EACH_BACKEND("cancelling a descriptor spares the others", "[cancel][H6]") {
    Blocks blocks(8);
    Blocks others(8);
    test::SlotFillers fillers;
    std::array<KeptEvent, 8> doomed;
    std::array<KeptEvent, 8> spared;
    auto io = test::make_context(backend, 3);
    {
        test::Plug plug(io);
        test::hold_queues(io, fillers);
        for (std::size_t i = 0; i < 8; ++i) {
            doomed[i].prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
            spared[i].prepare_read(others.file.direct_fd(), others.at(i), kBlock, i * kBlock);
            REQUIRE(io.submit(doomed[i]));
            REQUIRE(io.submit(spared[i]));
        }
        REQUIRE(io.cancel(blocks.file.direct_fd()) == ErrorCode::none);
        test::wait_for_order(io, 8);
    }
    for (std::size_t i = 0; i < 8; ++i) {
        doomed[i].callback.done.wait();
        spared[i].callback.done.wait();
        REQUIRE(doomed[i].callback.result.error() == ECANCELED);
        REQUIRE((spared[i].callback.result.raw() == kBlock && others.right(i)));
    }
}

TEST_EACH_BACKEND("an order hits nothing that is accepted after it", "[cancel][H6]") {
    Blocks blocks(1);
    constexpr int kRounds = 500;
    KeptEvent before[kRounds];
    KeptEvent after[kRounds];
    auto io = test::make_context(backend, 4);
    const int fd = blocks.file.direct_fd();
    int cancelled = 0;
    for (int i = 0; i < kRounds; ++i) {
        before[i].prepare_read(fd, blocks.at(0), kBlock, 0);
        after[i].prepare_read(fd, blocks.at(0), kBlock, 0);
        REQUIRE(io.submit(before[i], Channel::prio));
        REQUIRE((i % 2 == 0 ? io.cancel(fd) : io.cancel_all()) == ErrorCode::none);
        REQUIRE(io.submit(after[i]));
        after[i].callback.done.wait();
        REQUIRE(after[i].callback.result.raw() == kBlock);
        before[i].callback.done.wait();
        cancelled += before[i].callback.result.error() == ECANCELED ? 1 : 0;
        REQUIRE((before[i].callback.result.error() == ECANCELED ||
                 before[i].callback.result.raw() == kBlock));
    }
    test::settle(io);
    REQUIRE(io.stats().cancelled == static_cast<std::uint64_t>(cancelled));
}

TEST_EACH_BACKEND("a handle names one submission, and none that comes later", "[cancel][H1]") {
    Blocks blocks(1);
    auto io = test::make_context(backend, 4);
    Request request;
    request.prepare_read(blocks.file.direct_fd(), blocks.at(0), kBlock, 0);
    const Acceptance first = io.submit(request);
    REQUIRE(first);
    REQUIRE(io.wait(request) == ErrorCode::none);
    REQUIRE(request.outcome().bytes() == kBlock);
    for (int i = 0; i < 200; ++i) {
        const Acceptance again = io.submit(request);
        REQUIRE(again);
        REQUIRE(again.handle().generation != first.handle().generation);
        REQUIRE(io.cancel(first.handle()) == ErrorCode::none);
        REQUIRE(io.wait(request) == ErrorCode::none);
        REQUIRE(request.outcome().bytes() == kBlock);
    }
    REQUIRE(io.stats().cancelled == 0);
}

TEST_EVERY_BACKEND("what cannot be cancelled is refused with a reason", "[cancel]") {
    auto io = test::make_context(backend);
    Request request;
    const Acceptance refused = io.submit(request);
    REQUIRE_FALSE(refused);
    REQUIRE(refused.handle().request == nullptr);
    REQUIRE(io.cancel(refused.handle()) == ErrorCode::invalid_argument);
    REQUIRE(io.cancel(RequestHandle()) == ErrorCode::invalid_argument);
    REQUIRE(io.cancel(-1) == ErrorCode::invalid_argument);
    REQUIRE(io.cancel(1 << 20) == ErrorCode::none);  // nothing is there to be given up
    REQUIRE(io.shutdown().clean);
    REQUIRE(io.cancel_all() == ErrorCode::none);
}

TEST_EACH_BACKEND("a callback cancels what is queued behind it, the one-call form too",
                  "[cancel][H6]") {
    constexpr int kQueued = 50;
    struct Seen {
        std::atomic<int> cancelled{0};
        std::atomic<int> done{0};
        test::Latch all{kQueued};
    } seen;
    RequestHandle handles[kQueued];
    test::SlotFillers fillers;
    test::KeptEvent first;
    auto io = test::make_context(backend, 2);
    test::Latch cancelled(1);
    {
        test::Plug plug(io);
        test::hold_queues(io, fillers);
        struct Cancels {
            test::Context* io;
            RequestHandle* handles;
            test::Latch* done;
            void operator()(Result) noexcept {
                for (int i = 0; i < kQueued; i += 2)
                    static_cast<void>(io->cancel(handles[i]));
                done->count_down();
            }
        };
        static_assert(sizeof(Cancels) <= 48, "fits the one-call form");
        REQUIRE(io.nop(Cancels{&io, handles, &cancelled}));
        for (auto& handle : handles) {
            const Acceptance accepted = io.nop([&seen](Result result) noexcept {
                (result.error() == ECANCELED ? seen.cancelled : seen.done).fetch_add(1);
                seen.all.count_down();
            });
            REQUIRE(accepted);
            handle = accepted.handle();
        }
    }
    cancelled.wait();
    seen.all.wait();
    REQUIRE(seen.cancelled <= kQueued / 2);
    REQUIRE(seen.done >= kQueued / 2);
}

TEST_EACH_BACKEND("one of several that would be merged is cancelled alone while they wait",
                  "[cancel][merge]") {
    Blocks blocks(16);
    test::SlotFillers fillers;
    test::MergeEvents events(16);
    auto io = test::make_merging(backend, 2, 16 * kBlock);
    std::memset(blocks.memory.data(), 0, blocks.memory.size());
    {
        test::Plug plug(io);
        test::hold_queues(io, fillers);
        std::array<RequestHandle, 16> handles;
        for (std::size_t i = 0; i < 16; ++i) {
            events[i].prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
            const Acceptance accepted = io.submit(events[i]);
            REQUIRE(accepted);
            events.tracker.submitted(i, accepted);
            handles[i] = accepted.handle();
        }
        REQUIRE(io.cancel(handles[5]) == ErrorCode::none);
        test::wait_for_order(io, 15);
    }
    events.finish(io);
    for (std::size_t i = 0; i < 16; ++i) {
        if (i == 5)
            REQUIRE(events.tracker.result(i).error() == ECANCELED);
        else
            REQUIRE((events.tracker.result(i).raw() == kBlock && blocks.right(i)));
    }
}

TEST_EACH_BACKEND("explicitly merged requests that wait are cancelled by their descriptor",
                  "[cancel][merge]") {
    Blocks blocks(8);
    test::SlotFillers fillers;
    test::MergeEvents events(8);
    auto io = test::make_merging(backend, 1, 16 * kBlock);
    {
        test::Plug plug(io);
        test::hold_queues(io, fillers);
        {
            IOMergeSubmitter reads(io, blocks.file.direct_fd(), IOAction::read, 1 << 20);
            events.add_reads_to(reads, blocks.file.direct_fd(), blocks.at(0), kBlock, 8);
        }
        REQUIRE(io.cancel(blocks.file.direct_fd()) == ErrorCode::none);
        test::wait_for_order(io, 0);
    }
    events.finish(io);
    for (std::size_t i = 0; i < 8; ++i)
        REQUIRE(events.tracker.result(i).error() == ECANCELED);
}

TEST_EACH_BACKEND("what the kernel has done stands, for each of several that were merged",
                  "[cancel][merge][H6]") {
    test::require_two_threads();
    Blocks blocks(4);
    test::MergeEvents events(4);
    auto io = test::make_merging(backend, 2, 16 * kBlock);
    std::memset(blocks.memory.data(), 0, blocks.memory.size());
    {
        test::Plug plug(io);
        RequestHandle first;
        {
            IOMergeSubmitter reads(io, blocks.file.direct_fd(), IOAction::read, 1 << 20);
            events.add_reads_to(reads, blocks.file.direct_fd(), blocks.at(0), kBlock, 4);
            const Acceptance flushed = reads.flush();
            REQUIRE(flushed);
            first = flushed.handle();
        }
        // In the kernel, and done there; the plug holds the notices back.
        test::wait_until([&] { return io.stats().running == 1 && io.stats().queued_read == 0; },
                         "waiting for a merged transfer");
        test::wait_until([&] { return blocks.right(3); }, "waiting for its bytes");
        REQUIRE(io.cancel(first) == ErrorCode::none);
        REQUIRE(io.cancel(blocks.file.direct_fd()) == ErrorCode::none);
    }
    events.finish(io);
    for (std::size_t i = 0; i < 4; ++i)
        REQUIRE((events.tracker.result(i).raw() == kBlock && blocks.right(i)));
    REQUIRE(io.stats().merged == 3);
}

TEST_EACH_BACKEND("cancelling everything races with shutdown: every request ends once",
                  "[cancel][shutdown][stress][H6]") {
    Blocks blocks(8);
    for (int round = 0; round < 30; ++round) {
        constexpr std::size_t kRequests = 200;
        test::MergeEvents events(kRequests);
        auto io = test::make_context(backend, 4);
        std::thread cancels([&] {
            for (int i = 0; i < 20; ++i) {
                static_cast<void>(io.cancel_all());
                static_cast<void>(io.cancel(blocks.file.direct_fd()));
            }
        });
        for (std::size_t i = 0; i < kRequests; ++i) {
            events[i].prepare_read(blocks.file.direct_fd(), blocks.at(i % 8), kBlock,
                                   i % 8 * kBlock);
            if (i % 3 == 0)
                events[i].expire_after(std::chrono::microseconds(i));
            events.submit_to(io, i);
        }
        const ShutdownReport report = io.shutdown();
        cancels.join();
        REQUIRE(report.clean);
        REQUIRE(report.completed == kRequests);
        events.tracker.require_exactly_once();
    }
}
