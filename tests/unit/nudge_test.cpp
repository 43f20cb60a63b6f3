// SPDX-License-Identifier: MIT
//
// Goal: a nudge is sent when, and only when, a sleeping poller would miss news; one at a time.
// Method: every step of the protocol by hand, on one thread. That no order of the two roles' steps
// loses news is the model's part: tests/models/nudge.pml.

#include "lib/nudge.hpp"
#include "tests/unit/unit.hpp"

using namespace ioengine;

TEST_CASE("no nudge is due without news", "[nudge]") {
    Nudge nudge;
    REQUIRE_FALSE(nudge.due(false));
    nudge.fall_asleep();
    REQUIRE_FALSE(nudge.due(false));
    REQUIRE_FALSE(nudge.pending());
}

TEST_CASE("no nudge is due while the poller is awake: it looks before it sleeps", "[nudge]") {
    Nudge nudge;
    REQUIRE_FALSE(nudge.due(true));
    nudge.fall_asleep();
    nudge.awake();
    REQUIRE_FALSE(nudge.due(true));
    REQUIRE_FALSE(nudge.pending());
}

TEST_CASE("news for a sleeping poller makes one nudge due, and no second one until it came back",
          "[nudge]") {
    Nudge nudge;
    nudge.fall_asleep();
    REQUIRE(nudge.due(true));
    REQUIRE(nudge.pending());
    REQUIRE_FALSE(nudge.due(true));
    REQUIRE_FALSE(nudge.due(true));
    nudge.awake();
    nudge.reaped();
    REQUIRE_FALSE(nudge.pending());
    nudge.fall_asleep();
    REQUIRE(nudge.due(true));
}

TEST_CASE("a nudge that the kernel did not take is owed and due again without further news",
          "[nudge]") {
    Nudge nudge;
    nudge.fall_asleep();
    REQUIRE(nudge.due(true));
    nudge.not_sent();
    REQUIRE(nudge.owed());
    REQUIRE_FALSE(nudge.pending());
    REQUIRE(nudge.due(false));
    REQUIRE_FALSE(nudge.owed());
    REQUIRE(nudge.pending());
}

TEST_CASE("a nudge that is owed is dropped once the poller is awake", "[nudge]") {
    Nudge nudge;
    nudge.fall_asleep();
    REQUIRE(nudge.due(true));
    nudge.not_sent();
    nudge.awake();
    REQUIRE_FALSE(nudge.due(false));
    REQUIRE_FALSE(nudge.owed());
    nudge.fall_asleep();
    REQUIRE_FALSE(nudge.due(false));
}

TEST_CASE("a note from another thread makes one nudge due, once", "[nudge]") {
    Nudge nudge;
    nudge.request();
    nudge.request();
    nudge.fall_asleep();
    REQUIRE(nudge.due(false));
    nudge.awake();
    nudge.reaped();
    nudge.fall_asleep();
    REQUIRE_FALSE(nudge.due(false));
    nudge.request();
    REQUIRE(nudge.due(false));
}
