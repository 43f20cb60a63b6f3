// SPDX-License-Identifier: MIT
//
// Thread: an engine thread. Named, with all signals blocked, announced to the host's hook first.
#pragma once

#include <ioengine/options.hpp>

#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <pthread.h>
#include <utility>

namespace ioengine {
inline namespace v0 {

struct ThreadSetup {
    void (*on_start)(void* user, ThreadRole role) = nullptr;
    void* user = nullptr;
    char prefix[8] = "ioe";
};

class Thread {
  public:
    Thread() noexcept = default;
    Thread(const Thread&) = delete;
    Thread& operator=(const Thread&) = delete;

    // False if the system has no thread or memory to give.
    bool start(std::function<void()> body, const ThreadSetup& setup, ThreadRole role) noexcept;
    bool joinable() const noexcept { return joinable_; }
    void join() noexcept;

  private:
    pthread_t thread_{};
    bool joinable_ = false;
};

// Runs `body` on a thread that ends with it; here, if the system has no thread to give. For what
// leaves its mark on the thread that does it. What `body` throws comes out.
void run_elsewhere(const std::function<void()>& body);

}  // namespace v0
}  // namespace ioengine
