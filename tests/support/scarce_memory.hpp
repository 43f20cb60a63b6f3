// SPDX-License-Identifier: MIT
//
// ScarceMemory: while it lives, memory for queues runs out.
#ifndef IOENGINE_TESTS_SUPPORT_SCARCE_MEMORY_HPP
#define IOENGINE_TESTS_SUPPORT_SCARCE_MEMORY_HPP

#include "lib/request_queue.hpp"

#include <cstddef>
#include <cstdlib>

namespace test {

// Blocks cannot be had once `allowed` were. One at a time, and only while nobody else submits.
class ScarceMemory {
  public:
    explicit ScarceMemory(std::size_t allowed) {
        left_ = allowed;
        ioengine::queue_block_source = take;
    }
    // What is said when a block is wanted.
    explicit ScarceMemory(void* (&answer)(std::size_t size)) {
        ioengine::queue_block_source = answer;
    }
    ScarceMemory(const ScarceMemory&) = delete;
    ScarceMemory& operator=(const ScarceMemory&) = delete;
    ~ScarceMemory() { ioengine::queue_block_source = std::malloc; }
    static void allow(std::size_t blocks) { left_ = blocks; }

  private:
    static void* take(std::size_t size) {
        if (left_ == 0)
            return nullptr;
        --left_;
        return std::malloc(size);
    }
    static inline std::size_t left_ = 0;
};

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_SCARCE_MEMORY_HPP
