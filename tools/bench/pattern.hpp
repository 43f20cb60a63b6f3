// SPDX-License-Identifier: MIT
//
// The verify pattern: bytes that say where, when and by which run they were written.
//
// Every sector of 512 bytes is 64 words: a mark, the seed of the run, the sector's own file offset,
// the generation of its block, then filler computed from these. So a sector that was put in the
// wrong place, is older than it should be, or was torn tells so itself.
#ifndef TOOLS_BENCH_PATTERN_HPP
#define TOOLS_BENCH_PATTERN_HPP

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bench {

constexpr std::size_t kSectorBytes = 512;

// What a sector names. The generation counts how often its block has been written, from 1.
struct SectorId {
    std::uint64_t seed = 0;
    std::uint64_t offset = 0;  // bytes from the start of the file
    std::uint64_t generation = 0;

    bool operator==(const SectorId&) const = default;
};

enum class Wrong : std::uint8_t {
    damaged,    // not a whole sector of any run: torn, flipped bits, zeros, foreign data
    other_run,  // a whole sector with another seed
    misplaced,  // a whole sector of another offset
    stale,      // a whole sector of this place, but an older generation
    newer,      // the same, from a generation that was not yet due
};

struct Mismatch {
    std::uint64_t offset = 0;  // of the first wrong byte if damaged, else of the sector
    Wrong wrong = Wrong::damaged;
    std::string text;  // one line: offset, what was expected, what was found
};

const char* wrong_name(Wrong wrong) noexcept;

// Fills `bytes` bytes, a multiple of 512, that will be written at file offset `offset`.
void fill_pattern(void* data, std::size_t bytes, std::uint64_t offset, std::uint64_t generation,
                  std::uint64_t seed) noexcept;

// Compares with what fill_pattern would have written; empty if it is all there, else the first
// sector that differs.
std::optional<Mismatch> check_pattern(const void* data, std::size_t bytes, std::uint64_t offset,
                                      std::uint64_t generation, std::uint64_t seed);

}  // namespace bench

#endif  // TOOLS_BENCH_PATTERN_HPP
