// SPDX-License-Identifier: MIT
//
// Goal: what a file system does wrong reaches the request that it befell, as it is, and no other.
// Method: a real file system in a process of its own (fault_fs.cpp), so that every failure comes
// through the kernel; the engine as users have it.

#include "tests/devices/devices.hpp"
#include "tests/devices/fault_fs.hpp"
#include "tests/support/merging.hpp"
#include "tests/support/support.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;
using fault_fs::kBadBlock;
using fault_fs::kBlock;
using fault_fs::kBlocks;
using fault_fs::kFileBytes;

namespace {

// Mounted when the first test needs it, until the program ends.
const devices::FaultFs& fault_files() {
    static const devices::FaultFs mounted;
    if (!mounted.valid())
        SKIP_TEST(mounted.why_not());
    return mounted;
}

test::Fd open_file(const char* name) {
    test::Fd file = fault_files().open(name, O_RDWR);
    REQUIRE(file.valid());
    return file;
}

bool is_content(const unsigned char* data, std::size_t bytes, std::uint64_t offset) {
    for (std::size_t i = 0; i < bytes; ++i)
        if (data[i] != fault_fs::byte_at(offset + i))
            return false;
    return true;
}

// Reads of every block of a file.
struct AllBlocks {
    explicit AllBlocks(int file) : memory(kFileBytes), events(kBlocks) {
        for (std::size_t i = 0; i < kBlocks; ++i)
            events[i].prepare_read(file, memory.data() + i * kBlock, kBlock, i * kBlock);
    }
    bool is_right(std::size_t i) const {
        return events.tracker.result(i).raw() == static_cast<std::int64_t>(kBlock) &&
               is_content(memory.data() + i * kBlock, kBlock, i * kBlock);
    }
    // Every block but this one.
    bool others_are_right(std::size_t but) const {
        for (std::size_t i = 0; i < kBlocks; ++i)
            if (i != but && !is_right(i))
                return false;
        return true;
    }

    std::vector<unsigned char> memory;
    test::MergeEvents events;
};

}  // namespace

TEST_EACH_BACKEND("a bad sector is the error of its own request, alone or merged",
                  "[devices][fuse][E10][scenario-11]") {
    for (const auto& [name, error] :
         {std::pair{"bad-sector", EIO}, std::pair{"no-data", ENODATA}}) {
        for (const bool merged : {false, true}) {
            INFO(name << (merged ? ", merged" : ""));
            const test::Fd file = open_file(name);
            AllBlocks blocks(file.get());
            auto io = test::make_context(backend, 8);
            blocks.events.run(io, merged);
            REQUIRE(blocks.events.tracker.result(kBadBlock).error() == error);
            REQUIRE(blocks.others_are_right(kBadBlock));
            REQUIRE(io.stats().merges_broken == (merged ? 1 : 0));
        }
    }
}

TEST_EACH_BACKEND("a file system's short reads are carried on to the last byte",
                  "[devices][fuse][F6][defect-3]") {
    const test::Fd file = open_file("short");
    std::vector<unsigned char> in(kFileBytes);
    auto io = test::make_context(backend, 4);
    for (const std::size_t bytes :
         {std::size_t{999}, std::size_t{1000}, std::size_t{1001}, 4 * kBlock + 1, kFileBytes}) {
        std::fill(in.begin(), in.end(), static_cast<unsigned char>(0));
        const Result result = test::result_of(
            io, [&](Request& r) { r.prepare_read(file.get(), in.data(), bytes, 0); });
        REQUIRE(result.ok());
        REQUIRE(result.bytes() == bytes);
        REQUIRE(is_content(in.data(), bytes, 0));
    }
    AllBlocks blocks(file.get());
    blocks.events.run(io, true);
    REQUIRE(blocks.others_are_right(kBlocks));
}

TEST_EACH_BACKEND("a file that gives nothing where it should have bytes ends there",
                  "[devices][fuse][F7][scenario-2]") {
    const test::Fd file = open_file("empty");
    std::vector<unsigned char> in(4 * kBlock);
    auto io = test::make_context(backend, 4);
    const auto read = [&](std::size_t block, std::size_t blocks) {
        return test::result_of(io, [&](Request& r) {
            r.prepare_read(file.get(), in.data(), blocks * kBlock, block * kBlock);
        });
    };
    const Result nothing = read(kBadBlock, 1);
    REQUIRE(nothing.ok());
    REQUIRE(nothing.bytes() == 0);
    // Nothing in answer to that was taken for the exit signal.
    const Result before = read(kBadBlock - 2, 2);
    REQUIRE(before.bytes() == 2 * kBlock);
    REQUIRE(is_content(in.data(), 2 * kBlock, (kBadBlock - 2) * kBlock));
    REQUIRE(io.shutdown().clean);
}

TEST_EACH_BACKEND("a write without space is its own error, and is not tried again",
                  "[devices][fuse][scenario-13]") {
    const test::Fd file = open_file("full");
    const std::vector<unsigned char> out(2 * kBlock, 0x5A);
    auto io = test::make_context(backend, 4);
    const auto write = [&](std::size_t block) {
        return test::result_of(io, [&](Request& r) {
            r.prepare_write(file.get(), out.data(), kBlock, block * kBlock);
        });
    };
    REQUIRE(write(kBadBlock - 1).bytes() == kBlock);
    REQUIRE(write(kBadBlock).error() == ENOSPC);
    REQUIRE(write(kBadBlock - 1).bytes() == kBlock);
}

TEST_EACH_BACKEND("an fsync that fails is told once, and the next one is its own",
                  "[devices][fuse][B3][scenario-13]") {
    const test::Fd file = open_file("unsynced");
    const std::vector<unsigned char> out(kBlock, 0x5A);
    auto io = test::make_context(backend, 4);
    const auto flush = [&](bool data_only) {
        return test::result_of(io, [&](Request& r) {
            data_only ? r.prepare_fdatasync(file.get()) : r.prepare_fsync(file.get());
        });
    };
    for (const bool data_only : {false, true}) {
        REQUIRE(test::result_of(io, [&](Request& r) {
                    r.prepare_write(file.get(), out.data(), kBlock, 0);
                }).bytes() == kBlock);
        REQUIRE(flush(data_only).error() == EIO);
        REQUIRE(flush(data_only).ok());
    }
}

TEST_EACH_BACKEND(
    "with an early result a read is told at its deadline, though the file system does "
    "not answer, and released when it has",
    "[devices][fuse][deadline][lease][H12]") {
    // Directly: or the submit call itself would wait for the answer, on AIO.
    const test::Fd file = fault_files().open("held", O_RDONLY | O_DIRECT);
    const test::Fd release = open_file("release");
    REQUIRE(file.valid());
    const char byte = 0;
    const auto let_go = [&] { REQUIRE(::pwrite(release.get(), &byte, 1, 0) == 1); };
    bool reached = false;
    for (auto limit = 20ms; !reached; limit *= 4) {
        auto memory = AlignedBuffer::create(kBlock);
        REQUIRE(memory);
        test::LeasedEvent event;
        auto io = test::make_context(backend, 2);
        event.prepare_read(file.get(), memory->data(), kBlock, 0);
        reached = test::is_told_in_kernel(io, event, limit);
        if (reached) {
            std::this_thread::sleep_for(20ms);
            REQUIRE_FALSE(event.callback.released.open());
        }
        // Again and again: it may not have come to the file system yet.
        test::wait_until(
            [&] {
                let_go();
                return event.callback.released.open();
            },
            "waiting for a buffer");
        REQUIRE(event.callback.at_release.error() == ETIMEDOUT);
        REQUIRE((!reached || is_content(memory->data(), kBlock, 0)));
        test::settle(io);
        REQUIRE(io.stats().timed_out == 1);
        REQUIRE(io.shutdown().clean);
    }
}

TEST_EACH_BACKEND("a deadline on a file system that does not answer: what waits is cancelled, the "
                  "rest is told in the end",
                  "[devices][fuse][shutdown][deadline][scenario-20]") {
    const test::Fd file = open_file("held");
    const test::Fd release = open_file("release");
    AllBlocks blocks(file.get());
    auto io = test::make_context(backend, 4);
    blocks.events.submit_all(io);
    REQUIRE_FALSE(io.shutdown(30ms).clean);
    // Again and again: what the kernel holds may come to the file system one after the other.
    const char byte = 0;
    do
        REQUIRE(::pwrite(release.get(), &byte, 1, 0) == 1);
    while (!io.shutdown(30ms).clean);
    const auto is_right = [&](std::size_t i) { return blocks.is_right(i); };
    REQUIRE(blocks.events.count_cancelled(is_right) >= kBlocks - 4);
}
