// SPDX-License-Identifier: MIT
//
// ReapCap: how many completions a poller that also submits takes before it submits what their
// callbacks asked for.
//
// A device that works while we do wants its queue full: reaping all that is there before submitting
// anything empties it, and then fills it in one go, again and again. A few at a time keep it even.
// Where the kernel completes at once, inside the submit call, there is no queue to keep full, and
// each submit call saved counts. Which of the two it is shows by itself: were as many completions
// there right after a submit call as it took requests?
#pragma once

#include <algorithm>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

// Completions taken from the kernel before their callbacks run.
constexpr std::uint32_t kReapChunk = 64;

class ReapCap {
  public:
    std::uint32_t limit() const noexcept { return trend_ > 0 ? kReapChunk : kAsynchronous; }

    // After a submit call: how many it took, and how many completions were there before and after.
    void submitted(std::uint32_t taken, std::uint32_t before, std::uint32_t after) noexcept {
        if (taken == 0)
            return;
        const bool at_once = after >= before + taken;
        trend_ = std::clamp(trend_ + (at_once ? 1 : -1), -kMemory, kMemory);
    }

  private:
    static constexpr std::uint32_t kAsynchronous = 4;
    static constexpr int kMemory = 8;  // submit calls after which a change of mind is complete
    int trend_ = kMemory;
};

}  // namespace v0
}  // namespace ioengine
