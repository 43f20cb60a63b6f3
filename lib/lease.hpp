// SPDX-License-Identifier: MIT
//
// lease: who has the buffer of a request with kFlagEarlyResult, and which notice is due.
//
//   told in time     finished -> entered with `result`, then at once with `released`
//   told early       the poll role finds it late and in the kernel: queue_result() -> entered with
//                    `result` by whoever delivers (told()); the kernel gives it back: back() ->
//                    entered with `released`
//
// Telling and coming back may happen at the same time, on different threads. Each says that it has
// happened, with a read-modify-write of one byte, and the second one sees to the last notice: so
// that comes once, and after the first.
#pragma once

#include <ioengine/request.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {
namespace lease {

constexpr std::uint8_t kQueued = 1;  // the result is to be told while the kernel has the buffer
constexpr std::uint8_t kTold = 2;    // it has been
constexpr std::uint8_t kBack = 4;    // the kernel has given the buffer back

inline bool is_wanted(const Request& request) noexcept {
    return (request.flags & kFlagEarlyResult) != 0;
}
// Before it is submitted.
inline void begin(Request& request) noexcept {
    __atomic_store_n(&request.lease, std::uint8_t{0}, __ATOMIC_RELAXED);
}
// Poll role: it is late, and the kernel has it. relaxed: what hands the request over orders it.
inline void queue_result(Request& request) noexcept {
    __atomic_store_n(&request.lease, kQueued, __ATOMIC_RELAXED);
}
// Poll role: the kernel has given back one that was queued above. True: it has been told, and is to
// be delivered once more; else who tells does the rest. acq_rel: pairs with told().
inline bool back(Request& request) noexcept {
    return (__atomic_fetch_or(&request.lease, kBack, __ATOMIC_ACQ_REL) & kTold) != 0;
}
// Who delivers, and the poll role: may the kernel have the buffer still? relaxed: as
// queue_result().
inline bool is_early(const Request& request) noexcept {
    return (__atomic_load_n(&request.lease, __ATOMIC_RELAXED) & kQueued) != 0;
}
// Who delivers: is its result told already?
inline bool is_told(const Request& request) noexcept {
    return (__atomic_load_n(&request.lease, __ATOMIC_ACQUIRE) & kTold) != 0;
}
// Who delivers, once the function that was told the result has returned. True: all is the engine's
// again, and the last notice is due; else the request must not be touched any more.
inline bool told(Request& request) noexcept {
    const std::uint8_t before = __atomic_fetch_or(&request.lease, kTold, __ATOMIC_ACQ_REL);
    return (before & kQueued) == 0 || (before & kBack) != 0;
}
// Before the last notice.
inline void end(Request& request) noexcept {
    __atomic_store_n(&request.lease, Request::kLeaseReleased, __ATOMIC_RELAXED);
}

}  // namespace lease
}  // namespace v0
}  // namespace ioengine
