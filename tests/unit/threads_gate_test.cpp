// SPDX-License-Identifier: MIT
//
// Goal: every caller at a gate that closes is either refused or counted, and what those who were
// inside did is seen once the gate is quiet.
// Method: callers that write plain memory inside, and a closer that reads it afterwards, so that a
// missing order is a data race for the thread sanitizer too.

#include "lib/gate.hpp"
#include "tests/unit/unit.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

using namespace ioengine;

TEST_CASE("nobody enters a closed gate, and all who entered before are seen by the closer",
          "[gate][threads]") {
    constexpr int kRounds = 500;
    constexpr std::size_t kCallers = 3;
    std::uint64_t entered_in_all = 0;
    for (int round = 0; round < kRounds; ++round) {
        Gate gate;
        struct alignas(64) Inside {
            std::uint64_t visits = 0;  // plain on purpose
        };
        Inside inside[kCallers];
        std::atomic<std::size_t> started{0};
        std::atomic<std::uint64_t> entered{0};
        std::vector<std::thread> callers;
        for (std::size_t c = 0; c < kCallers; ++c)
            callers.emplace_back([&, c] {
                started.fetch_add(1);
                while (gate.enter()) {
                    ++inside[c].visits;
                    entered.fetch_add(1, std::memory_order_relaxed);
                    gate.leave();
                }
            });
        test::wait_until([&] { return started.load() == kCallers; }, "waiting for callers");
        REQUIRE(gate.close());
        test::wait_until([&] { return gate.quiet(); }, "waiting for a quiet gate");
        std::uint64_t seen = 0;
        for (const Inside& caller : inside)
            seen += caller.visits;
        for (std::thread& caller : callers)
            caller.join();
        std::uint64_t finally = 0;
        for (const Inside& caller : inside)
            finally += caller.visits;
        REQUIRE(seen == finally);
        REQUIRE(seen == entered.load());
        entered_in_all += seen;
    }
    REQUIRE(entered_in_all > 0);
}
