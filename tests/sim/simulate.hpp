// SPDX-License-Identifier: MIT
//
// One simulation per backend; compiled apart, since each makes the engine's templates anew.
#pragma once

#include "tests/sim/simulation.hpp"

namespace sim {

Outcome simulate_aio(const Scene& scene, SubjectPool& pool, History& history, bool verbose);
Outcome simulate_uring(const Scene& scene, SubjectPool& pool, History& history, bool verbose);

}  // namespace sim
