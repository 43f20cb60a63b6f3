// SPDX-License-Identifier: MIT
//
// The io_uring room's door: probe it, make a runner over it. No kernel headers.
#pragma once

#include "lib/runner.hpp"

#include <ioengine/probe.hpp>

#include <memory>

namespace ioengine {
inline namespace v0 {

// Sets up a small ring, looks at its opcodes, writes, flushes and reads through it. `thorough`:
// also tries the flags that no context uses yet, for the report.
void probe_uring(const FeatureSet& disabled, bool thorough, ProbeReport& report) noexcept;

// A runner in the context's threading. On failure null, with the error filled.
std::unique_ptr<Runner> make_uring_runner(const RunnerSetup& setup, ProbeReport& report,
                                          Error& error);

}  // namespace v0
}  // namespace ioengine
