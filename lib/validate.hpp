// SPDX-License-Identifier: MIT
//
// validate: is this request well formed? What can be said without a system call, and is the same on
// every backend.
#pragma once

#include "lib/piece.hpp"
#include "lib/request_state.hpp"

#include <ioengine/error.hpp>
#include <ioengine/request.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {

constexpr std::uint64_t kOffsetMax = INT64_MAX;  // loff_t
constexpr std::uint64_t kVectorsMax = 1024;      // IOV_MAX, readv(2)
constexpr std::uint16_t kFlagsKnown =
    kFlagNowait | kFlagAppend | kFlagDsync | kFlagSync | kFlagAtomic | kFlagEarlyResult;

inline Acceptance validate_range(const Request& request, std::uint64_t bytes) noexcept {
    if (request.offset > kOffsetMax || bytes > kOffsetMax || request.offset > kOffsetMax - bytes)
        return {ErrorCode::invalid_argument, "offset + length is beyond 2^63 - 1"};
    return {};
}

inline Acceptance validate_transfer(const Request& request) noexcept {
    if (!is_vectored(request.action)) {
        if (request.data == nullptr && request.length != 0)
            return {ErrorCode::invalid_argument, "data is null but length is not 0"};
        return validate_range(request, request.length);
    }
    if (request.length > kVectorsMax)
        return {ErrorCode::invalid_argument, "more than 1024 iovecs; split the request"};
    if (request.data == nullptr && request.length != 0)
        return {ErrorCode::invalid_argument, "the iovec array is null but its length is not 0"};
    const auto* vectors = static_cast<const iovec*>(request.data);
    std::uint64_t bytes = 0;
    for (std::uint64_t i = 0; i < request.length; ++i) {
        if (vectors[i].iov_len > kOffsetMax - bytes)
            return {ErrorCode::invalid_argument, "the iovecs add up to more than 2^63 - 1 bytes"};
        bytes += vectors[i].iov_len;
    }
    return validate_range(request, bytes);
}

// What most requests are: none of the rules below says anything against it.
inline bool is_plain(const Request& request) noexcept {
    return (request.action == IOAction::read || request.action == IOAction::write) &&
           request.flags == kFlagNone && request.fd >= 0 && request.data != nullptr &&
           request.channel <= Channel::write && request.offset <= kOffsetMax / 2 &&
           request.length <= kOffsetMax / 2 && request_state::is_idle(request);
}

inline Acceptance validate(const Request& request) noexcept {
    if (is_plain(request))
        return {};
    if (!request_state::is_idle(request))
        return {ErrorCode::invalid_argument,
                "the request is in use: it was submitted, or gathered, and is not done"};
    if (request.action == IOAction::none || request.action > IOAction::nop)
        return {ErrorCode::invalid_argument, "no action; call one of the prepare_ functions"};
    if (request.channel > Channel::write)
        return {ErrorCode::invalid_argument, "channel is no value of its enum"};
    if (request.buffer_index != 0 &&
        (request.action == IOAction::nop ||
         ((request.buffer_index & Request::kPlaceBits) != 0 && !moves_bytes(request.action))))
        return {ErrorCode::invalid_argument, "registered buffers are for reads and writes, and "
                                             "registered files for requests on a file"};
    if (request.flags != 0 && !moves_bytes(request.action))
        return {ErrorCode::invalid_argument, "flags are for reads and writes"};
    if (request.action == IOAction::nop)
        return {};
    if (request.fd < 0)
        return {ErrorCode::invalid_argument, "fd is negative"};
    if (moves_bytes(request.action)) {
        if ((request.flags & ~kFlagsKnown) != 0)
            return {ErrorCode::invalid_argument, "flags has unknown bits"};
        if ((request.flags & kFlagAppend) != 0 && !is_write(request.action))
            return {ErrorCode::invalid_argument, "kFlagAppend is for writes"};
        if ((request.flags & kFlagEarlyResult) != 0 &&
            (request.deadline_ns == 0 || request.complete == nullptr))
            return {ErrorCode::invalid_argument,
                    "kFlagEarlyResult needs a deadline and a completion function"};
        return validate_transfer(request);
    }
    return is_flush(request.action) ? Acceptance() : validate_range(request, request.length);
}

}  // namespace v0
}  // namespace ioengine
