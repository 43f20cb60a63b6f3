// SPDX-License-Identifier: MIT
//
// Growth: what a request costs as producers, files and queues grow.
#ifndef TOOLS_BENCH_GROWTH_HPP
#define TOOLS_BENCH_GROWTH_HPP

namespace bench {

// `ioengine-bench growth ...`, from the first word after `growth`. Throws Failure.
void run_growth(int argc, char** argv);

}  // namespace bench

#endif  // TOOLS_BENCH_GROWTH_HPP
