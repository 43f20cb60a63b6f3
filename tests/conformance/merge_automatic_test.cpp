// SPDX-License-Identifier: MIT
//
// Goal: with Options::merge neighbours that wait together go to the kernel as one, and nobody sees
// it but stats().
// Method: requests held back behind a plug, groups, many threads; refusals by the kernel.

#include "tests/support/merging.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

using namespace ioengine;

namespace {

using test::Blocks;
using test::kBlock;
using test::make_merging;
using test::MergeEvents;

constexpr std::size_t kPiece = 1024;

}  // namespace

TEST_EACH_BACKEND("neighbours that wait together go as one, others in between do not",
                  "[merge][E1][E7]") {
    Blocks blocks(64);
    test::SlotFillers fillers;
    MergeEvents events(blocks.count);
    auto io = make_merging(backend, 2, 16 * kBlock);
    REQUIRE(test::in_force(io, "merging"));
    std::memset(blocks.memory.data(), 0, blocks.memory.size());
    std::uint64_t expected = 0;
    {
        test::Plug plug(io);
        fillers.fill(io);
        // 0..39 in order, then every second.
        std::vector<std::size_t> order;
        for (std::size_t i = 0; i < 40; ++i)
            order.push_back(i);
        for (std::size_t i = 41; i < 64; i += 2)
            order.push_back(i);
        for (std::size_t i = 40; i < 64; i += 2)
            order.push_back(i);
        expected = 15 + 15 + 7;
        for (const std::size_t i : order) {
            events[i].prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
            events.submit_to(io, i);
        }
    }
    events.finish(io);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE((events.tracker.result(i).raw() == kBlock && blocks.right(i)));
    REQUIRE(io.stats().merged == expected);
    REQUIRE(io.stats().free_slots == 2);
}

TEST_EACH_BACKEND("without Options::merge nothing is merged by itself", "[merge]") {
    Blocks blocks(32);
    test::SlotFillers fillers;
    MergeEvents events(blocks.count);
    auto io = test::make_context(backend, 2);
    REQUIRE_FALSE(test::in_force(io, "merging"));
    {
        test::Plug plug(io);
        fillers.fill(io);
        for (std::size_t i = 0; i < blocks.count; ++i) {
            events[i].prepare_read(blocks.file.fd(), blocks.at(i), kBlock, i * kBlock);
            events.submit_to(io, i);
        }
    }
    events.finish(io);
    REQUIRE(io.stats().merged == 0);
}

TEST_EACH_BACKEND("a group's reads are merged where they lie side by side", "[merge][wait]") {
    Blocks blocks(64);
    auto io = make_merging(backend, 4);
    for (int round = 0; round < 20; ++round) {
        std::memset(blocks.memory.data(), 0, blocks.memory.size());
        Group group(io);
        for (std::size_t i = 0; i < blocks.count; ++i)
            REQUIRE(group.read(blocks.file.direct_fd(), {blocks.at(i), kBlock}, i * kBlock));
        REQUIRE(group.wait() == ErrorCode::none);
        REQUIRE(group.outcome().bytes() == blocks.count * kBlock);
        for (std::size_t i = 0; i < blocks.count; ++i)
            REQUIRE(blocks.right(i));
    }
    REQUIRE(io.stats().merged > 0);
}

TEST_EVERY_BACKEND("an offset that means nothing to a flush or a no-op harms nobody", "[merge]") {
    for (const bool merge : {false, true}) {
        Options options;
        options.merge = merge;
        auto io = test::make_context(backend, options);
        for (int i = 0; i < 3; ++i) {
            Request request;
            request.prepare_nop();
            request.offset = UINT64_MAX;
            REQUIRE(io.perform(request));
            request.prepare_fsync(test::kClosedFd);
            request.offset = UINT64_MAX;
            REQUIRE(io.perform(request));
        }
    }
}

TEST_EACH_BACKEND("reads and writes of many threads, merged as they come, are all right",
                  "[merge]") {
    constexpr std::size_t kThreads = 4;
    constexpr std::size_t kEach = 256;
    constexpr std::size_t kCount = kThreads * kEach;
    test::TempFile file(kCount * kPiece);
    std::vector<unsigned char> out(kCount * kPiece);
    std::vector<unsigned char> in(kCount * kPiece);
    test::fill_pattern(out.data(), out.size(), 3);
    for (const std::uint32_t depth : {1u, 4u, 64u}) {
        MergeEvents writes(kCount);
        MergeEvents reads(kCount);
        std::fill(in.begin(), in.end(), 0);
        auto io = make_merging(backend, depth, 8 * kPiece);
        test::in_threads(kThreads, kEach, [&](std::size_t i) {
            writes[i].prepare_write(file.fd(), &out[i * kPiece], kPiece, i * kPiece);
            writes.tracker.submitted(i, io.submit_wait(writes[i]));
        });
        writes.finish(io);
        test::in_threads(kThreads, kEach, [&](std::size_t i) {
            reads[i].prepare_read(file.fd(), &in[i * kPiece], kPiece, i * kPiece);
            reads.tracker.submitted(i, io.submit_wait(reads[i]));
        });
        reads.finish(io);
        REQUIRE(in == out);
        REQUIRE(io.shutdown().clean);
        REQUIRE(io.stats().completed == 2 * kCount);
        REQUIRE(io.stats().bytes_read == out.size());
    }
}
