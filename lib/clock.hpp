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

// What is left of the limit of a wait. Looks at the clock only if there is one.
class TimeLimit {
  public:
    using Clock = std::uint64_t (*)(void* user);

    // Negative: none. By another clock than now_ns(), if one is given: a simulation's.
    explicit TimeLimit(std::int64_t limit_ns, Clock clock = nullptr, void* user = nullptr) noexcept
        : limit_ns_(limit_ns), clock_(clock), user_(user), begun_(limit_ns < 0 ? 0 : now()) {}

    // Negative: there is no limit; 0: it has passed.
    std::int64_t left_ns() const noexcept {
        if (limit_ns_ < 0)
            return -1;
        const auto took = static_cast<std::int64_t>(now() - begun_);
        return took < limit_ns_ ? limit_ns_ - took : 0;
    }

  private:
    std::uint64_t now() const noexcept { return clock_ != nullptr ? clock_(user_) : now_ns(); }

    const std::int64_t limit_ns_;
    const Clock clock_;
    void* const user_;
    const std::uint64_t begun_;
};

}  // namespace v0
}  // namespace ioengine
