// SPDX-License-Identifier: MIT
//
// Goal: an order covers what was accepted before it, however long ago, and nothing else.
// Method: the numbers that requests carry, which go round.
#include "lib/cancel_order.hpp"
#include "tests/support/catch.hpp"

#include <cstdint>

using namespace ioengine;

namespace {

CancelOrder order_after(CancelOrder::Kind kind, std::uint32_t accepted) {
    CancelOrder order;
    order.kind = kind;
    order.fd = 5;
    order.accepted = {accepted, accepted, accepted};
    return order;
}

bool covers(const CancelOrder& order, std::uint32_t generation, std::int32_t fd = 5) {
    return order.covers({nullptr, fd, Channel::read, generation});
}

}  // namespace

TEST_CASE("an order covers what is older, and not what a full queue can hold behind it",
          "[cancel][H6]") {
    for (const std::uint32_t accepted : {0u, 1u, 1000u, 0x7FFF'FFFFu, 0x8000'0000u, UINT32_MAX})
        for (const auto kind : {CancelOrder::Kind::all, CancelOrder::Kind::file}) {
            const CancelOrder order = order_after(kind, accepted);
            for (const std::uint32_t ago : {0u, 1u, 1u << 20, 1u << 30, 1u << 31, 0xF000'0000u}) {
                INFO("accepted " << accepted << ", " << ago << " ago");
                REQUIRE(covers(order, accepted - ago));
            }
            for (const std::uint32_t later : {1u, 2u, 1000u, 1u << 20, (1u << 20) + (1u << 15)})
                REQUIRE_FALSE(covers(order, accepted + later));
        }
}

TEST_CASE("an order for a descriptor covers no other one's", "[cancel][H6]") {
    const CancelOrder order = order_after(CancelOrder::Kind::file, 100);
    REQUIRE(covers(order, 100));
    REQUIRE_FALSE(covers(order, 100, 6));
}

TEST_CASE("orders that are carried out together cover what each of them covers", "[cancel][H6]") {
    Request requests[3];
    const auto order = [](const CancelOrder& from) { return new CancelOrder(from); };
    CancelOrder one;
    one.kind = CancelOrder::Kind::one;
    one.one.request = &requests[0];
    one.one.generation = 7;
    one.one.channel = Channel::read;
    CancelOrder* list = nullptr;
    const auto give = [&list](CancelOrder* given) {
        given->next = list;
        list = given;
    };
    for (const std::uint32_t accepted : {50u, 100u, 60u})
        give(order(order_after(CancelOrder::Kind::file, accepted)));
    for (int times = 0; times < 3; ++times)
        give(order(one));
    one.one.request = &requests[1];
    give(order(one));
    const CancelBatch batch(list);
    const auto covered = [&batch](const Request* request, std::uint32_t generation, std::int32_t fd,
                                  Channel channel = Channel::read) {
        return batch.covers({request, fd, channel, generation});
    };
    for (int i = 0; i < 2; ++i) {
        REQUIRE(covered(&requests[i], 7, 6));
        REQUIRE_FALSE(covered(&requests[i], 8, 6));
        REQUIRE_FALSE(covered(&requests[i], 7, 6, Channel::write));
    }
    REQUIRE_FALSE(covered(&requests[2], 7, 6));
    REQUIRE_FALSE(covered(nullptr, 7, 6));
    // The furthest of those for one descriptor.
    REQUIRE(covered(nullptr, 100, 5));
    REQUIRE_FALSE(covered(nullptr, 101, 5));
    REQUIRE_FALSE(covered(nullptr, 100, 5 + 1024));
}

TEST_CASE("of orders for everything the furthest counts, channel by channel", "[cancel][H6]") {
    auto* const earlier = new CancelOrder;
    auto* const later = new CancelOrder;
    earlier->accepted = {10, UINT32_MAX, 30};
    later->accepted = {20, 5, 20};  // the numbers of the second have gone round
    later->next = earlier;
    const CancelBatch batch(later);
    const auto covered = [&batch](Channel channel, std::uint32_t generation) {
        return batch.covers({nullptr, 1, channel, generation});
    };
    REQUIRE((covered(Channel::prio, 20) && !covered(Channel::prio, 21)));
    REQUIRE((covered(Channel::read, 5) && !covered(Channel::read, 6)));
    REQUIRE((covered(Channel::write, 30) && !covered(Channel::write, 31)));
}
