// SPDX-License-Identifier: MIT
//
// Errands: work that others leave for the one thread that holds both roles, because the kernel
// takes it from that thread only.
//
// Why none is forgotten: the thread takes them after it has read the epoch of its event count and
// before it announces its sleep (lib/one_thread.hpp); whoever posts one notifies that event count
// afterwards. When the thread leaves for good it closes the list: what lies there then, or comes
// later, hears that nobody will run it.
#pragma once

#include <atomic>

namespace ioengine {
inline namespace v0 {

// Lives until it was done. `runs`: false if the driver has left.
struct Errand {
    void (*done)(Errand& self, bool runs) noexcept = nullptr;
    Errand* next = nullptr;
};

class Errands {
  public:
    // Any thread. False: nobody comes any more, and done() was not called.
    bool post(Errand& errand) noexcept {
        Errand* head = head_.load(std::memory_order_relaxed);
        do {
            if (head == &closed_)
                return false;
            errand.next = head;
            // release: pairs with take(); hands the errand over.
        } while (!head_.compare_exchange_weak(head, &errand, std::memory_order_release,
                                              std::memory_order_relaxed));
        return true;
    }

    // -- the thread that drives ----------------------------------------------------------------

    // True if there was any.
    bool run() noexcept {
        // relaxed: after the epoch was read, whose acquire brings what was posted before it moved.
        const Errand* const head = head_.load(std::memory_order_relaxed);
        if (head == nullptr || head == &closed_)
            return false;
        return finish(head_.exchange(nullptr, std::memory_order_acquire), true);
    }
    // For good; not before the last run().
    void close() noexcept { finish(head_.exchange(&closed_, std::memory_order_acquire), false); }

  private:
    static bool finish(Errand* errand, bool runs) noexcept {
        const bool any = errand != nullptr;
        while (errand != nullptr) {
            Errand* const next = errand->next;  // it may be gone after done()
            errand->done(*errand, runs);
            errand = next;
        }
        return any;
    }

    Errand closed_;  // stands for a closed list
    std::atomic<Errand*> head_{nullptr};
};

}  // namespace v0
}  // namespace ioengine
