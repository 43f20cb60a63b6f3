// SPDX-License-Identifier: MIT
//
// Goal: a disk that is taken away, or reset, with requests in flight: each is told once what became
// of it, those that come later as well, and the context ends clean.
// Method: in a guest, SCSI, NVMe and null_blk disks that are slow, removed by sysfs when a part of
// their requests is done.

#include "tests/devices/transfers.hpp"
#include "tests/guests/disks.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <fcntl.h>
#include <map>
#include <string>

using namespace ioengine;
using devices::kBlocks;
using devices::Transfers;
using test::kBlock;

namespace {

constexpr std::uint32_t kDepth = 32;

// What a request of a disk that is gone may hear: EIO of what it could not finish, ENODEV or ENXIO
// of a disk that is not there, ENOSPC (a write) or nothing (a read) of one whose size is now 0.
bool is_gone(Result result, bool writes) {
    switch (result.error()) {
    case EIO:
    case ENODEV:
    case ENXIO:
        return true;
    case ENOSPC:
        return writes;
    default:
        return !writes && result.raw() == 0;
    }
}

std::string histogram(const Transfers& transfers) {
    std::map<std::int64_t, int> counts;
    for (std::size_t i = 0; i < kBlocks; ++i)
        ++counts[transfers.result(i).raw()];
    std::string text;
    for (const auto& [result, count] : counts)
        text += std::to_string(count) + " x " + std::to_string(result) + "; ";
    return text;
}

// Requests to `disk`, which is removed amid them; then some more.
template <class Disk, class Remove>
void require_removal_is_told(Backend backend, const Disk& disk, bool writes, Remove&& remove) {
    const test::Fd fd = guests::open_disk(disk.path(), O_RDWR | O_DIRECT);
    auto io = test::make_context(backend, kDepth);
    Transfers transfers(fd.get(), writes);
    transfers.events.submit_all(io);
    test::wait_until([&] { return transfers.events.tracker.notices() >= kDepth; },
                     "waiting for a part to be done");
    remove();
    transfers.events.finish(io);
    std::size_t gone = 0;
    for (std::size_t i = 0; i < kBlocks; ++i) {
        INFO("block " << i << ": " << transfers.result(i).raw());
        if (!transfers.succeeded(i)) {
            REQUIRE(is_gone(transfers.result(i), writes));
            ++gone;
        }
    }
    std::printf("%s\n", histogram(transfers).c_str());
    REQUIRE(gone > 0);
    REQUIRE(gone <= kBlocks - kDepth);
    Transfers later(fd.get(), writes);
    later.events.run(io, true);
    for (std::size_t i = 0; i < kBlocks; ++i)
        REQUIRE(is_gone(later.result(i), writes));
    REQUIRE(io.shutdown().clean);
}

}  // namespace

TEST_EACH_BACKEND("a SCSI disk that is deleted with requests in flight: each is told once",
                  "[device][removal][scenario-16]") {
    guests::require_guest();
    for (const bool writes : {false, true}) {
        guests::ScsiDisk disk(false, 20);
        require_removal_is_told(backend, disk, writes, [&] { disk.remove(); });
    }
}

TEST_EACH_BACKEND("an NVMe disk that is removed with requests in flight: each is told once",
                  "[device][removal][scenario-16]") {
    guests::require_guest();
    for (const bool writes : {false, true}) {
        guests::NvmeDisk disk;
        require_removal_is_told(backend, disk, writes, [&] { disk.remove(); });
    }
}

TEST_EACH_BACKEND("a null_blk disk that is switched off with requests in flight: each is told once",
                  "[device][removal][scenario-16]") {
    guests::require_guest();
    for (const bool writes : {false, true}) {
        guests::NullDisk disk("irqmode=2 completion_nsec=20000000 hw_queue_depth=16");
        require_removal_is_told(backend, disk, writes, [&] { disk.switch_off(); });
    }
}

TEST_EACH_BACKEND("an NVMe controller that is reset with requests in flight does them again",
                  "[device][removal]") {
    guests::require_guest();
    guests::NvmeDisk disk;
    const test::Fd fd = guests::open_disk(disk.path(), O_RDWR | O_DIRECT);
    auto io = test::make_context(backend, kDepth);
    for (const bool writes : {true, false}) {
        Transfers transfers(fd.get(), writes);
        transfers.events.submit_all(io);
        test::wait_until([&] { return transfers.events.tracker.notices() >= kDepth; },
                         "waiting for a part to be done");
        disk.reset();
        transfers.events.finish(io);
        for (std::size_t i = 0; i < kBlocks; ++i) {
            INFO("block " << i << ": " << transfers.result(i).raw());
            REQUIRE((writes ? transfers.succeeded(i) : transfers.right(i)));
        }
    }
    REQUIRE(io.shutdown().clean);
}
