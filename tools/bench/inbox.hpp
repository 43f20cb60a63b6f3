// SPDX-License-Identifier: MIT
//
// Bell and Inbox: how threads of the bench sleep until another thread hands them something.
#ifndef TOOLS_BENCH_INBOX_HPP
#define TOOLS_BENCH_INBOX_HPP

#include <atomic>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace bench {

// Wakes one sleeping thread. A ring that comes before the wait is not lost: the wait returns at
// once. Rings that come close together may be noticed as one. std::atomic::wait is not used because
// it spins before it sleeps, and sleeping is what the bench measures.
class Bell {
  public:
    void ring() noexcept {
        // acq_rel: what was written before the ring is seen after the wait, and the system call is
        // made only for a thread that said it sleeps.
        if (state_.exchange(kRung, std::memory_order_acq_rel) == kAsleep)
            futex(FUTEX_WAKE_PRIVATE, 1, nullptr);
    }

    void wait() noexcept { static_cast<void>(wait_until_ns(kNever)); }

    // False if nothing rang within limit_ns.
    bool wait_for_ns(std::uint64_t limit_ns) noexcept { return wait_until_ns(limit_ns); }

  private:
    static constexpr std::uint32_t kSilent = 0;
    static constexpr std::uint32_t kRung = 1;
    static constexpr std::uint32_t kAsleep = 2;
    static constexpr std::uint64_t kNever = ~std::uint64_t{0};

    bool wait_until_ns(std::uint64_t limit_ns) noexcept {
        std::uint32_t expected = kSilent;
        // acquire pairs with the release in ring(), here and below.
        if (state_.compare_exchange_strong(expected, kAsleep, std::memory_order_acquire)) {
            timespec limit;
            limit.tv_sec = static_cast<time_t>(limit_ns / 1'000'000'000U);
            limit.tv_nsec = static_cast<long>(limit_ns % 1'000'000'000U);
            while (state_.load(std::memory_order_acquire) == kAsleep) {
                if (futex(FUTEX_WAIT_PRIVATE, kAsleep, limit_ns == kNever ? nullptr : &limit) ==
                        -1 &&
                    limit_ns != kNever)
                    break;
            }
        }
        return state_.exchange(kSilent, std::memory_order_acquire) == kRung;
    }

    long futex(int operation, std::uint32_t value, const timespec* limit) noexcept {
        static_assert(sizeof(state_) == sizeof(std::uint32_t), "the kernel sees the bare word");
        return syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&state_), operation, value,
                       limit, nullptr, 0);
    }

    std::atomic<std::uint32_t> state_{kSilent};  // partner of itself: every access is in this class
};

// Items from many threads for one. Item has a member `Item* next`. Lock-free: a list that producers
// push to and the consumer takes whole.
template <class Item>
requires requires(Item& item) {
    item.next = &item;
}
class Inbox {
  public:
    void push(Item& item) noexcept {
        Item* head = head_.load(std::memory_order_relaxed);
        do {
            item.next = head;
            // release: the consumer sees the item's content.
        } while (!head_.compare_exchange_weak(head, &item, std::memory_order_release,
                                              std::memory_order_relaxed));
        // Whoever pushed onto a list that was not empty can rely on the ring of its first.
        if (head == nullptr)
            bell_.ring();
    }

    // Sleeps until there is something. Gives all of it, oldest first, linked by `next`.
    Item* wait_and_take() noexcept {
        for (;;) {
            // acquire pairs with the release in push().
            Item* newest = head_.exchange(nullptr, std::memory_order_acquire);
            if (newest != nullptr)
                return oldest_first(newest);
            bell_.wait();
        }
    }

  private:
    static Item* oldest_first(Item* newest) noexcept {
        Item* reversed = nullptr;
        while (newest != nullptr) {
            Item* older = newest->next;
            newest->next = reversed;
            reversed = newest;
            newest = older;
        }
        return reversed;
    }

    alignas(64) std::atomic<Item*> head_{nullptr};
    alignas(64) Bell bell_;
};

}  // namespace bench

#endif  // TOOLS_BENCH_INBOX_HPP
