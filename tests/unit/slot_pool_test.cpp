// SPDX-License-Identifier: MIT
//
// Goal: slots move through their states as lib/slot.hpp draws them, none is lost or given twice,
// and a completion that belongs to no living request is recognised.
// Method: both roles by hand on one thread, against a count of what should be where.

#include "lib/slot.hpp"
#include "tests/unit/unit.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

using namespace ioengine;

namespace {

using Pool = SlotPool<Slot>;

Slot& take_into_kernel(Pool& pool, Request& request, std::uint64_t now = 1) {
    Slot& slot = pool.take(request, now);
    pool.hand_over(slot);
    return slot;
}

}  // namespace

TEST_CASE("a slot goes from free through filled, in_kernel and completed back to free", "[slots]") {
    Pool pool(1);
    test::Requests requests;
    Request& request = requests.read(0);
    REQUIRE(pool.available() == 1);
    Slot& slot = pool.take(request, 1);
    REQUIRE(slot.state.load() == SlotState::filled);
    REQUIRE(slot.request == &request);
    REQUIRE(pool.available() == 0);
    REQUIRE(pool.in_use() == 1);
    REQUIRE_FALSE(pool.all_free());
    pool.hand_over(slot);
    REQUIRE(slot.state.load() == SlotState::in_kernel);
    REQUIRE(pool.reclaim(slot.token()) == &slot);
    REQUIRE(slot.state.load() == SlotState::completed);
    REQUIRE_FALSE(pool.all_free());
    pool.release(slot);
    REQUIRE(slot.state.load() == SlotState::free);
    REQUIRE(slot.request == nullptr);
    REQUIRE(pool.available() == 1);
    REQUIRE(pool.in_use() == 0);
    REQUIRE(pool.all_free());
}

TEST_CASE("every slot can be taken once, and each is another one", "[slots]") {
    for (const std::uint32_t depth : {1u, 2u, 3u, 64u, 1000u, 32768u}) {
        Pool pool(depth);
        test::Requests requests;
        Request& request = requests.read(0);
        std::set<std::uint32_t> taken;
        for (std::uint32_t i = 0; i < depth; ++i)
            taken.insert(take_into_kernel(pool, request).index);
        REQUIRE(taken.size() == depth);
        REQUIRE(*taken.begin() == 0);
        REQUIRE(*taken.rbegin() == depth - 1);
        REQUIRE(pool.available() == 0);
        REQUIRE(pool.in_use() == depth);
    }
}

TEST_CASE("a slot that the kernel refused comes back through the stash and is taken next",
          "[slots]") {
    Pool pool(3);
    test::Requests requests;
    Slot& first = take_into_kernel(pool, requests.read(0));
    take_into_kernel(pool, requests.read(1));
    pool.give_back(first);
    REQUIRE(first.state.load() == SlotState::free);
    REQUIRE(pool.available() == 2);
    REQUIRE(pool.in_use() == 1);
    REQUIRE(&pool.take(requests.read(2), 1) == &first);
    REQUIRE(pool.available() == 1);
    REQUIRE(pool.in_use() == 2);
}

TEST_CASE("a slot that continues keeps its request, and comes back filled, in order", "[slots]") {
    Pool pool(2);
    test::Requests requests;
    Request& request = requests.read(0);
    request.length = 100;
    Slot& slot = take_into_kernel(pool, request);
    Slot& other = take_into_kernel(pool, requests.read(1));
    REQUIRE_FALSE(pool.has_continuation());
    REQUIRE(pool.next_continuation() == nullptr);
    REQUIRE(pool.reclaim(slot.token()) == &slot);
    REQUIRE(pool.reclaim(other.token()) == &other);
    slot.transfer.advance(40);
    pool.carry_on(slot);
    pool.carry_on(other);
    REQUIRE(slot.state.load() == SlotState::continuing);
    REQUIRE(pool.has_continuation());
    REQUIRE_FALSE(pool.all_free());
    REQUIRE(pool.available() == 0);
    REQUIRE(pool.next_continuation() == &slot);
    REQUIRE(slot.state.load() == SlotState::filled);
    REQUIRE(slot.request == &request);
    REQUIRE(slot.transfer.bytes_done() == 40);
    REQUIRE(pool.next_continuation() == &other);
    REQUIRE(pool.next_continuation() == nullptr);
    REQUIRE(pool.in_use() == 2);
}

TEST_CASE("a retry that is put off comes back when its time has come, the earliest first",
          "[slots]") {
    Pool pool(3);
    test::Requests requests;
    Slot& late = pool.take(requests.read(0), 1);
    Slot& early = pool.take(requests.read(1), 1);
    Slot& middle = pool.take(requests.read(2), 1);
    REQUIRE_FALSE(pool.has_put_off());
    REQUIRE(pool.next_put_off(UINT64_MAX) == nullptr);
    pool.put_off(late, 300);
    pool.put_off(early, 100);
    pool.put_off(middle, 200);
    REQUIRE(pool.has_put_off());
    REQUIRE(pool.next_due_ns() == 100);
    REQUIRE(late.state.load() == SlotState::continuing);
    REQUIRE(pool.next_put_off(99) == nullptr);
    REQUIRE(pool.next_put_off(100) == &early);
    REQUIRE(early.state.load() == SlotState::filled);
    REQUIRE(pool.next_put_off(100) == nullptr);
    REQUIRE(pool.next_due_ns() == 200);
    REQUIRE(pool.next_put_off(1000) == &middle);
    REQUIRE(pool.next_put_off(1000) == &late);
    REQUIRE_FALSE(pool.has_put_off());
    REQUIRE(pool.in_use() == 3);
}

TEST_CASE("a completion of no living request finds no slot", "[slots][H1]") {
    Pool pool(2);
    test::Requests requests;
    Slot& slot = take_into_kernel(pool, requests.read(0));
    const Token token = slot.token();

    SECTION("it came twice") {
        REQUIRE(pool.reclaim(token) == &slot);
        REQUIRE(pool.reclaim(token) == nullptr);
        pool.release(slot);
        REQUIRE(pool.reclaim(token) == nullptr);
    }
    SECTION("the slot has another request by now") {
        REQUIRE(pool.reclaim(token) == &slot);
        pool.release(slot);
        Slot* again = nullptr;
        while (again != &slot)
            again = &take_into_kernel(pool, requests.read(1));
        REQUIRE(pool.reclaim(token) == nullptr);
        REQUIRE(pool.reclaim(slot.token()) == &slot);
    }
    SECTION("the slot waits to continue") {
        REQUIRE(pool.reclaim(token) == &slot);
        pool.carry_on(slot);
        REQUIRE(pool.reclaim(token) == nullptr);
    }
    SECTION("the slot is filled and not handed over") {
        Slot& filled = pool.take(requests.read(1), 1);
        REQUIRE(pool.reclaim(filled.token()) == nullptr);
    }
    SECTION("there is no such slot") {
        REQUIRE(pool.reclaim(Token::of(2, token.generation())) == nullptr);
        REQUIRE(pool.reclaim(Token::of(UINT32_MAX, 0)) == nullptr);
    }
    SECTION("the generation is another one") {
        REQUIRE(pool.reclaim(Token::of(token.slot(), token.generation() + 1)) == nullptr);
        REQUIRE(pool.reclaim(Token::of(token.slot(), token.generation() - 1)) == nullptr);
    }
}

TEST_CASE("a second completion of a piece does not stand for the piece that follows it",
          "[slots][H1]") {
    Pool pool(1);
    test::Requests requests;
    Request& request = requests.read(0);
    request.length = 100;
    Slot& slot = take_into_kernel(pool, request);
    const Token first_piece = slot.token();
    REQUIRE(pool.reclaim(first_piece) == &slot);
    slot.transfer.advance(50);
    pool.carry_on(slot);
    REQUIRE(pool.next_continuation() == &slot);
    pool.hand_over(slot);
    REQUIRE(pool.reclaim(first_piece) == nullptr);
    REQUIRE(pool.reclaim(slot.token()) == &slot);
}

TEST_CASE("a token carries slot and generation unharmed", "[slots]") {
    for (const std::uint32_t slot : {0u, 1u, 32767u, UINT32_MAX})
        for (const std::uint32_t generation : {0u, 1u, 0x8000'0000u, UINT32_MAX}) {
            const Token token = Token::of(slot, generation);
            REQUIRE(token.slot() == slot);
            REQUIRE(token.generation() == generation);
        }
}

TEST_CASE("a free slot is not described, a taken one is, with its age and stage", "[slots]") {
    Pool pool(2);
    test::Requests requests;
    Request& request = requests.write(0);
    request.prepare_write(9, nullptr, 512, 4096);
    request.queue = Channel::prio;
    InFlight entry;
    REQUIRE_FALSE(pool.describe(0, 1000, entry));
    Slot& slot = pool.take(request, 400);
    REQUIRE(pool.describe(slot.index, 1000, entry));
    REQUIRE(entry.action == IOAction::write);
    REQUIRE(entry.channel == Channel::prio);
    REQUIRE(entry.fd == 9);
    REQUIRE(entry.offset == 4096);
    REQUIRE(entry.length == 512);
    REQUIRE(entry.age_ns == 600);
    REQUIRE(std::string(entry.stage) == "filled");
    pool.hand_over(slot);
    REQUIRE(pool.describe(slot.index, 300, entry));  // a clock that stands behind is age 0
    REQUIRE(entry.age_ns == 0);
    REQUIRE(std::string(entry.stage) == "in_kernel");
    REQUIRE(pool.reclaim(slot.token()) == &slot);
    REQUIRE(pool.describe(slot.index, 1000, entry));
    REQUIRE(std::string(entry.stage) == "completed");
    pool.carry_on(slot);
    REQUIRE(pool.describe(slot.index, 1000, entry));
    REQUIRE(std::string(entry.stage) == "continuing");
}

TEST_CASE("no slot is lost over ten thousand random moves", "[slots][F8]") {
    const std::uint64_t seed = test::announced_seed("slot moves");
    test::Random random(seed);
    constexpr std::uint32_t kDepth = 7;
    Pool pool(kDepth);
    test::Requests requests;
    Request& request = requests.read(0);
    std::vector<Slot*> in_kernel;
    std::size_t continuing = 0;
    for (int step = 0; step < 10'000; ++step) {
        switch (random.below(4)) {
        case 0:
            if (pool.available() != 0)
                in_kernel.push_back(&take_into_kernel(pool, request));
            break;
        case 1:
            if (Slot* slot = pool.next_continuation()) {
                pool.hand_over(*slot);
                in_kernel.push_back(slot);
                --continuing;
            }
            break;
        default:
            if (in_kernel.empty())
                break;
            const std::size_t at = random.below(in_kernel.size());
            Slot* const slot = in_kernel[at];
            in_kernel.erase(in_kernel.begin() + static_cast<std::ptrdiff_t>(at));
            switch (random.below(3)) {
            case 0:
                pool.give_back(*slot);
                break;
            case 1:
                REQUIRE(pool.reclaim(slot->token()) == slot);
                pool.release(*slot);
                break;
            default:
                REQUIRE(pool.reclaim(slot->token()) == slot);
                pool.carry_on(*slot);
                ++continuing;
                break;
            }
            break;
        }
        REQUIRE(pool.in_use() == in_kernel.size() + continuing);
        REQUIRE(pool.available() + pool.in_use() == kDepth);
        REQUIRE(pool.all_free() == (pool.in_use() == 0));
    }
}
