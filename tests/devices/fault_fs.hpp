// SPDX-License-Identifier: MIT
//
// What a file of the failing file system holds, and where it fails; see fault_fs.cpp.
#ifndef IOENGINE_TESTS_DEVICES_FAULT_FS_HPP
#define IOENGINE_TESTS_DEVICES_FAULT_FS_HPP

#include <cstddef>
#include <cstdint>

namespace fault_fs {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kBlocks = 64;
constexpr std::size_t kFileBytes = kBlocks * kBlock;
constexpr std::size_t kBadBlock = 5;
constexpr std::size_t kBadByte = kBadBlock * kBlock;
constexpr std::size_t kShortBytes = 1000;

// A multiple of a large prime, so that no block is like another.
constexpr unsigned char byte_at(std::uint64_t i) {
    return static_cast<unsigned char>((i * 2'654'435'761U) >> 24);
}

}  // namespace fault_fs

#endif  // IOENGINE_TESTS_DEVICES_FAULT_FS_HPP
