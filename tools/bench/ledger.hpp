// SPDX-License-Identifier: MIT
//
// Ledger: which generation of data each block of the target holds, and which blocks are in use.
//
// A block is claimed before a verified request and released after it, so no two requests in flight
// touch the same block and what a read must find is always known.
#ifndef TOOLS_BENCH_LEDGER_HPP
#define TOOLS_BENCH_LEDGER_HPP

#include <atomic>
#include <cstdint>
#include <memory>

namespace bench {

class Ledger {
  public:
    static constexpr std::uint32_t kUnknown = 0;  // a write failed: any content is possible
    static constexpr std::uint32_t kFirst = 1;    // what laying out the target wrote

    explicit Ledger(std::uint64_t blocks)
        : entries_(std::make_unique<std::atomic<std::uint32_t>[]>(blocks)), blocks_(blocks) {
        for (std::uint64_t block = 0; block < blocks; ++block)
            entries_[block].store(kFirst, std::memory_order_relaxed);
    }

    std::uint64_t blocks() const noexcept { return blocks_; }

    // False if another request is using the block.
    bool try_claim(std::uint64_t block) noexcept {
        std::uint32_t entry = entries_[block].load(std::memory_order_relaxed);
        // acquire pairs with release(): the next user of a block knows its last generation.
        return (entry & kBusy) == 0 &&
               entries_[block].compare_exchange_strong(
                   entry, entry | kBusy, std::memory_order_acquire, std::memory_order_relaxed);
    }

    // Claims `wanted` or the first free block after it, wrapping around. There must be more blocks
    // than requests in flight.
    std::uint64_t claim_from(std::uint64_t wanted) noexcept {
        std::uint64_t block = wanted;
        while (!try_claim(block))
            block = block + 1 == blocks_ ? 0 : block + 1;
        return block;
    }

    // relaxed: the claim, or the end of the run, has ordered it.
    std::uint32_t generation(std::uint64_t block) const noexcept {
        return entries_[block].load(std::memory_order_relaxed) & ~kBusy;
    }

    static constexpr std::uint32_t after(std::uint32_t generation) noexcept {
        return (generation + 1) & ~kBusy;
    }

    // Ends the claim; the block now holds `generation`.
    void release(std::uint64_t block, std::uint32_t generation) noexcept {
        entries_[block].store(generation & ~kBusy, std::memory_order_release);
    }

  private:
    static constexpr std::uint32_t kBusy = 1U << 31;

    std::unique_ptr<std::atomic<std::uint32_t>[]> entries_;  // generation, with the busy bit
    std::uint64_t blocks_;
};

}  // namespace bench

#endif  // TOOLS_BENCH_LEDGER_HPP
