// SPDX-License-Identifier: MIT
//
// Making a public Text of a string of ours.
#pragma once

#include <ioengine/text.hpp>

#include <string>

namespace ioengine {
inline namespace v0 {

// Empty if memory is short.
Text make_text(const std::string& from) noexcept;

// printf-style, appended.
[[gnu::format(printf, 2, 3)]] void append_format(std::string& to, const char* format, ...);

}  // namespace v0
}  // namespace ioengine
