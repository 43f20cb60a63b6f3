// SPDX-License-Identifier: MIT
//
// Goal: what callbacks submit is handed over by the poller, wakes nobody, holds up nobody, and is
// otherwise like any other request; without lending everything is the same but for the wake-ups.
// Method: chains of callbacks, counted wake-ups, pipes that block whoever submits to them.

#include "tests/support/support.hpp"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

using namespace ioengine;

namespace {

test::Context make_lending(Backend backend, Lending lending, std::uint32_t depth = 128) {
    Options options;
    options.backend = backend;
    options.lending = lending;
    options.depth = depth;
    auto made = test::Context::create(options);
    REQUIRE(made);
    return std::move(*made);
}

bool lends(const test::Context& io) {
    return test::in_force(io, "callback_lending");
}

// A read whose callback submits the same again, until it has been done `links` times.
struct Chain {
    Chain(test::Context& context, int file, int links) : io(context), fd(file), left(links) {}
    void go_on() {
        if (left-- == 0) {
            done.count_down();
            return;
        }
        const auto accepted = io.read(fd, page, 0, [this](Result result) {
            bytes += result.bytes();
            go_on();
        });
        if (!accepted)
            done.count_down();
    }
    test::Context& io;
    const int fd;
    int left;
    char page[64] = {};
    std::uint64_t bytes = 0;
    test::Latch done{1};
};

}  // namespace

TEST_EACH_BACKEND("a chain of callbacks wakes the submitter once, not once per link", "[lending]") {
    constexpr int kLinks = 2'000;
    test::TempFile file(4096);
    auto io = make_lending(backend, Lending::callbacks);
    if (!lends(io))
        SKIP_TEST("lending is switched off by IOENGINE_DISABLE");
    Chain chain(io, file.fd(), kLinks);
    chain.go_on();
    chain.done.wait();
    REQUIRE(chain.bytes == kLinks * sizeof(chain.page));
    // The first link; and any that an odd EAGAIN or a slow helper may cost.
    REQUIRE(io.stats().submitter_wakes < kLinks / 20);
}

TEST_EACH_BACKEND("with callers lending, a thread that submits hands over by itself", "[lending]") {
    constexpr int kReads = 300;
    test::TempFile file(4096);
    auto page = AlignedBuffer::create(4096);
    REQUIRE(page);
    auto io = make_lending(backend, Lending::callers);
    if (!lends(io))
        SKIP_TEST("lending is switched off by IOENGINE_DISABLE");
    if (!file.direct())
        SKIP_TEST("no file system with direct I/O here: AIO would leave it to the submitter");
    for (int i = 0; i < kReads; ++i)
        REQUIRE(test::result_of(io, [&](Request& request) {
                    request.prepare_read(file.direct_fd(), page->data(), 4096, 0);
                }).bytes() == 4096);
    // Each but the first few finds the submitter asleep, and leaves it there.
    REQUIRE(io.stats().submitter_wakes < kReads / 4);
    REQUIRE(io.shutdown().clean);
}

TEST_EACH_BACKEND("with callers lending, a thread is not kept waiting by a pipe", "[lending]") {
    test::Pipe pipe;
    test::TempFile file(4096);
    char byte = 0;
    auto io = make_lending(backend, Lending::callers);
    test::PipeEnder ender(pipe);
    test::KeptEvent read;
    read.prepare_read(pipe.read_end(), &byte, 1, 0);
    REQUIRE(io.submit(read));  // AIO would wait here for what comes next
    pipe.feed("x", 1);
    read.callback.done.wait();
    REQUIRE(byte == 'x');
}

TEST_EVERY_BACKEND("many threads that lend lose nothing", "[lending]") {
    constexpr std::size_t kThreads = 4;
    constexpr std::size_t kEach = 2'000;
    test::Tracker tracker(kThreads * kEach);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    for (std::size_t i = 0; i < kThreads * kEach; ++i)
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
    test::TempFile file(4096);
    char page[64];
    auto io = make_lending(backend, Lending::callers, 8);
    test::in_threads(kThreads, kEach, [&](std::size_t i) {
        if (i % 3 == 0)
            events[i]->prepare_nop();
        else
            events[i]->prepare_read(i % 2 == 0 ? file.fd() : test::kClosedFd, page, 64, 0);
        tracker.submitted(i, io.submit_wait(*events[i]));
    });
    REQUIRE(io.shutdown().clean);
    REQUIRE(tracker.accepted() == tracker.size());
    tracker.require_exactly_once();
}

TEST_EVERY_BACKEND("without lending the submitter hands over what callbacks submit", "[lending]") {
    test::TempFile file(4096);
    auto io = make_lending(backend, Lending::none);
    REQUIRE_FALSE(lends(io));
    Chain chain(io, file.fd(), 500);
    chain.go_on();
    chain.done.wait();
    test::settle(io);
    REQUIRE(io.stats().completed >= 500);
}

TEST_EVERY_BACKEND("callbacks that submit more than there are slots lose nothing", "[lending]") {
    constexpr int kTrees = 3;
    constexpr int kLevels = 9;  // each callback submits two more
    test::TempFile file(4096);
    for (const Lending lending : {Lending::callbacks, Lending::none})
        for (const std::uint32_t depth : {1u, 3u, 16u}) {
            auto io = make_lending(backend, lending, depth);
            constexpr int kInAll = kTrees * ((1 << kLevels) - 1);
            std::atomic<int> called{0};
            test::Latch done(kInAll);
            char page[64];
            struct Grower {
                test::Context& io;
                int fd;
                char* page;
                std::atomic<int>& called;
                test::Latch& done;
                void grow(int levels) {
                    const auto accepted = io.read(fd, {page, 64}, 0, [this, levels](Result) {
                        called.fetch_add(1);
                        if (levels > 1) {
                            grow(levels - 1);
                            grow(levels - 1);
                        }
                        done.count_down();
                    });
                    if (!accepted)
                        std::abort();
                }
            } grower{io, file.fd(), page, called, done};
            for (int i = 0; i < kTrees; ++i)
                grower.grow(kLevels);
            done.wait();
            REQUIRE(called.load() == kInAll);
            REQUIRE(io.shutdown().completed == kInAll);
        }
}

TEST_EACH_BACKEND("a callback may read from a pipe that a later callback feeds",
                  "[lending][kernel-13][scenario-20]") {
    if (backend == Backend::aio)
        test::require_two_threads();
    test::TempFile file(4096);
    test::Pipe pipe;
    auto io = make_lending(backend, Lending::callbacks);
    test::PipeEnder ender(pipe);
    char pages[2][8] = {};
    char in[8] = {};
    std::uint64_t from_pipe = 0;
    test::Latch done(1);
    // Both are handed over together. AIO waits for the pipe inside the submit call: a poller that
    // made that call would never come to the callback that feeds the pipe.
    const auto submit_both = [&] {
        const auto feeder = io.read(file.fd(), pages[1], 0, [&](Result) { pipe.feed("fed", 3); });
        const auto reader = io.read(pipe.read_end(), in, 0, [&](Result result) {
            from_pipe = result.bytes();
            done.count_down();
        });
        if (!feeder || !reader)
            std::abort();
    };
    REQUIRE(io.read(file.fd(), pages[0], 0, [&submit_both](Result) { submit_both(); }));
    done.wait();
    REQUIRE(from_pipe == 3);
    REQUIRE(io.shutdown().clean);
}
