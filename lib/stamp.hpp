// SPDX-License-Identifier: MIT
//
// stamp: which submission of its channel a request is, for those who cancel, and whether it has a
// deadline.
//
// While the engine has a request, the stamp lies where its result will be: on the line of the
// request that every step touches anyway.
#pragma once

#include <ioengine/request.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {
namespace stamp {

constexpr std::int64_t kTimed = std::int64_t{1} << 32;

inline void put(Request& request, std::uint32_t generation) noexcept {
    request.result = std::int64_t{generation} | (request.deadline_ns != 0 ? kTimed : 0);
}
inline std::uint32_t generation_of(const Request& request) noexcept {
    return static_cast<std::uint32_t>(request.result);
}
inline std::uint64_t deadline_of(const Request& request) noexcept {
    return (request.result & kTimed) != 0 ? request.deadline_ns : 0;
}

}  // namespace stamp
}  // namespace v0
}  // namespace ioengine
