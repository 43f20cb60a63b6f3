// SPDX-License-Identifier: MIT
//
// Goal: a ring mode that is asked for is in force, or create() says why not and what to do; with
// SQPOLL requests come through in every threading, also after the kernel's thread has fallen
// asleep; contexts share that thread if they ask for it, and neither needs the other to live.
// Method: real data through each combination; the kernel's threads as /proc/self shows them.

#include "tests/support/blocks.hpp"
#include "tests/support/support.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

using test::Blocks;
using test::kBlock;

Options polled(Threading threading = Threading::split) {
    Options options;
    options.backend = Backend::uring;
    options.ring = RingMode::sqpoll;
    options.sqpoll_idle_ms = 1;
    options.threading = threading;
    options.depth = 16;
    return options;
}

void require_sqpoll() {
    test::require_backend(Backend::uring);
    const auto made = test::Context::create(polled());
    if (!made)
        SKIP_TEST(std::string(made.error().message) + "; " + made.error().hint);
}

// Without it a context that is to share another's threads is refused.
void require_sharing() {
    if (test::is_disabled("attach_wq"))
        SKIP_TEST("attach_wq is switched off: Options::ring_of is refused");
}

const char* name_of(Threading threading) {
    return threading == Threading::split   ? "split"
           : threading == Threading::owner ? "owner"
                                           : "caller";
}

// Whoever makes the first call that waits drives a context of Threading::caller: here this thread.
void require_moves_data(test::Context& io, Blocks& blocks) {
    Group group(io);
    for (std::size_t i = 0; i < blocks.count; ++i) {
        std::memset(blocks.at(i), 0, kBlock);
        REQUIRE(group.read(blocks.file.fd(), Bytes(blocks.at(i), kBlock), i * kBlock));
    }
    REQUIRE(group.wait() == ErrorCode::none);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(blocks.right(i));
    Request flush;
    flush.prepare_fdatasync(blocks.file.fd());
    REQUIRE(io.perform(flush));
    REQUIRE(flush.result == 0);
}

// The kernel's threads that look for submissions. A new one has to name itself, and one that ends
// takes a moment.
void wait_for_sq_threads(std::size_t count) {
    test::wait_until([count] { return test::threads_named("iou-sqp").size() == count; },
                     "waiting for the kernel's threads to come or go");
}

bool sq_thread_runs_in(std::chrono::milliseconds time) {
    const std::vector<test::ThreadUse> before = test::threads_named("iou-sqp");
    std::this_thread::sleep_for(time);
    return !(before == test::threads_named("iou-sqp"));
}

void require_error(const Options& options, ErrorCode code, int sys_errno = 0) {
    const auto made = test::Context::create(options);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == code);
    CHECK(made.error().sys_errno == sys_errno);
    CHECK(std::strlen(made.error().message) > 0);
    CHECK(std::strlen(made.error().hint) > 0);
}

}  // namespace

TEST_CASE("SQPOLL is in force and moves data in each threading", "[ring_modes][G6][G7]") {
    require_sqpoll();
    Blocks blocks(64);
    for (const Threading threading : {Threading::split, Threading::owner, Threading::caller}) {
        INFO(name_of(threading));
        auto io = test::make_context(Backend::uring, polled(threading));
        REQUIRE(test::in_force(io, "sqpoll"));
        REQUIRE_FALSE(test::in_force(io, "defer_taskrun"));
        REQUIRE_FALSE(test::in_force(io, "coop_taskrun"));
        wait_for_sq_threads(1);
        for (int round = 0; round < 20; ++round)
            require_moves_data(io, blocks);
        REQUIRE(io.shutdown().clean);
        const Stats stats = io.stats();
        REQUIRE(stats.completed == 20 * (blocks.count + 1));
        REQUIRE(stats.free_slots == stats.depth);
    }
    wait_for_sq_threads(0);
}

TEST_CASE("whatever other flag is missing, SQPOLL is not lost with it", "[ring_modes][G6][G7]") {
    require_sqpoll();
    Blocks blocks(8);
    for (const Threading threading : {Threading::split, Threading::owner, Threading::caller})
        for (const char* const missing :
             {"single_issuer", "defer_taskrun", "coop_taskrun", "submit_all", "sized_cq", "ring_fd",
              "single_issuer,submit_all,sized_cq,ring_fd"}) {
            INFO(name_of(threading) << " without " << missing);
            Options options = polled(threading);
            options.disable = missing;
            auto io = test::make_context(Backend::uring, options);
            REQUIRE(test::in_force(io, "sqpoll"));
            require_moves_data(io, blocks);
            REQUIRE(io.shutdown().clean);
        }
}

TEST_CASE("what is submitted after the kernel's thread has fallen asleep completes",
          "[ring_modes][G8]") {
    require_sqpoll();
    Blocks blocks(1);
    for (const Threading threading : {Threading::split, Threading::owner, Threading::caller}) {
        INFO(name_of(threading));
        auto io = test::make_context(Backend::uring, polled(threading));
        wait_for_sq_threads(1);
        for (int i = 0; i < 20; ++i) {
            test::wait_until([] { return !sq_thread_runs_in(3ms); },
                             "waiting for the kernel's thread to fall asleep");
            require_moves_data(io, blocks);
        }
        REQUIRE(io.shutdown().clean);
    }
}

TEST_CASE("submissions at the moment the kernel's thread falls asleep complete",
          "[ring_modes][G8]") {
    require_sqpoll();
    Blocks blocks(1);
    test::Random random(test::announced_seed("falling asleep"));
    auto io = test::make_context(Backend::uring, polled());
    for (int i = 0; i < 500; ++i) {
        // It falls asleep a millisecond after its last work, in steps of the kernel's clock tick.
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(8'000)));
        Request read;
        std::memset(blocks.at(0), 0, kBlock);
        read.prepare_read(blocks.file.fd(), blocks.at(0), kBlock, 0);
        REQUIRE(io.perform(read));
        REQUIRE(blocks.right(0));
    }
    REQUIRE(io.shutdown().clean);
}

TEST_CASE("contexts share one thread of the kernel's, and either may end first",
          "[ring_modes][G9]") {
    require_sqpoll();
    require_sharing();
    Blocks blocks(32);
    for (const bool first_ends_first : {true, false}) {
        wait_for_sq_threads(0);
        auto first = std::make_unique<test::Context>(test::make_context(Backend::uring, polled()));
        Options options = polled(Threading::owner);
        options.ring_of = first->engine();
        auto second = std::make_unique<test::Context>(test::make_context(Backend::uring, options));
        REQUIRE(test::in_force(*second, "attach_wq"));
        REQUIRE(test::in_force(*second, "sqpoll"));
        wait_for_sq_threads(1);
        require_moves_data(*first, blocks);
        require_moves_data(*second, blocks);
        (first_ends_first ? first : second).reset();
        require_moves_data(first_ends_first ? *second : *first, blocks);
        wait_for_sq_threads(1);
    }
    auto one = test::make_context(Backend::uring, polled());
    auto other = test::make_context(Backend::uring, polled());
    REQUIRE_FALSE(test::in_force(other, "attach_wq"));
    wait_for_sq_threads(2);
}

TEST_CASE("contexts that share come and go while another works", "[ring_modes][G9]") {
    require_sqpoll();
    require_sharing();
    Blocks blocks(16);
    auto lasting = test::make_context(Backend::uring, polled());
    std::atomic<bool> stop{false};
    std::uint64_t reads = 0;
    std::uint64_t wrong = 0;
    Blocks own(1);
    std::thread worker([&] {
        for (; !stop.load(); ++reads) {
            Request read;
            read.prepare_read(own.file.fd(), own.at(0), kBlock, 0);
            wrong += lasting.perform(read) && own.right(0) ? 0 : 1;
            std::memset(own.at(0), 0, kBlock);
        }
    });
    for (int i = 0; i < 20; ++i) {
        Options options = polled();
        options.ring_of = lasting.engine();
        auto guest = test::make_context(Backend::uring, options);
        require_moves_data(guest, blocks);
        REQUIRE(guest.shutdown().clean);
    }
    stop.store(true);
    worker.join();
    REQUIRE(reads > 0);
    REQUIRE(wrong == 0);
    REQUIRE(lasting.shutdown().clean);
}

TEST_CASE("plain rings may name each other, and the report says what that shares",
          "[ring_modes][G9]") {
    test::require_backend(Backend::uring);
    require_sharing();
    Blocks blocks(8);
    auto first = test::make_context(Backend::uring);
    Options options;
    options.ring_of = first.engine();
    auto second = test::make_context(Backend::uring, options);
    bool said = false;
    for (std::uint32_t i = 0; i < second.report().feature_count; ++i)
        said = said || (std::strcmp(second.report().features[i].name, "attach_wq") == 0 &&
                        second.report().features[i].note[0] != '\0');
    REQUIRE(said);
    require_moves_data(first, blocks);
    require_moves_data(second, blocks);
}

TEST_CASE("a ring that cannot be shared is refused", "[ring_modes][G9][A4]") {
    require_sqpoll();
    auto null = test::make_context(Backend::null);
    auto sqpoll = test::make_context(Backend::uring, polled());
    auto gone = test::make_context(Backend::uring, polled());
    REQUIRE(gone.shutdown().clean);
    const std::uint64_t open_before = test::open_fds();
    Options options = polled();
    options.ring_of = null.engine();
    require_error(options, ErrorCode::invalid_argument);
    options.ring_of = gone.engine();
    require_error(options, ErrorCode::invalid_argument);
    if (test::is_available(Backend::aio)) {
        auto aio = test::make_context(Backend::aio);
        options.ring_of = aio.engine();
        require_error(options, ErrorCode::invalid_argument);
    }
    Options another_mode = polled();
    {
        auto asked_plain = test::make_context(Backend::uring);
        if (!test::in_force(asked_plain, "sqpoll")) {  // the environment may say otherwise
            another_mode.ring_of = asked_plain.engine();
            require_error(another_mode, ErrorCode::invalid_argument);
        }
    }
    options.ring_of = sqpoll.engine();
    options.disable = "attach_wq";
    require_error(options, ErrorCode::unsupported);
    for (const Backend backend : {Backend::aio, Backend::null}) {
        options.backend = backend;
        require_error(options, ErrorCode::invalid_argument);
    }
    REQUIRE(test::open_fds() == open_before);
}

TEST_CASE("SQPOLL that cannot be had is an error with a hint, and never something else",
          "[ring_modes][G7][A3][A4]") {
    test::require_backend(Backend::uring);
    struct Wrong {
        const char* name;
        ErrorCode code;
        int sys_errno;
        std::function<void(Options&)> spoil;
    };
    const std::vector<Wrong> wrongs = {
        {"AIO", ErrorCode::invalid_argument, 0, [](Options& o) { o.backend = Backend::aio; }},
        {"null", ErrorCode::invalid_argument, 0, [](Options& o) { o.backend = Backend::null; }},
        {"no such mode", ErrorCode::invalid_argument, 0,
         [](Options& o) { o.ring = static_cast<RingMode>(9); }},
        {"idle 0", ErrorCode::invalid_argument, 0, [](Options& o) { o.sqpoll_idle_ms = 0; }},
        {"idle over a minute", ErrorCode::invalid_argument, 0,
         [](Options& o) { o.sqpoll_idle_ms = 60'001; }},
        {"CPU -2", ErrorCode::invalid_argument, 0, [](Options& o) { o.sqpoll_cpu = -2; }},
        {"a CPU without SQPOLL", ErrorCode::invalid_argument, 0,
         [](Options& o) {
             o.ring = RingMode::interrupts;
             o.sqpoll_cpu = 0;
         }},
        {"a CPU that is not there", ErrorCode::unsupported, EINVAL,
         [](Options& o) { o.sqpoll_cpu = 1 << 20; }},
        {"switched off", ErrorCode::unsupported, 0, [](Options& o) { o.disable = "sqpoll"; }},
        {"switched off, any backend", ErrorCode::unsupported, 0,
         [](Options& o) {
             o.backend = Backend::automatic;
             o.disable = "sqpoll";
         }},
        {"io_uring switched off, any backend", ErrorCode::unsupported, 0,
         [](Options& o) {
             o.backend = Backend::automatic;
             o.disable = "uring";
         }},
    };
    for (const Wrong& wrong : wrongs) {
        INFO(wrong.name);
        if (wrong.sys_errno != 0 && test::is_disabled("sqpoll"))
            continue;  // the kernel is not asked
        Options options = polled();
        wrong.spoil(options);
        require_error(options, wrong.code, wrong.sys_errno);
    }
}

TEST_CASE("any backend with SQPOLL asked for is io_uring, on the CPU that is asked for",
          "[ring_modes][G7]") {
    require_sqpoll();
    Blocks blocks(8);
    Options options = polled();
    options.backend = Backend::automatic;
    options.sqpoll_cpu = 0;
    auto made = test::Context::create(options);
    REQUIRE(made);
    REQUIRE(made->report().backend == Backend::uring);
    REQUIRE(std::string(made->report().reason).find("Options::ring") != std::string::npos);
    REQUIRE(test::in_force(*made, "sqpoll"));
    require_moves_data(*made, blocks);
}

TEST_CASE("the probe says what ring modes there are, in words and in JSON", "[ring_modes][G7]") {
    test::require_backend(Backend::uring);
    const ProbeReport report = probe();
    const std::string words = to_text(report).c_str();
    const std::string json = to_json(report).c_str();
    for (const char* const feature : {"sqpoll", "attach_wq", "ext_arg"}) {
        INFO(feature);
        REQUIRE(words.find(feature) != std::string::npos);
        REQUIRE(json.find('"' + std::string(feature) + "\": {\"available\": ") !=
                std::string::npos);
    }
}

TEST_CASE("with SQPOLL a deadline of shutdown cancels what never comes", "[ring_modes][G8][D6]") {
    require_sqpoll();
    for (const Threading threading : {Threading::split, Threading::owner}) {
        INFO(name_of(threading));
        test::Pipe pipe;
        char byte = 0;
        std::vector<std::unique_ptr<test::KeptEvent>> events;
        auto io = test::make_context(Backend::uring, polled(threading));
        for (int i = 0; i < 40; ++i) {  // more than the depth: some are still queued
            events.push_back(std::make_unique<test::KeptEvent>());
            events.back()->prepare_read(pipe.read_end(), &byte, 1, 0);
            REQUIRE(io.submit(*events.back()));
        }
        const ShutdownReport report = io.shutdown(1ms);
        for (auto& event : events)
            event->callback.done.wait();
        for (auto& event : events)
            REQUIRE(event->callback.result.error() == ECANCELED);
        if (!report.clean)
            REQUIRE(io.shutdown().clean);
    }
}
