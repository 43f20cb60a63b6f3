// SPDX-License-Identifier: MIT
//
// Goal: wait(), perform() and Group end when what they wait for is done, with its data, whoever has
// the poll role meanwhile; a waiting thread runs the callbacks of its own requests and no others; a
// wait that could never end is refused.
// Method: files with patterns, pipes that end when the test says so, many waiting threads beside
// chains of callbacks.

#include "tests/support/blocks.hpp"
#include "tests/support/child.hpp"
#include "tests/support/sanitizer.hpp"
#include "tests/support/support.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

using test::Blocks;
using test::kBlock;

bool lends(const test::Context& io) {
    return test::in_force(io, "callback_lending");
}

}  // namespace

// -- requests without a callback -------------------------------------------------------------

TEST_EACH_BACKEND("perform() moves the data and says how it ended, as pread(2) would", "[wait]") {
    Blocks blocks(4);
    auto io = test::make_context(backend, 8);
    Request request;
    for (std::size_t i = 0; i < blocks.count; ++i) {
        request.prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
        REQUIRE(io.perform(request));
        REQUIRE(request.outcome().raw() == static_cast<std::int64_t>(kBlock));
        REQUIRE(blocks.right(i));
    }
    request.prepare_write(blocks.file.fd(), "new", 3, 0);
    REQUIRE(io.perform(request));
    REQUIRE(request.outcome().bytes() == 3);
    request.prepare_fdatasync(blocks.file.fd());
    REQUIRE(io.perform(request));
    REQUIRE(request.outcome().ok());
    char text[4] = {};
    blocks.file.get(text, 3, 0);
    REQUIRE(std::string(text) == "new");
    request.prepare_read(test::kClosedFd, text, 1, 0);
    REQUIRE(io.perform(request));
    REQUIRE(request.outcome().error() == EBADF);
    REQUIRE(io.shutdown().clean);
}

TEST_EACH_BACKEND("a waiting thread reaps for itself, unless nothing is lent", "[wait]") {
    test::require_two_threads();
    Blocks blocks(1);
    auto io = test::make_context(backend, 8);
    Request request;
    const auto perform_some = [&] {
        for (int i = 0; i < 50; ++i) {
            request.prepare_read(blocks.file.direct_fd(), blocks.at(0), kBlock, 0);
            REQUIRE(io.perform(request));
            REQUIRE(request.outcome().ok());
        }
        return io.stats().reaped_by_waiters;
    };
    // On a busy machine the poller may be there first, many times in a row.
    if (lends(io))
        test::wait_until([&] { return perform_some() > 0; }, "waiting for one that reaps");
    else
        REQUIRE(perform_some() == 0);
}

TEST_EVERY_BACKEND("a submitted request without a callback can be waited for later", "[wait]") {
    auto io = test::make_context(backend, 8);
    Request first;
    Request second;
    first.prepare_nop();
    second.prepare_nop();
    REQUIRE(io.submit(first));
    REQUIRE(io.submit(second));
    REQUIRE(io.wait(second) == ErrorCode::none);
    REQUIRE(io.wait(first) == ErrorCode::none);
    REQUIRE(io.wait(first) == ErrorCode::none);  // done already
    // And again with the same memory.
    first.prepare_nop();
    REQUIRE(io.submit(first));
    REQUIRE(io.wait(first) == ErrorCode::none);
}

TEST_EVERY_BACKEND("a request with a callback is not waited for by itself", "[wait]") {
    auto io = test::make_context(backend, 8);
    test::KeptEvent event;
    event.prepare_nop();
    REQUIRE(io.perform(event).code() == ErrorCode::invalid_argument);
    REQUIRE(io.submit(event));
    REQUIRE(io.wait(event) == ErrorCode::invalid_argument);
    event.callback.done.wait();
}

TEST_EACH_BACKEND("a wait with a limit ends in time, and the request goes on", "[wait][H13][G1]") {
    test::Pipe pipe;
    char byte = 0;
    Request request;
    Blocks blocks(1);
    auto io = test::make_context(backend, 8);
    test::PipeEnder ender(pipe);
    request.prepare_read(pipe.read_end(), &byte, 1, 0);
    REQUIRE(io.submit(request));
    REQUIRE(io.wait_for(request, 0ms) == ErrorCode::timed_out);
    REQUIRE(io.wait_for(request, 20ms) == ErrorCode::timed_out);
    REQUIRE(io.stats().pending == 1);
    pipe.feed("x", 1);
    REQUIRE(io.wait(request) == ErrorCode::none);
    REQUIRE(request.outcome().bytes() == 1);
    REQUIRE(byte == 'x');
    Request read;
    read.prepare_read(blocks.file.direct_fd(), blocks.at(0), kBlock, 0);
    REQUIRE(io.submit(read));
    REQUIRE(io.wait_for(read, 1h) == ErrorCode::none);
    REQUIRE(blocks.right(0));
}

// -- other threads' requests -----------------------------------------------------------------

TEST_EACH_BACKEND("a waiting thread runs others' callbacks only if it helps", "[wait]") {
    for (const Wait how : {Wait::alone, Wait::help}) {
        test::Pipe pipe;
        char byte = 0;
        test::TempFile file(kBlock);
        char page[64];
        auto io = test::make_context(backend, 8);
        test::PipeEnder ender(pipe);
        const auto me = std::this_thread::get_id();
        std::atomic<int> here{0};
        std::atomic<int> elsewhere{0};
        std::atomic<bool> waiting{false};
        std::thread other([&] {
            test::wait_until([&] { return waiting.load(); }, "waiting for a thread to wait");
            std::this_thread::sleep_for(5ms);
            for (int i = 0; i < 200; ++i) {
                test::Latch done(1);
                if (!io.read(file.fd(), page, 0, [&](Result) {
                        (std::this_thread::get_id() == me ? here : elsewhere).fetch_add(1);
                        done.count_down();
                    }))
                    std::abort();
                done.wait();
            }
            pipe.feed("x", 1);
        });
        Request request;
        if (backend == Backend::aio) {
            // AIO would hold up everybody in the submit call: the pipe's part is played by a file.
            request.prepare_read(file.fd(), page + 32, 8, 0);
            waiting = true;
            while (here.load() + elsewhere.load() < 200) {
                request.prepare_read(file.fd(), page + 32, 8, 0);
                REQUIRE(io.submit(request));
                REQUIRE(io.wait(request, how) == ErrorCode::none);
            }
        } else {
            request.prepare_read(pipe.read_end(), &byte, 1, 0);
            REQUIRE(io.submit(request));
            waiting = true;
            REQUIRE(io.wait(request, how) == ErrorCode::none);
        }
        other.join();
        REQUIRE(here.load() + elsewhere.load() == 200);
        if (how == Wait::alone)
            REQUIRE(here.load() == 0);
        REQUIRE(io.shutdown().clean);
    }
}

TEST_EACH_BACKEND("a waiting thread may depend on another's callback", "[wait]") {
    if (backend == Backend::aio)
        SKIP_TEST("AIO waits for a pipe inside the submit call, which holds up the callback's "
                  "request");
    test::TempFile file(kBlock);
    auto io = test::make_context(backend, 8);
    for (int round = 0; round < 200; ++round) {
        test::Pipe pipe;
        char byte = 0;
        char page[8];
        test::PipeEnder ender(pipe);
        Group group(io);
        REQUIRE(group.read(pipe.read_end(), {&byte, 1}, 0));
        std::thread other([&] {
            if (!io.read(file.fd(), page, 0, [&](Result) { pipe.feed("x", 1); }))
                std::abort();
        });
        REQUIRE(group.wait() == ErrorCode::none);
        REQUIRE(byte == 'x');
        other.join();
        test::settle(io);  // the callback has returned: the pipe may go
    }
}

TEST_EACH_BACKEND("many threads wait beside chains of callbacks, and nobody is left", "[wait]") {
    constexpr int kThreads = 4;
    constexpr int kRounds = test::kThreadSanitizer ? 100 : 400;
    constexpr int kChains = 3;
    Blocks blocks(64);
    auto io = test::make_context(backend, 8);
    struct Chain {
        test::Context* io;
        int fd;
        std::atomic<bool>* stop;
        test::Latch* done;
        std::atomic<std::uint64_t>* links;
        void operator()(IOEvent<Chain>& event) const noexcept {
            links->fetch_add(1);
            if (stop->load() || !io->submit(event))
                done->count_down();
        }
    };
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> links{0};
    std::atomic<int> wrong{0};
    test::Latch done(kChains);
    char pages[kChains][64];
    std::vector<std::unique_ptr<IOEvent<Chain>>> chains;
    for (auto& page : pages) {
        chains.push_back(
            std::make_unique<IOEvent<Chain>>(Chain{&io, blocks.file.fd(), &stop, &done, &links}));
        chains.back()->prepare_read(blocks.file.fd(), page, sizeof(page), 0);
        REQUIRE(io.submit(*chains.back()));
    }
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            auto memory = AlignedBuffer::create(8 * kBlock);
            if (!memory)
                std::abort();
            for (int round = 0; round < kRounds; ++round) {
                std::memset(memory->data(), 0, memory->size());
                Group group(io);
                const std::size_t count = 1 + static_cast<std::size_t>(round + t) % 8;
                const auto block = [&](std::size_t i) {
                    return (static_cast<std::size_t>(round * 7 + t * 13) + i) % blocks.count;
                };
                for (std::size_t i = 0; i < count; ++i)
                    while (!group.read(round % 2 == 0 ? blocks.file.direct_fd() : blocks.file.fd(),
                                       {memory->data() + i * kBlock, kBlock}, block(i) * kBlock))
                        std::this_thread::yield();
                if (round % 5 == 4)
                    (void)group.wait_for(std::chrono::microseconds(50));
                if (group.wait() != ErrorCode::none)
                    wrong.fetch_add(1);
                for (std::size_t i = 0; i < count; ++i)
                    if (!test::has_pattern(memory->data() + i * kBlock, kBlock, block(i)))
                        wrong.fetch_add(1);
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    stop = true;
    done.wait();
    REQUIRE(wrong.load() == 0);
    REQUIRE(links.load() >= kChains);
    REQUIRE(io.shutdown().clean);
}

// -- waits that could never end --------------------------------------------------------------

TEST_EVERY_BACKEND("a wait inside a callback of the same context is refused",
                   "[wait][scenario-7]") {
    auto io = test::make_context(backend, 8);
    ErrorCode waited = ErrorCode::none;
    ErrorCode grouped = ErrorCode::none;
    ErrorCode performed = ErrorCode::none;
    Request other;
    Request third;
    other.prepare_nop();
    third.prepare_nop();
    auto group = std::make_unique<Group>(io);
    test::Latch done(1);
    const auto try_all = [&] {
        if (!io.submit(other) || !group->fsync(test::kClosedFd))
            std::abort();
        waited = io.wait(other);
        grouped = group->wait();
        performed = io.perform(third).code();
        done.count_down();
    };
    REQUIRE(io.nop([&try_all](Result) { try_all(); }));
    done.wait();
    REQUIRE(waited == ErrorCode::would_deadlock);
    REQUIRE(grouped == ErrorCode::would_deadlock);
    REQUIRE(performed == ErrorCode::would_deadlock);
    REQUIRE(io.wait(other) == ErrorCode::none);
    REQUIRE(group->wait() == ErrorCode::none);
    group.reset();
}

TEST_EVERY_BACKEND("a callback of a context that a callback of another waits for knows both",
                   "[wait]") {
    auto one = test::make_context(backend, 4);
    auto two = test::make_context(backend, 4);
    ErrorCode inner = ErrorCode::would_deadlock;
    test::Latch done(1);
    struct Inner {
        test::Context* outer;
        ErrorCode* code;
        std::thread::id* waiter;
        void operator()(Result) const noexcept {
            if (std::this_thread::get_id() != *waiter)
                return;  // on the poller of `two` this would be a circle that nobody can see
            Request request;
            request.prepare_nop();
            *code = outer->perform(request).code();
        }
    };
    std::thread::id waiter;
    IOEvent<Inner> event(Inner{&one, &inner, &waiter});
    event.prepare_nop();
    REQUIRE(one.nop([&](Result) {
        waiter = std::this_thread::get_id();
        Group group(two);
        if (!group.submit(event) || group.wait(Wait::help) != ErrorCode::none)
            std::abort();
        done.count_down();
    }));
    done.wait();
    REQUIRE(inner == ErrorCode::would_deadlock);
}

TEST_EVERY_BACKEND("what was staged begins although the wait that came was refused", "[wait]") {
    auto io = test::make_context(backend, 4);
    Group staged(io);
    REQUIRE(staged.call([](Request& request) { request.prepare_nop(); }));
    struct Refused {
        Group* group;
        ErrorCode* code;
        void operator()(Result) const noexcept { *code = group->wait(); }
    };
    ErrorCode code = ErrorCode::none;
    IOEvent<Refused> event(Refused{&staged, &code});
    event.prepare_nop();
    Group group(io);
    REQUIRE(group.submit(event));
    REQUIRE(group.wait() == ErrorCode::none);
    REQUIRE((code == ErrorCode::would_deadlock || code == ErrorCode::none));
    REQUIRE(staged.wait() == ErrorCode::none);
    // And although the request that was waited for was done already.
    Request first;
    Request second;
    first.prepare_nop();
    second.prepare_nop();
    REQUIRE(group.submit(first));
    group.start();
    test::wait_until([&] { return io.stats().pending == 0; }, "waiting for a started request");
    REQUIRE(group.submit(second));
    REQUIRE(group.wait(first) == ErrorCode::none);
    REQUIRE(group.wait() == ErrorCode::none);
}

TEST_EVERY_BACKEND("a request of a group is not waited for by itself", "[wait]") {
    auto io = test::make_context(backend, 4);
    Request request;
    Group group(io);
    request.prepare_nop();
    test::Plug plug(io);  // so that it is not done by then
    REQUIRE(group.submit(request));
    REQUIRE(io.wait(request) == ErrorCode::invalid_argument);
    plug.release();
    REQUIRE(group.wait() == ErrorCode::none);
    REQUIRE(io.wait(request) == ErrorCode::none);  // nobody has it
}

TEST_EVERY_BACKEND("a callback may wait for another context", "[wait]") {
    auto one = test::make_context(backend, 4);
    auto two = test::make_context(backend, 4);
    ErrorCode waited = ErrorCode::would_deadlock;
    test::Latch done(1);
    REQUIRE(one.nop([&](Result) {
        Request request;
        request.prepare_nop();
        if (!two.perform(request))
            std::abort();
        Group group(two);
        if (!group.fsync(test::kClosedFd))
            std::abort();
        waited = group.wait();
        done.count_down();
    }));
    done.wait();
    REQUIRE(waited == ErrorCode::none);
}

TEST_EVERY_BACKEND("a group that dies in a callback with work left ends the program", "[wait]") {
    const test::ChildOutcome outcome = test::run_child([backend] {
        Options options;
        options.backend = backend;
        auto io = test::Context::create(options);
        CHILD_CHECK(io);
        test::Pipe pipe;
        char byte = 0;
        test::Latch never(1);
        CHILD_CHECK(io->nop([&](Result) {
            Group group(*io);
            if (!group.read(pipe.read_end(), {&byte, 1}, 0) ||
                !group.call([](Request& request) { request.prepare_nop(); }))
                std::abort();
        }));
        never.wait();
        return 0;
    });
    INFO(outcome.output);
    REQUIRE(outcome.signal == SIGABRT);
    REQUIRE(outcome.output.find("Group was destroyed inside a callback") != std::string::npos);
}

TEST_EACH_BACKEND("shutdown waits for threads inside wait(), which see their requests done",
                  "[wait][A9][race]") {
    constexpr int kRounds = test::kThreadSanitizer ? 20 : 60;
    Blocks blocks(16);
    for (int round = 0; round < kRounds; ++round) {
        auto io = std::make_unique<test::Context>(test::make_context(backend, 4));
        std::atomic<bool> stop{false};
        std::atomic<int> wrong{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 3; ++t)
            threads.emplace_back([&, t] {
                auto memory = AlignedBuffer::create(4 * kBlock);
                if (!memory)
                    std::abort();
                while (!stop.load()) {
                    Group group(*io);
                    std::size_t count = 0;
                    for (; count < 4; ++count) {
                        const auto i = static_cast<std::size_t>(t) * 4 + count;
                        const Acceptance acceptance =
                            group.read(blocks.file.direct_fd(),
                                       {memory->data() + count * kBlock, kBlock}, i * kBlock);
                        if (!acceptance)
                            break;
                    }
                    if (group.wait() != ErrorCode::none || group.failed() != 0)
                        wrong.fetch_add(1);
                    if (count < 4)
                        return;  // shutdown has begun
                }
            });
        if (round % 3 != 0)
            std::this_thread::sleep_for(std::chrono::microseconds(100 * (round % 7)));
        const ShutdownReport report = io->shutdown();
        REQUIRE(report.clean);
        REQUIRE(report.accepted == report.completed);
        stop = true;
        for (std::thread& thread : threads)
            thread.join();
        REQUIRE(wrong.load() == 0);
    }
}

TEST_EACH_BACKEND("a deadline ends a wait for what never comes, with ECANCELED", "[wait]") {
    if (backend == Backend::aio)
        SKIP_TEST("AIO cannot cancel what waits for a pipe inside the submit call");
    test::Pipe pipe;
    char byte = 0;
    auto io = test::make_context(backend, 4);
    test::PipeEnder ender(pipe);
    Request request;
    request.prepare_read(pipe.read_end(), &byte, 1, 0);
    std::atomic<bool> accepted{false};
    std::thread waiter([&] {
        const Acceptance acceptance = io.perform(request);
        accepted = acceptance.accepted();
    });
    test::wait_until([&] { return io.stats().running == 1; }, "waiting for a read in the kernel");
    REQUIRE(io.shutdown(20ms).completed == 1);
    waiter.join();
    REQUIRE(accepted.load());
    REQUIRE(request.outcome().error() == ECANCELED);
}

TEST_EVERY_BACKEND("a limit that is too long to count is none, and one in the past is now",
                   "[wait][shutdown]") {
    using namespace std::chrono;
    STATIC_REQUIRE(limit_ns(hours::max()) == kForever);
    STATIC_REQUIRE(limit_ns(nanoseconds::max()) == kForever);
    STATIC_REQUIRE(limit_ns(duration<double>(1e300)) == kForever);
    STATIC_REQUIRE(limit_ns(hours::min()) == 0);
    STATIC_REQUIRE(limit_ns(-1ns) == 0);
    STATIC_REQUIRE(limit_ns(3ms) == 3'000'000);
    auto io = test::make_context(backend, 2);
    Request request;
    request.prepare_nop();
    REQUIRE(io.submit_wait_for(request, seconds::max()));
    REQUIRE(io.wait_for(request, hours::max()) == ErrorCode::none);
    Group group(io);
    REQUIRE(group.submit(request));
    REQUIRE(group.wait_for(milliseconds::max()) == ErrorCode::none);
    REQUIRE(io.submit(request));
    const ShutdownReport report = io.shutdown(seconds::max());
    REQUIRE(report.clean);
    REQUIRE(report.cancelled == 0);
    REQUIRE(request.outcome().ok());
}
