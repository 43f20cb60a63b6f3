// SPDX-License-Identifier: MIT
//
// Blocks: a file whose blocks say where they belong, and memory to read them into.
#ifndef IOENGINE_TESTS_SUPPORT_BLOCKS_HPP
#define IOENGINE_TESTS_SUPPORT_BLOCKS_HPP

#include "tests/support/support.hpp"

#include <cstddef>
#include <cstring>

namespace test {

constexpr std::size_t kBlock = 4096;

// A file of `blocks` blocks; block i has pattern i.
struct Blocks {
    explicit Blocks(std::size_t blocks)
        : file(blocks * kBlock), memory(*ioengine::AlignedBuffer::create(blocks * kBlock)),
          count(blocks) {
        for (std::size_t i = 0; i < blocks; ++i) {
            fill_pattern(at(i), kBlock, i);
            file.put(at(i), kBlock, i * kBlock);
        }
        std::memset(memory.data(), 0, memory.size());
    }
    unsigned char* at(std::size_t i) { return memory.data() + i * kBlock; }
    bool right(std::size_t i) { return has_pattern(at(i), kBlock, i); }

    TempFile file;
    ioengine::AlignedBuffer memory;
    const std::size_t count;
};

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_BLOCKS_HPP
