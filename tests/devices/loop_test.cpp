// SPDX-License-Identifier: MIT
//
// Goal: a block device that fails, is full, or is slow: each request hears its own fate, once.
// Method: loop devices. One over a file that was cut short has no sectors behind the cut; one over
// a sparse file on a full file system has no room for what is written; one with a limit on its
// operations per second is a slow disk.

#include "tests/devices/devices.hpp"
#include "tests/devices/transfers.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;
using devices::kBlocks;
using devices::Transfers;
using test::kBlock;

namespace {

void require_valid(const devices::LoopDevice& device) {
    if (!device.valid())
        SKIP_TEST("no loop device can be had: " + device.why_not());
}

bool failed_for_want_of_a_sector(Result result) {
    return result.error() == EIO;
}
// The device says so in its own way; see errno_to_blk_status() in block/blk-core.c.
bool failed_for_want_of_space(Result result) {
    return result.error() == ENOSPC || result.error() == EIO;
}

// Of a patterned file of kBlocks blocks, what is left after a cut in the middle.
//
// Direct, because a device that reads through the page cache answers a read over the end of its
// file with zeros all over and calls it whole (lo_read_simple() in drivers/block/loop.c; seen
// on 6.1, no more on 6.18).
struct CutDevice {
    CutDevice() : blocks(kBlocks), device(blocks.file.fd()) {
        require_valid(device);
        if (const int error = device.go_direct(); error != 0)
            SKIP_TEST("a loop device over this file system takes no direct I/O: errno " +
                      std::to_string(-error));
        REQUIRE(::ftruncate(blocks.file.fd(), kBlocks / 2 * kBlock) == 0);
    }

    test::Blocks blocks;
    devices::LoopDevice device;
};

// A disk of kBlocks blocks with room for half of them.
struct FullDevice {
    explicit FullDevice(int flags) : device(make_backing()), fd(device.open(flags)) {
        require_valid(device);
        REQUIRE(fd.valid());
        REQUIRE(device.keep_apart() == 0);
    }
    int make_backing() {
        backing = test::open_on_small_file_system(kBlocks / 2 * kBlock);
        if (!backing.valid())
            SKIP_TEST("no file system can be mounted here");
        REQUIRE(::ftruncate(backing.get(), kBlocks * kBlock) == 0);
        return backing.get();
    }

    test::Fd backing;
    devices::LoopDevice device;
    test::Fd fd;
};

}  // namespace

TEST_EACH_BACKEND("what lies behind the cut of a device fails alone, merged or not",
                  "[devices][loop][E10][scenario-11]") {
    for (const bool merged : {false, true}) {
        const CutDevice cut;
        const test::Fd fd = cut.device.open(O_RDONLY | O_DIRECT);
        REQUIRE(fd.valid());
        Transfers reads(fd.get(), false);
        auto io = test::make_context(backend, 16);
        reads.events.run(io, merged);
        for (std::size_t i = 0; i < kBlocks; ++i) {
            INFO("block " << i << (merged ? ", merged" : ""));
            if (i < kBlocks / 2) {
                REQUIRE(reads.succeeded(i));
                REQUIRE(test::has_pattern(reads.at(i), kBlock, i));
            } else {
                REQUIRE(failed_for_want_of_a_sector(reads.result(i)));
            }
        }
    }
}

// Linux takes a write of which only a part fits for a whole one (lo_complete_rq() in
// drivers/block/loop.c; seen on 6.18 without the engine: pwrite(2) of two blocks over the edge
// gives 8192, and the second is not there). So what succeeded is looked for block by block only.
TEST_EACH_BACKEND("direct writes to a device that is full: those that fit are there, the others "
                  "hear so",
                  "[devices][loop][E9][E10][scenario-13]") {
    for (const bool merged : {false, true}) {
        const FullDevice disk(O_RDWR | O_DIRECT);
        Transfers writes(disk.fd.get(), true);
        auto io = test::make_context(backend, 4);
        writes.events.run(io, merged);
        std::size_t there = 0;
        AlignedBuffer back = *AlignedBuffer::create(kBlock);
        for (std::size_t i = 0; i < kBlocks; ++i) {
            INFO("block " << i << (merged ? ", merged" : "") << ": " << writes.result(i).raw());
            if (!writes.succeeded(i)) {
                REQUIRE(failed_for_want_of_space(writes.result(i)));
                continue;
            }
            ++there;
            if (merged)
                continue;
            REQUIRE(::pread(disk.fd.get(), back.data(), kBlock, static_cast<off_t>(i * kBlock)) ==
                    static_cast<ssize_t>(kBlock));
            REQUIRE(test::has_pattern(back.data(), kBlock, i));
        }
        REQUIRE(there > 0);
        REQUIRE((there <= kBlocks / 2 || merged));
    }
}

TEST_EACH_BACKEND("buffered writes that find no room succeed; the flush behind them fails, once",
                  "[devices][loop][kernel-6][scenario-13]") {
    const FullDevice disk(O_RDWR);
    Transfers writes(disk.fd.get(), true);
    auto io = test::make_context(backend, 4);
    writes.events.run(io, false);
    for (std::size_t i = 0; i < kBlocks; ++i)
        REQUIRE(writes.succeeded(i));
    const auto flush = [&] {
        return test::result_of(io, [&](Request& r) { r.prepare_fsync(disk.fd.get()); });
    };
    REQUIRE(failed_for_want_of_space(flush()));
    REQUIRE(flush().ok());
}

TEST_EACH_BACKEND("a slow disk past a deadline: each request once, done or cancelled",
                  "[devices][loop][shutdown][deadline][scenario-20]") {
    const test::Blocks blocks(kBlocks);
    devices::LoopDevice device(blocks.file.fd());
    require_valid(device);
    if (const int error = device.throttle(100); error != 0)
        SKIP_TEST("no block controller of cgroups, version 1: errno " + std::to_string(-error));
    const test::Fd fd = device.open(O_RDONLY | O_DIRECT);
    REQUIRE(fd.valid());
    Transfers reads(fd.get(), false);
    auto io = test::make_context(backend, 8);
    reads.events.submit_all(io);
    const ShutdownReport report = io.shutdown(50ms);
    REQUIRE(io.shutdown().clean);
    const auto is_right = [&](std::size_t i) { return test::has_pattern(reads.at(i), kBlock, i); };
    REQUIRE(reads.events.count_cancelled(is_right) >= report.cancelled);
}
