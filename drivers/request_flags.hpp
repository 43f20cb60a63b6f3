// SPDX-License-Identifier: MIT
//
// RequestFlag bits as the kernel's RWF_* bits (preadv2(2)), which AIO and io_uring share.
#pragma once

#include <ioengine/request.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {

// linux/fs.h; RWF_ATOMIC (Linux 6.11) is newer than Debian 12's headers.
constexpr int kRwfDsync = 0x02;
constexpr int kRwfSync = 0x04;
constexpr int kRwfNowait = 0x08;
constexpr int kRwfAppend = 0x10;
constexpr int kRwfAtomic = 0x40;

constexpr int rwf_of(std::uint16_t flags) noexcept {
    return ((flags & kFlagNowait) != 0 ? kRwfNowait : 0) |
           ((flags & kFlagAppend) != 0 ? kRwfAppend : 0) |
           ((flags & kFlagDsync) != 0 ? kRwfDsync : 0) | ((flags & kFlagSync) != 0 ? kRwfSync : 0) |
           ((flags & kFlagAtomic) != 0 ? kRwfAtomic : 0);
}

}  // namespace v0
}  // namespace ioengine
