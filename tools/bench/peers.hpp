// SPDX-License-Identifier: MIT
//
// The hand-written contenders, each over the backend that ours has in force.
#ifndef TOOLS_BENCH_PEERS_HPP
#define TOOLS_BENCH_PEERS_HPP

#include "tools/bench/contender.hpp"

#include <ioengine/options.hpp>

#include <memory>

namespace bench {

struct Workload;

// Both throw Failure if this build has no loop for that backend.
std::unique_ptr<Contender> make_raw_loop(const Workload& workload, ioengine::Backend backend);
std::unique_ptr<Contender> make_strict_pair(const Workload& workload, ioengine::Backend backend);

}  // namespace bench

#endif  // TOOLS_BENCH_PEERS_HPP
