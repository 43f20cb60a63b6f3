// SPDX-License-Identifier: MIT
//
// Goal: a request that is late still has one end, ETIMEDOUT or what the kernel has done; with an
// early result it is told at its deadline and released when its buffer is back, once each.
// Method: requests held back behind a plug, reads of an empty pipe that the kernel holds on to, and
// orders, deadlines and completions that race.

#include "tests/support/giving_up.hpp"
#include "tests/support/merging.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

using test::Blocks;
using test::kBlock;
using test::KeptEvent;
using test::LeasedEvent;

// In others the engine does not look.
void require_debug_build() {
#ifdef NDEBUG
    SKIP_TEST("a build without debug checks");
#endif
}

}  // namespace

TEST_EACH_BACKEND("a request whose deadline passes in the queue ends with ETIMEDOUT",
                  "[deadline][H12]") {
    Blocks blocks(4);
    test::SlotFillers fillers;
    std::array<KeptEvent, 4> events;
    auto io = test::make_context(backend, 2);
    {
        test::Plug plug(io);
        test::hold_queues(io, fillers);
        for (std::size_t i = 0; i < events.size(); ++i) {
            events[i].prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
            if (i % 2 == 0)
                events[i].expire_after(i == 0 ? 0ms : 1ms);
            else
                events[i].expire_after(1h);
            REQUIRE(io.submit(events[i]));
        }
        std::this_thread::sleep_for(5ms);
    }
    for (std::size_t i = 0; i < events.size(); ++i) {
        events[i].callback.done.wait();
        if (i % 2 == 0)
            REQUIRE(events[i].callback.result.error() == ETIMEDOUT);
        else
            REQUIRE((events[i].callback.result.raw() == kBlock && blocks.right(i)));
    }
    test::settle(io);
    REQUIRE(io.stats().timed_out == 2);
}

TEST_EACH_BACKEND("what is submitted after its deadline is not done", "[deadline][H12]") {
    test::TempFile file(kBlock);
    auto io = test::make_context(backend, 4);
    const char byte = 1;
    for (int round = 0; round < 300; ++round) {
        Request request;
        request.prepare_write(file.fd(), &byte, 1, 0);
        request.expire_after(round % 2 == 0 ? 0ns : -1h);
        REQUIRE(io.perform(request));
        REQUIRE(request.outcome().error() == ETIMEDOUT);
    }
    char found = 1;
    file.get(&found, 1, 0);
    REQUIRE(found == 0);
    REQUIRE(io.stats().timed_out == 300);
}

TEST_EACH_BACKEND("a deadline ends what the kernel would never finish", "[deadline][H12]") {
    test::require_giving_up(backend);
    test::Pipe pipe;
    char in[8][8] = {};
    std::array<KeptEvent, 8> events;
    auto io = test::make_context(backend, 4);
    test::PipeEnder ender(pipe);
    for (std::size_t i = 0; i < events.size(); ++i) {
        events[i].prepare_read(pipe.read_end(), in[i], sizeof in[i], 0);
        events[i].expire_after(std::chrono::milliseconds(1 + 7 * (i % 3)));
        REQUIRE(io.submit(events[i]));
    }
    for (auto& event : events) {
        event.callback.done.wait("waiting for deadlines");
        REQUIRE(event.callback.result.error() == ETIMEDOUT);
    }
    test::settle(io);
    REQUIRE(io.stats().timed_out == events.size());
    REQUIRE(io.stats().running == 0);
}

TEST_EACH_BACKEND("a deadline that is kept changes nothing, and is forgotten by prepare",
                  "[deadline][H12]") {
    Blocks blocks(4);
    auto io = test::make_context(backend, 4);
    Request request;
    for (std::size_t i = 0; i < 300; ++i) {
        request.prepare_read(blocks.file.direct_fd(), blocks.at(i % 4), kBlock, i % 4 * kBlock);
        request.expire_after(1h);
        REQUIRE(io.perform(request));
        REQUIRE(request.outcome().bytes() == kBlock);
    }
    request.prepare_nop();
    REQUIRE(request.deadline_ns == 0);
    request.expire_after(std::chrono::hours::max());
    REQUIRE(request.deadline_ns > 0);
    REQUIRE(io.perform(request));
    REQUIRE(io.stats().timed_out == 0);
}

TEST_EACH_BACKEND("a deadline ends a wait", "[deadline][H12][wait]") {
    test::require_giving_up(backend);
    test::Pipe pipe;
    char in[2][8] = {};
    auto io = test::make_context(backend, 4);
    test::PipeEnder ender(pipe);
    Request request;
    request.prepare_read(pipe.read_end(), in[0], sizeof in[0], 0);
    request.expire_after(3ms);
    REQUIRE(io.perform(request));
    REQUIRE(request.outcome().error() == ETIMEDOUT);
    Group group(io);
    Result result;
    REQUIRE(group.call(
        [&](Request& member) {
            member.prepare_read(pipe.read_end(), in[1], sizeof in[1], 0);
            member.expire_after(3ms);
        },
        &result));
    REQUIRE(group.wait() == ErrorCode::none);
    REQUIRE(result.error() == ETIMEDOUT);
}

// -- early results -------------------------------------------------------------------------------

TEST_EACH_BACKEND("with an early result a request is told at its deadline and released when the "
                  "kernel gives its buffer back",
                  "[deadline][lease][H12]") {
    test::require_giving_up(backend);
    for (const bool pooled : {false, true}) {
        auto workers = IOWorkers::create(2);
        REQUIRE(workers);
        Options options;
        options.depth = 2;
        options.disable = "uring_async_cancel";  // so that the kernel holds on
        options.workers = pooled ? &*workers : nullptr;
        bool reached = false;
        for (auto limit = 5ms; !reached; limit *= 4) {
            test::Pipe pipe;
            char in[8] = {};
            LeasedEvent event;
            auto io = test::make_context(backend, options);
            test::PipeEnder ender(pipe);
            event.prepare_read(pipe.read_end(), in, sizeof in, 0);
            reached = test::is_told_in_kernel(io, event, limit);
            if (reached) {
                REQUIRE(io.stats().pending == 1);
                std::this_thread::sleep_for(5ms);
                REQUIRE_FALSE(event.callback.released.open());
                pipe.feed("late", 4);
            }
            event.callback.released.wait("waiting for a buffer");
            REQUIRE((!reached || std::memcmp(in, "late", 4) == 0));
            REQUIRE(event.callback.at_release.error() == ETIMEDOUT);
            test::settle(io);
            REQUIRE(io.stats().timed_out == 1);
            REQUIRE(io.stats().failed == 1);
            REQUIRE(io.shutdown().clean);
        }
    }
}

TEST_EACH_BACKEND("with an early result a request that is done in time is told and released at "
                  "once; so is one that ends in the queue",
                  "[deadline][lease][H12]") {
    Blocks blocks(1);
    test::SlotFillers fillers;
    LeasedEvent kept;
    LeasedEvent late;
    auto io = test::make_context(backend, 1);
    kept.prepare_read(blocks.file.direct_fd(), blocks.at(0), kBlock, 0);
    kept.flags = kFlagEarlyResult;
    kept.expire_after(1h);
    REQUIRE(io.submit(kept));
    kept.callback.released.wait();
    REQUIRE(kept.callback.told.open());
    REQUIRE(kept.callback.result.bytes() == kBlock);
    REQUIRE(kept.callback.at_release.bytes() == kBlock);
    {
        test::Plug plug(io);
        test::hold_queues(io, fillers);
        late.prepare_read(blocks.file.direct_fd(), blocks.at(0), kBlock, 0);
        late.flags = kFlagEarlyResult;
        late.expire_after(1ms);
        REQUIRE(io.submit(late));
        std::this_thread::sleep_for(3ms);
    }
    late.callback.released.wait();
    REQUIRE(late.callback.told.open());
    REQUIRE(late.callback.result.error() == ETIMEDOUT);
    // Released is the caller's: it may be submitted again.
    late.expire_after(1h);
    late.callback.told.~Latch();
    late.callback.released.~Latch();
    new (&late.callback.told) test::Latch(1);
    new (&late.callback.released) test::Latch(1);
    test::settle(io);
    REQUIRE(io.submit(late));
    late.callback.released.wait();
    REQUIRE(late.callback.result.bytes() == kBlock);
}

TEST_EACH_BACKEND("an event that had an early result has one notice when it is used without",
                  "[deadline][lease]") {
    Blocks blocks(1);
    auto io = test::make_context(backend, 1);
    struct Count {
        std::atomic<int> results{0};
        std::atomic<int> releases{0};
        void operator()(IOEvent<Count>& event) noexcept {
            (event.notice() == Notice::result ? results : releases).fetch_add(1);
        }
    };
    IOEvent<Count> event;
    for (const bool early : {true, false}) {
        event.prepare_read(blocks.file.direct_fd(), blocks.at(0), kBlock, 0);
        event.expire_after(1h);
        event.flags = early ? kFlagEarlyResult : kFlagNone;
        REQUIRE(io.submit(event));
        test::settle(io);
    }
    REQUIRE(event.callback.results == 2);
    REQUIRE(event.callback.releases == 1);
}

TEST_EVERY_BACKEND("an early result needs a deadline and an event of the caller's",
                   "[deadline][lease]") {
    auto io = test::make_context(backend);
    char byte = 0;
    LeasedEvent event;
    event.prepare_read(0, &byte, 1, 0);
    event.flags = kFlagEarlyResult;
    REQUIRE(io.submit(event).code() == ErrorCode::invalid_argument);
    Request request;
    request.prepare_read(0, &byte, 1, 0);
    request.flags = kFlagEarlyResult;
    request.expire_after(1h);
    REQUIRE(io.submit(request).code() == ErrorCode::invalid_argument);
    const auto early = [&](Request& pooled) {
        pooled.prepare_read(0, &byte, 1, 0);
        pooled.flags = kFlagEarlyResult;
        pooled.expire_after(1h);
    };
    REQUIRE(io.call(early, [](Result) noexcept {}).code() == ErrorCode::invalid_argument);
    REQUIRE(io.stats().accepted == 0);
}

TEST_EACH_BACKEND("a debug build refuses a buffer that is not back", "[deadline][lease]") {
    require_debug_build();
    test::require_giving_up(backend);
    test::Pipe pipe;
    test::TempFile file(kBlock);
    char in[8] = {};
    KeptEvent other;
    Options options;
    options.disable = "uring_async_cancel";
    auto io = test::make_context(backend, options);
    test::PipeEnder ender(pipe);
    bool was_lent = false;
    for (auto limit = 10ms; !was_lent; limit *= 2) {
        LeasedEvent event;
        event.prepare_read(pipe.read_end(), in, sizeof in, 0);
        event.flags = kFlagEarlyResult;
        event.expire_after(limit);
        REQUIRE(io.submit(event));
        // Once the kernel has it, it holds on. A slow machine may not come so far in time.
        test::wait_until([&] { return io.stats().running == 1 || event.callback.told.open(); },
                         "waiting for a read to be in the kernel");
        was_lent = io.stats().running == 1;
        event.callback.told.wait();
        if (was_lent) {
            other.prepare_write(file.fd(), in + 4, 4, 0);
            const Acceptance acceptance = io.submit(other);
            REQUIRE(acceptance.code() == ErrorCode::invalid_argument);
            REQUIRE(std::strstr(acceptance.detail(), "buffer") != nullptr);
            pipe.feed("here", 4);
        }
        event.callback.released.wait();
    }
    REQUIRE(io.submit(other));
    other.callback.done.wait();
    REQUIRE(other.callback.result.bytes() == 4);
}

TEST_EACH_BACKEND("a debug build ends a program that changes the buffer of a write before it is "
                  "back",
                  "[deadline][lease]") {
    require_debug_build();
    test::require_giving_up(backend);
    const test::ChildOutcome child = test::run_child([backend] {
        test::Pipe pipe;
        const int size = ::fcntl(pipe.write_end(), F_GETPIPE_SZ);
        CHILD_CHECK(size > 0);
        std::vector<char> full(static_cast<std::size_t>(size));
        pipe.feed(full.data(), full.size());
        char out[8] = {};
        LeasedEvent event;
        Options options;
        options.backend = backend;
        options.disable = "uring_async_cancel";
        auto io = test::Context::create(options);
        CHILD_CHECK(io);
        event.prepare_write(pipe.write_end(), out, sizeof out, 0);
        event.flags = kFlagEarlyResult;
        event.expire_after(20ms);
        CHILD_CHECK(io->submit(event));
        event.callback.told.wait();
        out[3] = 'x';
        CHILD_CHECK(::read(pipe.read_end(), full.data(), full.size()) > 0);
        event.callback.released.wait();
        return 0;
    });
    REQUIRE(child.signal == SIGABRT);
    REQUIRE(child.output.find("was changed between its early result") != std::string::npos);
}

// -- races ---------------------------------------------------------------------------------------

TEST_EACH_BACKEND("orders, deadlines, early results and completions race: every request ends once",
                  "[cancel][deadline][lease][stress][H6]") {
    constexpr std::size_t kThreads = 3;
    constexpr std::size_t kEach = 2000;
    Blocks blocks(16);
    struct Outcome {
        std::atomic<int> results{0};
        std::atomic<int> releases{0};
        std::atomic<std::int64_t> value{0};
    };
    struct Racing {
        Outcome* outcome = nullptr;
        std::atomic<std::size_t>* ended = nullptr;
        void operator()(IOEvent<Racing>& event) noexcept {
            const bool early = (event.flags & kFlagEarlyResult) != 0;
            Outcome& mine = *outcome;
            std::atomic<std::size_t>& counter = *ended;
            if (event.notice() == Notice::result) {
                mine.value.store(event.result);
                mine.results.fetch_add(1);
                if (early)
                    return;
            }
            if (early)
                mine.releases.fetch_add(1);
            counter.fetch_add(1);
        }
    };
    std::vector<Outcome> outcomes(kThreads * kEach);
    auto memory = AlignedBuffer::create(kThreads * kEach * kBlock);
    REQUIRE(memory);
    std::vector<std::unique_ptr<IOEvent<Racing>>> events;
    std::atomic<std::size_t> ended{0};
    for (auto& outcome : outcomes)
        events.push_back(std::make_unique<IOEvent<Racing>>(Racing{&outcome, &ended}));
    Options options;
    options.depth = 8;
    options.merge = true;
    auto io = test::make_context(backend, options);
    const std::uint64_t seed = test::announced_seed("the race of cancellations");
    std::vector<std::thread> threads;
    std::atomic<int> refused{0};
    for (std::size_t t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            test::Random random(seed + t);
            RequestHandle handles[8];
            for (std::size_t i = 0; i < kEach; ++i) {
                auto& event = *events[t * kEach + i];
                // Mostly neighbours of the one before, which may go as one with it.
                const std::size_t block = random.below(4) == 0 ? random.below(16) : i % 16;
                event.prepare_read(blocks.file.direct_fd(),
                                   memory->data() + (t * kEach + i) * kBlock, kBlock,
                                   block * kBlock);
                if (random.below(2) == 0)
                    event.expire_after(std::chrono::microseconds(random.below(4000)));
                if (event.deadline_ns != 0 && random.below(2) == 0)
                    event.flags = kFlagEarlyResult;
                const Acceptance accepted =
                    io.submit_wait(event, random.below(4) == 0 ? Channel::prio : Channel::read);
                refused.fetch_add(accepted ? 0 : 1);
                handles[i % 8] = accepted.handle();
                if (random.below(6) == 0)
                    static_cast<void>(io.cancel(handles[random.below(8)]));
                if (random.below(1500) == 0)
                    static_cast<void>(io.cancel(blocks.file.direct_fd()));
                if (random.below(3000) == 0)
                    static_cast<void>(io.cancel_all());
            }
        });
    for (auto& thread : threads)
        thread.join();
    REQUIRE(refused == 0);
    test::wait_until([&] { return ended == outcomes.size(); }, "waiting for every end");
    test::settle(io);
    std::uint64_t cancelled = 0;
    std::uint64_t late = 0;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
        REQUIRE(outcomes[i].results == 1);
        REQUIRE(outcomes[i].releases == ((events[i]->flags & kFlagEarlyResult) != 0 ? 1 : 0));
        const std::int64_t value = outcomes[i].value;
        REQUIRE((value == kBlock || value == -ECANCELED || value == -ETIMEDOUT));
        cancelled += value == -ECANCELED ? 1 : 0;
        late += value == -ETIMEDOUT ? 1 : 0;
    }
    REQUIRE(io.stats().cancelled == cancelled);
    REQUIRE(io.stats().timed_out == late);
    REQUIRE(cancelled != 0);
    REQUIRE(late != 0);
    REQUIRE(io.shutdown().clean);
}
