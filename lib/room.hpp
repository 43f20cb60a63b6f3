// SPDX-License-Identifier: MIT
//
// Waiting for a place in a queue that is full.
#pragma once

#include "lib/clock.hpp"
#include "lib/event_count.hpp"

#include <ioengine/engine.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {

// Calls `submit` until it is not refused for want of a place, or for `timeout_ns`. `space` moves
// whenever places come free, and when no more will; `sleep(seen, limit_ns)` until it has.
template <class Submit, class Sleep>
Acceptance wait_for_room(const EventCount& space, std::int64_t timeout_ns, Submit&& submit,
                         Sleep&& sleep) noexcept {
    const TimeLimit limit(timeout_ns);
    for (;;) {
        // Whoever takes requests out of the queues, or closes, moves this epoch afterwards.
        const std::uint32_t seen = space.prepare();
        const Acceptance acceptance = submit();
        if (acceptance.code() != ErrorCode::queue_full)
            return acceptance;
        const std::int64_t left = limit.left_ns();
        if (left == 0)
            return {ErrorCode::timed_out, "the channel's queue stayed full for that long"};
        sleep(seen, left);
    }
}

}  // namespace v0
}  // namespace ioengine
