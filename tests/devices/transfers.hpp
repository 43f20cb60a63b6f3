// SPDX-License-Identifier: MIT
//
// Transfers: a direct read or write of every block of a device, each of which is told once.
#ifndef IOENGINE_TESTS_DEVICES_TRANSFERS_HPP
#define IOENGINE_TESTS_DEVICES_TRANSFERS_HPP

#include "tests/support/merging.hpp"

#include <cstddef>
#include <cstdint>

namespace devices {

constexpr std::size_t kBlocks = 256;

struct Transfers {
    Transfers(int fd, bool writes)
        : memory(*ioengine::AlignedBuffer::create(kBlocks * test::kBlock)), events(kBlocks) {
        for (std::size_t i = 0; i < kBlocks; ++i) {
            if (writes) {
                test::fill_pattern(at(i), test::kBlock, i);
                events[i].prepare_write(fd, at(i), test::kBlock, i * test::kBlock);
            } else {
                events[i].prepare_read(fd, at(i), test::kBlock, i * test::kBlock);
            }
        }
    }
    unsigned char* at(std::size_t i) { return memory.data() + i * test::kBlock; }
    ioengine::Result result(std::size_t i) const { return events.tracker.result(i); }
    bool succeeded(std::size_t i) const {
        return result(i).raw() == static_cast<std::int64_t>(test::kBlock);
    }
    // Whole, with what belongs there.
    bool right(std::size_t i) { return succeeded(i) && test::has_pattern(at(i), test::kBlock, i); }

    ioengine::AlignedBuffer memory;
    test::MergeEvents events;
};

}  // namespace devices

#endif  // IOENGINE_TESTS_DEVICES_TRANSFERS_HPP
