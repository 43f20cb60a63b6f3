// SPDX-License-Identifier: MIT
//
// Goal: a gate lets callers in until it is closed, and knows when the last one has left.
// Method: one thread; racing callers are in tests/unit/threads_gate_test.cpp.

#include "lib/gate.hpp"
#include "tests/unit/unit.hpp"

using namespace ioengine;

TEST_CASE("a gate is open until it is closed, once", "[gate]") {
    Gate gate;
    REQUIRE_FALSE(gate.closed());
    REQUIRE_FALSE(gate.quiet());
    REQUIRE(gate.enter());
    gate.leave();
    REQUIRE(gate.close());
    REQUIRE_FALSE(gate.close());
    REQUIRE(gate.closed());
    REQUIRE_FALSE(gate.enter());
}

TEST_CASE("a closed gate is quiet when the last of those inside has left", "[gate]") {
    Gate gate;
    REQUIRE(gate.enter());
    REQUIRE(gate.enter());
    REQUIRE(gate.close());
    REQUIRE_FALSE(gate.quiet());
    gate.leave();
    REQUIRE_FALSE(gate.quiet());
    REQUIRE_FALSE(gate.enter());
    REQUIRE_FALSE(gate.quiet());
    gate.leave();
    REQUIRE(gate.quiet());
}

TEST_CASE("who is refused at a closed gate is not inside", "[gate]") {
    Gate gate;
    gate.close();
    for (int i = 0; i < 10; ++i)
        REQUIRE_FALSE(gate.enter());
    REQUIRE(gate.quiet());
}
