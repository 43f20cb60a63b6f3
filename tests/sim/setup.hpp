// SPDX-License-Identifier: MIT
//
// Set-up: what comes before a simulation. Probes, chooses and sets up as create() does, with the
// library's own code, over kernels that refuse what the seed says.
#pragma once

#include "drivers/sim/faults.hpp"
#include "tests/sim/scene.hpp"

namespace sim {

struct SetupOutcome {
    bool made = false;
    ioengine::FaultCounts faults;
};

// What was made is then in the scene: backend, ring, opcodes. Fails if the choice is not what was
// asked for, or an error is none that was injected.
SetupOutcome set_up(Scene& scene);

}  // namespace sim
