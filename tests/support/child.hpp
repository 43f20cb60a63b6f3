// SPDX-License-Identifier: MIT
//
// Running a piece of a test in a forked child, optionally with system calls denied by seccomp.
//
// Inside a child Catch2 must not be used: CHILD_CHECK prints what is wrong and ends the child with
// status 1. The parent then checks the outcome.
#ifndef IOENGINE_TESTS_SUPPORT_CHILD_HPP
#define IOENGINE_TESTS_SUPPORT_CHILD_HPP

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace test {

struct ChildOutcome {
    int exit_code = -1;  // -1: did not exit
    int signal = 0;      // that ended it; SIGALRM: it hung
    std::string output;  // stdout and stderr
};

// Forks, runs `body` there with default signal handlers and exits with what it returns; waits.
ChildOutcome run_child(const std::function<int()>& body);
// Ends a forked child without running what its parent registered for its own end.
[[noreturn]] void leave_child(int status);

[[noreturn]] void fail_child(const char* what, const char* file, int line);

// A system call that answers with an error. With `argument` >= 0 only where that argument (counted
// from 0) has this value, or at least this value.
struct DeniedCall {
    const char* name;
    int error;
    int argument = -1;
    std::uint64_t value = 0;
    bool or_more = false;
};

// Whether deny() works in this build and here.
bool can_deny();
// From now on, for this thread and the threads it starts; cannot be undone, so only in a child.
// Ends the child with status 1 if it cannot be done.
void deny(const std::vector<DeniedCall>& calls);

}  // namespace test

#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ::test::fail_child(#condition, __FILE__, __LINE__);                                    \
    } while (false)

#endif  // IOENGINE_TESTS_SUPPORT_CHILD_HPP
