// SPDX-License-Identifier: MIT
//
// lib/thread.hpp where the system has no thread to give: the simulated process never has a helper.
#include "lib/thread.hpp"

namespace ioengine {
inline namespace v0 {

bool Thread::start(std::function<void()>, const ThreadSetup&, ThreadRole) noexcept {
    thread_ = {};  // there is none
    return false;
}

void Thread::join() noexcept {}

void run_elsewhere(const std::function<void()>& body) {
    body();
}

}  // namespace v0
}  // namespace ioengine
