// SPDX-License-Identifier: MIT
//
// Offload: one helper thread per context for operations that its backend lacks (on AIO: fallocate,
// sync_file_range, and flushes before Linux 4.18). It starts with the first of them. Results go the
// way of all engine-made completions: ready list, nudge, poller.
#pragma once

#include "lib/event_count.hpp"
#include "lib/ready_list.hpp"
#include "lib/shared_context.hpp"
#include "lib/thread.hpp"

#include <atomic>

namespace ioengine {
inline namespace v0 {

// The operation by an ordinary system call; blocks. >= 0, or -errno.
std::int64_t run_blocking(const Request& request) noexcept;

class Offload {
  public:
    Offload(IoSharedContext& context, const ThreadSetup& setup) noexcept
        : context_(context), setup_(setup) {}
    ~Offload() { stop(); }

    // Submit role. False if the helper thread cannot be started: the caller does the work itself.
    bool post(Request& request) noexcept;

    // Ends the thread; nothing may be posted any more, and everything posted has completed.
    void stop() noexcept;

  private:
    void run() noexcept;

    IoSharedContext& context_;
    const ThreadSetup setup_;
    Thread thread_;                      // submit role starts it, the closer joins it
    ReadyList work_;                     // submit role to helper
    EventCount news_;                    // the helper parks here
    std::atomic<bool> stopping_{false};  // closer sets (release), helper reads (acquire)
};

}  // namespace v0
}  // namespace ioengine
