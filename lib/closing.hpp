// SPDX-License-Identifier: MIT
//
// Closing: how far the end of a context has come.
//
//   1. the gate closes: nothing new is accepted, but from callbacks that had looked before
//   2. nobody is inside the gate any more: `draining`; callbacks are not in it, step 4 waits for
//      what they submit
//   3. the submitter goes on with what is queued, and sends the exit signal once
//   4. the poller leaves when it has seen the signal AND everything accepted has completed AND all
//      slots are free AND no nudge is in the kernel; the signal may overtake older reads, so it is
//      remembered and means nothing by itself
//   5. the submitter leaves after the poller
//   6. the closer joins both, waits for sinks that stand on their last instructions, destroys the
//      kernel's context
//
// Each step is announced with notify_urgent() on the event count of the one that waits for it. The
// model is tests/models/shutdown.pml.
#pragma once

#include "lib/event_count.hpp"

#include <atomic>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

struct Closing {
    // Set by the closer after step 2, read by both roles. seq_cst, because a completer counts first
    // and reads this second while the poller reads the count after it: see IoSharedContext.
    std::atomic<bool> draining{false};
    // Set by a closer whose deadline passed; read by both roles. release/acquire.
    std::atomic<bool> cancelling{false};
    // Requests that users had cancelled before that; closers' own. relaxed: a number for a report.
    static constexpr std::uint64_t kNotYet = UINT64_MAX;
    std::atomic<std::uint64_t> cancelled_before{kNotYet};
    // Set by the poll role as its last act, read by the submit role. release/acquire.
    std::atomic<bool> poller_left{false};
    // Set by the submitter thread as its last act, read by closers. release/acquire.
    std::atomic<bool> submitter_left{false};
    // Closers sleep here until submitter_left.
    EventCount left;
};

}  // namespace v0
}  // namespace ioengine
