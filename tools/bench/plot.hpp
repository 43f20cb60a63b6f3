// SPDX-License-Identifier: MIT
//
// The report of a run as a picture: rates as bars with their repetitions as dots, latencies by
// percentile.
#ifndef TOOLS_BENCH_PLOT_HPP
#define TOOLS_BENCH_PLOT_HPP

#include <string>

namespace bench {

struct Report;

std::string to_picture(const Report& report);

}  // namespace bench

#endif  // TOOLS_BENCH_PLOT_HPP
