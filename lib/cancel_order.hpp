// SPDX-License-Identifier: MIT
//
// CancelOrder: which requests somebody wants the engine to give up. CancelOrders: the orders on
// their way to the submit role.
//
// An order covers what was accepted before it was given. It says so by how many requests each
// channel had accepted then: every request carries its own number (lib/stamp.hpp). So a descriptor
// that is closed after its last notice, and opened again for something else, is not hit by an order
// that is still on its way; nor is a request that was submitted again.
//
// (The numbers have 32 bits. A request that has been here for 2^32 others less 2^22 is taken for a
// younger one, up to 2^32. And a queue that had no memory for a request gives its number out once
// more: an order that is given at that very moment may spare the request that was accepted last.)
#pragma once

#include <ioengine/request.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace ioengine {
inline namespace v0 {

struct CancelOrder {
    enum class Kind : std::uint8_t { one, file, all };

    Kind kind = Kind::all;
    std::int32_t fd = -1;                        // file
    RequestHandle one;                           // its request is never followed
    std::array<std::uint32_t, 3> accepted = {};  // file, all: by each channel before the order
    CancelOrder* next = nullptr;

    // What is known of a request, or of several that were merged: of their newest.
    struct Subject {
        const Request* request;  // null: of several
        std::int32_t fd;
        Channel channel;
        std::uint32_t generation;
    };
    bool covers(const Subject& subject) const noexcept {
        if (kind == Kind::one)
            return subject.request == one.request && subject.generation == one.generation &&
                   subject.channel == one.channel;
        if (kind == Kind::file && subject.fd != fd)
            return false;
        // The numbers go round. What came after the order, and is still here, came soon after it:
        // at most the queue and all slots full. All else is older, however long it has been here.
        constexpr std::uint32_t kYounger = 1u << 22;
        const auto place = static_cast<std::size_t>(subject.channel) - 1;
        return subject.generation - accepted[place] - 1 >= kYounger;
    }
};

// Many give orders, the submit role takes them all. As lib/ready_list.hpp.
class CancelOrders {
  public:
    CancelOrders() noexcept = default;
    CancelOrders(const CancelOrders&) = delete;
    CancelOrders& operator=(const CancelOrders&) = delete;
    ~CancelOrders() { discard(take_all()); }

    void give(std::unique_ptr<CancelOrder> order) noexcept {
        CancelOrder* const given = order.release();
        CancelOrder* head = head_.load(std::memory_order_relaxed);
        do {
            given->next = head;
            // release: pairs with take_all().
        } while (!head_.compare_exchange_weak(head, given, std::memory_order_release,
                                              std::memory_order_relaxed));
    }
    // relaxed: take_all() looks properly.
    bool any() const noexcept { return head_.load(std::memory_order_relaxed) != nullptr; }
    // Submit role, or nobody else is there. The latest first, which does not matter.
    CancelOrder* take_all() noexcept {
        return head_.exchange(nullptr, std::memory_order_acquire);  // pairs with give()
    }
    static void discard(CancelOrder* orders) noexcept {
        while (orders != nullptr)
            delete std::exchange(orders, orders->next);
    }

  private:
    std::atomic<CancelOrder*> head_{nullptr};
};

}  // namespace v0
}  // namespace ioengine
