// SPDX-License-Identifier: MIT
//
// Which thread is this? An address that no other living thread has: to be compared, and nothing
// else.
#pragma once

namespace ioengine {
inline namespace v0 {

// A thread-local variable at a place that is known once the library is loaded, so that no call has
// to look it up. glibc keeps little room of that kind for libraries that are loaded later
// (dlopen(3)): for a byte and a pointer.
#define IOENGINE_NEAR_THREAD [[gnu::tls_model("initial-exec")]]

namespace detail {
IOENGINE_NEAR_THREAD inline constinit thread_local char t_here = 0;
}

inline const void* this_thread() noexcept {
    return &detail::t_here;
}

}  // namespace v0
}  // namespace ioengine
