// SPDX-License-Identifier: MIT
//
// pause_cpu(): a moment inside a loop that looks again and again, left to the other hyperthread.
#pragma once

namespace ioengine {
inline namespace v0 {

inline void pause_cpu() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");
#endif
}

}  // namespace v0
}  // namespace ioengine
