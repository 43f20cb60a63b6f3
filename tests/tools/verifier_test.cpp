// SPDX-License-Identifier: MIT
//
// Goal: --verify finds what an engine could do wrong, and complains of nothing else.
// Method: play the engine against a Verifier over a real file, honestly or with one planted fault.
#include "tests/support/support.hpp"

#include "tools/bench/failure.hpp"
#include "tools/bench/verifier.hpp"
#include "tools/bench/walk.hpp"

#include <string>
#include <unistd.h>
#include <vector>

namespace {

using bench::Verifier;

constexpr std::size_t kBlockBytes = 4096;
constexpr std::uint64_t kBlocks = 16;
constexpr std::uint64_t kSeed = 99;

// A file as --verify lays it out, and a buffer, with the moves of an honest engine.
struct Played {
    Played() : file(kBlocks * kBlockBytes), verifier(kBlocks, kBlockBytes, kSeed) {
        for (std::uint64_t block = 0; block < kBlocks; ++block) {
            verifier.fill_first(buffer.data(), block);
            file.put(buffer.data(), kBlockBytes, block * kBlockBytes);
        }
    }
    void write(std::uint64_t wanted) {
        const std::uint64_t block = verifier.begin(wanted, true, buffer.data());
        file.put(buffer.data(), kBlockBytes, block * kBlockBytes);
        REQUIRE(verifier.finish(block, true, true, buffer.data()));
    }
    bool read(std::uint64_t wanted) {
        const std::uint64_t block = verifier.begin(wanted, false, buffer.data());
        file.get(buffer.data(), kBlockBytes, block * kBlockBytes);
        return verifier.finish(block, false, true, buffer.data());
    }

    test::TempFile file;
    Verifier verifier;
    std::vector<unsigned char> buffer = std::vector<unsigned char>(kBlockBytes);
};

bool names_offset(const Verifier& verifier, std::uint64_t offset) {
    return verifier.first_mismatch().find("at offset " + std::to_string(offset) + " ") !=
           std::string::npos;
}

}  // namespace

TEST_CASE("an honest engine passes, and each read counts one verified block") {
    Played played;
    bench::Random random(1);
    std::uint64_t reads = 0;
    for (int i = 0; i < 500; ++i) {
        const std::uint64_t block = random.below(kBlocks);
        if (random.below(2) == 0) {
            played.write(block);
        } else {
            REQUIRE(played.read(block));
            ++reads;
        }
    }
    CHECK(played.verifier.verified_blocks() == reads);
    played.verifier.check_everything(played.file.fd());
    CHECK(played.verifier.verified_blocks() == reads + kBlocks);
    CHECK_FALSE(played.verifier.failed());
}

TEST_CASE("a byte that changes in the file is found by a read, at its offset") {
    Played played;
    const std::uint64_t offset = 5 * kBlockBytes + 1234;
    unsigned char byte = 0;
    played.file.get(&byte, 1, offset);
    byte ^= 0xff;
    played.file.put(&byte, 1, offset);
    CHECK_FALSE(played.read(5));
    CHECK(played.verifier.failed());
    CHECK(names_offset(played.verifier, offset));
}

TEST_CASE("a byte that changes in the file is found by the final reading, at its offset") {
    Played played;
    const std::uint64_t offset = 11 * kBlockBytes + 4095;
    unsigned char byte = 0;
    played.file.get(&byte, 1, offset);
    byte ^= 0x01;
    played.file.put(&byte, 1, offset);
    played.verifier.check_everything(played.file.fd());
    CHECK(played.verifier.failed());
    CHECK(names_offset(played.verifier, offset));
}

TEST_CASE("a write that was acknowledged and never made is found as stale") {
    Played played;
    const std::uint64_t block = played.verifier.begin(3, true, played.buffer.data());
    REQUIRE(played.verifier.finish(block, true, true, played.buffer.data()));
    CHECK_FALSE(played.read(3));
    CHECK(names_offset(played.verifier, 3 * kBlockBytes));
    CHECK(played.verifier.first_mismatch().find("stale") != std::string::npos);
}

TEST_CASE("a write that went to the neighbour is found at both places") {
    for (const std::uint64_t look_at : {3U, 4U}) {
        Played played;
        const std::uint64_t block = played.verifier.begin(3, true, played.buffer.data());
        played.file.put(played.buffer.data(), kBlockBytes, (block + 1) * kBlockBytes);
        REQUIRE(played.verifier.finish(block, true, true, played.buffer.data()));
        CHECK_FALSE(played.read(look_at));
        CHECK(names_offset(played.verifier, look_at * kBlockBytes));
    }
}

TEST_CASE("a read that says it moved the bytes and did not is found") {
    Played played;
    REQUIRE(played.read(6));  // leaves the right bytes in the buffer
    const std::uint64_t block = played.verifier.begin(6, false, played.buffer.data());
    CHECK_FALSE(played.verifier.finish(block, false, true, played.buffer.data()));
}

TEST_CASE("a block whose write failed is not checked until it has been written again") {
    Played played;
    const std::uint64_t block = played.verifier.begin(2, true, played.buffer.data());
    REQUIRE(played.verifier.finish(block, true, false, played.buffer.data()));
    CHECK(played.read(2));
    CHECK(played.verifier.verified_blocks() == 0);
    played.write(2);
    CHECK(played.read(2));
    CHECK(played.verifier.verified_blocks() == 1);
}

TEST_CASE("a failed read is no wrong data") {
    Played played;
    const std::uint64_t block = played.verifier.begin(2, false, played.buffer.data());
    CHECK(played.verifier.finish(block, false, false, played.buffer.data()));
    CHECK_FALSE(played.verifier.failed());
}

TEST_CASE("a block in use is not given to a second request") {
    Verifier verifier(kBlocks, kBlockBytes, kSeed);
    std::vector<unsigned char> buffer(kBlockBytes);
    std::vector<bool> taken(kBlocks);
    for (std::uint64_t i = 0; i < kBlocks - 1; ++i) {
        const std::uint64_t block = verifier.begin(kBlocks - 1, i % 2 == 0, buffer.data());
        REQUIRE(block < kBlocks);
        REQUIRE_FALSE(taken[block]);
        taken[block] = true;
    }
}

TEST_CASE("a target that became shorter is reported by the final reading") {
    Played played;
    REQUIRE(ftruncate(played.file.fd(), 9 * kBlockBytes) == 0);
    try {
        played.verifier.check_everything(played.file.fd());
        FAIL("the final reading accepted a shortened file");
    } catch (const bench::Failure& failure) {
        CHECK(failure.code() == bench::kExitWrong);
        CHECK(std::string(failure.what()).find(std::to_string(9 * kBlockBytes)) !=
              std::string::npos);
    }
}
