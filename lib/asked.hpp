// SPDX-License-Identifier: MIT
//
// Asked: whether somebody wants the request in a slot given up, and what that makes of a
// completion.
#pragma once

#include "lib/short_io.hpp"

#include <cerrno>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

enum class Asked : std::uint8_t {
    nothing = 0,
    cancelled,  // by IOContext::cancel()
    timed_out,  // by its deadline
    late,       // likewise, and it is to be told early: the kernel is known to have it
};

constexpr std::int64_t result_of(Asked asked) noexcept {
    return asked == Asked::cancelled ? -ECANCELED : -ETIMEDOUT;
}

// Nothing is carried on or tried again. What the kernel has done stands, and what it gave up says
// why.
constexpr Judgement give_up(const Judgement& judgement, Asked asked) noexcept {
    if (judgement.verdict != Verdict::done || judgement.result == -ECANCELED)
        return {Verdict::done, result_of(asked)};
    return judgement;
}

}  // namespace v0
}  // namespace ioengine
