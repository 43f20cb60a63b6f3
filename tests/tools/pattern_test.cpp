// SPDX-License-Identifier: MIT
//
// Goal: whatever happens to a verified block, the bench says what and where.
// Method: fill a block, plant one defect, check the offset, the kind and the words of the report.
#include "tests/support/support.hpp"

#include "tools/bench/pattern.hpp"

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace {

using bench::check_pattern;
using bench::fill_pattern;
using bench::kSectorBytes;
using bench::Mismatch;
using bench::Wrong;

constexpr std::size_t kBlock = 4096;
constexpr std::uint64_t kOffset = 7 * kBlock;
constexpr std::uint64_t kGeneration = 3;
constexpr std::uint64_t kSeed = 0x1234567890abcdefU;

using Block = std::vector<unsigned char>;

Block filled(std::uint64_t offset = kOffset, std::uint64_t generation = kGeneration,
             std::uint64_t seed = kSeed) {
    Block block(kBlock);
    fill_pattern(block.data(), block.size(), offset, generation, seed);
    return block;
}

std::optional<Mismatch> check(const Block& block) {
    return check_pattern(block.data(), block.size(), kOffset, kGeneration, kSeed);
}

void copy_sector(Block& to, std::size_t to_sector, const Block& from, std::size_t from_sector) {
    std::memcpy(to.data() + to_sector * kSectorBytes, from.data() + from_sector * kSectorBytes,
                kSectorBytes);
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a block checks out against the place, generation and seed it was filled for") {
    CHECK_FALSE(check(filled()));
}

TEST_CASE("every single flipped bit is reported at the offset of its byte") {
    for (std::size_t byte = 0; byte < kBlock; ++byte) {
        Block block = filled();
        block[byte] ^= static_cast<unsigned char>(1U << (byte % 8));
        const auto mismatch = check(block);
        REQUIRE(mismatch);
        REQUIRE(mismatch->offset == kOffset + byte);
        REQUIRE(mismatch->wrong == Wrong::damaged);
        REQUIRE(contains(mismatch->text, "offset " + std::to_string(kOffset + byte)));
    }
}

TEST_CASE("two swapped sectors are reported as misplaced, with both offsets") {
    Block block = filled();
    const Block original = block;
    copy_sector(block, 2, original, 5);
    copy_sector(block, 5, original, 2);
    const auto mismatch = check(block);
    REQUIRE(mismatch);
    CHECK(mismatch->wrong == Wrong::misplaced);
    CHECK(mismatch->offset == kOffset + 2 * kSectorBytes);
    CHECK(contains(mismatch->text,
                   "expected the sector of offset " + std::to_string(kOffset + 2 * kSectorBytes)));
    CHECK(contains(mismatch->text,
                   "found that of offset " + std::to_string(kOffset + 5 * kSectorBytes)));
}

TEST_CASE("a whole block from elsewhere is reported as misplaced at its first sector") {
    const auto mismatch = check(filled(kOffset + 10 * kBlock));
    REQUIRE(mismatch);
    CHECK(mismatch->wrong == Wrong::misplaced);
    CHECK(mismatch->offset == kOffset);
}

TEST_CASE("an older generation is reported as stale, with both generations") {
    const auto mismatch = check(filled(kOffset, kGeneration - 1));
    REQUIRE(mismatch);
    CHECK(mismatch->wrong == Wrong::stale);
    CHECK(mismatch->offset == kOffset);
    CHECK(contains(mismatch->text, "generation 3"));
    CHECK(contains(mismatch->text, "generation 2"));
}

TEST_CASE("a generation that is not yet due is reported as newer") {
    const auto mismatch = check(filled(kOffset, kGeneration + 1));
    REQUIRE(mismatch);
    CHECK(mismatch->wrong == Wrong::newer);
}

TEST_CASE("a write torn between sectors is reported as stale at the first old sector") {
    Block block = filled();
    const Block before = filled(kOffset, kGeneration - 1);
    for (std::size_t sector = 3; sector < kBlock / kSectorBytes; ++sector)
        copy_sector(block, sector, before, sector);
    const auto mismatch = check(block);
    REQUIRE(mismatch);
    CHECK(mismatch->wrong == Wrong::stale);
    CHECK(mismatch->offset == kOffset + 3 * kSectorBytes);
}

TEST_CASE("a write torn within a sector is reported as damaged where the old bytes begin") {
    Block block = filled();
    const Block before = filled(kOffset, kGeneration - 1);
    const std::size_t torn_at = 3 * kSectorBytes + 200;
    std::memcpy(block.data() + torn_at, before.data() + torn_at, kBlock - torn_at);
    const auto mismatch = check(block);
    REQUIRE(mismatch);
    CHECK(mismatch->wrong == Wrong::damaged);
    // The first old byte may by chance equal the new one, so within a word of the border.
    CHECK(mismatch->offset >= kOffset + torn_at);
    CHECK(mismatch->offset < kOffset + torn_at + sizeof(std::uint64_t));
}

TEST_CASE("a block of another run is reported with both seeds") {
    const auto mismatch = check(filled(kOffset, kGeneration, kSeed + 1));
    REQUIRE(mismatch);
    CHECK(mismatch->wrong == Wrong::other_run);
    CHECK(contains(mismatch->text, "1234567890abcdef"));
    CHECK(contains(mismatch->text, "1234567890abcdf0"));
}

TEST_CASE("zeros where a block should be are called zeros") {
    Block block = filled();
    std::memset(block.data() + kSectorBytes, 0, kSectorBytes);
    const auto mismatch = check(block);
    REQUIRE(mismatch);
    CHECK(mismatch->wrong == Wrong::damaged);
    CHECK(contains(mismatch->text, "zeros"));
}

TEST_CASE("no two sectors of a file carry the same filler") {
    // A misplaced filler under the right header must not go unnoticed either.
    const Block one = filled(0);
    const Block other = filled(kBlock);
    constexpr std::size_t kHeaderBytes = 4 * sizeof(std::uint64_t);
    for (std::size_t sector = 0; sector < kBlock / kSectorBytes; ++sector) {
        const std::size_t at = sector * kSectorBytes + kHeaderBytes;
        CHECK(std::memcmp(one.data() + at, other.data() + at, kSectorBytes - kHeaderBytes) != 0);
    }
}
