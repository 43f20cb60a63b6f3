// SPDX-License-Identifier: MIT
//
// Goal: a file is polled once a read has shown that it can be, and one that was refused is left
// alone for a while; files that share a place in the memory harm each other in nothing but that.
// Method: the memory alone.

#include "drivers/uring/polled_files.hpp"
#include "tests/support/catch.hpp"

#include <cstdint>

using namespace ioengine;

namespace {

using State = PolledFiles::State;

// Two descriptors whose places are the same, and one of another.
constexpr int kFile = 7;
constexpr int kSamePlace = kFile + 256;
constexpr int kOther = 8;

}  // namespace

TEST_CASE("only a read is tried, and only one at a time", "[polled_files][G7]") {
    PolledFiles files;
    REQUIRE_FALSE(files.take(kFile, false));
    REQUIRE(files.take(kFile, true));
    REQUIRE(files.state_of(kFile) == State::trying);
    REQUIRE_FALSE(files.take(kFile, true));
    REQUIRE_FALSE(files.take(kFile, false));
    files.become(kFile, State::accepted);
    REQUIRE(files.take(kFile, false));
    REQUIRE(files.take(kFile, true));
    REQUIRE(files.state_of(kOther) == State::unknown);
}

TEST_CASE("a file that was refused is tried again after its transfers, no sooner",
          "[polled_files][G7]") {
    PolledFiles files;
    REQUIRE(files.take(kFile, true));
    files.become(kFile, State::refused);
    for (std::uint32_t i = 1; i < PolledFiles::kRefusedFor; ++i)
        REQUIRE_FALSE(files.take(kFile, true));
    REQUIRE_FALSE(files.take(kFile, false));  // a write proves nothing
    REQUIRE(files.state_of(kFile) == State::unknown);
    REQUIRE(files.take(kFile, true));
}

TEST_CASE("files that share a place push each other out", "[polled_files][G7]") {
    PolledFiles files;
    files.become(kFile, State::accepted);
    REQUIRE_FALSE(files.take(kSamePlace, false));
    REQUIRE(files.state_of(kFile) == State::unknown);
    REQUIRE(files.take(kSamePlace, true));
    files.become(kFile, State::refused);  // an answer that comes late
    REQUIRE(files.state_of(kSamePlace) == State::unknown);
    REQUIRE_FALSE(files.take(kFile, true));
}
