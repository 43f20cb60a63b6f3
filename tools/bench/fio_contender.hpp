// SPDX-License-Identifier: MIT
//
// The contender "fio": the same load by the fio program, where it is installed.
#ifndef TOOLS_BENCH_FIO_CONTENDER_HPP
#define TOOLS_BENCH_FIO_CONTENDER_HPP

#include "tools/bench/contender.hpp"
#include "tools/bench/measurement.hpp"

#include <ioengine/options.hpp>

#include <memory>
#include <string>
#include <vector>

namespace bench {

struct Workload;

// Throws Failure if fio is not installed or cannot use the target.
std::unique_ptr<Contender> make_fio_contender(const Workload& workload, ioengine::Backend backend);

// The command line of one slice, program first.
std::vector<std::string> fio_command(const Workload& workload, ioengine::Backend backend,
                                     const Slice& slice);
// Takes the figures from what fio prints with --output-format=json+. Throws Failure if they are not
// there.
Measurement parse_fio(const std::string& output);

}  // namespace bench

#endif  // TOOLS_BENCH_FIO_CONTENDER_HPP
