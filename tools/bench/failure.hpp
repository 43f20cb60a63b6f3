// SPDX-License-Identifier: MIT
//
// Failure and die(): why the bench cannot go on, with the exit code that says so to scripts.
#ifndef TOOLS_BENCH_FAILURE_HPP
#define TOOLS_BENCH_FAILURE_HPP

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace bench {

enum ExitCode : int {
    kExitDone = 0,
    kExitWrong = 1,         // a result was wrong
    kExitUsage = 2,         // the command line makes no sense
    kExitUnavailable = 69,  // cannot be set up here
};

// what() is one line that says what happened and what to do.
class Failure : public std::runtime_error {
  public:
    Failure(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    ExitCode code() const noexcept { return code_; }

  private:
    ExitCode code_;
};

// For threads that cannot go on and cannot throw. Runs what at_quick_exit has been given.
[[noreturn]] inline void die(const std::string& message) {
    std::fprintf(stderr, "ioengine-bench: %s\n", message.c_str());
    std::quick_exit(kExitUnavailable);
}

inline std::string errno_text(int error) {
    return std::strerror(error);
}

}  // namespace bench

#endif  // TOOLS_BENCH_FAILURE_HPP
