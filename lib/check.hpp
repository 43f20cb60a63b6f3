// SPDX-License-Identifier: MIT
//
// check() always, debug_check() in debug builds: what must hold whatever the user or the kernel
// does. misused(): what no program may do.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace ioengine {
inline namespace v0 {

// Ends the program: an engine that has lost count must not go on writing to disks.
[[noreturn, gnu::cold, gnu::noinline]] inline void check_failed(const char* what) noexcept {
    std::fprintf(stderr, "ioengine: internal check failed: %s\n", what);
    std::abort();
}

// Ends the program over a call that can be neither answered nor obeyed.
[[noreturn, gnu::cold, gnu::noinline]] inline void misused(const char* what) noexcept {
    std::fprintf(stderr, "ioengine: %s\n", what);
    std::abort();
}

inline void check(bool holds, const char* what) noexcept {
    if (!holds) [[unlikely]]
        check_failed(what);
}

#ifdef NDEBUG
inline void debug_check(bool, const char*) noexcept {}
#else
inline void debug_check(bool holds, const char* what) noexcept {
    check(holds, what);
}
#endif

}  // namespace v0
}  // namespace ioengine
