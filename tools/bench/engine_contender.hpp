// SPDX-License-Identifier: MIT
//
// The contender "ioengine": the load carried by an IOContext, as a user of the library would.
#ifndef TOOLS_BENCH_ENGINE_CONTENDER_HPP
#define TOOLS_BENCH_ENGINE_CONTENDER_HPP

#include "tools/bench/contender.hpp"

#include "tools/bench/options.hpp"

#include <memory>
#include <string>

namespace bench {

struct Workload;

// As the workload's options ask for it.
std::unique_ptr<Contender> make_engine_contender(const Workload& workload);
// As these options ask for it, under this name, with features switched off as IOENGINE_DISABLE
// does.
std::unique_ptr<Contender> make_engine_contender(const Workload& workload,
                                                 const BenchOptions& options,
                                                 const std::string& name,
                                                 const std::string& disable);

}  // namespace bench

#endif  // TOOLS_BENCH_ENGINE_CONTENDER_HPP
