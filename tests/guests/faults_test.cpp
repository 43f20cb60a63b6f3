// SPDX-License-Identifier: MIT
//
// Goal: a disk that fails in its own way, on kernels that have such disks: each request hears its
// own fate, with the errno of its device, once, and the context ends clean.
// Method: in a guest, the kernel's own failing disks: device mapper (error, flakey, delay,
// suspended and reloaded tables), null_blk with bad sectors, scsi_debug with a bad medium.

#include "tests/devices/transfers.hpp"
#include "tests/guests/disks.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <string>

using namespace ioengine;
using namespace std::chrono_literals;
using devices::kBlocks;
using devices::Transfers;
using test::kBlock;

namespace {

constexpr std::uint64_t kPerBlock = kBlock / guests::kSector;
constexpr std::uint64_t kSectors = kBlocks * kPerBlock;
constexpr std::size_t kBad = guests::ScsiDisk::kBadBlock;

// Writes every block of a disk, so that each can be known again.
void fill(test::Context& io, const std::string& path) {
    const test::Fd fd = guests::open_disk(path, O_RDWR | O_DIRECT);
    Transfers writes(fd.get(), true);
    writes.events.run(io, false);
    for (std::size_t i = 0; i < kBlocks; ++i)
        REQUIRE(writes.succeeded(i));
}

// Every block but `bad` is moved right, and that one fails with `error`.
void require_one_fails(Transfers& transfers, bool reads, int error) {
    for (std::size_t i = 0; i < kBlocks; ++i) {
        INFO((reads ? "read" : "write") << " of block " << i << ": " << transfers.result(i).raw());
        if (i == kBad)
            REQUIRE(transfers.result(i).error() == error);
        else
            REQUIRE((reads ? transfers.right(i) : transfers.succeeded(i)));
    }
}

void require_all_fail(const Transfers& transfers, int error) {
    for (std::size_t i = 0; i < kBlocks; ++i) {
        INFO("block " << i << ": " << transfers.result(i).raw());
        REQUIRE(transfers.result(i).error() == error);
    }
}
void require_all_right(Transfers& transfers) {
    for (std::size_t i = 0; i < kBlocks; ++i) {
        INFO("block " << i << ": " << transfers.result(i).raw());
        REQUIRE(transfers.right(i));
    }
}

// All of it, single and merged, written and read.
void require_bad_block_fails_alone(Backend backend, const std::string& path, bool writes_fail,
                                   int error) {
    const test::Fd fd = guests::open_disk(path, O_RDWR | O_DIRECT);
    for (const bool merged : {false, true}) {
        INFO((merged ? "merged" : "single"));
        auto io = test::make_context(backend, 16);
        Transfers writes(fd.get(), true);
        writes.events.run(io, merged);
        if (writes_fail)
            require_one_fails(writes, false, error);
        Transfers reads(fd.get(), false);
        reads.events.run(io, merged);
        require_one_fails(reads, true, error);
        REQUIRE(io.shutdown().clean);
    }
}

}  // namespace

TEST_EACH_BACKEND("a stretch of a disk that is dead fails with EIO, alone, merged or not",
                  "[device][E10][scenario-11]") {
    guests::require_guest();
    const guests::Mapped disk(guests::linear(0, kBad * kPerBlock) +
                              guests::dead(kBad * kPerBlock, (kBad + 1) * kPerBlock) +
                              guests::linear((kBad + 1) * kPerBlock, kSectors));
    require_bad_block_fails_alone(backend, disk.path(), true, EIO);
}

TEST_EACH_BACKEND("bad sectors of null_blk fail with EIO, alone, merged or not",
                  "[device][E10][scenario-11]") {
    guests::require_guest();
    const guests::NullDisk disk("badblocks=+" + std::to_string(kBad * kPerBlock) + '-' +
                                std::to_string((kBad + 1) * kPerBlock - 1));
    require_bad_block_fails_alone(backend, disk.path(), true, EIO);
}

// BLK_STS_MEDIUM is ENODATA: blk_errors[] in block/blk-core.c. Writing passes.
TEST_EACH_BACKEND("an unreadable medium is ENODATA, alone, merged or not",
                  "[device][E10][kernel-8][scenario-11]") {
    guests::require_guest();
    const guests::ScsiDisk disk(true);
    require_bad_block_fails_alone(backend, disk.path(), false, ENODATA);
}

TEST_EACH_BACKEND("a disk that fails all is EIO for each request, reads and writes", "[device]") {
    guests::require_guest();
    const guests::Mapped disk(guests::flakey(kSectors, ""));
    const test::Fd fd = guests::open_disk(disk.path(), O_RDWR | O_DIRECT);
    for (const bool merged : {false, true}) {
        auto io = test::make_context(backend, 16);
        for (const bool writes : {false, true}) {
            Transfers transfers(fd.get(), writes);
            transfers.events.run(io, merged);
            require_all_fail(transfers, EIO);
        }
        REQUIRE(io.shutdown().clean);
    }
}

TEST_EACH_BACKEND("a disk that fails writes alone still reads", "[device]") {
    guests::require_guest();
    auto io = test::make_context(backend, 16);
    {
        const guests::Mapped whole(guests::linear(0, kSectors));
        fill(io, whole.path());
    }
    const guests::Mapped disk(guests::flakey(kSectors, "error_writes"));
    const test::Fd fd = guests::open_disk(disk.path(), O_RDWR | O_DIRECT);
    Transfers writes(fd.get(), true);
    writes.events.run(io, false);
    require_all_fail(writes, EIO);
    Transfers reads(fd.get(), false);
    reads.events.run(io, false);
    require_all_right(reads);
    REQUIRE(io.shutdown().clean);
}

// dm-flakey has error_reads since Linux 6.5.
TEST_EACH_BACKEND("a disk that fails reads alone still writes", "[device]") {
    guests::require_guest();
    if (!guests::Mapped::can_be(guests::flakey(kSectors, "error_reads")))
        SKIP_TEST("dm-flakey of this kernel does not know error_reads");
    auto io = test::make_context(backend, 16);
    const guests::Mapped disk(guests::flakey(kSectors, "error_reads"));
    const test::Fd fd = guests::open_disk(disk.path(), O_RDWR | O_DIRECT);
    Transfers reads(fd.get(), false);
    reads.events.run(io, false);
    require_all_fail(reads, EIO);
    Transfers writes(fd.get(), true);
    writes.events.run(io, false);
    for (std::size_t i = 0; i < kBlocks; ++i)
        REQUIRE(writes.succeeded(i));
    REQUIRE(io.shutdown().clean);
}

TEST_EACH_BACKEND("what waits in a suspended disk is named past the deadline, and done afterwards",
                  "[device][shutdown][deadline][scenario-20]") {
    guests::require_guest();
    guests::Mapped disk(guests::linear(0, kSectors));
    auto io = test::make_context(backend, 16);
    fill(io, disk.path());
    const test::Fd fd = guests::open_disk(disk.path(), O_RDWR | O_DIRECT);
    Transfers reads(fd.get(), false);
    disk.suspend();
    reads.events.submit_all(io);
    test::wait_until([&] { return io.stats().free_slots == 0; }, "waiting for a full disk");
    const ShutdownReport report = io.shutdown(50ms);
    REQUIRE(!report.clean);
    REQUIRE(report.in_kernel == 16);
    REQUIRE(report.named == 16);
    REQUIRE(reads.events.tracker.notices() == kBlocks - 16);
    disk.resume();
    REQUIRE(io.shutdown().clean);
    const std::size_t cancelled =
        reads.events.count_cancelled([&](std::size_t i) { return reads.right(i); });
    REQUIRE(cancelled == kBlocks - 16);
}

TEST_EACH_BACKEND("what waits in a disk that then fails for good is EIO, each once", "[device]") {
    guests::require_guest();
    guests::Mapped disk(guests::linear(0, kSectors));
    const test::Fd fd = guests::open_disk(disk.path(), O_RDWR | O_DIRECT);
    for (const bool writes : {false, true}) {
        auto io = test::make_context(backend, 64);
        Transfers transfers(fd.get(), writes);
        disk.suspend();
        transfers.events.submit_all(io);
        test::wait_until([&] { return io.stats().free_slots == 0; }, "waiting for a full disk");
        disk.resume(guests::dead(0, kSectors));
        transfers.events.finish(io);
        require_all_fail(transfers, EIO);
        REQUIRE(io.shutdown().clean);
        disk.suspend();
        disk.resume(guests::linear(0, kSectors));
    }
}

TEST_EACH_BACKEND("a disk that has shrunk: whole before its end, short over it, empty behind it",
                  "[device][F7]") {
    guests::require_guest();
    guests::Mapped disk(guests::linear(0, kSectors));
    auto io = test::make_context(backend, 16);
    fill(io, disk.path());
    const test::Fd fd = guests::open_disk(disk.path(), O_RDONLY | O_DIRECT);
    constexpr std::uint64_t kHalf = kPerBlock / 2;
    disk.suspend();
    disk.resume(guests::linear(0, kBad * kPerBlock + kHalf));
    for (const bool merged : {false, true}) {
        Transfers reads(fd.get(), false);
        reads.events.run(io, merged);
        for (std::size_t i = 0; i < kBlocks; ++i) {
            INFO("block " << i << (merged ? ", merged: " : ": ") << reads.result(i).raw());
            if (i < kBad)
                REQUIRE(reads.right(i));
            else if (i == kBad)
                REQUIRE(reads.result(i).raw() ==
                        static_cast<std::int64_t>(kHalf * guests::kSector));
            else
                REQUIRE(reads.result(i).raw() == 0);
        }
    }
    REQUIRE(io.shutdown().clean);
}

TEST_EACH_BACKEND("a disk that is late past a deadline: each request once, done or cancelled",
                  "[device][shutdown][deadline][scenario-20]") {
    guests::require_guest();
    auto io = test::make_context(backend, 8);
    {
        const guests::Mapped whole(guests::linear(0, kSectors));
        fill(io, whole.path());
    }
    const guests::Mapped disk("0 " + std::to_string(kSectors) + " delay %s 0 200\\n");
    const test::Fd fd = guests::open_disk(disk.path(), O_RDONLY | O_DIRECT);
    Transfers reads(fd.get(), false);
    reads.events.submit_all(io);
    const ShutdownReport report = io.shutdown(50ms);
    REQUIRE(io.shutdown().clean);
    const std::size_t cancelled =
        reads.events.count_cancelled([&](std::size_t i) { return reads.right(i); });
    REQUIRE(report.cancelled > 0);
    REQUIRE(cancelled >= report.cancelled);
    REQUIRE(cancelled < kBlocks);
}

TEST_EACH_BACKEND("buffered writes to a disk that then dies succeed; the flush behind them is EIO, "
                  "once",
                  "[device][kernel-6][scenario-13]") {
    guests::require_guest();
    guests::Mapped disk(guests::linear(0, kSectors));
    const test::Fd fd = guests::open_disk(disk.path(), O_RDWR);
    auto io = test::make_context(backend, 16);
    Transfers writes(fd.get(), true);
    writes.events.run(io, false);
    for (std::size_t i = 0; i < kBlocks; ++i)
        REQUIRE(writes.succeeded(i));
    disk.suspend();
    disk.resume(guests::dead(0, kSectors));
    const auto flush = [&] {
        return test::result_of(io, [&](Request& r) { r.prepare_fsync(fd.get()); });
    };
    REQUIRE(flush().error() == EIO);
    REQUIRE(flush().ok());
    REQUIRE(io.shutdown().clean);
}
