// SPDX-License-Identifier: MIT
//
// SimOperation: one request as the simulated kernel holds it, whichever interface it came through.
#pragma once

#include "drivers/sim/faults.hpp"

#include <ioengine/request.hpp>

#include <cstdint>
#include <sys/uio.h>
#include <vector>

namespace ioengine {
inline namespace v0 {

struct SimOperation {
    // as asked
    std::uint64_t token = 0;  // the user data
    IOAction action = IOAction::nop;
    bool vectored = false;
    int fd = -1;
    void* data = nullptr;    // plain: the buffer; vectored: the iovecs
    std::uint64_t size = 0;  // plain: bytes; vectored: iovecs; fallocate: bytes
    std::uint64_t offset = 0;
    int mode = 0;          // fallocate
    int rw_flags = 0;      // RWF_*
    bool by_user = false;  // handed over by a thread of the user's, which may exit
    int done_fd = -1;      // an eventfd that is told of the completion
    // By the ring whose transfers are polled; with or without a thread of the kernel's that asks.
    bool polled = false;
    bool kernel_asks = false;
    bool watches = false;  // only whether `fd` can be read: no harm if it never completes

    // what the kernel makes of it
    std::uint64_t sequence = 0;  // of its entry
    std::uint64_t due_ns = 0;    // completes then; UINT64_MAX: never
    Fate fate;
    bool reordered = false;       // drawn to overtake older ones
    std::vector<iovec> segments;  // memory; early or, from `data`, at the completion

    // the watcher's
    void* subject = nullptr;
    std::uint64_t bytes_moved = 0;  // to or from the file, whatever the answer says
};

// Tells a test what happens inside the kernel. Any of them may be null. None may call the kernel,
// but for `seam`.
struct SimWatcher {
    void* user = nullptr;
    // An operation has entered; its piece can be compared with the request's.
    void (*entered)(void* user, SimOperation& operation) = nullptr;
    // Its result is final; bytes have moved.
    void (*answered)(void* user, const SimOperation& operation, std::int64_t result) = nullptr;
    // The submit call would not have this entry.
    void (*refused)(void* user, std::uint64_t token, int answer) = nullptr;
    // The driver took an entry back out of the ring.
    void (*withdrawn)(void* user, std::uint64_t token) = nullptr;
    // Done by a blocking call, for want of the kernel's own.
    void (*ran_here)(void* user, const Request& request, std::int64_t result) = nullptr;
    // The scheduler has picked this request: the alignment check is the first to see it.
    void (*scheduled)(void* user, const Request& request) = nullptr;
    // A call has returned.
    void (*called)(void* user, SimCall call, std::int64_t count, int answer) = nullptr;
    // A place where, in a process, another thread may run.
    void (*seam)(void* user) = nullptr;
    // A thread sleeps in the kernel: until there is a completion, a signal comes, or limit_ns have
    // passed (negative: without limit). Null: whoever calls sees to it that nobody has to.
    void (*sleep)(void* user, std::int64_t limit_ns) = nullptr;
};

}  // namespace v0
}  // namespace ioengine
