// SPDX-License-Identifier: MIT
//
// One simulation per backend; compiled apart, since each makes the engine's templates anew.
#pragma once

#include "drivers/sim/faults.hpp"
#include "tests/sim/history.hpp"
#include "tests/sim/scene.hpp"
#include "tests/sim/subject.hpp"

#include <cstdint>

namespace sim {

struct Outcome {
    std::uint64_t digest = 0;
    std::uint64_t requests = 0;
    std::uint64_t failed_requests = 0;
    std::uint64_t registered_requests = 0;
    std::uint64_t polled_transfers = 0;
    std::uint64_t ticks = 0;
    std::uint64_t rules_obeyed = 0;
    ioengine::FaultCounts faults;
};

// Ends the process if the contract is broken; see failure.hpp.
Outcome simulate_aio(const Scene& scene, SubjectPool& pool, History& history, bool verbose);
Outcome simulate_uring(const Scene& scene, SubjectPool& pool, History& history, bool verbose);

}  // namespace sim
