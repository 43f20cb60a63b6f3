// SPDX-License-Identifier: MIT
//
// Transfer and Piece: how far a request has come, and which bytes to ask the kernel for next.
//
// Progress lives here, beside the slot, never in the request: the user's pointer, length and offset
// stay as they were, and every piece is computed from them and `bytes_done`. So offset, pointer and
// length cannot drift apart.
#pragma once

#include <ioengine/request.hpp>

#include <cstddef>
#include <cstdint>
#include <sys/uio.h>

namespace ioengine {
inline namespace v0 {

constexpr bool is_vectored(IOAction action) noexcept {
    return action == IOAction::readv || action == IOAction::writev;
}
constexpr bool is_read(IOAction action) noexcept {
    return action == IOAction::read || action == IOAction::readv;
}
constexpr bool is_write(IOAction action) noexcept {
    return action == IOAction::write || action == IOAction::writev;
}
constexpr bool moves_bytes(IOAction action) noexcept {
    return is_read(action) || is_write(action);
}
constexpr bool is_flush(IOAction action) noexcept {
    return action == IOAction::fsync || action == IOAction::fdatasync;
}

// What one kernel request covers.
struct Piece {
    void* data = nullptr;    // plain: the buffer; vectored: the iovec array
    std::uint64_t size = 0;  // plain: bytes; vectored: iovecs
    std::uint64_t offset = 0;
    bool vectored = false;
};

class Transfer {
  public:
    // iovecs of merged requests; or of a vectored one that continues: a copy, since the user's
    // array is the user's.
    static constexpr std::size_t kWindow = 64;

    // The kernel moves at most 2^31 - 4096 bytes per call (MAX_RW_COUNT, linux/fs.h). Half that is
    // a multiple of any block size, so that a long direct transfer stays aligned.
    static constexpr std::uint64_t kPieceMax = std::uint64_t{1} << 30;

    void begin(const Request& request) noexcept {
        done_ = 0;
        total_ = 0;
        merged_ = 0;
        if (is_vectored(request.action)) {
            const auto* vectors = static_cast<const iovec*>(request.data);
            for (std::uint64_t i = 0; i < request.length; ++i)
                total_ += vectors[i].iov_len;
        } else if (moves_bytes(request.action)) {
            total_ = request.length;
        }
    }

    // A plain transfer that goes along with `first`, which was begun, and lies behind it and all
    // that were added before. At most kWindow in all.
    void add(const Request& first, const Request& request) noexcept {
        if (merged_ == 0)
            add_vector(first);
        add_vector(request);
        total_ += request.length;
    }
    // True for several requests in one.
    bool is_merged() const noexcept { return merged_ != 0; }

    std::uint64_t bytes_done() const noexcept { return done_; }
    std::uint64_t bytes_left() const noexcept { return total_ - done_; }
    void advance(std::uint64_t bytes) noexcept { done_ += bytes; }

    Piece next_piece(const Request& request) noexcept {
        if (merged_ != 0)
            return {window, merged_, request.offset, true};
        if (!is_vectored(request.action)) {
            const std::uint64_t left = bytes_left();
            return {static_cast<char*>(request.data) + done_, left < kPieceMax ? left : kPieceMax,
                    request.offset + done_, false};
        }
        if (done_ == 0)
            return {request.data, request.length, request.offset, true};
        return window_piece(request);
    }

    // Set once by the pool: room for kWindow iovecs.
    iovec* window = nullptr;

  private:
    void add_vector(const Request& request) noexcept {
        window[merged_].iov_base = request.data;
        window[merged_].iov_len = static_cast<std::size_t>(request.length);
        ++merged_;
    }
    // Skips what is done and copies up to kWindow of the vectors that remain.
    Piece window_piece(const Request& request) noexcept {
        const auto* vectors = static_cast<const iovec*>(request.data);
        std::uint64_t skip = done_;
        std::uint64_t i = 0;
        while (i < request.length && skip >= vectors[i].iov_len)
            skip -= vectors[i++].iov_len;
        std::size_t filled = 0;
        for (; i < request.length && filled < kWindow; ++i) {
            window[filled].iov_base = static_cast<char*>(vectors[i].iov_base) + skip;
            window[filled].iov_len = vectors[i].iov_len - static_cast<std::size_t>(skip);
            skip = 0;
            ++filled;
        }
        return {window, filled, request.offset + done_, true};
    }

    std::uint64_t total_ = 0;
    std::uint64_t done_ = 0;
    std::uint16_t merged_ = 0;  // vectors in the window, of merged requests
};

}  // namespace v0
}  // namespace ioengine
