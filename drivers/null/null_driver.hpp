// SPDX-License-Identifier: MIT
//
// NullDriver: completes everything at once, in full, without touching a byte. What remains is the
// engine's own cost. Its "kernel" is a ring from the submit role to the poll role.
#pragma once

#include "lib/bell.hpp"
#include "lib/driver.hpp"
#include "lib/event_count.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <memory>
#include <new>
#include <poll.h>
#include <utility>

namespace ioengine {
inline namespace v0 {

struct NullSlot : Slot {};

class NullDriver {
  public:
    using Slot = NullSlot;

    NullDriver(std::uint32_t depth, SubmitCounters& counters, std::uint32_t merge_limit = 0,
               const Bell* bell = nullptr)
        : counters_(counters), bell_(bell), slots_(depth, merge_limit),
          mask_(std::bit_ceil(std::size_t{depth} + 2) - 1), done_(new Completion[mask_ + 1]) {}

    SlotPool<NullSlot>& slots() noexcept { return slots_; }

    // -- submit role -------------------------------------------------------------------------

    Route route(const Request&) const noexcept { return Route::kernel; }
    int refusal(const Request&) const noexcept { return 0; }
    std::int64_t run_here(const Request&) noexcept { return 0; }

    bool may_block(const Request&) const noexcept { return false; }
    bool may_wait(const Request&) const noexcept { return false; }
    std::size_t room() const noexcept { return SIZE_MAX; }  // a place for every slot
    void push(Request& request, std::uint64_t now) noexcept {
        push_again(slots_.take(request, now));
    }
    void push_again(NullSlot& slot) noexcept {
        if (slot.request->buffer_index != 0)
            count_unused(counters_, *slot.request);
        slots_.hand_over(slot);
        put({slot.token(), bytes_of(slot)});
    }
    void append(Request& request) noexcept {
        NullSlot& slot = slots_.append(request);
        slots_.hand_over(slot);
        // Only a signal may have come in between.
        std::size_t place = filled_ - 1;
        while (done_[place & mask_].token.value != slot.token().value)
            --place;
        done_[place & mask_].result = bytes_of(slot);
    }
    template <RefuseFunction<NullSlot> Refuse>
    Handed submit(Refuse&) noexcept {
        slots_.seal();
        Handed handed;
        handed.count = static_cast<std::uint32_t>(filled_ - tail_.load(std::memory_order_relaxed));
        if (handed.count == 0)
            return handed;
        counters_.submit_calls.add(1);
        tail_.store(filled_, std::memory_order_release);  // pairs with reap()
        news_.notify_work();
        return handed;
    }
    template <RefuseFunction<NullSlot> Refuse>
    bool abandon(Refuse&, std::int64_t) noexcept {
        return false;
    }
    bool push_signal(Signal signal) noexcept {
        if (signal != Signal::wake)  // wait() watches the bell by itself
            put({token_of(signal), 0});
        return true;
    }
    bool all_taken() const noexcept { return true; }
    bool cancel(NullSlot&) noexcept { return true; }

    // -- poll role ---------------------------------------------------------------------------

    std::uint32_t reap(Completion* out, std::uint32_t max) noexcept {
        const std::size_t tail = tail_.load(std::memory_order_acquire);
        std::uint32_t taken = 0;
        if (is_polled_ && !rang_)
            look_at_bell_now();
        if (std::exchange(rang_, false))
            out[taken++] = {token_of(Signal::wake), 0};
        for (; head_ != tail && taken < max; ++head_)
            out[taken++] = done_[head_ & mask_];
        return taken;
    }
    std::uint32_t completions_ready() const noexcept {
        return static_cast<std::uint32_t>(tail_.load(std::memory_order_acquire) - head_);
    }
    bool sees_completions() const noexcept { return true; }
    int wait(std::int64_t limit_ns) noexcept {
        if (bell_ != nullptr)
            return wait_for_bell(limit_ns);
        const std::uint32_t seen = news_.prepare();
        if (head_ == tail_.load(std::memory_order_acquire))
            news_.park(seen, EventCount::Wants::anything, limit_ns);
        return 0;
    }
    FileShape shape_of(int) const noexcept { return {}; }

    bool limits_waits() const noexcept { return true; }
    bool interrupts_submitter() const noexcept { return false; }

    // -- both roles, on one thread: what it hands over is done at once ------------------------

    bool can_sleep_in_submit() const noexcept { return false; }
    void sleep_in_next_submit() noexcept {}
    int bind() noexcept { return 0; }
    void unbind() noexcept {}
    void remind() noexcept { bell_->ring(); }
    bool polls() const noexcept { return false; }
    int completion_fd() noexcept {
        is_polled_ = true;
        return bell_->fd();
    }

    std::uint32_t table_places(TableKind) const noexcept { return 0; }
    int update_table(TableKind, std::uint32_t, const TableItem*, std::uint32_t) noexcept {
        return -EOPNOTSUPP;
    }
    void close() noexcept {}

  private:
    int wait_for_bell(std::int64_t limit_ns) noexcept {
        if (completions_ready() != 0)
            return 0;
        if (limit_ns < 0)
            return look_at_bell(nullptr);
        const timespec limit{static_cast<time_t>(limit_ns / 1'000'000'000),
                             static_cast<long>(limit_ns % 1'000'000'000)};
        return look_at_bell(&limit);
    }
    void look_at_bell_now() noexcept {
        const timespec none{};
        look_at_bell(&none);
    }
    int look_at_bell(const timespec* limit) noexcept {
        pollfd bell{bell_->fd(), POLLIN, 0};
        const int rc = ::ppoll(&bell, 1, limit, nullptr);
        rang_ = rc > 0;
        return rc < 0 ? -errno : 0;
    }

    static std::int64_t bytes_of(const NullSlot& slot) noexcept {
        return static_cast<std::int64_t>(slot.transfer.bytes_left());
    }
    void put(const Completion& completion) noexcept { done_[filled_++ & mask_] = completion; }

    SubmitCounters& counters_;
    const Bell* const bell_;  // null: two threads
    bool rang_ = false;
    bool is_polled_ = false;
    SlotPool<NullSlot> slots_;
    const std::size_t mask_;
    const std::unique_ptr<Completion[]> done_;      // never full: a place per slot and signal
    std::size_t filled_ = 0;                        // submit role
    alignas(64) std::atomic<std::size_t> tail_{0};  // submit role writes, poll role reads
    EventCount news_;                               // the poller parks here
    alignas(64) std::size_t head_ = 0;              // poll role
};

}  // namespace v0
}  // namespace ioengine
