// SPDX-License-Identifier: MIT
//
// Verifier: decides what each verified request writes or must find, and keeps the first mismatch.
#ifndef TOOLS_BENCH_VERIFIER_HPP
#define TOOLS_BENCH_VERIFIER_HPP

#include "tools/bench/ledger.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

namespace bench {

// Any thread may call it.
class Verifier {
  public:
    Verifier(std::uint64_t blocks, std::size_t block_bytes, std::uint64_t seed)
        : ledger_(blocks), block_bytes_(block_bytes), seed_(seed) {}

    std::uint64_t seed() const noexcept { return seed_; }

    // Fills `data` with what block `block` holds after the target has been laid out.
    void fill_first(void* data, std::uint64_t block) const noexcept;

    // Takes a block, `wanted` or one near it, and makes `data` ready: the next generation for a
    // write, poison for a read.
    std::uint64_t begin(std::uint64_t wanted, bool write, void* data) noexcept;

    // Gives the block back. True: a read found exactly what was last written there, which counts as
    // one verified block, or a write was noted.
    bool finish(std::uint64_t block, bool write, bool transferred, const void* data);

    // Reads the whole target by plain pread(2), not through any engine, and checks every block
    // whose content is known. Stops at the first mismatch. Throws Failure if the target cannot be
    // read.
    void check_everything(int fd);

    bool failed() const noexcept { return mismatches_.load(std::memory_order_relaxed) != 0; }
    std::uint64_t verified_blocks() const noexcept {
        return verified_.load(std::memory_order_relaxed);
    }
    std::uint64_t mismatches() const noexcept {
        return mismatches_.load(std::memory_order_relaxed);
    }
    std::string first_mismatch() const;

  private:
    bool check(const void* data, std::uint64_t block, std::uint32_t generation);

    Ledger ledger_;
    const std::size_t block_bytes_;
    const std::uint64_t seed_;
    std::atomic<std::uint64_t> verified_{0};    // relaxed: only counts
    std::atomic<std::uint64_t> mismatches_{0};  // relaxed: only counts
    mutable std::mutex mutex_;
    std::string first_mismatch_;  // under mutex_
};

}  // namespace bench

#endif  // TOOLS_BENCH_VERIFIER_HPP
