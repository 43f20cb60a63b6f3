// SPDX-License-Identifier: MIT
//
// Simulations over the io_uring drivers.
#include "tests/sim/simulate.hpp"

#include "drivers/sim/sim_uring.hpp"
#include "drivers/uring/polled_driver.hpp"
#include "drivers/uring/uring_driver.hpp"
#include "tests/sim/simulation_parts.hpp"

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

namespace sim {

namespace {

using ioengine::IoSharedContext;
using ioengine::PolledSetup;
using ioengine::SimUring;
using ioengine::SimWorld;
using ioengine::TableKind;
using ioengine::UringSetup;

UringSetup setup_for(const Scene& scene, SimWorld& world, IoSharedContext& context) {
    UringSetup setup;
    setup.depth = scene.config.depth;
    setup.merge_limit = scene.config.merge_limit;
    setup.signal_file = ioengine::SignalFile::open();
    setup.has_fallocate = scene.has_fallocate;
    setup.has_sync_file_range = scene.has_sync_file_range;
    setup.bell_fd = context.bell.fd();
    setup.sqpoll = scene.ring.sqpoll;
    setup.submit_counters = &context.submit_counters;
    setup.poll_counters = &context.poll_counters;
    setup.registered = &context.registered;
    setup.buffer_places = scene.config.registered_buffers;
    setup.file_places = scene.config.registered_files;
    world.files.open_signal(setup.signal_file.fd());
    return setup;
}

SimUring ring_of(SimWorld& world, const ioengine::SimRingShape& shape, const UringSetup& setup) {
    SimUring ring(world, shape);
    ring.make_table(TableKind::buffers, setup.buffer_places, true);
    ring.make_table(TableKind::files, setup.file_places, true);
    return ring;
}

Outcome simulate_one_ring(const Scene& scene, SubjectPool& pool, History& history, bool verbose) {
    using Driver = ioengine::UringDriver<SimUring>;
    const auto make = [](const Scene& drawn, SimWorld& world, IoSharedContext& context) {
        UringSetup setup = setup_for(drawn, world, context);
        SimUring ring = ring_of(world, drawn.ring, setup);
        return std::make_unique<Driver>(std::move(ring), std::move(setup));
    };
    return std::make_unique<Simulation<Driver>>(scene, pool, history, verbose, make)->run();
}

Outcome simulate_two_rings(const Scene& scene, SubjectPool& pool, History& history, bool verbose) {
    using Driver = ioengine::PolledUringDriver<SimUring>;
    const auto make = [](const Scene& drawn, SimWorld& world, IoSharedContext& context) {
        UringSetup setup = setup_for(drawn, world, context);
        SimUring ordinary = ring_of(world, drawn.ring, setup);
        ioengine::SimRingShape shape = drawn.ring;
        shape.iopoll = true;
        shape.sq_entries =
            std::min(shape.sq_entries, std::bit_ceil(Driver::polled_entries_for(setup.depth)));
        SimUring polled =
            drawn.polled_ring_has_tables ? ring_of(world, shape, setup) : SimUring(world, shape);
        PolledSetup polled_setup;
        polled_setup.sqpoll = shape.sqpoll;
        polled_setup.has_tables = drawn.polled_ring_has_tables;
        polled_setup.log = &context.log;
        polled_setup.clock = context.config.clock_ns;
        polled_setup.clock_user = context.config.clock_user;
        return std::make_unique<Driver>(std::move(ordinary), std::move(setup), std::move(polled),
                                        polled_setup);
    };
    return std::make_unique<Simulation<Driver>>(scene, pool, history, verbose, make)->run();
}

}  // namespace

Outcome simulate_uring(const Scene& scene, SubjectPool& pool, History& history, bool verbose) {
    return has_polled_ring(scene) ? simulate_two_rings(scene, pool, history, verbose)
                                  : simulate_one_ring(scene, pool, history, verbose);
}

}  // namespace sim
