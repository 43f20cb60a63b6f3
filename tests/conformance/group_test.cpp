// SPDX-License-Identifier: MIT
//
// Goal: a Group's requests are done, and their callbacks have returned, when wait() says so; each
// with its result, wherever its callback ran; what is staged begins. Method: files with patterns,
// pipes that end when the test says so, callbacks that add to the group.

#include "tests/support/blocks.hpp"
#include "tests/support/support.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

using test::Blocks;
using test::kBlock;

}  // namespace

TEST_EACH_BACKEND("a group's requests are all done after wait(), each with its result", "[wait]") {
    Blocks blocks(64);
    for (const std::uint32_t depth : {1u, 8u, 128u}) {
        auto io = test::make_context(backend, depth);
        Group group(io);
        std::vector<Result> results(blocks.count);
        std::memset(blocks.memory.data(), 0, blocks.memory.size());
        for (std::size_t i = 0; i < blocks.count; ++i)
            REQUIRE(group.read(blocks.file.direct_fd(), {blocks.at(i), kBlock}, i * kBlock,
                               &results[i]));
        // Nothing begins before somebody waits, unless the submitter takes it at once.
        if (test::in_force(io, "callback_lending"))
            REQUIRE_FALSE(group.done());
        REQUIRE(group.wait() == ErrorCode::none);
        REQUIRE(group.done());
        REQUIRE(group.outcome().bytes() == blocks.count * kBlock);
        REQUIRE(group.failed() == 0);
        for (std::size_t i = 0; i < blocks.count; ++i) {
            REQUIRE(results[i].bytes() == kBlock);
            REQUIRE(blocks.right(i));
        }
        REQUIRE(group.wait() == ErrorCode::none);  // nothing is left
        REQUIRE(io.shutdown().clean);
    }
}

TEST_EACH_BACKEND("a group tells the first error and how many failed", "[wait]") {
    Blocks blocks(2);
    auto io = test::make_context(backend, 8);
    Group group(io);
    Result good;
    Result bad;
    REQUIRE(group.read(blocks.file.fd(), {blocks.at(0), kBlock}, 0, &good));
    REQUIRE(group.read(test::kClosedFd, {blocks.at(1), kBlock}, 0, &bad));
    REQUIRE(group.fsync(test::kClosedFd));
    REQUIRE(group.wait() == ErrorCode::none);
    REQUIRE(good.bytes() == kBlock);
    REQUIRE(bad.error() == EBADF);
    REQUIRE(group.outcome().error() == EBADF);
    REQUIRE(group.failed() == 2);
    // The next round begins anew.
    REQUIRE(group.write(blocks.file.fd(), {"z", 1}, 0));
    REQUIRE(group.fdatasync(blocks.file.fd()));
    REQUIRE(group.wait() == ErrorCode::none);
    REQUIRE(group.outcome().bytes() == 1);
    REQUIRE(group.failed() == 0);
}

TEST_EVERY_BACKEND("callbacks of a group have returned when wait() does", "[wait]") {
    for (const bool with_workers : {false, true}) {
        auto workers = IOWorkers::create(2);
        REQUIRE(workers);
        Options options;
        options.depth = 4;
        options.workers = with_workers ? &*workers : nullptr;
        auto io = test::make_context(backend, options);
        std::atomic<int> called{0};
        struct Count {
            std::atomic<int>* called;
            void operator()(Result) const noexcept {
                std::this_thread::sleep_for(1ms);
                called->fetch_add(1);
            }
        };
        std::vector<std::unique_ptr<IOEvent<Count>>> events;
        Group group(io);
        for (int round = 1; round <= 3; ++round) {
            for (int i = 0; i < 10; ++i) {
                events.push_back(std::make_unique<IOEvent<Count>>(Count{&called}));
                events.back()->prepare_nop();
                REQUIRE(group.submit(*events.back()));
            }
            REQUIRE(group.wait() == ErrorCode::none);
            REQUIRE(called.load() == 10 * round);
        }
    }
}

TEST_EVERY_BACKEND("a group's callback may free its event and add more, wherever it runs",
                   "[wait]") {
    struct Split {
        Group* group;
        int levels;
        std::atomic<int>* called;
        void operator()(IOEvent<Split>& event) const noexcept {
            called->fetch_add(1);
            for (int i = 0; levels > 1 && i < 2; ++i) {
                auto* next = new IOEvent<Split>(Split{group, levels - 1, called});
                next->prepare_nop();
                // And one without a callback, from the pool.
                if (!group->submit(*next) ||
                    !group->call([](Request& request) { request.prepare_nop(); }))
                    std::abort();
            }
            delete &event;
        }
    };
    for (const bool with_workers : {false, true}) {
        auto workers = IOWorkers::create(3);
        REQUIRE(workers);
        Options options;
        options.depth = 4;
        options.workers = with_workers ? &*workers : nullptr;
        auto io = test::make_context(backend, options);
        std::atomic<int> called{0};
        Group group(io);
        auto* first = new IOEvent<Split>(Split{&group, 9, &called});
        first->prepare_nop();
        REQUIRE(group.submit(*first));
        REQUIRE(group.wait() == ErrorCode::none);
        REQUIRE(called.load() == (1 << 9) - 1);
        REQUIRE(group.failed() == 0);
        test::settle(io);
        REQUIRE(io.stats().completed == 2 * ((1u << 9) - 1) - 1);
    }
}

TEST_EACH_BACKEND("a group that is destroyed waits first", "[wait]") {
    Blocks blocks(16);
    auto io = test::make_context(backend, 4);
    {
        Group group(io);
        for (std::size_t i = 0; i < blocks.count; ++i)
            REQUIRE(group.read(blocks.file.fd(), {blocks.at(i), kBlock}, i * kBlock));
    }
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(blocks.right(i));
    REQUIRE(io.shutdown().clean);
}

TEST_EACH_BACKEND("start() lets a group begin without a wait", "[wait]") {
    Blocks blocks(8);
    auto io = test::make_context(backend, 4);
    Group group(io);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(group.read(blocks.file.fd(), {blocks.at(i), kBlock}, i * kBlock));
    group.start();
    test::wait_until([&] { return group.done(); }, "waiting for a group that was started");
    REQUIRE(group.wait() == ErrorCode::none);
    REQUIRE(group.outcome().bytes() == blocks.count * kBlock);
}

TEST_EACH_BACKEND("a group with a limit may be waited for again", "[wait]") {
    test::Pipe pipe;
    char byte = 0;
    Blocks blocks(2);
    auto io = test::make_context(backend, 8);
    test::PipeEnder ender(pipe);
    Group group(io);
    // The pipe comes last: AIO waits for it inside the submit call.
    REQUIRE(group.read(blocks.file.fd(), {blocks.at(0), kBlock}, 0));
    REQUIRE(group.read(pipe.read_end(), {&byte, 1}, 0));
    REQUIRE(group.wait_for(10ms) == ErrorCode::timed_out);
    REQUIRE(group.wait_for(0ms) == ErrorCode::timed_out);
    pipe.feed("y", 1);
    REQUIRE(group.wait() == ErrorCode::none);
    REQUIRE(group.outcome().bytes() == kBlock + 1);
    REQUIRE(byte == 'y');
}

TEST_EVERY_BACKEND("what a full queue refuses is not waited for", "[wait][A8]") {
    Options options;
    options.depth = 2;
    options.queue_limit = 4;
    auto io = test::make_context(backend, options);
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;
    Group group(io);
    for (int i = 0; i < 100; ++i) {
        const Acceptance acceptance = group.call([](Request& request) { request.prepare_nop(); });
        if (!acceptance)
            REQUIRE(acceptance.code() == ErrorCode::queue_full);
        ++(acceptance ? accepted : refused);
    }
    REQUIRE(accepted >= 4);
    REQUIRE(group.wait() == ErrorCode::none);
    test::settle(io);
    REQUIRE(io.stats().accepted == accepted);
    REQUIRE(io.stats().completed == accepted);
    REQUIRE(io.stats().refused_full == refused);
}

TEST_EVERY_BACKEND("a group that nobody waits for yet keeps no queue full", "[wait][A8]") {
    Options options;
    options.depth = 2;
    options.queue_limit = 4;
    auto io = test::make_context(backend, options);
    Group group(io);
    const auto nop = [](Request& request) {
        request.prepare_nop();
        request.channel = Channel::prio;
    };
    for (int i = 0; i < 4; ++i)
        REQUIRE(group.call(nop));
    // Another thread waits for a place, and gets it without the group's owner.
    std::thread other([&] {
        test::KeptEvent event;
        event.prepare_nop();
        if (!io.submit_wait(event, Channel::prio))
            std::abort();
        event.callback.done.wait();
    });
    other.join();
    REQUIRE(group.wait() == ErrorCode::none);
}

TEST_EACH_BACKEND("a window of requests is kept in flight by waiting for one at a time", "[wait]") {
    constexpr std::size_t kWindow = 8;
    Blocks blocks(64);
    auto io = test::make_context(backend, 16);
    std::vector<Request> window(kWindow);
    Group group(io);
    const auto begin = [&](std::size_t i) {
        Request& request = window[i % kWindow];
        request.prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
        REQUIRE(group.submit(request));
    };
    for (std::size_t i = 0; i < kWindow; ++i)
        begin(i);
    for (std::size_t i = 0; i < blocks.count; ++i) {
        REQUIRE(group.wait(window[i % kWindow]) == ErrorCode::none);
        REQUIRE(window[i % kWindow].outcome().bytes() == kBlock);
        REQUIRE(blocks.right(i));
        if (i + kWindow < blocks.count)
            begin(i + kWindow);
    }
    REQUIRE(group.wait() == ErrorCode::none);
    test::KeptEvent called;
    called.prepare_nop();
    REQUIRE(group.submit(called));
    REQUIRE(group.wait(called) == ErrorCode::invalid_argument);
    REQUIRE(group.wait() == ErrorCode::none);
}
