// SPDX-License-Identifier: MIT
//
// The table of known kernel defects, by release number.
#pragma once

#include <ioengine/probe.hpp>

namespace ioengine {
inline namespace v0 {

// Notes every quirk that this kernel's release falls under. Returns true if one of them speaks
// against io_uring and is not overridden. `release` is uname(2)'s.
bool note_quirks(const char* release, bool overridden, ProbeReport& report) noexcept;

}  // namespace v0
}  // namespace ioengine
