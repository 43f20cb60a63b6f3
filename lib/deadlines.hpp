// SPDX-License-Identifier: MIT
//
// Deadlines: when the submit role has to look for requests that are late.
//
// No list of them is kept. There is one moment before which none is late, and when it has come the
// submit role looks at every request that it can reach and finds the next moment. A request that
// ends in time costs nothing; as long as deadlines lie a certain span ahead, there is one look per
// span.
//
// Why none is missed: a request is queued first and noted second; a look forgets the moment first
// and reads the queues second, and both have a fence in between. So either the look sees the
// request, or its moment is compared with what was known after the forgetting. Who brings the
// moment forward wakes the submitter, whose sleep may be too long.
#pragma once

#include <atomic>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

class Deadlines {
  public:
    static constexpr std::uint64_t kNever = UINT64_MAX;

    // After the request is queued. True: the submitter is to be woken.
    bool note(std::uint64_t deadline_ns) noexcept {
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with forget()
        std::uint64_t nearest = nearest_.load(std::memory_order_relaxed);
        while (deadline_ns < nearest)
            // relaxed: it carries nothing, the fences order it.
            if (nearest_.compare_exchange_weak(nearest, deadline_ns, std::memory_order_relaxed))
                return true;
        return false;
    }

    // relaxed: who lowers it wakes the submitter. kNever: no request has a deadline.
    std::uint64_t nearest() const noexcept { return nearest_.load(std::memory_order_relaxed); }
    // Submit role, before it looks.
    void forget() noexcept {
        nearest_.store(kNever, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with note()
    }

  private:
    std::atomic<std::uint64_t> nearest_{kNever};
};

}  // namespace v0
}  // namespace ioengine
