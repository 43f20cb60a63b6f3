// SPDX-License-Identifier: MIT
//
// Many requests at once on a file of known content, each with its own buffer and its own notice.
#ifndef IOENGINE_TESTS_FAULT_BATCH_HPP
#define IOENGINE_TESTS_FAULT_BATCH_HPP

#include "tests/support/support.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace test {

constexpr std::size_t kBlock = 4096;

// A file of `blocks` blocks, each with a pattern of its own, for buffered and direct transfers.
class PatternFile {
  public:
    PatternFile(std::size_t blocks, std::uint64_t seed) : file_(blocks * kBlock), seed_(seed) {
        std::vector<unsigned char> block(kBlock);
        for (std::size_t i = 0; i < blocks; ++i) {
            fill_pattern(block.data(), kBlock, seed_ + i);
            file_.put(block.data(), kBlock, i * kBlock);
        }
    }

    int fd() const { return file_.fd(); }
    int direct_fd() const { return file_.direct_fd(); }
    // Whether `data` is what block `block` was made of.
    bool matches(const void* data, std::size_t block) const {
        return has_pattern(data, kBlock, seed_ + block);
    }
    // Whether the file now has block `block` with pattern `seed`.
    bool has(std::size_t block, std::uint64_t seed) const {
        std::vector<unsigned char> data(kBlock);
        file_.get(data.data(), kBlock, block * kBlock);
        return has_pattern(data.data(), kBlock, seed);
    }
    const TempFile& file() const { return file_; }

  private:
    TempFile file_;
    std::uint64_t seed_;
};

// Reads of one block each: read i asks for block i.
class Reads {
  public:
    Reads(const PatternFile& file, std::size_t count, bool direct = false)
        : file_(file), tracker_(count), memory_(aligned_memory(count * kBlock)) {
        for (std::size_t i = 0; i < count; ++i) {
            events_.push_back(std::make_unique<TrackedEvent>(Tracked{&tracker_, i}));
            events_[i]->prepare_read(direct ? file.direct_fd() : file.fd(), buffer(i), kBlock,
                                     i * kBlock);
        }
    }

    std::size_t count() const { return events_.size(); }
    unsigned char* buffer(std::size_t i) { return memory_.data() + i * kBlock; }
    TrackedEvent& event(std::size_t i) { return *events_[i]; }
    Tracker& tracker() { return tracker_; }
    ioengine::Result result(std::size_t i) const { return tracker_.result(i); }

    void submit(Context& io, std::size_t i) {
        const ioengine::Acceptance acceptance = io.submit(event(i));
        tracker_.submitted(i, acceptance);
        REQUIRE(acceptance);
    }
    void submit_all(Context& io) {
        for (std::size_t i = 0; i < count(); ++i)
            submit(io, i);
    }
    void wait() const { tracker_.wait_for_notices(); }
    // Read i came back whole and right.
    bool right(std::size_t i) {
        return result(i).raw() == static_cast<std::int64_t>(kBlock) && file_.matches(buffer(i), i);
    }
    std::size_t count_right() {
        std::size_t n = 0;
        for (std::size_t i = 0; i < count(); ++i)
            n += right(i);
        return n;
    }

  private:
    static ioengine::AlignedBuffer aligned_memory(std::size_t bytes) {
        auto made = ioengine::AlignedBuffer::create(bytes);
        REQUIRE(made.has_value());
        return *std::move(made);
    }

    const PatternFile& file_;
    Tracker tracker_;
    ioengine::AlignedBuffer memory_;
    std::vector<std::unique_ptr<TrackedEvent>> events_;
};

}  // namespace test

#endif  // IOENGINE_TESTS_FAULT_BATCH_HPP
