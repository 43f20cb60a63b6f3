// SPDX-License-Identifier: MIT
//
// Arena: one page-aligned piece of memory that holds a buffer for every request in flight.
#ifndef TOOLS_BENCH_ARENA_HPP
#define TOOLS_BENCH_ARENA_HPP

#include "tools/bench/failure.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <sys/mman.h>

namespace bench {

class Arena {
  public:
    // `count` buffers of at least `bytes` bytes each, aligned to 4096, with their pages present.
    Arena(std::size_t count, std::size_t bytes)
        : stride_((bytes + kAlignment - 1) / kAlignment * kAlignment) {
        if (count > std::numeric_limits<std::size_t>::max() / stride_)
            throw Failure(kExitUsage, "depth times block size is too large; lower --depth or --bs");
        size_ = count * stride_;
        void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (memory == MAP_FAILED)
            throw Failure(kExitUnavailable, "no memory for " + std::to_string(size_) +
                                                " bytes of buffers (" + errno_text(errno) +
                                                "); lower --depth or --bs");
        memory_ = static_cast<std::byte*>(memory);
    }
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    ~Arena() { munmap(memory_, size_); }

    std::byte* buffer(std::size_t index) const noexcept { return memory_ + index * stride_; }
    std::byte* data() const noexcept { return memory_; }
    std::size_t size() const noexcept { return size_; }

  private:
    static constexpr std::size_t kAlignment = 4096;

    std::size_t stride_;
    std::size_t size_ = 0;
    std::byte* memory_ = nullptr;
};

}  // namespace bench

#endif  // TOOLS_BENCH_ARENA_HPP
