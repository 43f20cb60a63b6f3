// SPDX-License-Identifier: MIT
//
// ReadyList: requests that are finished, or to be run elsewhere, linked through themselves. Many
// may push, one takes all.
//
// A stack that is taken whole has no ABA problem: nobody pops a single element. take_all() turns it
// round, so that what one thread pushed comes out in its order.
#pragma once

#include "lib/request_chain.hpp"

#include <ioengine/request.hpp>

#include <atomic>

namespace ioengine {
inline namespace v0 {

class ReadyList {
  public:
    void push(Request& request) noexcept {
        Request* head = head_.load(std::memory_order_relaxed);
        do {
            request.next = head;
            // [model: nudge-1] release: pairs with take_all(); hands over the request's result.
        } while (!head_.compare_exchange_weak(head, &request, std::memory_order_release,
                                              std::memory_order_relaxed));
    }

    // acquire: pairs with push().
    bool empty() const noexcept { return head_.load(std::memory_order_acquire) == nullptr; }

    // The oldest first.
    RequestChain take_all() noexcept {
        if (empty())
            return {};
        Request* const newest =
            head_.exchange(nullptr, std::memory_order_acquire);  // [model: nudge-8]
        Request* oldest = nullptr;
        for (Request* request = newest; request != nullptr;) {
            Request* const below = request->next;
            request->next = oldest;
            oldest = request;
            request = below;
        }
        return {oldest, newest};
    }

  private:
    std::atomic<Request*> head_{nullptr};
};

}  // namespace v0
}  // namespace ioengine
