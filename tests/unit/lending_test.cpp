// SPDX-License-Identifier: MIT
//
// Goal: the small parts of lending: who holds a role, who hears of a refusal, how many completions
// are reaped, and who is woken after a borrower has used the slots.
// Method: one thread; what each part answers.

#include "lib/event_count.hpp"
#include "lib/reap_cap.hpp"
#include "lib/request_chain.hpp"
#include "lib/role_lock.hpp"
#include "tests/unit/unit.hpp"

using namespace ioengine;
using Wants = EventCount::Wants;

TEST_CASE("a role is held by one at a time, and its holder hears of refusals once", "[lending]") {
    RoleLock lock;
    REQUIRE(lock.try_take());
    REQUIRE_FALSE(lock.release());
    REQUIRE(lock.try_take());
    REQUIRE_FALSE(lock.try_take());
    REQUIRE_FALSE(lock.try_take());
    REQUIRE(lock.release());
    REQUIRE(lock.try_take());
    REQUIRE_FALSE(lock.release());
}

TEST_CASE("a chain gives its requests back in their order, also after it was empty", "[lending]") {
    Request requests[3];
    RequestChain chain;
    REQUIRE(chain.empty());
    for (int round = 0; round < 2; ++round) {
        chain.push(requests[0]);
        chain.push(requests[1]);
        REQUIRE(&chain.pop() == &requests[0]);
        chain.push(requests[2]);
        REQUIRE(&chain.pop() == &requests[1]);
        REQUIRE(&chain.pop() == &requests[2]);
        REQUIRE(chain.empty());
    }
}

TEST_CASE("the reap cap is low while completions come later than the submit call", "[lending]") {
    ReapCap cap;
    REQUIRE(cap.limit() == kReapChunk);
    for (int i = 0; i < 16; ++i)
        cap.submitted(4, 1, 1);
    const std::uint32_t low = cap.limit();
    REQUIRE(low < kReapChunk);
    // Calls that took nothing say nothing.
    for (int i = 0; i < 100; ++i)
        cap.submitted(0, 0, 0);
    REQUIRE(cap.limit() == low);
    // One completion that happens to be there changes no mind.
    cap.submitted(1, 0, 1);
    REQUIRE(cap.limit() == low);
    for (int i = 0; i < 16; ++i)
        cap.submitted(4, 2, 6);
    REQUIRE(cap.limit() == kReapChunk);
}

TEST_CASE("a widened sleeper for slots hears of work, and only one is ever widened", "[lending]") {
    EventCount count;
    REQUIRE_FALSE(count.widen());
    REQUIRE(count.announce(count.prepare(), Wants::urgent_only));
    REQUIRE_FALSE(count.notify_work());
    REQUIRE(count.widen());
    REQUIRE_FALSE(count.widen());
    REQUIRE(count.notify_work());
    REQUIRE_FALSE(count.announced());
    REQUIRE(count.announce(count.prepare(), Wants::anything));
    REQUIRE_FALSE(count.widen());
    REQUIRE(count.notify_work());
}
