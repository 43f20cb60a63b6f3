// SPDX-License-Identifier: MIT
//
// CancelOrder: which requests somebody wants the engine to give up. CancelOrders: the orders on
// their way to the submit role. CancelBatch: those that it carries out together.
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
#include <cstddef>
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
    bool names_same(const CancelOrder& other) const noexcept {
        return kind == Kind::one && one.request == other.one.request &&
               one.generation == other.one.generation && one.channel == other.one.channel;
    }
    // Also what another one of this kind, of this file, covers.
    void cover_more(const CancelOrder& other) noexcept {
        for (std::size_t i = 0; i < accepted.size(); ++i)
            if (static_cast<std::int32_t>(other.accepted[i] - accepted[i]) > 0)
                accepted[i] = other.accepted[i];
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
    // Submit role, or nobody else is there. In no order that matters.
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

// Each request is looked at once, however many orders there are: a hundred thousand that wait, and
// an order for each, would be 10^10 looks.
class CancelBatch {
  public:
    // Takes them.
    explicit CancelBatch(CancelOrder* orders) noexcept {
        while (orders != nullptr)
            add(std::exchange(orders, orders->next));
    }
    CancelBatch(const CancelBatch&) = delete;
    CancelBatch& operator=(const CancelBatch&) = delete;
    ~CancelBatch() {
        for (CancelOrder* const bucket : buckets_)
            CancelOrders::discard(bucket);
        CancelOrders::discard(all_);
    }

    bool covers(const CancelOrder::Subject& subject) const noexcept {
        if (all_ != nullptr && all_->covers(subject))
            return true;
        return finds(bucket_of(subject.fd), subject) ||
               (subject.request != nullptr && finds(bucket_of(subject.request), subject));
    }

  private:
    static constexpr std::size_t kBuckets = 1024;

    static std::size_t bucket_of(const Request* request) noexcept {
        const auto address = reinterpret_cast<std::uintptr_t>(request);
        return (std::uint64_t{address} * 0x9E37'79B9'7F4A'7C15u) >> 54;
    }
    static std::size_t bucket_of(std::int32_t fd) noexcept {
        return static_cast<std::uint32_t>(fd) % kBuckets;
    }

    void add(CancelOrder* order) noexcept {
        if (order->kind == CancelOrder::Kind::one) {
            CancelOrder*& bucket = buckets_[bucket_of(order->one.request)];
            if (bucket != nullptr && bucket->names_same(*order))  // said again and again
                delete order;
            else
                push(bucket, order);
            return;
        }
        const bool is_all = order->kind == CancelOrder::Kind::all;
        CancelOrder*& list = is_all ? all_ : buckets_[bucket_of(order->fd)];
        for (CancelOrder* known = list; known != nullptr; known = known->next)
            if (known->kind == order->kind && known->fd == order->fd) {
                known->cover_more(*order);
                delete order;
                return;
            }
        push(list, order);
    }
    static void push(CancelOrder*& list, CancelOrder* order) noexcept {
        order->next = std::exchange(list, order);
    }
    bool finds(std::size_t bucket, const CancelOrder::Subject& subject) const noexcept {
        const CancelOrder* order = buckets_[bucket];
        while (order != nullptr && !order->covers(subject))
            order = order->next;
        return order != nullptr;
    }

    std::array<CancelOrder*, kBuckets> buckets_{};  // one, by request; file, by descriptor
    CancelOrder* all_ = nullptr;
};

}  // namespace v0
}  // namespace ioengine
