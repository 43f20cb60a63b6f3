// SPDX-License-Identifier: MIT
//
// The one clock of the bench: monotonic nanoseconds.
#ifndef TOOLS_BENCH_CLOCK_HPP
#define TOOLS_BENCH_CLOCK_HPP

#include <cstdint>
#include <ctime>

namespace bench {

inline std::uint64_t now_ns() noexcept {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace bench

#endif  // TOOLS_BENCH_CLOCK_HPP
