// SPDX-License-Identifier: MIT
//
// Goal: a role has one holder, its data travel with it, and no work is left lying by two threads
// that refuse each other.
// Method: threads that publish pieces of work and take the role for it; plain memory under the
// lock, so that a missing order is a data race for the thread sanitizer too.

#include "lib/role_lock.hpp"
#include "tests/unit/unit.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

using namespace ioengine;

TEST_CASE("whoever is refused a role, the work it published is done", "[lending][threads]") {
    constexpr std::uint64_t kEach = 50'000;
    constexpr std::uint64_t kThreads = 3;
    RoleLock lock;
    std::atomic<std::uint64_t> waiting{0};
    std::uint64_t done = 0;  // plain on purpose: the role's own
    const auto step = [&] {
        // Until a release without a note: what was published before a refusal is seen by then.
        for (;;) {
            if (!lock.try_take())
                return;
            // relaxed: that this sees what the refused have published is the lock's business.
            done += waiting.exchange(0, std::memory_order_relaxed);
            if (!lock.release())
                return;
        }
    };
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < kThreads; ++t)
        threads.emplace_back([&] {
            for (std::uint64_t i = 0; i < kEach; ++i) {
                waiting.fetch_add(1, std::memory_order_relaxed);
                step();
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    REQUIRE(waiting.load() == 0);
    REQUIRE(done == kEach * kThreads);
}
