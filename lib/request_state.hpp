// SPDX-License-Identifier: MIT
//
// request_state: what Request::state says: whether the engine has the request, and whether somebody
// counts it.
//
// relaxed throughout: it catches a second submission by mistake; nothing is ordered through it.
#pragma once

#include <ioengine/request.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {
namespace request_state {

constexpr std::uint8_t kIdle = 0;
constexpr std::uint8_t kSubmitted = 1;
constexpr std::uint8_t kCounted = 3;  // submitted, and `countdown` is to be counted down

inline bool is_idle(const Request& request) noexcept {
    return __atomic_load_n(&request.state, __ATOMIC_RELAXED) == kIdle;
}
inline bool is_counted(const Request& request) noexcept {
    return __atomic_load_n(&request.state, __ATOMIC_RELAXED) == kCounted;
}
inline void set_submitted(Request& request) noexcept {
    __atomic_store_n(&request.state, kSubmitted, __ATOMIC_RELAXED);
}
inline void set_counted(Request& request, std::uint32_t& countdown) noexcept {
    request.countdown = &countdown;
    __atomic_store_n(&request.state, kCounted, __ATOMIC_RELAXED);
}
// From here on the user may submit it again.
inline void set_idle(Request& request) noexcept {
    __atomic_store_n(&request.state, kIdle, __ATOMIC_RELAXED);
}

}  // namespace request_state
}  // namespace v0
}  // namespace ioengine
