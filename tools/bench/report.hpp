// SPDX-License-Identifier: MIT
//
// The report of a run, as a table for people or a JSON document for programs.
#ifndef TOOLS_BENCH_REPORT_HPP
#define TOOLS_BENCH_REPORT_HPP

#include "tools/bench/comparison.hpp"

#include <cstdint>
#include <string>

namespace bench {

struct BenchOptions;
class Target;

struct Report {
    const BenchOptions& options;
    const Target& target;
    const Comparison& comparison;
    std::uint64_t seed = 0;
    std::uint64_t verified_blocks = 0;  // ours
};

std::string to_table(const Report& report);
std::string to_json(const Report& report);

}  // namespace bench

#endif  // TOOLS_BENCH_REPORT_HPP
