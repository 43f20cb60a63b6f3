// SPDX-License-Identifier: MIT
//
// EventMergeBuffer: requests that lie side by side in a file, gathered to go to the kernel as one.
//
// It knows no context and hands over nothing: see IOMergeSubmitter, in <ioengine/merge.hpp>.
#ifndef IOENGINE_MERGE_BUFFER_HPP
#define IOENGINE_MERGE_BUFFER_HPP

#include <ioengine/request.hpp>

#include <cstddef>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

// As many requests go as one at most.
constexpr std::size_t kMergeMax = 64;
// And as many bytes, whatever limit is asked for.
constexpr std::uint32_t kMergeBytesMax = 1u << 30;

// A read or write of one buffer whose effect does not depend on going alone.
inline bool can_be_merged(const Request& request) noexcept {
    return (request.action == IOAction::read || request.action == IOAction::write) &&
           (request.flags & (kFlagNowait | kFlagAppend | kFlagAtomic | kFlagEarlyResult)) == 0 &&
           request.buffer_index == 0 && request.deadline_ns == 0 && request.length != 0;
}
// Alike in all but place, buffer, callback and channel.
inline bool are_alike(const Request& a, const Request& b) noexcept {
    return a.fd == b.fd && a.action == b.action && a.flags == b.flags &&
           a.io_priority == b.io_priority;
}

// Requests in order, each beginning where the one before it ends. For one thread at a time. The
// requests stay the caller's.
class EventMergeBuffer {
  public:
    // At most `limit` bytes together.
    explicit EventMergeBuffer(std::uint64_t limit) noexcept
        : limit_(limit < kMergeBytesMax ? limit : kMergeBytesMax) {}

    // Would add() take it? Not if it cannot be merged, is unlike the others, leaves a gap behind
    // them or lies before their end, exceeds the limit, or is the 65th.
    bool takes(const Request& request) const noexcept {
        if (!can_be_merged(request) || request.length > limit_)
            return false;
        if (empty())
            return true;
        return count_ < kMergeMax && are_alike(*requests_[0], request) &&
               requests_[0]->channel == request.channel && request.offset == end_ &&
               request.length <= limit_ - bytes_;
    }
    // False: not taken, see takes().
    bool add(Request& request) noexcept {
        if (!takes(request))
            return false;
        requests_[count_++] = &request;
        bytes_ += request.length;
        end_ = request.offset + request.length;
        return true;
    }
    // Forgets them.
    void clear() noexcept {
        count_ = 0;
        bytes_ = 0;
    }

    bool empty() const noexcept { return count_ == 0; }
    // Nothing more fits.
    bool full() const noexcept { return count_ == kMergeMax || bytes_ >= limit_; }
    std::size_t count() const noexcept { return count_; }
    std::uint64_t bytes() const noexcept { return bytes_; }
    std::uint64_t limit() const noexcept { return limit_; }
    // In the order in which they were added.
    Request* const* begin() const noexcept { return requests_; }
    Request* const* end() const noexcept { return requests_ + count_; }

  private:
    Request* requests_[kMergeMax] = {};
    std::size_t count_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t end_ = 0;  // of a buffer that is not empty
    std::uint64_t limit_;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_MERGE_BUFFER_HPP
