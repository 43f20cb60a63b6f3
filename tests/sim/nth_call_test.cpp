// SPDX-License-Identifier: MIT
//
// Goal: no single failure, at whatever moment, makes the engine break its contract.
// Method: one scene without chance faults, again and again; in the first run the first call fails,
// in the second run the second one, and so on, until a run passes untouched. Then the same with all
// calls from the n-th on. The oracle of the simulation judges each run.
#include "lib/config.hpp"
#include "tests/sim/failure.hpp"
#include "tests/sim/runs.hpp"
#include "tests/sim/simulate.hpp"
#include "tests/support/support.hpp"

#include <cstdio>
#include <memory>

namespace {

using ioengine::Fault;
using ioengine::FaultRule;
using ioengine::SimCall;

constexpr std::uint64_t kScenes = 3;  // each in every way
// With fewer calls of a kind the scenes would show nothing.
constexpr std::uint64_t kRunsAtLeast = 10;

struct Case {
    SimCall call;
    Fault fault;
    std::int64_t value;
    bool from_then_on;  // is such a world possible? A kernel that is interrupted for ever is not.
};

constexpr Case kCases[] = {
    {SimCall::submit, Fault::eagain_once, 0, true},
    {SimCall::submit, Fault::ebusy, 0, true},
    {SimCall::submit, Fault::eintr, 0, false},
    {SimCall::submit, Fault::partial, 1, true},
    {SimCall::submit, Fault::bad_head, 22, true},
    {SimCall::submit, Fault::bad_middle, 9, true},
    {SimCall::submit, Fault::enter_denied, 1, true},
    {SimCall::submit, Fault::enter_denied, 38, true},
    {SimCall::wait, Fault::interrupted_wait, 0, true},
    {SimCall::operation, Fault::eio, 0, true},
    {SimCall::operation, Fault::enospc, 0, true},
    {SimCall::operation, Fault::ecanceled, 0, true},
    {SimCall::operation, Fault::short_transfer, 1, true},
    {SimCall::operation, Fault::zero, 0, true},
    {SimCall::operation, Fault::nvme_status, 0, true},
    {SimCall::operation, Fault::passing_error, 11, true},
    {SimCall::operation, Fault::passing_error, 4, true},
    {SimCall::operation, Fault::reordered, 0, true},
    {SimCall::operation, Fault::stalled, 0, true},
    {SimCall::operation, Fault::never, 0, true},
    {SimCall::operation, Fault::burst, 0, true},
};

struct Way {
    const char* name;
    ioengine::Threading threading;
    bool lends;
    bool callers_lend;
    bool polls;
};
using ioengine::Threading;
constexpr Way kWays[] = {{"lending none", Threading::split, false, false, false},
                         {"lending callbacks", Threading::split, true, false, false},
                         {"lending callers", Threading::split, true, true, false},
                         {"an owner", Threading::owner, true, false, false},
                         {"a caller", Threading::caller, true, false, false},
                         {"a caller without lending", Threading::caller, false, false, false},
                         {"a caller that polls", Threading::caller, true, false, true}};
constexpr std::uint64_t kWayCount = sizeof kWays / sizeof kWays[0];

sim::Outcome simulate(std::uint64_t seed, sim::Backend backend, const Way& way,
                      const FaultRule& rule, sim::SubjectPool& pool, sim::History& history) {
    sim::Scene scene = sim::draw_scene(seed, backend);
    scene.faults = {};
    scene.faults.rules = {rule};
    scene.polls = way.polls;
    force_threading(scene, way.threading);
    scene.config.lends = way.lends;
    scene.config.callers_lend = way.callers_lend;
    scene.config.depth = 4;
    scene.config.queue_limit = 8;
    scene.aio_events = 6;
    scene.ring.sq_entries = 8;
    scene.ring_completions = 4;
    scene.requests = 60;
    scene.close_after = 50;
    scene.ending = sim::Ending::in_the_midst;
    scene.thinks_ppm = 200'000;
    scene.seam_ppm = 100'000;
    scene.wakes_ppm = 0;
    sim::set_story({&history, seed, sim::backend_name(backend), false});
    switch (backend) {
    case sim::Backend::aio:
#if IOENGINE_HAVE_AIO
        return sim::simulate_aio(scene, pool, history, false);
#else
        break;
#endif
    case sim::Backend::uring:
#if IOENGINE_HAVE_URING
        return sim::simulate_uring(scene, pool, history, false);
#else
        break;
#endif
    }
    sim::fail("this build is without that backend");
}

// How many runs it took until one of each scene passed untouched.
std::uint64_t try_each_call(sim::Backend backend, const Case& tried, bool from_then_on) {
    sim::SubjectPool pool(100);
    const auto history = std::make_unique<sim::History>();
    std::uint64_t runs = 0;
    for (std::uint64_t scene = 0; scene < kWayCount * kScenes; ++scene) {
        const std::uint64_t seed = 1 + scene / kWayCount;
        const Way& way = kWays[scene % kWayCount];
        bool untouched = false;
        for (std::uint64_t nth = 1; !untouched; ++nth, ++runs) {
            // What tells which run it was, should it fail.
            std::printf("scene %llu on %s, %s, %s, call %llu%s\n",
                        static_cast<unsigned long long>(seed), sim::backend_name(backend), way.name,
                        ioengine::name_of(tried.fault).name, static_cast<unsigned long long>(nth),
                        from_then_on ? " and all that follow" : "");
            const FaultRule rule{tried.call, nth, from_then_on, tried.fault, tried.value};
            untouched = simulate(seed, backend, way, rule, pool, *history).rules_obeyed == 0;
        }
    }
    return runs;
}

void check_each_call(bool from_then_on) {
    for (const sim::Backend backend : sim::all_backends()) {
        for (const Case& tried : kCases) {
            if (from_then_on && !tried.from_then_on)
                continue;
            if (backend == sim::Backend::aio && tried.fault == Fault::ebusy)
                continue;  // not an answer of io_submit(2)
            const test::ChildOutcome outcome = test::run_child([&] {
                sim::tell_story_on_crash();
                return try_each_call(backend, tried, from_then_on) > kRunsAtLeast ? 0 : 1;
            });
            INFO(outcome.output.substr(
                outcome.output.size() < 9000 ? 0 : outcome.output.size() - 9000));
            CHECK(outcome.exit_code == 0);
        }
    }
}

}  // namespace

TEST_CASE("whichever call fails once, the contract holds") {
    check_each_call(false);
}

TEST_CASE("whichever call fails and all that follow until the faults end, the contract holds") {
    check_each_call(true);
}
