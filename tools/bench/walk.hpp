// SPDX-License-Identifier: MIT
//
// Walk: which block comes next and whether it is read or written. Every contender of a comparison
// takes its steps from here, so that all of them do the same work.
#ifndef TOOLS_BENCH_WALK_HPP
#define TOOLS_BENCH_WALK_HPP

#include <cstdint>
#include <limits>

namespace bench {

enum class Rw : std::uint8_t { randread, randwrite, randrw, read, write };

constexpr bool writes(Rw rw) noexcept {
    return rw == Rw::randwrite || rw == Rw::randrw || rw == Rw::write;
}
constexpr bool reads(Rw rw) noexcept {
    return rw == Rw::randread || rw == Rw::randrw || rw == Rw::read;
}
constexpr bool is_random(Rw rw) noexcept {
    return rw != Rw::read && rw != Rw::write;
}

// A small, fast, seeded generator (the SplitMix64 sequence); good enough to spread offsets.
class Random {
  public:
    explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept { return mix(state_ += 0x9E3779B97F4A7C15U); }

    // Uniform in [0, limit): the high half of a 128-bit product, no division.
    std::uint64_t below(std::uint64_t limit) noexcept {
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::uint64_t>((static_cast<Wide>(next()) * limit) >> 64);
    }

    // Scatters the bits of one word over another.
    static constexpr std::uint64_t mix(std::uint64_t word) noexcept {
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9U;
        word = (word ^ (word >> 27)) * 0x94D049BB133111EBU;
        return word ^ (word >> 31);
    }

  private:
    std::uint64_t state_;
};

struct Step {
    std::uint64_t block = 0;
    bool write = false;
};

// Belongs to one thread at a time.
class Walk {
  public:
    static constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

    // Over blocks 0 .. blocks-1; sequential walks begin at `first_block` and wrap around.
    Walk(Rw rw, std::uint64_t blocks, std::uint64_t first_block, std::uint64_t seed,
         std::uint64_t steps) noexcept
        : random_(seed), blocks_(blocks), cursor_(first_block), steps_left_(steps), rw_(rw) {}

    // False once all steps have been taken.
    bool next(Step& step) noexcept {
        if (steps_left_ == 0)
            return false;
        if (steps_left_ != kUnlimited)
            --steps_left_;
        step.block = is_random(rw_) ? random_.below(blocks_) : advance();
        step.write = rw_ == Rw::randrw ? (random_.next() & 1U) != 0 : writes(rw_);
        return true;
    }

  private:
    std::uint64_t advance() noexcept {
        const std::uint64_t block = cursor_;
        cursor_ = block + 1 == blocks_ ? 0 : block + 1;
        return block;
    }

    Random random_;
    std::uint64_t blocks_;
    std::uint64_t cursor_;
    std::uint64_t steps_left_;
    Rw rw_;
};

}  // namespace bench

#endif  // TOOLS_BENCH_WALK_HPP
