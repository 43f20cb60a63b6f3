// SPDX-License-Identifier: MIT
//
// SimRandom: the only source of chance in a simulation, so that a seed is a history.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

// SplitMix64 (Steele, Lea, Flood 2014): small, and every seed is a good one.
class SimRandom {
  public:
    explicit SimRandom(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    // 0 .. limit - 1; limit is at least 1. The bias does not matter here, the division would.
    std::uint64_t below(std::uint64_t limit) noexcept {
        return limit <= UINT32_MAX ? ((next() >> 32) * limit) >> 32 : next() % limit;
    }
    // first .. last, both included.
    std::uint64_t between(std::uint64_t first, std::uint64_t last) noexcept {
        return first + below(last - first + 1);
    }
    // True in `ppm` of a million cases.
    bool chance(std::uint32_t ppm) noexcept { return ppm != 0 && below(1'000'000) < ppm; }
    bool coin() noexcept { return (next() >> 63) != 0; }

    template <class T, std::size_t N>
    T pick(const T (&values)[N]) noexcept {
        return values[below(N)];
    }

  private:
    std::uint64_t state_;
};

}  // namespace v0
}  // namespace ioengine
