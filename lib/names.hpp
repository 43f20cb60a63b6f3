// SPDX-License-Identifier: MIT
//
// The words for enumerators that the public headers do not name.
#pragma once

#include <ioengine/probe.hpp>
#include <ioengine/request.hpp>

namespace ioengine {
inline namespace v0 {

const char* action_name(IOAction action) noexcept;
const char* channel_name(Channel channel) noexcept;

}  // namespace v0
}  // namespace ioengine
