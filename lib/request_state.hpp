// SPDX-License-Identifier: MIT
//
// request_state: what Request::state says: whether the engine has the request, and whether somebody
// counts it.
//
// It catches a second submission by mistake, for which relaxed would do; and it tells a thread that
// waits for this one request that it is done, which needs the release of set_idle().
#pragma once

#include <ioengine/request.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {
namespace request_state {

constexpr std::uint8_t kIdle = 0;
constexpr std::uint8_t kSubmitted = 1;
constexpr std::uint8_t kCounted = 3;   // submitted, and `countdown` is to be counted down
constexpr std::uint8_t kGathered = 4;  // will be submitted with others

// acquire: pairs with set_idle().
inline bool is_idle(const Request& request) noexcept {
    return __atomic_load_n(&request.state, __ATOMIC_ACQUIRE) == kIdle;
}
inline bool is_counted(const Request& request) noexcept {
    return __atomic_load_n(&request.state, __ATOMIC_RELAXED) == kCounted;
}
// It is submitted, and counted by this word.
inline bool is_in(const Request& request, const std::uint32_t& word) noexcept {
    return is_counted(request) && request.countdown == &word;
}
inline bool is_gathered(const Request& request) noexcept {
    return __atomic_load_n(&request.state, __ATOMIC_RELAXED) == kGathered;
}
inline void set_gathered(Request& request) noexcept {
    __atomic_store_n(&request.state, kGathered, __ATOMIC_RELAXED);
}
inline void set_submitted(Request& request) noexcept {
    __atomic_store_n(&request.state, kSubmitted, __ATOMIC_RELAXED);
}
inline void set_counted(Request& request, std::uint32_t& countdown) noexcept {
    request.countdown = &countdown;
    __atomic_store_n(&request.state, kCounted, __ATOMIC_RELAXED);
}
// From here on the user may submit it again. release: its result comes with it.
inline void set_idle(Request& request) noexcept {
    __atomic_store_n(&request.state, kIdle, __ATOMIC_RELEASE);
}

}  // namespace request_state
}  // namespace v0
}  // namespace ioengine
