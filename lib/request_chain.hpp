// SPDX-License-Identifier: MIT
//
// RequestChain: requests in order, linked through Request::next. One thread at a time.
#pragma once

#include <ioengine/request.hpp>

#include <cstdint>
#include <utility>

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
    // Takes out those that `matches`, also among requests that go as one, and gives each to `sink`.
    // How many there were.
    template <class Matches, class Sink>
    std::uint64_t remove_if(Matches&& matches, Sink&& sink) noexcept {
        std::uint64_t removed = 0;
        RequestChain kept;
        while (!empty()) {
            Request* const rest = remove_members(pop(), matches, sink, removed);
            if (rest != nullptr)
                kept.push(*rest);
        }
        *this = kept;
        return removed;
    }
    // There must be one.
    Request& pop() noexcept {
        Request& request = *first_;
        first_ = request.next;
        return request;
    }

  private:
    // The first of those that stay, with the others behind it; null if none does.
    template <class Matches, class Sink>
    static Request* remove_members(Request& first, Matches& matches, Sink& sink,
                                   std::uint64_t& removed) noexcept {
        Request* rest = nullptr;
        Request* last = nullptr;
        Request* member = &first;
        for (unsigned left = std::exchange(first.followers, std::uint16_t{0});; --left) {
            Request* const next = left != 0 ? member->merged : nullptr;
            if (matches(*member)) {
                ++removed;
                sink(*member);
            } else if (rest == nullptr) {
                rest = last = member;
            } else {
                last = last->merged = member;
                ++rest->followers;
            }
            if (next == nullptr)
                return rest;
            member = next;
        }
    }

    Request* first_ = nullptr;
    Request* last_ = nullptr;  // of a chain that is not empty
};

}  // namespace v0
}  // namespace ioengine
