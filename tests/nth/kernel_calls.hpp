// SPDX-License-Identifier: MIT
//
// KernelCalls: makes the n-th system call of this process fail, whoever makes it and however:
// through libc, through liburing, which brings its own instructions, or raw.
//
// A seccomp filter hands the calls of the list over to a thread that is outside of it, which lets
// each go on or answers it with an error: seccomp_unotify(2). So nothing of the engine is replaced,
// and what fails really does not happen.
#ifndef IOENGINE_TESTS_NTH_KERNEL_CALLS_HPP
#define IOENGINE_TESTS_NTH_KERNEL_CALLS_HPP

#include <cstdint>

namespace nth {

// What becomes of the calls that are picked.
enum class Failure : std::uint8_t {
    once,         // with the error that this call is known for
    interrupted,  // once, with EINTR, where that is a possible answer
    signals,      // this and those that follow, for a while: EINTR, where that is possible
    storm,        // the same with the error that each call is known for
    denied,       // the same with EPERM, as by a seccomp profile
};

namespace kernel_calls {

// 0, or the errno of what this kernel does not allow. Once per process; it ends with it. Call it
// before any other thread exists.
int watch();
// From now on.
void arm(std::uint64_t nth, Failure failure);
void disarm();
// How many calls have failed since arm(), and the number of the first of them.
std::uint64_t injected();
long first_call();
int first_error();

// "io_submit", or its number in `storage`.
const char* call_name(long number, char (&storage)[24]);

}  // namespace kernel_calls
}  // namespace nth

#endif  // IOENGINE_TESTS_NTH_KERNEL_CALLS_HPP
