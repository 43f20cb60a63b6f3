// SPDX-License-Identifier: MIT
//
// Goal: the seed project's own test: 1000 pairs of a write and a read of 4 KiB at random places, by
// direct I/O, with a digest over all of them.
// Method: each pair has a block of its own. The callback of its write submits its read, the
// callback of the read compares; in the end the digest of what was written must be the digest of
// the file.

#include "tests/support/support.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::size_t kPairs = 1000;
constexpr std::size_t kBlock = 4096;
constexpr std::size_t kFileBlocks = 4096;

struct Run {
    test::Context* io = nullptr;
    int fd = -1;
    test::Latch done{kPairs};
    std::atomic<std::uint64_t> wrong{0};
};

struct Pair {
    Run* run;
    unsigned char* out;
    unsigned char* in;
    bool reads = false;

    void operator()(IOEvent<Pair>& event) noexcept {
        const Result result = event.outcome();
        if (!result.ok() || result.bytes() != kBlock) {
            run->wrong.fetch_add(1);
            run->done.count_down();
            return;
        }
        if (!reads) {
            reads = true;
            event.prepare_read(run->fd, in, kBlock, event.offset);
            if (run->io->submit(event))
                return;
            run->wrong.fetch_add(1);
        } else if (std::memcmp(in, out, kBlock) != 0) {
            run->wrong.fetch_add(1);
        }
        run->done.count_down();
    }
};

// Distinct blocks in random order.
std::vector<std::size_t> choose_blocks(test::Random& random) {
    std::vector<std::size_t> blocks(kFileBlocks);
    for (std::size_t i = 0; i < kFileBlocks; ++i)
        blocks[i] = i;
    for (std::size_t i = 0; i < kPairs; ++i)
        std::swap(blocks[i], blocks[i + random.below(kFileBlocks - i)]);
    blocks.resize(kPairs);
    return blocks;
}

void replay(Backend backend, std::uint32_t depth) {
    const std::uint64_t seed = test::announced_seed("write/read pairs");
    test::Random random(seed);
    test::TempFile file(kFileBlocks * kBlock);
    if (!file.direct())
        SKIP_TEST(test::TempFile::file_system() + " does not take O_DIRECT; set IOENGINE_TEST_DIR");
    const std::vector<std::size_t> blocks = choose_blocks(random);
    auto out = AlignedBuffer::create(kPairs * kBlock);
    auto in = AlignedBuffer::create(kPairs * kBlock);
    REQUIRE(out);
    REQUIRE(in);
    test::fill_pattern(out->data(), out->size(), random.next());
    const std::uint64_t written = test::digest(out->data(), out->size());

    Run run;
    std::vector<std::unique_ptr<IOEvent<Pair>>> pairs;
    auto io = test::make_context(backend, depth);
    run.io = &io;
    run.fd = file.direct_fd();
    for (std::size_t i = 0; i < kPairs; ++i) {
        pairs.push_back(std::make_unique<IOEvent<Pair>>(
            Pair{&run, out->data() + i * kBlock, in->data() + i * kBlock}));
        pairs.back()->prepare_write(run.fd, out->data() + i * kBlock, kBlock, blocks[i] * kBlock);
        REQUIRE(io.submit_wait(*pairs.back()));
    }
    run.done.wait();
    REQUIRE(run.wrong == 0);
    const ShutdownReport report = io.shutdown();
    REQUIRE(report.clean);
    REQUIRE(report.completed == 2 * kPairs);

    REQUIRE(test::digest(in->data(), in->size()) == written);
    std::uint64_t stored = test::kDigestStart;
    std::vector<unsigned char> block(kBlock);
    for (const std::size_t number : blocks) {
        file.get(block.data(), kBlock, number * kBlock);
        stored = test::digest(block.data(), kBlock, stored);
    }
    REQUIRE(stored == written);
}

}  // namespace

TEST_EACH_BACKEND("1000 random direct write/read pairs keep their digest at depth 2",
                  "[seed][B1][B2]") {
    replay(backend, 2);
}

TEST_EACH_BACKEND("1000 random direct write/read pairs keep their digest at depth 128",
                  "[seed][B1][B2]") {
    replay(backend, 128);
}
