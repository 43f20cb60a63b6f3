// SPDX-License-Identifier: MIT
//
// Comparison: runs the contenders in turns and relates ours to the others.
#ifndef TOOLS_BENCH_COMPARISON_HPP
#define TOOLS_BENCH_COMPARISON_HPP

#include "tools/bench/contender.hpp"

#include <memory>
#include <string>
#include <vector>

namespace bench {

struct BenchOptions;

struct Outcome {
    Identity identity;
    Measurement total;         // all repetitions together
    std::vector<double> iops;  // of each repetition
};

// Ours over another, in IOPS.
struct Ratio {
    std::string name;  // of the other
    double median = 0;
    std::vector<double> repetitions;  // of neighbours in time
};

struct Comparison {
    std::vector<Outcome> outcomes;  // in the order of the contenders, ours first
    std::vector<Ratio> ratios;
};

// One repetition if there is one contender, else several in turns, each with its share of the time
// or requests asked for.
Comparison run_in_turns(const std::vector<std::unique_ptr<Contender>>& contenders,
                        const BenchOptions& options, unsigned repetitions_of_several = 5);

double median(std::vector<double> values);
// Which quarter of the values lies below (0.25), or above (0.75).
double quantile(std::vector<double> values, double fraction);

}  // namespace bench

#endif  // TOOLS_BENCH_COMPARISON_HPP
