// SPDX-License-Identifier: MIT
//
// Reproducible randomness: a seed that is printed, a generator, seeded patterns and their digest.
#ifndef IOENGINE_TESTS_SUPPORT_RANDOM_HPP
#define IOENGINE_TESTS_SUPPORT_RANDOM_HPP

#include <cstddef>
#include <cstdint>

namespace test {

// The seed of this run: IOENGINE_TEST_SEED if set, else a fresh one. Printed with the line that
// replays it.
std::uint64_t announced_seed(const char* what);

// SplitMix64 (Steele, Lea, Flood 2014): small, and every seed is a good one.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    // 0 .. limit - 1. The bias of the remainder does not matter here.
    std::uint64_t below(std::uint64_t limit) noexcept { return next() % limit; }

  private:
    std::uint64_t state_;
};

// Fills `bytes` bytes with what `seed` determines; different seeds differ in nearly every byte.
void fill_pattern(void* data, std::size_t bytes, std::uint64_t seed) noexcept;
bool has_pattern(const void* data, std::size_t bytes, std::uint64_t seed) noexcept;

// FNV-1a, 64 bit, carried on from `so_far`.
constexpr std::uint64_t kDigestStart = 0xcbf29ce484222325ULL;
std::uint64_t digest(const void* data, std::size_t bytes,
                     std::uint64_t so_far = kDigestStart) noexcept;

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_RANDOM_HPP
