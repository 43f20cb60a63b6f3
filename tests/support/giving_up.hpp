// SPDX-License-Identifier: MIT
//
// What tests of cancelling and of deadlines share: requests that wait in the queues.
#ifndef IOENGINE_TESTS_SUPPORT_GIVING_UP_HPP
#define IOENGINE_TESTS_SUPPORT_GIVING_UP_HPP

#include "tests/support/support.hpp"

#include <cstdint>

namespace test {

// Nothing that is submitted from now on reaches the kernel until the plug is released.
inline void hold_queues(Context& io, SlotFillers& fillers) {
    if (!one_thread())
        fillers.fill(io);
}
// And now the order has been carried out. One thread does so before it looks at the queues again.
inline void wait_for_order(Context& io, std::uint64_t left) {
    if (one_thread())
        return;
    wait_until(
        [&] {
            const ioengine::Stats stats = io.stats();
            return stats.queued_prio + stats.queued_read + stats.queued_write == left;
        },
        "waiting for an order to be carried out");
}

// For what the kernel must be able to give up.
inline void require_giving_up(ioengine::Backend backend) {
    if (backend == ioengine::Backend::aio)
        SKIP_TEST("AIO waits for a pipe inside io_submit(2), and gives nothing up");
}

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_GIVING_UP_HPP
