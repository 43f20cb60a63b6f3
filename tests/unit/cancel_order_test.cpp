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
