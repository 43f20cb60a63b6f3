// SPDX-License-Identifier: MIT
//
// Goal: what IOMergeSubmitter gathers goes to the kernel as one, and each hears what it would have
// heard alone: its own bytes, its own end of file.
// Method: files with patterns, compared block by block and by sha256sum; how many went along is
// what stats() counts. Failures in the middle of a transfer: tests/fault/merge_test.cpp.

#include "tests/support/merging.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace ioengine;

namespace {

using test::Blocks;
using test::kBlock;
using test::MergeEvents;

constexpr std::size_t kPiece = 1024;

// The first word of what sha256sum says of an open file.
std::string sha256_of(int fd) {
    const std::string command =
        "sha256sum < /proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd);
    FILE* const pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::array<char, 65> word{};
    const std::size_t got = std::fread(word.data(), 1, 64, pipe);
    REQUIRE(::pclose(pipe) == 0);
    REQUIRE(got == 64);
    return word.data();
}

}  // namespace

TEST_EACH_BACKEND("merged reads each get exactly their bytes, buffered and direct",
                  "[merge][E7][E8]") {
    Blocks blocks(64);
    auto io = test::make_context(backend, 8);
    for (const int fd : {blocks.file.fd(), blocks.file.direct_fd()}) {
        MergeEvents events(blocks.count);
        const std::uint64_t merged = io.stats().merged;
        std::memset(blocks.memory.data(), 0, blocks.memory.size());
        {
            IOMergeSubmitter reads(io, fd, IOAction::read, 1 << 20);
            // Memory in another order than the file's: it is not one piece in both.
            for (std::size_t i = 0; i < blocks.count; ++i) {
                events[i].prepare_read(fd, blocks.at(i ^ 1), kBlock, i * kBlock);
                events.add_to(reads, i);
            }
            REQUIRE(reads.flush());
        }
        events.finish(io);
        for (std::size_t i = 0; i < blocks.count; ++i) {
            REQUIRE(events.tracker.result(i).raw() == kBlock);
            REQUIRE(test::has_pattern(blocks.at(i ^ 1), kBlock, i));
        }
        REQUIRE(io.stats().merged - merged == blocks.count - 1);
    }
    REQUIRE(io.stats().merges_broken == 0);
}

TEST_EACH_BACKEND("the limit is on the running sum; a larger one passes alone, in its place",
                  "[merge][E2][E3]") {
    Blocks blocks(16);
    auto io = test::make_context(backend, 8);
    MergeEvents events(12);
    {
        IOMergeSubmitter reads(io, blocks.file.fd(), IOAction::read, 4 * kBlock);
        events.add_reads_to(reads, blocks.file.fd(), blocks.at(0), kBlock, 10);
        REQUIRE(reads.buffer().count() == 2);
        events[10].prepare_read(blocks.file.fd(), blocks.at(10), 5 * kBlock, 10 * kBlock);
        events.add_to(reads, 10);
        REQUIRE(reads.buffer().empty());
        events[11].prepare_read(blocks.file.fd(), blocks.at(15), kBlock, 15 * kBlock);
        events.add_to(reads, 11);
        REQUIRE(reads.buffer().count() == 1);
    }
    events.finish(io);
    REQUIRE(io.stats().merged == 3 + 3 + 1);
    REQUIRE(events.tracker.result(10).raw() == 5 * kBlock);
    for (std::size_t i = 0; i < 12; ++i)
        REQUIRE(events.tracker.result(i).ok());
}

TEST_EACH_BACKEND("a gap hands over what came before it; flush and the end hand over the rest; one "
                  "alone passes unchanged",
                  "[merge][E4][E5][E6]") {
    Blocks blocks(16);
    auto io = test::make_context(backend, 8);
    MergeEvents events(6);
    for (std::size_t i = 0; i < 6; ++i) {
        const std::size_t at = std::array<std::size_t, 6>{0, 1, 5, 6, 9, 3}[i];
        events[i].prepare_read(blocks.file.fd(), blocks.at(at), kBlock, at * kBlock);
    }
    {
        IOMergeSubmitter reads(io, blocks.file.fd(), IOAction::read, 1 << 20);
        events.add_to(reads, 0);
        events.add_to(reads, 1);
        REQUIRE(reads.buffer().count() == 2);
        REQUIRE(io.stats().accepted == 0);
        events.add_to(reads, 2);  // a gap
        REQUIRE(reads.buffer().count() == 1);
        REQUIRE(io.stats().accepted == 2);
        events.add_to(reads, 3);
        REQUIRE(reads.flush());
        REQUIRE(reads.buffer().empty());
        REQUIRE(io.stats().accepted == 4);
        REQUIRE(reads.flush());  // nothing is left
        events.add_to(reads, 4);
        events.add_to(reads, 5);  // lies before it
        REQUIRE(io.stats().accepted == 5);
    }
    REQUIRE(io.stats().accepted == 6);
    events.finish(io);
    REQUIRE(io.stats().merged == 2);
    for (std::size_t i = 0; i < 6; ++i)
        REQUIRE(events.tracker.result(i).raw() == kBlock);
}

TEST_EACH_BACKEND("merged writes of 1 KiB leave the file that single ones would: even, contiguous, "
                  "odd thirds",
                  "[merge][E8]") {
    constexpr std::size_t kCount = 96;
    std::vector<unsigned char> data(kCount * kPiece);
    test::fill_pattern(data.data(), data.size(), 77);
    using Shape = std::vector<std::pair<std::size_t, std::size_t>>;  // offset, bytes
    Shape even;
    Shape contiguous;
    Shape thirds;
    for (std::size_t i = 0; i < kCount; ++i) {
        if (i % 2 == 0)
            even.emplace_back(i * kPiece, kPiece);
        contiguous.emplace_back(i * kPiece, kPiece);
        const std::size_t cut = kPiece / 3;  // 341: odd
        thirds.emplace_back(i * kPiece, cut);
        thirds.emplace_back(i * kPiece + cut, cut);
        if (i % 3 == 1)  // elsewhere a gap
            thirds.emplace_back(i * kPiece + 2 * cut, kPiece - 2 * cut);
    }
    for (const Shape& shape : {even, contiguous, thirds}) {
        test::TempFile expected(data.size());
        for (const auto& [offset, bytes] : shape)
            expected.put(&data[offset], bytes, offset);

        test::TempFile merged(data.size());
        test::TempFile automatic(data.size());
        auto io = test::make_context(backend, 8);
        auto merging = test::make_merging(backend, 8);
        MergeEvents events(shape.size());
        MergeEvents others(shape.size());
        {
            IOMergeSubmitter writes(io, merged.fd(), IOAction::write, 16 * kPiece);
            for (std::size_t i = 0; i < shape.size(); ++i) {
                const auto [offset, bytes] = shape[i];
                events[i].prepare_write(merged.fd(), &data[offset], bytes, offset);
                events.add_to(writes, i);
                others[i].prepare_write(automatic.fd(), &data[offset], bytes, offset);
                others.submit_to(merging, i);
            }
        }
        events.finish(io);
        others.finish(merging);
        for (std::size_t i = 0; i < shape.size(); ++i) {
            REQUIRE(events.tracker.result(i).bytes() == shape[i].second);
            REQUIRE(others.tracker.result(i).bytes() == shape[i].second);
        }
        const std::string digest = sha256_of(expected.fd());
        REQUIRE(sha256_of(merged.fd()) == digest);
        REQUIRE(sha256_of(automatic.fd()) == digest);
        if (shape == even)
            REQUIRE(io.stats().merged == 0);
        if (shape == contiguous)
            REQUIRE(io.stats().merged == kCount - kCount / 16);
    }
}

TEST_EACH_BACKEND("merged reads over the end of the file: whole, short, empty, each as if alone",
                  "[merge][E9][scenario-12]") {
    for (const std::size_t size : {0u, 1u, 4096u, 5000u, 8192u, 12'288u, 16'383u}) {
        INFO(size << " bytes in the file");
        test::TempFile file(size);
        std::vector<unsigned char> content(size);
        test::fill_pattern(content.data(), size, 5);
        file.put(content.data(), size, 0);
        std::vector<unsigned char> memory(4 * kBlock, 0xEE);
        auto io = test::make_context(backend, 2);
        MergeEvents events(4);
        {
            IOMergeSubmitter reads(io, file.fd(), IOAction::read, 1 << 20);
            events.add_reads_to(reads, file.fd(), memory.data(), kBlock, 4);
        }
        events.finish(io);
        for (std::size_t i = 0; i < 4; ++i) {
            const std::size_t left = size > i * kBlock ? size - i * kBlock : 0;
            REQUIRE(events.tracker.result(i).raw() ==
                    static_cast<std::int64_t>(std::min(left, kBlock)));
        }
        REQUIRE(std::equal(content.begin(), content.end(), memory.begin()));
        for (std::size_t i = size; i < memory.size(); ++i)
            REQUIRE(memory[i] == 0xEE);
        // In the last one's midst the end is the end of all: nothing is left to be asked.
        REQUIRE(io.stats().merges_broken == (size > 3 * kBlock ? 0 : 1));
        REQUIRE(io.stats().free_slots == 2);
    }
}

TEST_EACH_BACKEND("flush may send them to another file than they were prepared for",
                  "[merge][E13]") {
    Blocks blocks(4);
    test::TempFile other(4 * kBlock);
    auto io = test::make_context(backend, 4);
    MergeEvents events(4);
    IOMergeSubmitter writes(io, blocks.file.fd(), IOAction::write, 1 << 20);
    std::vector<unsigned char> data(4 * kBlock);
    test::fill_pattern(data.data(), data.size(), 9);
    for (std::size_t i = 0; i < 4; ++i) {
        events[i].prepare_write(blocks.file.fd(), &data[i * kBlock], kBlock, i * kBlock);
        events.add_to(writes, i);
    }
    REQUIRE(writes.flush(other.fd()));
    events.finish(io);
    std::vector<unsigned char> found(4 * kBlock);
    other.get(found.data(), found.size(), 0);
    REQUIRE(found == data);
    blocks.file.get(blocks.memory.data(), blocks.memory.size(), 0);
    for (std::size_t i = 0; i < 4; ++i)
        REQUIRE(blocks.right(i));
}

TEST_EACH_BACKEND("merged requests without callbacks are waited for one by one", "[merge][wait]") {
    Blocks blocks(16);
    auto io = test::make_context(backend, 4);
    std::vector<Request> requests(blocks.count);
    {
        IOMergeSubmitter reads(io, blocks.file.fd(), IOAction::read, 1 << 20);
        std::memset(blocks.memory.data(), 0, blocks.memory.size());
        for (std::size_t i = 0; i < blocks.count; ++i) {
            requests[i].prepare_read(blocks.file.fd(), blocks.at(i), kBlock, i * kBlock);
            REQUIRE(reads.add(requests[i]));
        }
    }
    for (std::size_t i = blocks.count; i-- > 0;) {
        REQUIRE(io.wait(requests[i]) == ErrorCode::none);
        REQUIRE(requests[i].result == kBlock);
        REQUIRE(blocks.right(i));
    }
    REQUIRE(io.stats().merged == blocks.count - 1);
}

TEST_EACH_BACKEND("shutdown past its deadline counts merged requests, and names what is left",
                  "[merge][shutdown]") {
    if (backend == Backend::aio)
        SKIP_TEST("AIO does not merge what waits for a pipe");
    unsigned char memory[8];
    test::Pipe pipe;
    auto io = test::make_context(backend, 4);
    test::PipeEnder ender(pipe);
    MergeEvents events(8);
    {
        IOMergeSubmitter reads(io, pipe.read_end(), IOAction::read, 1 << 20);
        events.add_reads_to(reads, pipe.read_end(), memory, 1, 8);
    }
    test::wait_until([&] { return io.stats().running == 1; },
                     "waiting for a request in the kernel");
    pipe.feed("abc", 3);
    test::wait_until([&] { return events.tracker.notices() == 3; }, "waiting for three of eight");
    test::wait_until(
        [&] {
            return std::string(io.dump().c_str()).find("length 5 (5 requests)") !=
                   std::string::npos;
        },
        "waiting for the other five to go on");
    const ShutdownReport report = io.shutdown(std::chrono::milliseconds(10));
    REQUIRE(report.clean);
    REQUIRE(report.cancelled == 5);
    events.tracker.require_exactly_once();
}

TEST_EACH_BACKEND("dump() names a merged transfer by its whole range", "[merge][visible]") {
    test::require_two_threads();
    Blocks blocks(3);
    auto io = test::make_context(backend, 4);
    MergeEvents events(3);
    {
        test::Plug plug(io);  // the kernel has done it, nobody has seen that
        {
            IOMergeSubmitter reads(io, blocks.file.fd(), IOAction::read, 1 << 20);
            events.add_reads_to(reads, blocks.file.fd(), blocks.at(0), kBlock, 3);
        }
        const auto dump = [&] { return std::string(io.dump().c_str()); };
        test::wait_until(
            [&] { return dump().find("length 12288 (3 requests)") != std::string::npos; },
            "waiting for three requests in one slot");
    }
    events.finish(io);
}

TEST_EACH_BACKEND("requests for a pipe that are to go as one are answered as bytes come",
                  "[merge]") {
    if (backend == Backend::aio)
        test::require_two_threads();
    unsigned char memory[8] = {};
    test::Pipe pipe;
    auto io = test::make_context(backend, 4);
    test::PipeEnder ender(pipe);
    MergeEvents events(8);
    {
        IOMergeSubmitter reads(io, pipe.read_end(), IOAction::read, 1 << 20);
        events.add_reads_to(reads, pipe.read_end(), memory, 1, 8);
    }
    for (std::uint64_t answered = 0; answered < 8; answered += 2) {
        pipe.feed(&"abcdefgh"[answered], 2);
        test::wait_until([&] { return events.tracker.notices() == answered + 2; },
                         "waiting for a byte each");
    }
    events.finish(io);
    REQUIRE(std::memcmp(memory, "abcdefgh", 8) == 0);
}

// Whether a pipe says EAGAIN instead of waiting, when asked to.
static bool takes_nowait(const test::Pipe& empty) {
    char byte = 0;
    const iovec vector{&byte, 1};
    return ::preadv2(empty.read_end(), &vector, 1, -1, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP;
}

// Where a pipe takes no RWF_NOWAIT (Linux 6.1), io_uring hands each write to a worker thread of its
// own, and they race: what leaves us in order says nothing of how it arrives.
TEST_EACH_BACKEND("what comes behind a group for a pipe does not overtake it", "[merge]") {
    char bytes[] = "abcdefgh";
    test::SlotFillers fillers;
    test::Pipe pipe;
    if (backend == Backend::uring && !takes_nowait(pipe))
        SKIP_TEST("io_uring keeps no order on the pipes of this kernel: they take no NOWAIT");
    Options options;
    options.depth = 8;
    options.lending = Lending::none;
    auto io = test::make_context(backend, options);
    MergeEvents events(8);
    {
        test::Plug plug(io);
        fillers.fill(io);
        IOMergeSubmitter writes(io, pipe.write_end(), IOAction::write, 1 << 20);
        for (std::size_t i = 0; i < 7; ++i) {
            events[i].prepare_write(pipe.write_end(), &bytes[i], 1, i);
            events.add_to(writes, i);
        }
        REQUIRE(writes.flush());
        events[7].prepare_write(pipe.write_end(), &bytes[7], 1, 0);
        events.submit_to(io, 7);
    }
    events.finish(io);
    char found[8];
    REQUIRE(::read(pipe.read_end(), found, sizeof found) == 8);
    REQUIRE(std::string(found, 8) == "abcdefgh");
}
