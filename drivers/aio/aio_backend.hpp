// SPDX-License-Identifier: MIT
//
// The AIO room's door: probe it, make a runner over it. No kernel headers.
#pragma once

#include "lib/runner.hpp"

#include <ioengine/probe.hpp>

#include <memory>

namespace ioengine {
inline namespace v0 {

// Sets up a small context and reads through it.
void probe_aio(const FeatureSet& disabled, ProbeReport& report) noexcept;

// A runner in the context's threading. On failure null, with the error filled.
std::unique_ptr<Runner> make_aio_runner(const RunnerSetup& setup, ProbeReport& report,
                                        Error& error);

}  // namespace v0
}  // namespace ioengine
