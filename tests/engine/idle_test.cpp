// SPDX-License-Identifier: MIT
//
// Goal: an engine without work costs nothing: no CPU time, no context switch. Nor does one whose
// slots are all busy, or one that waits for the kernel.
// Method: bring a context to rest, read what its threads have used from /proc, sleep for a second,
// read again: the numbers must be equal.

#include "tests/support/support.hpp"

#include <cstdint>
#include <ctime>
#include <memory>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

// The engine's threads, and those of the tests' that drive.
std::vector<test::ThreadUse> uses() {
    std::vector<test::ThreadUse> all = test::threads_named("ioe-");
    for (const test::ThreadUse& driver : test::threads_named(test::kDriverName))
        all.push_back(driver);
    return all;
}

// Returns once two looks, a moment apart, show the same: the threads are parked.
std::vector<test::ThreadUse> use_at_rest() {
    std::vector<test::ThreadUse> before = uses();
    test::wait_until(
        [&before] {
            std::this_thread::sleep_for(50ms);
            std::vector<test::ThreadUse> now = uses();
            const bool same = now == before;
            before = std::move(now);
            return same;
        },
        "waiting for the engine's threads to come to rest");
    return before;
}

// A submitter and a poller, or one for both, the engine's or not.
std::size_t threads_of_a_context() {
    return test::one_thread() ? 1 : 2;
}

void require_an_idle_second(std::size_t threads_expected) {
    const std::vector<test::ThreadUse> before = use_at_rest();
    std::this_thread::sleep_for(1s);
    const std::vector<test::ThreadUse> after = uses();
    INFO("before:\n" << test::to_string(before) << "after:\n" << test::to_string(after));
    REQUIRE(before.size() == threads_expected);
    REQUIRE(after == before);
}

std::uint64_t cpu_ns_of_this_thread() {
    timespec now;
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

TEST_EVERY_BACKEND("an idle second costs no CPU and no context switch", "[idle][D9][F11]") {
    auto io = test::make_context(backend);
    for (int i = 0; i < 100; ++i)
        REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    require_an_idle_second(threads_of_a_context());
    REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
}

TEST_EVERY_BACKEND("an idle second with workers costs nothing either", "[idle][D9]") {
    auto workers = IOWorkers::create(3);
    REQUIRE(workers);
    Options options;
    options.workers = &*workers;
    auto io = test::make_context(backend, options);
    for (int i = 0; i < 100; ++i)
        REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    test::wait_until([] { return uses().size() == threads_of_a_context() + 3; },
                     "waiting for all threads");
    require_an_idle_second(threads_of_a_context() + 3);
}

TEST_EVERY_BACKEND("with spinning everything completes, and an idle second costs nothing",
                   "[idle][D9]") {
    constexpr std::size_t kCount = 200;
    Options options;
    options.spin_us = 10'000;
    options.depth = 2;
    test::TempFile file(4096);
    char page[64];
    test::Tracker tracker(kCount);
    auto io = test::make_context(backend, options);
    for (std::size_t i = 0; i < kCount; ++i) {
        test::TrackedEvent event(test::Tracked{&tracker, i});
        event.prepare_read(file.fd(), page, sizeof page, 0);
        tracker.submitted(i, io.submit(event));
        tracker.wait_for_notices();
    }
    for (std::size_t i = 0; i < kCount; ++i) {
        Request request;
        request.prepare_read(file.fd(), page, sizeof page, 0);
        REQUIRE(io.perform(request));
        REQUIRE(request.outcome().ok());
    }
    tracker.require_exactly_once();
    require_an_idle_second(threads_of_a_context());
    REQUIRE(io.shutdown().clean);
}

TEST_CASE("nobody spins for AIO's completions where only a system call can tell", "[idle][aio]") {
    test::require_backend(Backend::aio);
    Options options;
    options.backend = Backend::aio;
    options.aio_ring_reap = false;
    options.spin_us = 10'000;
    auto io = test::make_context(Backend::aio, options);
    // Only flushes are slow enough to be waited for everywhere.
    constexpr std::uint64_t kRounds = 50;
    test::TempFile file(4096);
    const std::uint64_t before = cpu_ns_of_this_thread();
    for (std::uint64_t i = 0; i < kRounds; ++i) {
        Request flush;
        flush.prepare_fsync(file.fd());
        REQUIRE(io.perform(flush));
        REQUIRE(flush.outcome().ok());
    }
    REQUIRE(cpu_ns_of_this_thread() - before < kRounds * 10'000'000 / 2);
}

TEST_EACH_BACKEND("a second with every slot busy costs nothing", "[idle][D9][defect-5]") {
    constexpr std::size_t kQueued = 50;
    test::Pipe pipe;
    char in[8];
    test::KeptEvent stuck;
    stuck.prepare_read(pipe.read_end(), in, sizeof(in), 0);
    test::Tracker tracker(kQueued);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    auto io = test::make_context(backend, 1);
    test::PipeEnder ender(pipe);
    REQUIRE(io.submit(stuck));
    test::wait_until([&] { return io.stats().free_slots == 0; }, "waiting for the slot to be busy");
    for (std::size_t i = 0; i < kQueued; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events.back()->prepare_fsync(pipe.read_end());
        tracker.submitted(i, io.submit(*events.back()));
    }
    require_an_idle_second(threads_of_a_context());
    pipe.feed("go", 2);
    tracker.wait_for_notices();
    tracker.require_exactly_once();
    REQUIRE(tracker.accepted() == kQueued);
}

TEST_EVERY_BACKEND("a second with a blocked callback costs nothing",
                   "[idle][D9][defect-5][scenario-8]") {
    test::SlotFillers fillers;
    auto io = test::make_context(backend, 4);
    test::Plug plug(io);
    fillers.fill(io);
    require_an_idle_second(threads_of_a_context());
}
