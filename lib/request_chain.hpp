// SPDX-License-Identifier: MIT
//
// RequestChain: requests in order, linked through Request::next. One thread at a time.
#pragma once

#include <ioengine/request.hpp>

namespace ioengine {
inline namespace v0 {

class RequestChain {
  public:
    RequestChain() noexcept = default;
    // From `first` on by `next`; the last one's is null.
    RequestChain(Request* first, Request* last) noexcept : first_(first), last_(last) {}

    bool empty() const noexcept { return first_ == nullptr; }
    void push(Request& request) noexcept {
        request.next = nullptr;
        (empty() ? first_ : last_->next) = &request;
        last_ = &request;
    }
    // All of the other's go behind these.
    void append(RequestChain other) noexcept {
        if (other.empty())
            return;
        (empty() ? first_ : last_->next) = other.first_;
        last_ = other.last_;
    }
    // There must be one.
    Request& pop() noexcept {
        Request& request = *first_;
        first_ = request.next;
        return request;
    }

  private:
    Request* first_ = nullptr;
    Request* last_ = nullptr;  // of a chain that is not empty
};

}  // namespace v0
}  // namespace ioengine
