// SPDX-License-Identifier: MIT
//
// Scene: everything about one simulation that its seed decides before it begins.
#pragma once

#include "drivers/sim/world.hpp"
#include "lib/shared_context.hpp"

#include <ioengine/options.hpp>

#include <cstdint>

namespace sim {

enum class Backend : std::uint8_t { aio, uring };
const char* backend_name(Backend backend) noexcept;

// When shutdown comes.
enum class Ending : std::uint8_t {
    when_quiet,    // after the last request, once the faults are over
    in_the_midst,  // while requests and faults are flying
    past_deadline  // the same, and what is left is cancelled
};

struct Scene {
    std::uint64_t seed = 0;
    Backend backend = Backend::aio;
    ioengine::Threading threading = ioengine::Threading::split;
    ioengine::ContextConfig config;
    ioengine::FaultPlan faults;

    // the set-up; see setup.hpp
    ioengine::Backend wish = ioengine::Backend::automatic;
    bool kernel_has_defect = false;  // that speaks against io_uring
    bool knows_submit_all = true;
    bool knows_sized_cq = true;
    bool knows_coop_taskrun = true;
    bool knows_single_issuer = true;
    bool knows_defer_taskrun = true;
    bool enables_rings = true;                    // a container may deny what it takes
    std::uint32_t ring_entries_max = UINT32_MAX;  // locked memory for more there is not

    // the kernel
    ioengine::SimShape kernel;
    ioengine::SimRingShape ring;
    bool iopoll = false;  // a second ring, of polled transfers, where one thread drives
    bool polled_ring_has_tables = true;
    std::size_t ring_completions = SIZE_MAX;  // more spill over
    std::uint32_t aio_events = 0;
    bool native_fsync = true;
    bool has_fallocate = true;
    bool has_sync_file_range = true;

    // the people
    std::uint64_t requests = 0;  // as many are accepted before the faults end
    std::uint64_t close_after = 0;
    Ending ending = Ending::when_quiet;
    std::uint32_t waiters = 0;  // threads that submit and wait
    bool polls = false;         // Threading::caller: it polls completion_fd() between its calls
    bool uses_sink = false;
    std::uint32_t sink_at_once_ppm = 0;      // the sink runs a delivery inside the poller
    std::uint32_t callback_submits_ppm = 0;  // a callback submits again
    std::uint32_t waits_ppm = 0;             // a refused submission waits for a place
    std::uint32_t neighbours_ppm = 0;        // a transfer lies right behind the one before
    std::uint32_t merges_ppm = 0;            // several are submitted to go as one
    std::uint32_t cancels_ppm = 0;           // an order to cancel, in place of a submission
    std::uint32_t deadlines_ppm = 0;         // a request has a deadline, half of them early results
    std::uint32_t registers_ppm = 0;         // buffers or files are registered, or unregistered
    std::uint32_t names_registered_ppm = 0;  // a request names some that are, or were
    std::uint32_t thinks_ppm = 0;            // the user pauses, so that all may fall asleep

    // chance in the order of things
    std::uint32_t seam_ppm = 0;     // another role runs in the middle of a step
    std::uint32_t wakes_ppm = 0;    // a parked submitter wakes for nothing
    std::uint32_t preempt_ppm = 0;  // the one thread with both roles stops in the middle of a step
    std::uint64_t tick_max_ns = 0;
};

// `kernel`, for the backend that was chosen.
ioengine::SimShape kernel_of(const Scene& scene) noexcept;

const char* threading_name(ioengine::Threading threading) noexcept;

// With this threading, in place of the one that the seed says.
void force_threading(Scene& scene, ioengine::Threading threading) noexcept;

bool has_polled_ring(const Scene& scene) noexcept;

Scene draw_scene(std::uint64_t seed, Backend backend);

}  // namespace sim
