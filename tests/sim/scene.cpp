// SPDX-License-Identifier: MIT
//
// From a seed to a scene.
#include "tests/sim/scene.hpp"

#include <algorithm>
#include <bit>

namespace sim {

using ioengine::Fault;
using ioengine::SimRandom;

namespace {

void draw_engine(Scene& scene, SimRandom& random) {
    constexpr std::uint32_t kDepths[] = {1, 1, 2, 3, 4, 8, 16, 32, 80, 128, 160};
    constexpr std::uint32_t kLimits[] = {1, 2, 4, 16, 64, 200};
    constexpr std::uint32_t kBursts[] = {0, 0, 1, 2, 5};
    scene.config.depth = random.pick(kDepths);
    scene.config.queue_limit = random.pick(kLimits);
    scene.config.read_budget = static_cast<std::uint32_t>(random.between(1, 16));
    scene.config.write_budget = static_cast<std::uint32_t>(random.between(1, 16));
    scene.config.priority_burst = random.pick(kBursts);
    scene.config.histograms = random.coin();
    scene.config.lends = random.chance(700'000);
    scene.config.callers_lend = scene.config.lends && random.chance(400'000);
}

void draw_kernel(Scene& scene, SimRandom& random) {
    const std::uint32_t depth = scene.config.depth;
    constexpr std::uint64_t kLatencies[] = {2'000, 20'000, 100'000, 1'000'000};
    scene.kernel.latency_min_ns = 1'000;
    scene.kernel.latency_max_ns = random.pick(kLatencies);
    scene.kernel.late_vectors = random.coin();
    constexpr std::uint32_t kCancels[] = {0, 200'000, 1'000'000};
    scene.kernel.cancels_ppm = random.pick(kCancels);
    scene.native_fsync = random.chance(800'000);
    scene.has_fallocate = random.coin();
    scene.has_sync_file_range = random.coin();

    // Two more than the depth are what the engine asks for.
    scene.aio_events = depth + 2;
    if (scene.faults[Fault::context_full] != 0)
        scene.aio_events = static_cast<std::uint32_t>(random.between(1, depth + 2));
    scene.ring.sq_entries = std::bit_ceil(depth + 2);
    if (random.chance(300'000))
        scene.ring.sq_entries = std::min(scene.ring.sq_entries, 1u << random.below(5));
    scene.ring.busy_when_spilled = random.coin();
    scene.ring_completions = 2 * scene.ring.sq_entries;
    if (scene.faults[Fault::burst] != 0)
        scene.ring_completions = random.between(1, 16);
}

void draw_setup(Scene& scene, SimRandom& random) {
    using Asked = ioengine::Backend;
    const bool automatic = random.coin();
    scene.wish = automatic                         ? Asked::automatic
                 : scene.backend == Backend::uring ? Asked::uring
                                                   : Asked::aio;
    // So that `auto` is on AIO, too.
    if (automatic && scene.backend == Backend::aio)
        scene.kernel_has_defect = true;
    if (scene.faults[Fault::setup_einval] != 0) {
        scene.knows_submit_all = random.coin();
        scene.knows_sized_cq = random.coin();
    }
    if (scene.faults[Fault::setup_enomem] != 0 && random.coin())
        scene.ring_entries_max = random.pick({8u, 16u, 40u});
}

void draw_people(Scene& scene, SimRandom& random) {
    scene.requests = random.between(300, 3'000);
    scene.ending = random.pick({Ending::when_quiet, Ending::in_the_midst, Ending::past_deadline});
    scene.close_after = scene.ending == Ending::when_quiet
                            ? UINT64_MAX
                            : random.between(scene.requests / 4, scene.requests);
    scene.waiters = random.pick({0u, 0u, 1u, 2u, 3u});
    scene.uses_sink = random.chance(400'000);
    scene.sink_at_once_ppm = random.pick({0u, 300'000u});
    scene.callback_submits_ppm = random.pick({0u, 100'000u, 700'000u});
    scene.waits_ppm = random.pick({0u, 200'000u});
    scene.thinks_ppm = random.pick({0u, 10'000u, 200'000u});
    scene.seam_ppm = random.pick({0u, 20'000u, 200'000u});
    scene.wakes_ppm = random.pick({0u, 0u, 5'000u});
    scene.tick_max_ns = random.pick({50u, 500u, 5'000u});
}

void draw_giving_up(Scene& scene, SimRandom& random) {
    if (random.coin())
        return;
    scene.cancels_ppm = random.pick({0u, 5'000u, 200'000u});
    scene.deadlines_ppm = random.pick({0u, 100'000u, 900'000u});
}

void draw_merging(Scene& scene, SimRandom& random) {
    if (random.coin())
        scene.config.merge_limit = random.pick({600u, 4'096u, 64'000u});
    scene.neighbours_ppm = random.pick({0u, 300'000u, 900'000u});
    scene.merges_ppm = random.pick({0u, 0u, 20'000u, 200'000u});
}

// Half of them with two threads. What is drawn here changes nothing else.
void draw_threading(Scene& scene, SimRandom& random) {
    using ioengine::Threading;
    scene.polls = random.chance(300'000);
    scene.preempt_ppm = random.pick({50'000u, 200'000u, 600'000u});
    if (scene.faults[Fault::setup_einval] != 0) {
        // Kernels learnt them in this order.
        scene.knows_coop_taskrun = scene.knows_submit_all && random.chance(700'000);
        scene.knows_single_issuer = scene.knows_coop_taskrun && random.chance(700'000);
        scene.knows_defer_taskrun = scene.knows_single_issuer && random.chance(700'000);
    }
    if (scene.faults[Fault::probe_denied] != 0)
        scene.enables_rings = random.coin();
    constexpr Threading kThreadings[] = {Threading::split, Threading::split,  Threading::split,
                                         Threading::owner, Threading::caller, Threading::caller};
    force_threading(scene, random.pick(kThreadings));
}

void draw_ring_mode(Scene& scene, SimRandom& random) {
    scene.ring.sqpoll = random.chance(300'000);
}

void draw_polling(Scene& scene, SimRandom& random) {
    scene.iopoll = random.chance(400'000);
    scene.polled_ring_has_tables = random.chance(800'000);
}

void draw_registered(Scene& scene, SimRandom& random) {
    if (random.coin())
        return;
    scene.config.registered_buffers = random.pick({0u, 1u, 3u, 20u});
    scene.config.registered_files = random.pick({0u, 1u, 3u, 20u});
    scene.registers_ppm = random.pick({2'000u, 50'000u, 300'000u});
    scene.names_registered_ppm = random.pick({100'000u, 900'000u});
    scene.ring.tables_refuse_ppm = random.pick({0u, 100'000u});
}

}  // namespace

const char* threading_name(ioengine::Threading threading) noexcept {
    switch (threading) {
    case ioengine::Threading::owner:
        return "owner";
    case ioengine::Threading::caller:
        return "caller";
    default:
        return "split";
    }
}

void force_threading(Scene& scene, ioengine::Threading threading) noexcept {
    scene.threading = threading;
    // Of the kinds of lending these have one.
    if (threading != ioengine::Threading::split)
        scene.config.callers_lend = false;
    scene.polls = scene.polls && threading == ioengine::Threading::caller;
}

bool has_polled_ring(const Scene& scene) noexcept {
    return scene.iopoll && scene.backend == Backend::uring &&
           scene.threading != ioengine::Threading::split;
}

const char* backend_name(Backend backend) noexcept {
    return backend == Backend::aio ? "aio" : "uring";
}

ioengine::SimShape kernel_of(const Scene& scene) noexcept {
    ioengine::SimShape kernel = scene.kernel;
    if (scene.backend == Backend::uring) {
        kernel.ready_max = scene.ring_completions;
        kernel.burst_min = kernel.ready_max + 1;
    }
    return kernel;
}

Scene draw_scene(std::uint64_t seed, Backend backend) {
    SimRandom random(seed * 2 + static_cast<std::uint64_t>(backend));
    Scene scene;
    scene.seed = seed;
    scene.backend = backend;
    scene.faults = ioengine::FaultPlan::drawn(random);
    draw_engine(scene, random);
    draw_kernel(scene, random);
    draw_people(scene, random);
    draw_merging(scene, random);
    draw_giving_up(scene, random);
    draw_setup(scene, random);
    draw_threading(scene, random);
    draw_ring_mode(scene, random);
    draw_registered(scene, random);
    draw_polling(scene, random);
    return scene;
}

}  // namespace sim
