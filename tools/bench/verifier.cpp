// SPDX-License-Identifier: MIT
//
// Joins the ledger, which knows the generations, with the pattern, which knows the bytes.
#include "tools/bench/verifier.hpp"

#include "tools/bench/arena.hpp"
#include "tools/bench/failure.hpp"
#include "tools/bench/pattern.hpp"

#include <algorithm>
#include <cstring>
#include <unistd.h>

namespace bench {

namespace {

constexpr std::size_t kReadBackBytes = std::size_t{1} << 20;

// Whole transfers, so that only the end of the file makes it short.
std::size_t read_fully(int fd, std::byte* data, std::size_t bytes, std::uint64_t offset) {
    std::size_t done = 0;
    while (done < bytes) {
        const ssize_t got = pread(fd, data + done, bytes - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            throw Failure(kExitWrong, "reading back at offset " + std::to_string(offset + done) +
                                          " failed: " + errno_text(errno));
        if (got == 0)
            break;
        done += static_cast<std::size_t>(got);
    }
    return done;
}

}  // namespace

void Verifier::fill_first(void* data, std::uint64_t block) const noexcept {
    fill_pattern(data, block_bytes_, block * block_bytes_, Ledger::kFirst, seed_);
}

std::uint64_t Verifier::begin(std::uint64_t wanted, bool write, void* data) noexcept {
    const std::uint64_t block = ledger_.claim_from(wanted);
    if (write)
        fill_pattern(data, block_bytes_, block * block_bytes_,
                     Ledger::after(ledger_.generation(block)), seed_);
    else
        // A read that moves nothing must not find the right bytes from last time.
        std::memset(data, 0xA5, block_bytes_);
    return block;
}

bool Verifier::finish(std::uint64_t block, bool write, bool transferred, const void* data) {
    const std::uint32_t generation = ledger_.generation(block);
    bool right = true;
    if (write)
        ledger_.release(block, transferred ? Ledger::after(generation) : Ledger::kUnknown);
    else {
        if (transferred && generation != Ledger::kUnknown)
            right = check(data, block, generation);
        ledger_.release(block, generation);
    }
    return right;
}

void Verifier::check_everything(int fd) {
    const std::uint64_t chunk_blocks = std::max<std::uint64_t>(1, kReadBackBytes / block_bytes_);
    Arena arena(1, chunk_blocks * block_bytes_);
    std::byte* data = arena.buffer(0);
    for (std::uint64_t first = 0; first < ledger_.blocks(); first += chunk_blocks) {
        const std::uint64_t count = std::min(chunk_blocks, ledger_.blocks() - first);
        const std::size_t bytes = count * block_bytes_;
        const std::size_t got = read_fully(fd, data, bytes, first * block_bytes_);
        if (got != bytes)
            throw Failure(kExitWrong, "reading back ended at offset " +
                                          std::to_string(first * block_bytes_ + got) +
                                          ": the target has become shorter");
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::uint32_t generation = ledger_.generation(first + i);
            if (generation == Ledger::kUnknown)
                continue;
            if (!check(data + i * block_bytes_, first + i, generation))
                return;
        }
    }
}

std::string Verifier::first_mismatch() const {
    const std::lock_guard lock(mutex_);
    return first_mismatch_;
}

bool Verifier::check(const void* data, std::uint64_t block, std::uint32_t generation) {
    const auto mismatch =
        check_pattern(data, block_bytes_, block * block_bytes_, generation, seed_);
    if (!mismatch) {
        verified_.fetch_add(1, std::memory_order_relaxed);
        return true;
    }
    if (mismatches_.fetch_add(1, std::memory_order_relaxed) == 0) {
        const std::lock_guard lock(mutex_);
        first_mismatch_ = mismatch->text;
    }
    return false;
}

}  // namespace bench
