// SPDX-License-Identifier: MIT
//
// Simulations over the AIO driver.
#include "tests/sim/simulate.hpp"

#include "drivers/aio/aio_driver.hpp"
#include "drivers/sim/sim_aio.hpp"
#include "tests/sim/simulation_parts.hpp"

#include <memory>
#include <utility>

namespace sim {

Outcome simulate_aio(const Scene& scene, SubjectPool& pool, History& history, bool verbose) {
    using Driver = ioengine::AioDriver<ioengine::SimAio>;
    const auto make = [](const Scene& drawn, ioengine::SimWorld& world,
                         ioengine::IoSharedContext& context) {
        ioengine::AioSetup setup;
        setup.depth = drawn.config.depth;
        setup.merge_limit = drawn.config.merge_limit;
        setup.signal_file = ioengine::SignalFile::open();
        setup.native_fsync = drawn.native_fsync;
        setup.bell_fd = context.bell.fd();
        setup.submit_counters = &context.submit_counters;
        setup.poll_counters = &context.poll_counters;
        world.files.open_signal(setup.signal_file.fd());
        return std::make_unique<Driver>(ioengine::SimAio(world, drawn.aio_events),
                                        std::move(setup));
    };
    return std::make_unique<Simulation<Driver>>(scene, pool, history, verbose, make)->run();
}

}  // namespace sim
