// SPDX-License-Identifier: MIT
//
// Fills and checks the sectors of the verify pattern.
#include "tools/bench/pattern.hpp"

#include "tools/bench/walk.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace bench {

namespace {

constexpr std::size_t kWords = kSectorBytes / sizeof(std::uint64_t);
constexpr std::uint64_t kMark = 0x54'41'50'67'6e'65'6f'69U;  // "ioengPAT" in memory order
constexpr std::size_t kHeaderWords = 4;

using Sector = std::array<std::uint64_t, kWords>;

void fill_sector(Sector& sector, const SectorId& id) noexcept {
    sector[0] = kMark;
    sector[1] = id.seed;
    sector[2] = id.offset;
    sector[3] = id.generation;
    std::uint64_t key = Random::mix(id.seed ^ Random::mix(id.offset ^ Random::mix(id.generation)));
    for (std::size_t i = kHeaderWords; i < kWords; ++i) {
        key = key * 6364136223846793005U + 1442695040888963407U;
        sector[i] = key ^ (key >> 29);
    }
}

// The id of a sector that is whole, whichever run, place and time it comes from.
std::optional<SectorId> id_of_whole_sector(const Sector& found) noexcept {
    const SectorId id{found[1], found[2], found[3]};
    Sector whole;
    fill_sector(whole, id);
    if (found != whole)
        return std::nullopt;
    return id;
}

std::string describe(const SectorId& id, bool with_seed) {
    std::array<char, 128> text;
    if (with_seed)
        std::snprintf(text.data(), text.size(), "offset %llu generation %llu seed %016llx",
                      static_cast<unsigned long long>(id.offset),
                      static_cast<unsigned long long>(id.generation),
                      static_cast<unsigned long long>(id.seed));
    else
        std::snprintf(text.data(), text.size(), "offset %llu generation %llu",
                      static_cast<unsigned long long>(id.offset),
                      static_cast<unsigned long long>(id.generation));
    return text.data();
}

Wrong classify(const SectorId& expected, const SectorId& found) noexcept {
    if (found.seed != expected.seed)
        return Wrong::other_run;
    if (found.offset != expected.offset)
        return Wrong::misplaced;
    return found.generation < expected.generation ? Wrong::stale : Wrong::newer;
}

std::string first_line(std::uint64_t offset, Wrong wrong, const SectorId& expected,
                       const std::string& found) {
    return "wrong data at offset " + std::to_string(offset) + " (" + wrong_name(wrong) +
           "): expected the sector of " + describe(expected, wrong == Wrong::other_run) +
           ", found " + found;
}

Mismatch whole_but_wrong(const SectorId& expected, const SectorId& found) {
    const Wrong wrong = classify(expected, found);
    const std::string text = "that of " + describe(found, wrong == Wrong::other_run);
    return {expected.offset, wrong, first_line(expected.offset, wrong, expected, text)};
}

Mismatch damaged(const SectorId& expected, const Sector& wanted, const Sector& found) {
    std::array<unsigned char, kSectorBytes> wanted_bytes;
    std::array<unsigned char, kSectorBytes> found_bytes;
    std::memcpy(wanted_bytes.data(), wanted.data(), kSectorBytes);
    std::memcpy(found_bytes.data(), found.data(), kSectorBytes);

    std::size_t first = kSectorBytes;
    std::size_t differing = 0;
    for (std::size_t i = 0; i < kSectorBytes; ++i) {
        if (wanted_bytes[i] == found_bytes[i])
            continue;
        first = std::min(first, i);
        ++differing;
    }
    const bool zeros =
        std::all_of(found.begin(), found.end(), [](std::uint64_t word) { return word == 0; });
    std::array<char, 96> text;
    if (zeros)
        std::snprintf(text.data(), text.size(), "zeros");
    else
        std::snprintf(text.data(), text.size(),
                      "byte 0x%02x instead of 0x%02x there, %zu of 512 bytes differ",
                      found_bytes[first], wanted_bytes[first], differing);
    const std::uint64_t offset = expected.offset + first;
    return {offset, Wrong::damaged, first_line(offset, Wrong::damaged, expected, text.data())};
}

}  // namespace

const char* wrong_name(Wrong wrong) noexcept {
    switch (wrong) {
    case Wrong::damaged:
        return "damaged";
    case Wrong::other_run:
        return "of another run";
    case Wrong::misplaced:
        return "misplaced";
    case Wrong::stale:
        return "stale";
    case Wrong::newer:
        return "newer than due";
    }
    return "wrong";
}

void fill_pattern(void* data, std::size_t bytes, std::uint64_t offset, std::uint64_t generation,
                  std::uint64_t seed) noexcept {
    Sector sector;
    for (std::size_t done = 0; done < bytes; done += kSectorBytes) {
        fill_sector(sector, {seed, offset + done, generation});
        std::memcpy(static_cast<unsigned char*>(data) + done, sector.data(), kSectorBytes);
    }
}

std::optional<Mismatch> check_pattern(const void* data, std::size_t bytes, std::uint64_t offset,
                                      std::uint64_t generation, std::uint64_t seed) {
    Sector wanted;
    Sector found;
    for (std::size_t done = 0; done < bytes; done += kSectorBytes) {
        const SectorId expected{seed, offset + done, generation};
        fill_sector(wanted, expected);
        std::memcpy(found.data(), static_cast<const unsigned char*>(data) + done, kSectorBytes);
        if (found == wanted)
            continue;
        if (const auto id = id_of_whole_sector(found))
            return whole_but_wrong(expected, *id);
        return damaged(expected, wanted, found);
    }
    return std::nullopt;
}

}  // namespace bench
