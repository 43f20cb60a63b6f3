// SPDX-License-Identifier: MIT
//
// From seed to seed, and the sums.
#include "tests/sim/runs.hpp"

#include "lib/config.hpp"
#include "tests/sim/failure.hpp"
#include "tests/sim/setup.hpp"
#include "tests/sim/simulate.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>

namespace sim {

using ioengine::Fault;

namespace {

constexpr std::size_t kSubjects = 300;

Outcome simulate(const Scene& scene, SubjectPool& pool, History& history, bool verbose) {
    switch (scene.backend) {
    case Backend::aio:
#if IOENGINE_HAVE_AIO
        return simulate_aio(scene, pool, history, verbose);
#else
        break;
#endif
    case Backend::uring:
#if IOENGINE_HAVE_URING
        return simulate_uring(scene, pool, history, verbose);
#else
        break;
#endif
    }
    fail("this build is without that backend");
}

void mix(std::uint64_t& digest, std::uint64_t value) noexcept {
    digest = (digest ^ value) * 0x9e3779b97f4a7c15ULL;
}

void make_less_of(Scene& scene, const RunOptions& options) {
    if (options.threading)
        force_threading(scene, *options.threading);
    for (std::size_t i = 0; i < ioengine::kFaultKinds; ++i)
        if (options.without[i])
            scene.faults.ppm[i] = 0;
    // Of these the scene itself was drawn.
    const auto is_out = [&](Fault fault) { return options.without[index_of(fault)]; };
    if (is_out(Fault::setup_einval))
        scene.knows_submit_all = scene.knows_sized_cq = scene.knows_coop_taskrun =
            scene.knows_single_issuer = scene.knows_defer_taskrun = true;
    if (is_out(Fault::probe_denied))
        scene.enables_rings = true;
    if (is_out(Fault::setup_enomem))
        scene.ring_entries_max = UINT32_MAX;
    if (is_out(Fault::context_full))
        scene.aio_events = scene.config.depth + 2;
    if (is_out(Fault::burst))
        scene.ring_completions = 2 * scene.ring.sq_entries;
    if (options.scene_requests == 0 || scene.requests <= options.scene_requests)
        return;
    if (scene.close_after != UINT64_MAX)
        scene.close_after = scene.close_after * options.scene_requests / scene.requests;
    scene.requests = options.scene_requests;
}

// What the other backend's kernel never does.
bool is_of_rings(Fault fault) {
    switch (fault) {
    case Fault::setup_einval:
    case Fault::setup_emfile:
    case Fault::probe_denied:
    case Fault::ebusy:
    case Fault::submitter_exits:
    case Fault::spilled:
        return true;
    default:
        return false;
    }
}
bool is_of_contexts(Fault fault) {
    return fault == Fault::setup_eagain || fault == Fault::context_full;
}

}  // namespace

std::vector<Backend> all_backends() {
    std::vector<Backend> backends;
    if (IOENGINE_HAVE_AIO)
        backends.push_back(Backend::aio);
    if (IOENGINE_HAVE_URING)
        backends.push_back(Backend::uring);
    return backends;
}

RunTotals run(const RunOptions& options) {
    RunTotals totals;
    SubjectPool pool(kSubjects);
    const auto history = std::make_unique<History>();
    const std::string less = less_of(options);
    for (std::uint64_t seed = options.seed;
         totals.seeds < options.seeds_max && totals.requests < options.requests; ++seed) {
        for (const Backend backend : options.backends) {
            set_story({nullptr, seed, backend_name(backend), true, less.c_str()});
            Scene scene = draw_scene(seed, backend);
            make_less_of(scene, options);
            const SetupOutcome setup = set_up(scene);
            totals.faults.add(setup.faults);
            if (!setup.made) {
                ++totals.refused_setups;
                mix(totals.digest, seed);
                continue;
            }
            set_story({history.get(), seed, backend_name(backend), true, less.c_str()});
            const Outcome outcome = simulate(scene, pool, *history, options.verbose);
            totals.simulations += 1;
            totals.requests += outcome.requests;
            totals.requests_of[static_cast<std::size_t>(scene.threading)] += outcome.requests;
            if (scene.backend == Backend::uring && scene.ring.sqpoll)
                totals.sqpoll_requests += outcome.requests;
            totals.registered_requests += outcome.registered_requests;
            totals.polled_transfers += outcome.polled_transfers;
            totals.failed_requests += outcome.failed_requests;
            totals.ticks += outcome.ticks;
            mix(totals.digest, outcome.digest);
            totals.faults.add(outcome.faults);
            if (options.verbose)
                std::printf("seed %" PRIu64 " on %s, %s: %" PRIu64 " requests, digest %016" PRIx64
                            "\n",
                            seed, backend_name(scene.backend), threading_name(scene.threading),
                            outcome.requests, outcome.digest);
        }
        ++totals.seeds;
    }
    set_story({});
    return totals;
}

std::string less_of(const RunOptions& options) {
    std::string line;
    if (options.threading)
        line += std::string(" --threading ") + threading_name(*options.threading);
    for (std::size_t i = 0; i < ioengine::kFaultKinds; ++i)
        if (options.without[i])
            line += std::string(" --without '") + name_of(static_cast<Fault>(i)).name + '\'';
    if (options.scene_requests != 0)
        line += " --scene-requests " + std::to_string(options.scene_requests);
    return line;
}

bool leave_out(RunOptions& options, const std::string& name) {
    for (std::size_t i = 0; i < ioengine::kFaultKinds; ++i) {
        const auto fault = static_cast<Fault>(i);
        if (name_of(fault).name != name)
            continue;
        // The simulated process has no helper threads; and a ring that is full spills over.
        if (fault == Fault::thread_fails || fault == Fault::spilled)
            return false;
        options.without.set(i);
        return true;
    }
    return false;
}

std::vector<Fault> missing_faults(const RunTotals& totals, const std::vector<Backend>& backends) {
    const auto runs_on = [&](Backend backend) {
        return std::find(backends.begin(), backends.end(), backend) != backends.end();
    };
    std::vector<Fault> missing;
    for (std::size_t i = 0; i < ioengine::kFaultKinds; ++i) {
        const auto fault = static_cast<Fault>(i);
        if ((is_of_rings(fault) && !runs_on(Backend::uring)) ||
            (is_of_contexts(fault) && !runs_on(Backend::aio)))
            continue;
        // With one thread nobody else hands over anything.
        if (fault == Fault::submitter_exits && totals.requests_of[0] == 0)
            continue;
        if (totals.faults.of(fault) == 0)
            missing.push_back(fault);
    }
    return missing;
}

void print_totals(const RunTotals& totals) {
    std::printf("%" PRIu64 " requests in %" PRIu64 " simulations of %" PRIu64 " seeds, %" PRIu64
                " ended in an error, %" PRIu64 " ticks; %" PRIu64 " set-ups refused\n",
                totals.requests, totals.simulations, totals.seeds, totals.failed_requests,
                totals.ticks, totals.refused_setups);
    for (const auto threading : kThreadings)
        std::printf("  %s: %" PRIu64 " requests\n", threading_name(threading),
                    totals.requests_of[static_cast<std::size_t>(threading)]);
    std::printf("  with SQPOLL: %" PRIu64 " requests\n", totals.sqpoll_requests);
    std::printf("  with registered buffers or files: %" PRIu64 " requests\n",
                totals.registered_requests);
    std::printf("  polled: %" PRIu64 " transfers\n", totals.polled_transfers);
    std::printf("digest %016" PRIx64 "\n", totals.digest);
    const char* group = "";
    for (std::size_t i = 0; i < ioengine::kFaultKinds; ++i) {
        const ioengine::FaultName& name = name_of(static_cast<Fault>(i));
        if (std::strcmp(group, name.group) != 0)
            std::printf("injected: %s\n", name.group);
        group = name.group;
        std::printf("  %-28s %12" PRIu64 "\n", name.name, totals.faults.injected[i]);
    }
}

}  // namespace sim
