// SPDX-License-Identifier: MIT
//
// Runs another program and collects what it prints.
#ifndef TOOLS_BENCH_CHILD_HPP
#define TOOLS_BENCH_CHILD_HPP

#include <string>
#include <vector>

namespace bench {

struct ChildOutput {
    int exit_code = 0;  // 128 + number if a signal ended it
    std::string standard_output;
    std::string standard_error;
};

// Whether a program of that name is in PATH.
bool is_installed(const std::string& program);

// Searches PATH for arguments[0], waits for its end. Throws Failure if it cannot be started.
ChildOutput run_child(const std::vector<std::string>& arguments);

}  // namespace bench

#endif  // TOOLS_BENCH_CHILD_HPP
