// SPDX-License-Identifier: MIT
//
// The contender "ioengine": the load carried by an IOContext, as a user of the library would.
#ifndef TOOLS_BENCH_ENGINE_CONTENDER_HPP
#define TOOLS_BENCH_ENGINE_CONTENDER_HPP

#include "tools/bench/contender.hpp"

#include <memory>

namespace bench {

struct Workload;

std::unique_ptr<Contender> make_engine_contender(const Workload& workload);

}  // namespace bench

#endif  // TOOLS_BENCH_ENGINE_CONTENDER_HPP
