// SPDX-License-Identifier: MIT
//
// The counters behind Stats, grouped by who writes them.
#pragma once

#include "lib/counters.hpp"
#include "lib/histogram.hpp"

namespace ioengine {
inline namespace v0 {

struct alignas(64) SubmitCounters {
    RoleCounter submit_calls;
    RoleCounter submit_retries;
    RoleCounter requests_refused_by_kernel;
    RoleCounter nudges;
    RoleCounter offloaded;
    RoleCounter merged;
    RoleCounter merges_broken;
    RoleCounter watchdog_reports;
    RoleCounter fixed_buffers;
    RoleCounter fixed_files;
    RoleCounter fixed_unused;
};

struct alignas(64) PollCounters {
    RoleCounter wait_calls;
    RoleCounter reaped;
    RoleCounter continuations;
    RoleCounter merges_broken;
    RoleCounter completion_retries;
    RoleCounter stale_completions;
    RoleCounter cq_overflows;
    RoleCounter failed;
    RoleCounter cancelled;
    RoleCounter timed_out;
    RoleCounter told_early;
    RoleCounter bytes_read;
    RoleCounter bytes_written;
    RoleCounter reaped_by_waiters;
    RoleCounter polled;
    RoleCounter polled_refused;
};

// Of the poller's thread, whether or not it holds the poll role.
struct DeliveryCounters {
    RoleCounter slow_deliveries;
    RoleCounter longest_delivery_ns;
};

struct alignas(64) SharedCounters {
    SharedCounter refused_full;
    SharedCounter refused_other;
    SharedCounter submitter_wakes;
    SharedCounter callbacks_threw;
};

}  // namespace v0
}  // namespace ioengine
