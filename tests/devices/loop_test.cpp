// SPDX-License-Identifier: MIT
//
// Goal: a block device that fails, is full, or is slow: each request hears its own fate, once.
// Method: loop devices. One over a file that was cut short has no sectors behind the cut; one over
// a sparse file on a full file system has no room for what is written; one with a limit on its
// operations per second is a slow disk.

#include "tests/devices/devices.hpp"
#include "tests/support/merging.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;
using test::kBlock;

namespace {

constexpr std::size_t kBlocks = 256;

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

// Direct reads or writes of every block of a device, one by one or as many as may go as one.
struct Transfers {
    Transfers(int fd, bool writes)
        : memory(*AlignedBuffer::create(kBlocks * kBlock)), events(kBlocks) {
        for (std::size_t i = 0; i < kBlocks; ++i) {
            if (writes) {
                test::fill_pattern(at(i), kBlock, i);
                events[i].prepare_write(fd, at(i), kBlock, i * kBlock);
            } else {
                events[i].prepare_read(fd, at(i), kBlock, i * kBlock);
            }
        }
    }
    unsigned char* at(std::size_t i) { return memory.data() + i * kBlock; }
    void run(test::Context& io, bool merged) {
        if (merged) {
            IOMergeSubmitter submitter(io, events[0].fd, events[0].action, 1 << 20);
            for (std::size_t i = 0; i < kBlocks; ++i)
                events.add_to(submitter, i);
        } else {
            for (std::size_t i = 0; i < kBlocks; ++i)
                events.submit_to(io, i);
        }
        events.finish(io);
    }
    Result result(std::size_t i) const { return events.tracker.result(i); }
    bool succeeded(std::size_t i) const {
        return result(i).raw() == static_cast<std::int64_t>(kBlock);
    }

    AlignedBuffer memory;
    test::MergeEvents events;
};

// Of a patterned file of kBlocks blocks, what is left after a cut in the middle.
struct CutDevice {
    CutDevice() : blocks(kBlocks), device(blocks.file.fd()) {
        if (device.valid())
            REQUIRE(::ftruncate(blocks.file.fd(), kBlocks / 2 * kBlock) == 0);
    }

    test::Blocks blocks;
    devices::LoopDevice device;
};

}  // namespace

TEST_EACH_BACKEND("what lies behind the cut of a device fails alone, merged or not",
                  "[devices][loop][E10][scenario-11]") {
    for (const bool merged : {false, true}) {
        const CutDevice cut;
        require_valid(cut.device);
        const test::Fd fd = cut.device.open(O_RDONLY | O_DIRECT);
        REQUIRE(fd.valid());
        Transfers reads(fd.get(), false);
        auto io = test::make_context(backend, 16);
        reads.run(io, merged);
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
        const test::Fd backing = test::open_on_small_file_system(kBlocks / 2 * kBlock);
        if (!backing.valid())
            SKIP_TEST("no file system can be mounted here");
        REQUIRE(::ftruncate(backing.get(), kBlocks * kBlock) == 0);
        const devices::LoopDevice device(backing.get());
        require_valid(device);
        const test::Fd fd = device.open(O_RDWR | O_DIRECT);
        REQUIRE(fd.valid());
        REQUIRE(device.keep_apart() == 0);
        Transfers writes(fd.get(), true);
        auto io = test::make_context(backend, 4);
        writes.run(io, merged);
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
            REQUIRE(::pread(fd.get(), back.data(), kBlock, static_cast<off_t>(i * kBlock)) ==
                    static_cast<ssize_t>(kBlock));
            REQUIRE(test::has_pattern(back.data(), kBlock, i));
        }
        REQUIRE(there > 0);
        REQUIRE((there <= kBlocks / 2 || merged));
    }
}

TEST_EACH_BACKEND("buffered writes that find no room succeed; the flush behind them fails, once",
                  "[devices][loop][kernel-6][scenario-13]") {
    const test::Fd backing = test::open_on_small_file_system(kBlocks / 2 * kBlock);
    if (!backing.valid())
        SKIP_TEST("no file system can be mounted here");
    REQUIRE(::ftruncate(backing.get(), kBlocks * kBlock) == 0);
    const devices::LoopDevice device(backing.get());
    require_valid(device);
    const test::Fd fd = device.open(O_RDWR);
    REQUIRE(fd.valid());
    REQUIRE(device.keep_apart() == 0);
    Transfers writes(fd.get(), true);
    auto io = test::make_context(backend, 4);
    writes.run(io, false);
    for (std::size_t i = 0; i < kBlocks; ++i)
        REQUIRE(writes.succeeded(i));
    const auto flush = [&] {
        return test::result_of(io, [&](Request& r) { r.prepare_fsync(fd.get()); });
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
    for (std::size_t i = 0; i < kBlocks; ++i)
        reads.events.submit_to(io, i);
    const ShutdownReport report = io.shutdown(50ms);
    REQUIRE(io.shutdown().clean);
    REQUIRE(reads.events.tracker.notices() == kBlocks);
    reads.events.tracker.require_exactly_once();
    std::size_t cancelled = 0;
    for (std::size_t i = 0; i < kBlocks; ++i) {
        INFO("block " << i << ": " << reads.result(i).raw());
        if (reads.result(i).error() == ECANCELED)
            ++cancelled;
        else
            REQUIRE(test::has_pattern(reads.at(i), kBlock, i));
    }
    REQUIRE(cancelled >= report.cancelled);
}
