// SPDX-License-Identifier: MIT
//
// Shrinking: from a seed that fails to less of it that still fails.
#pragma once

#include "tests/sim/runs.hpp"

namespace sim {

// `failing` is one seed on one backend. The same with as few kinds of faults and requests as it
// takes; what it tries runs in children. If nothing fails, `failing` itself.
RunOptions shrink(const RunOptions& failing);

}  // namespace sim
