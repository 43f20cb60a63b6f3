// SPDX-License-Identifier: MIT
//
// Goal: with IOPOLL asked for, every request is answered right and once, whether its file can be
// polled, cannot, or is another one by now; the report and the counters say what was polled, what
// was not, and why. Method: real data through owner and caller, on files of every kind. Where the
// temporary directory lies on a device with poll queues, polling is what is tested; elsewhere it is
// what happens without. IOENGINE_TEST_POLLED and IOENGINE_TEST_NOT_POLLED name block devices with
// and without poll queues (tests/guests), which must be polled, and must serve; what the first
// holds is lost.

#include "tests/support/blocks.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

using test::Blocks;
using test::kBlock;

struct Way {
    const char* name;
    RingMode ring;
    Threading threading;
};
constexpr Way kWays[] = {
    {"iopoll, owner", RingMode::iopoll, Threading::owner},
    {"iopoll, caller", RingMode::iopoll, Threading::caller},
    {"both, owner", RingMode::iopoll_sqpoll, Threading::owner},
    {"both, caller", RingMode::iopoll_sqpoll, Threading::caller},
};

Options options_for(const Way& way) {
    Options options;
    options.backend = Backend::uring;
    options.ring = way.ring;
    options.threading = way.threading;
    options.sqpoll_idle_ms = 1;
    options.depth = 16;
    return options;
}

// In each way that this kernel has.
template <class Body>
void in_each_way(Body&& body) {
    test::require_backend(Backend::uring);
    if (test::is_disabled("iopoll"))
        SKIP_TEST("iopoll is switched off");
    bool is_complete = true;
    for (const Way& way : kWays) {
        INFO(way.name);
        const Options options = options_for(way);
        if (way.ring == RingMode::iopoll_sqpoll && !test::Context::create(options))
            is_complete = false;
        else
            body(options);
    }
    if (!is_complete)
        SKIP_TEST("done with IOPOLL alone; but no SQPOLL here to go with it");
}

const FeatureProbe* feature_of(const test::Context& io, const char* name) {
    const ProbeReport& report = io.report();
    for (std::uint32_t i = 0; i < report.feature_count; ++i)
        if (std::strcmp(report.features[i].name, name) == 0)
            return &report.features[i];
    return nullptr;
}

// The caller of a context with Threading::caller is this thread.
void require_reads(test::Context& io, Blocks& blocks, int fd) {
    std::memset(blocks.memory.data(), 0, blocks.memory.size());
    Group group(io);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(group.read(fd, Bytes(blocks.at(i), kBlock), i * kBlock));
    REQUIRE(group.wait() == ErrorCode::none);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(blocks.right(i));
}

// Block i of the file becomes pattern `first` + i, by the engine, and is read back without it.
void require_writes(test::Context& io, const Blocks& blocks, int fd, std::uint64_t first) {
    auto memory = *AlignedBuffer::create(blocks.count * kBlock);
    Group group(io);
    for (std::size_t i = 0; i < blocks.count; ++i) {
        unsigned char* const at = memory.data() + i * kBlock;
        test::fill_pattern(at, kBlock, first + i);
        REQUIRE(group.write(fd, Bytes(at, kBlock), i * kBlock));
    }
    REQUIRE(group.wait() == ErrorCode::none);
    Request flush;
    flush.prepare_fdatasync(fd);
    REQUIRE(io.perform(flush));
    REQUIRE(flush.result == 0);
    for (std::size_t i = 0; i < blocks.count; ++i) {
        std::memset(memory.data(), 0, kBlock);
        REQUIRE(::pread(fd, memory.data(), kBlock, static_cast<off_t>(i * kBlock)) ==
                static_cast<ssize_t>(kBlock));
        REQUIRE(test::has_pattern(memory.data(), kBlock, first + i));
    }
}

test::Fd device(const char* variable, int flags) {
    const char* const path = std::getenv(variable);
    if (path == nullptr)
        SKIP_TEST(std::string(variable) + " names no device: only in a guest of tests/guests");
    test::Fd fd(::open(path, flags | O_DIRECT | O_CLOEXEC));
    REQUIRE(fd.valid());
    return fd;
}

}  // namespace

TEST_CASE("with IOPOLL asked for, files of every kind are read, written and flushed right",
          "[iopoll][ring_modes][G7]") {
    in_each_way([](const Options& options) {
        Blocks blocks(64);
        const test::Fd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
        auto io = test::make_context(Backend::uring, options);
        REQUIRE(feature_of(io, "iopoll")->in_force);
        std::uint64_t requests = 0;
        for (std::uint64_t round = 0; round < 5; ++round) {
            require_reads(io, blocks, blocks.file.direct_fd());
            require_reads(io, blocks, blocks.file.fd());
            require_writes(io, blocks, blocks.file.direct_fd(), 1000 * round);
            require_writes(io, blocks, blocks.file.fd(), 0);
            Request read;
            std::memset(blocks.at(0), 1, kBlock);
            read.prepare_read(zero.get(), blocks.at(0), kBlock, 0);
            REQUIRE(io.perform(read));
            REQUIRE(read.outcome().bytes() == kBlock);
            REQUIRE(blocks.at(0)[kBlock - 1] == 0);
            requests += 4 * blocks.count + 3;
        }
        REQUIRE(io.shutdown().clean);
        const Stats stats = io.stats();
        REQUIRE(stats.completed == requests);
        REQUIRE(stats.failed == 0);
        REQUIRE(stats.stale_completions == 0);
        REQUIRE(stats.free_slots == stats.depth);
        // /dev/zero and the buffered file, if nothing else.
        REQUIRE(stats.polled_refused >= 2);
    });
}

TEST_CASE("a file that cannot be polled is found out once, not by every transfer",
          "[iopoll][ring_modes][G7]") {
    in_each_way([](const Options& options) {
        Blocks blocks(64);
        auto io = test::make_context(Backend::uring, options);
        for (int round = 0; round < 4; ++round)
            require_reads(io, blocks, blocks.file.fd());
        require_writes(io, blocks, blocks.file.fd(), 0);
        REQUIRE(io.stats().polled_refused == 1);
        REQUIRE(io.stats().polled == 0);
    });
}

TEST_CASE("a descriptor's number that becomes another file's is served right, whatever is "
          "remembered of it",
          "[iopoll][ring_modes][G7]") {
    in_each_way([](const Options& options) {
        Blocks blocks(16);
        auto io = test::make_context(Backend::uring, options);
        test::Fd fd(::fcntl(blocks.file.direct_fd(), F_DUPFD_CLOEXEC, 0));
        const int number = fd.get();
        for (std::uint64_t round = 0; round < 20; ++round) {
            const bool direct = round % 2 == 0;
            REQUIRE(::dup3(direct ? blocks.file.direct_fd() : blocks.file.fd(), number,
                           O_CLOEXEC) == number);
            // Now the write comes first, now the read.
            if (round % 4 < 2)
                require_reads(io, blocks, number);
            require_writes(io, blocks, number, 0);
            require_reads(io, blocks, number);
        }
        // More files than are remembered, whose places they share.
        std::vector<test::Fd> many;
        for (int i = 0; i < 300; ++i)
            many.emplace_back(::fcntl(blocks.file.direct_fd(), F_DUPFD_CLOEXEC, 0));
        for (int round = 0; round < 2; ++round)
            for (const test::Fd& one : many) {
                Request read;
                std::memset(blocks.at(1), 0, kBlock);
                read.prepare_read(one.get(), blocks.at(1), kBlock, kBlock);
                REQUIRE(io.perform(read));
                REQUIRE(blocks.right(1));
            }
        REQUIRE(io.shutdown().clean);
        REQUIRE(io.stats().failed == 0);
    });
}

TEST_CASE("what is submitted while others are polled is served, and both end",
          "[iopoll][ring_modes][G7]") {
    in_each_way([](const Options& options) {
        constexpr std::size_t kThreads = 3;
        constexpr std::size_t kEach = 400;
        constexpr std::size_t kAll = kThreads * kEach;
        Blocks blocks(kAll);
        test::Pipe pipe;
        char byte = 0;
        test::KeptEvent pending;
        pending.prepare_read(pipe.read_end(), &byte, 1, 0);
        test::Tracker tracker(kAll);
        std::vector<std::unique_ptr<test::TrackedEvent>> events;
        for (std::size_t i = 0; i < kAll; ++i) {
            events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
            if (i % 7 == 3)
                events[i]->prepare_fdatasync(blocks.file.fd());
            else
                events[i]->prepare_read(i % 3 == 0 ? blocks.file.fd() : blocks.file.direct_fd(),
                                        blocks.at(i), kBlock, i * kBlock);
        }
        auto io = test::make_context(Backend::uring, options);
        if (options.threading == Threading::caller)
            test::drive(io.engine());
        REQUIRE(io.submit(pending));
        test::in_threads(kThreads, kEach,
                         [&](std::size_t i) { tracker.submitted(i, io.submit_wait(*events[i])); });
        tracker.wait_for_notices();
        tracker.require_exactly_once();
        for (std::size_t i = 0; i < kAll; ++i) {
            REQUIRE(tracker.result(i).ok());
            if (i % 7 != 3)
                REQUIRE(blocks.right(i));
        }
        pipe.feed("x", 1);
        pending.callback.done.wait();
        REQUIRE(pending.callback.result.bytes() == 1);
        REQUIRE(io.shutdown().clean);
    });
}

TEST_CASE("a loop over completion_fd() misses nothing of what is polled",
          "[iopoll][ring_modes][threading][H13]") {
    in_each_way([](const Options& options) {
        if (options.threading != Threading::caller)
            return;
        Blocks blocks(256);
        std::size_t done = 0;
        auto io = test::make_context(Backend::uring, options);
        const int fd = io.completion_fd();
        REQUIRE(fd >= 0);
        REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
        const auto run_until = [&](std::size_t count) {
            while (done < count) {
                pollfd watched{fd, POLLIN, 0};
                REQUIRE(::poll(&watched, 1, static_cast<int>(test::kSafetyBound.count()) * 1000) ==
                        1);
                REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
            }
        };
        for (std::size_t i = 0; i < blocks.count; ++i) {
            REQUIRE(io.read(blocks.file.direct_fd(), Bytes(blocks.at(i), kBlock), i * kBlock,
                            [&done](Result result) noexcept { done += result.ok() ? 1 : 0; }));
            // One at a time, then many.
            if (i < 32)
                run_until(i + 1);
        }
        run_until(blocks.count);
        for (std::size_t i = 0; i < blocks.count; ++i)
            REQUIRE(blocks.right(i));
        // And it is quiet when nothing is in flight.
        pollfd watched{fd, POLLIN, 0};
        for (int looks = 0; ::poll(&watched, 1, 0) == 1 && looks < 10; ++looks)
            REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
        REQUIRE(::poll(&watched, 1, 0) == 0);
    });
}

TEST_CASE("run_for() and run_once(Run::now) keep their limits while something is polled",
          "[iopoll][ring_modes][threading]") {
    in_each_way([](const Options& options) {
        if (options.threading != Threading::caller)
            return;
        Blocks blocks(16);
        test::Pipe pipe;
        char byte = 0;
        std::size_t done = 0;
        std::size_t bytes = 0;
        auto io = test::make_context(Backend::uring, options);
        const test::PipeEnder ender(pipe);
        // The pipe says nothing: only the limit can end a run.
        REQUIRE(io.read(pipe.read_end(), Bytes(&byte, 1), 0,
                        [&bytes](Result result) noexcept { bytes = result.bytes(); }));
        for (std::size_t i = 0; i < blocks.count; ++i)
            REQUIRE(io.read(blocks.file.direct_fd(), Bytes(blocks.at(i), kBlock), i * kBlock,
                            [&done](Result result) noexcept { done += result.ok() ? 1 : 0; }));
        while (done < blocks.count) {
            REQUIRE(io.run_once(Run::now).code == ErrorCode::none);
            REQUIRE(io.run_for(1ms).code == ErrorCode::none);
        }
        REQUIRE(io.run_for(1ms).completed == 0);
        pipe.feed("x", 1);
        while (bytes == 0)
            REQUIRE(io.run_once().code == ErrorCode::none);
        for (std::size_t i = 0; i < blocks.count; ++i)
            REQUIRE(blocks.right(i));
    });
}

TEST_CASE("cancelling what is polled gives it one end, and shutdown waits for it",
          "[iopoll][ring_modes][H6]") {
    in_each_way([](const Options& options) {
        Blocks blocks(200);
        test::Tracker tracker(blocks.count);
        std::vector<std::unique_ptr<test::TrackedEvent>> events;
        auto io = test::make_context(Backend::uring, options);
        if (options.threading == Threading::caller)
            test::drive(io.engine());
        for (std::size_t i = 0; i < blocks.count; ++i) {
            events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
            events[i]->prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
            tracker.submitted(i, io.submit(*events[i]));
            if (i % 50 == 49)
                REQUIRE(io.cancel(blocks.file.direct_fd()) == ErrorCode::none);
        }
        if (!io.shutdown(0ms).clean)
            REQUIRE(io.shutdown().clean);
        tracker.require_exactly_once();
        for (std::size_t i = 0; i < blocks.count; ++i) {
            const Result result = tracker.result(i);
            if (result.ok())
                REQUIRE(blocks.right(i));
            else
                REQUIRE(result.error() == ECANCELED);
        }
    });
}

TEST_CASE("registered files and buffers serve with IOPOLL asked for", "[iopoll][ring_modes][H8]") {
    in_each_way([](const Options& options) {
        Blocks blocks(32);
        auto io = test::make_context(Backend::uring, options);
        auto files = io.register_files({blocks.file.direct_fd(), blocks.file.fd()});
        auto buffers = io.register_buffers({Bytes(blocks.memory.data(), blocks.memory.size())});
        REQUIRE(files);
        REQUIRE(buffers);
        for (int round = 0; round < 3; ++round) {
            std::memset(blocks.memory.data(), 0, blocks.memory.size());
            for (std::size_t i = 0; i < blocks.count; ++i) {
                Request read;
                const bool direct = i % 2 == 0;
                read.prepare_read(direct ? blocks.file.direct_fd() : blocks.file.fd(), blocks.at(i),
                                  kBlock, i * kBlock);
                read.use((*files)[direct ? 0 : 1]);
                read.use((*buffers)[0]);
                REQUIRE(io.perform(read));
                REQUIRE(blocks.right(i));
            }
        }
        REQUIRE(io.shutdown().clean);
    });
}

TEST_CASE("IOPOLL that cannot be had is no error, and the report says why",
          "[iopoll][ring_modes][G7]") {
    Options options;
    options.ring = RingMode::iopoll;
    options.threading = Threading::owner;
    Blocks blocks(8);
    const auto require_without = [&blocks](const char* name, const Options& asked) {
        INFO(name);
        auto made = test::Context::create(asked);
        REQUIRE(made);
        const FeatureProbe* const feature = feature_of(*made, "iopoll");
        REQUIRE(feature != nullptr);
        REQUIRE_FALSE(feature->in_force);
        REQUIRE(feature->note[0] != '\0');
        if (asked.backend != Backend::null)
            require_reads(*made, blocks, blocks.file.direct_fd());
        REQUIRE(made->stats().polled + made->stats().polled_refused == 0);
    };
    options.backend = Backend::null;
    require_without("null", options);
    if (test::is_available(Backend::aio)) {
        options.backend = Backend::aio;
        require_without("AIO", options);
        options.backend = Backend::automatic;
        options.disable = "uring";
        require_without("no io_uring", options);
        options.disable = nullptr;
    }
    test::require_backend(Backend::uring);
    options.backend = Backend::uring;
    options.disable = "iopoll";
    require_without("switched off", options);
    options.disable = nullptr;
    if (test::one_thread())
        SKIP_TEST("the environment leaves no split threading");
    options.threading = Threading::split;
    require_without("split", options);
}

TEST_CASE("with both, SQPOLL is needed, and IOPOLL is not", "[iopoll][ring_modes][G7][A3]") {
    test::require_backend(Backend::uring);
    Options options = options_for(kWays[2]);
    if (!test::Context::create(options))
        SKIP_TEST("no SQPOLL here");
    options.disable = "iopoll";
    auto io = test::make_context(Backend::uring, options);
    REQUIRE(test::in_force(io, "sqpoll"));
    REQUIRE_FALSE(test::in_force(io, "iopoll"));
    options.disable = "sqpoll";
    const auto made = test::Context::create(options);
    REQUIRE_FALSE(made);
    REQUIRE(made.error().code == ErrorCode::unsupported);
    REQUIRE(std::strlen(made.error().hint) > 0);
    options.disable = nullptr;
    options.backend = Backend::aio;
    REQUIRE_FALSE(test::Context::create(options));
}

TEST_CASE("whatever other flag is missing, IOPOLL is not lost with it",
          "[iopoll][ring_modes][G6]") {
    in_each_way([](const Options& asked) {
        Blocks blocks(8);
        for (const char* const missing :
             {"single_issuer", "defer_taskrun", "defer_taskrun,coop_taskrun", "submit_all",
              "sized_cq", "ring_fd", "ext_arg", "registered_buffers,registered_files",
              "single_issuer,submit_all,sized_cq,ring_fd"}) {
            INFO("without " << missing);
            Options options = asked;
            options.disable = missing;
            auto io = test::make_context(Backend::uring, options);
            REQUIRE(test::in_force(io, "iopoll"));
            REQUIRE(test::in_force(io, "sqpoll") == (asked.ring == RingMode::iopoll_sqpoll));
            require_reads(io, blocks, blocks.file.direct_fd());
            require_writes(io, blocks, blocks.file.direct_fd(), 0);
            REQUIRE(io.shutdown().clean);
        }
    });
}

TEST_CASE("contexts that poll share one thread of the kernel's", "[iopoll][ring_modes][G9]") {
    if (test::is_disabled("attach_wq"))
        SKIP_TEST("attach_wq is switched off: Options::ring_of is refused");
    bool has_sqpoll = false;
    in_each_way([&has_sqpoll](const Options& asked) {
        if (asked.ring != RingMode::iopoll_sqpoll)
            return;
        has_sqpoll = true;
        const auto wait_for_sq_threads = [](std::size_t count) {
            test::wait_until([count] { return test::threads_named("iou-sqp").size() == count; },
                             "waiting for the kernel's threads to come or go");
        };
        Blocks blocks(8);
        wait_for_sq_threads(0);
        auto first = test::make_context(Backend::uring, asked);
        wait_for_sq_threads(1);  // for its two rings
        Options options = asked;
        options.ring_of = first.engine();
        auto second = test::make_context(Backend::uring, options);
        wait_for_sq_threads(1);
        require_reads(first, blocks, blocks.file.direct_fd());
        require_reads(second, blocks, blocks.file.direct_fd());
        REQUIRE(first.shutdown().clean);
        require_reads(second, blocks, blocks.file.direct_fd());
        REQUIRE(second.shutdown().clean);
    });
    if (!has_sqpoll)
        SKIP_TEST("SQPOLL is switched off, or cannot be had here");
}

TEST_CASE("a device with poll queues is polled, for reads and writes, and the data is right",
          "[iopoll][ring_modes][G7]") {
    const test::Fd fd = device("IOENGINE_TEST_POLLED", O_RDWR);
    in_each_way([&fd](const Options& options) {
        Blocks blocks(64);
        for (std::size_t i = 0; i < blocks.count; ++i) {
            test::fill_pattern(blocks.at(i), kBlock, i);
            REQUIRE(::pwrite(fd.get(), blocks.at(i), kBlock, static_cast<off_t>(i * kBlock)) ==
                    static_cast<ssize_t>(kBlock));
        }
        auto io = test::make_context(Backend::uring, options);
        Request first;
        first.prepare_read(fd.get(), blocks.at(0), kBlock, 0);
        REQUIRE(io.perform(first));
        REQUIRE(io.stats().polled == 1);  // accepted
        for (int round = 0; round < 10; ++round) {
            require_reads(io, blocks, fd.get());
            require_writes(io, blocks, fd.get(), 0);
        }
        REQUIRE(io.shutdown().clean);
        const Stats stats = io.stats();
        REQUIRE(stats.polled == 1 + 20 * blocks.count);
        REQUIRE(stats.polled_refused == 0);
        REQUIRE(stats.completed == 1 + 20 * blocks.count + 10);
    });
}

TEST_CASE("a device without poll queues is served, polled or not", "[iopoll][ring_modes][G7]") {
    const test::Fd fd = device("IOENGINE_TEST_NOT_POLLED", O_RDONLY);
    in_each_way([&fd](const Options& options) {
        auto memory = *AlignedBuffer::create(kBlock);
        auto io = test::make_context(Backend::uring, options);
        for (std::uint64_t i = 0; i < 100; ++i) {
            Request read;
            read.prepare_read(fd.get(), memory.data(), kBlock, i * kBlock);
            REQUIRE(io.perform(read));
            REQUIRE(read.outcome().bytes() == kBlock);
        }
        // Which of the two is the kernel's affair: tests/guests/polled_test.cpp.
        const Stats stats = io.stats();
        REQUIRE((stats.polled == 100 || stats.polled_refused == 1));
    });
}
