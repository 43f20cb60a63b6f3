// SPDX-License-Identifier: MIT
//
// Goal: contexts come and go without a trace: descriptors, threads, mappings and memory stay flat.
// Method: make, use and destroy contexts in a loop, in every way a context can end, and compare
// what /proc/self says after a warm-up with what it says in the end. AIO contexts take about 30 ms
// to be destroyed (the kernel waits for a grace period), so there are fewer of them.

#include "tests/support/support.hpp"

#include <cstring>
#include <memory>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

void live_once(Backend backend, int way) {
    Options options;
    options.depth = 1u << (way % 8);
    test::Latch done(10);
    auto io = test::make_context(backend, options);
    for (int i = 0; i < 10; ++i)
        REQUIRE(io.nop([&](Result) { done.count_down(); }));
    if (way % 3 == 0)
        done.wait();
    if (way % 2 == 0)
        REQUIRE(io.shutdown().clean);
    // else the destructor does it
}

}  // namespace

TEST_EVERY_BACKEND("making and destroying contexts leaves nothing behind",
                   "[resources][H11][defect-12][scenario-19]") {
    const int lives = backend == Backend::aio ? 40 : 200;
    for (int i = 0; i < lives / 2; ++i)
        live_once(backend, i);
    test::wait_for_engine_threads(0);
    const std::uint64_t fds = test::open_fds();
    const std::uint64_t threads = test::thread_count();
    const std::uint64_t maps = test::map_count();
    const std::uint64_t rss = test::rss_bytes();
    for (int i = 0; i < lives; ++i)
        live_once(backend, i);
    test::wait_for_engine_threads(0);
    REQUIRE(test::open_fds() == fds);
    REQUIRE(test::thread_count() == threads);
    if (!test::kAddressSanitizer && !test::kThreadSanitizer) {
        // The C library keeps a few thread stacks and arenas for later; it does so once.
        REQUIRE(test::map_count() <= maps + 16);
        REQUIRE(test::rss_bytes() <= rss + (16u << 20));
    }
}

TEST_EVERY_BACKEND("a failed creation leaves nothing behind", "[resources][A4]") {
    Options options;
    options.backend = backend;
    options.depth = 0;
    REQUIRE_FALSE(test::Context::create(options));
    const std::uint64_t fds = test::open_fds();
    for (int i = 0; i < 50; ++i)
        REQUIRE_FALSE(test::Context::create(options));
    REQUIRE(test::open_fds() == fds);
    test::wait_for_engine_threads(0);
}

TEST_EVERY_BACKEND("worker pools leave no threads behind", "[resources][C4]") {
    test::wait_for_engine_threads(0);
    const std::uint64_t threads = test::thread_count();
    for (int i = 0; i < 10; ++i) {
        auto workers = IOWorkers::create(4);
        REQUIRE(workers);
        Options options;
        options.workers = &*workers;
        auto io = test::make_context(backend, options);
        REQUIRE(io.nop([](Result) {}));
    }
    test::wait_for_engine_threads(0);
    REQUIRE(test::thread_count() == threads);
}
