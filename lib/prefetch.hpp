// SPDX-License-Identifier: MIT
//
// Asks for a cache line before it is needed: requests and slots travel between two threads, and a
// step knows a whole batch of them in advance. Fetching one after the other would cost a transfer
// between cores for each; asked for together they overlap. Never wrong, only useful or not.
#pragma once

namespace ioengine {
inline namespace v0 {

inline void prefetch_to_read(const void* line) noexcept {
    __builtin_prefetch(line, 0);
}

inline void prefetch_to_write(const void* line) noexcept {
#if defined(__x86_64__)
    // By hand: compilers emit it only for newer x86-64 levels. Older processors take it for a no-op
    // (Intel SDM, PREFETCHW).
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(line)));
#else
    __builtin_prefetch(line, 1);
#endif
}

}  // namespace v0
}  // namespace ioengine
