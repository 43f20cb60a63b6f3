// SPDX-License-Identifier: MIT
//
// The engine's clocks, in nanoseconds of CLOCK_MONOTONIC.
#pragma once

#include <cstdint>
#include <ctime>

namespace ioengine {
inline namespace v0 {

inline std::uint64_t read_clock_ns(clockid_t clock) noexcept {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(now.tv_nsec);
}

// Exact, about 20 ns to read.
inline std::uint64_t now_ns() noexcept {
    return read_clock_ns(CLOCK_MONOTONIC);
}

// Some milliseconds old, a quarter of the price: for ages in dumps and the watchdog.
inline std::uint64_t coarse_now_ns() noexcept {
    return read_clock_ns(CLOCK_MONOTONIC_COARSE);
}

}  // namespace v0
}  // namespace ioengine
