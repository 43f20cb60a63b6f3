// SPDX-License-Identifier: MIT
//
// The end of a simulation that found something: what, how to replay it, and what came before.
#pragma once

#include "tests/sim/history.hpp"

#include <cstdint>

namespace sim {

// What fail() needs to tell the story. One simulation runs at a time.
struct Story {
    const History* history = nullptr;
    std::uint64_t seed = 0;
    const char* backend = "";
    bool replays = true;    // ioengine-sim with this seed tells it again
    const char* less = "";  // and with these options
};
void set_story(const Story& story) noexcept;

// Prints and ends the process with status 1. Nothing can be unwound: the stack is full of frames
// that may not throw.
[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...) noexcept;

// An abort() of the library's own checks, or a crash, tells the same story.
void tell_story_on_crash() noexcept;

}  // namespace sim
