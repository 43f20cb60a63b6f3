// SPDX-License-Identifier: MIT
//
// Runs: many simulations, one seed after the other, until enough requests have gone through.
#pragma once

#include "drivers/sim/faults.hpp"
#include "tests/sim/scene.hpp"

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sim {

constexpr ioengine::Threading kThreadings[] = {
    ioengine::Threading::split, ioengine::Threading::owner, ioengine::Threading::caller};

struct RunOptions {
    std::uint64_t seed = 1;                        // the first one
    std::uint64_t seeds_max = UINT64_MAX;          // stops after so many
    std::uint64_t requests = 1'000'000;            // or when so many have been accepted
    std::vector<Backend> backends;                 // each seed on each of them
    std::optional<ioengine::Threading> threading;  // none: as each seed says
    bool verbose = false;
    // To make less of a seed; see shrink.hpp.
    std::bitset<ioengine::kFaultKinds> without;  // these kinds of faults
    std::uint64_t scene_requests = 0;            // at most so many in a simulation; 0: as drawn
};

struct RunTotals {
    std::uint64_t seeds = 0;
    std::uint64_t simulations = 0;
    std::uint64_t refused_setups = 0;  // no simulation came of them
    std::uint64_t requests = 0;
    std::array<std::uint64_t, 3> requests_of{};  // by Threading
    std::uint64_t sqpoll_requests = 0;
    std::uint64_t registered_requests = 0;  // that name registered buffers or files
    std::uint64_t polled_transfers = 0;
    std::uint64_t failed_requests = 0;
    std::uint64_t ticks = 0;
    std::uint64_t digest = 0;  // of all histories in order
    ioengine::FaultCounts faults;
};

// What has to be added to the command line that replays a seed, or nothing.
std::string less_of(const RunOptions& options);
// False if there is no such kind.
bool leave_out(RunOptions& options, const std::string& name);

// The backends of this build.
std::vector<Backend> all_backends();

// Ends the process with status 1 and the story of it if a simulation finds something.
RunTotals run(const RunOptions& options);

// Kinds of the groups that must have been injected at least once, and were not.
std::vector<ioengine::Fault> missing_faults(const RunTotals& totals,
                                            const std::vector<Backend>& backends);
void print_totals(const RunTotals& totals);

}  // namespace sim
