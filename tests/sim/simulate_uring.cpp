// SPDX-License-Identifier: MIT
//
// Simulations over the io_uring driver.
#include "tests/sim/simulate.hpp"

#include "drivers/sim/sim_uring.hpp"
#include "drivers/uring/uring_driver.hpp"
#include "tests/sim/simulation_parts.hpp"

#include <memory>
#include <utility>

namespace sim {

Outcome simulate_uring(const Scene& scene, SubjectPool& pool, History& history, bool verbose) {
    using Driver = ioengine::UringDriver<ioengine::SimUring>;
    const auto make = [](const Scene& drawn, ioengine::SimWorld& world,
                         ioengine::IoSharedContext& context) {
        ioengine::UringSetup setup;
        setup.depth = drawn.config.depth;
        setup.merge_limit = drawn.config.merge_limit;
        setup.signal_file = ioengine::SignalFile::open();
        setup.has_fallocate = drawn.has_fallocate;
        setup.has_sync_file_range = drawn.has_sync_file_range;
        setup.bell_fd = context.bell.fd();
        setup.sqpoll = drawn.ring.sqpoll;
        setup.submit_counters = &context.submit_counters;
        setup.poll_counters = &context.poll_counters;
        setup.registered = &context.registered;
        setup.buffer_places = drawn.config.registered_buffers;
        setup.file_places = drawn.config.registered_files;
        world.files.open_signal(setup.signal_file.fd());
        ioengine::SimUring ring(world, drawn.ring);
        ring.make_table(ioengine::TableKind::buffers, setup.buffer_places, true);
        ring.make_table(ioengine::TableKind::files, setup.file_places, true);
        return std::make_unique<Driver>(std::move(ring), std::move(setup));
    };
    return std::make_unique<Simulation<Driver>>(scene, pool, history, verbose, make)->run();
}

}  // namespace sim
