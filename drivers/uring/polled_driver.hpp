// SPDX-License-Identifier: MIT
//
// PolledUringDriver: io_uring with a second ring, of transfers that are polled
// (IORING_SETUP_IOPOLL, Linux 5.1): the device does not interrupt; whoever waits asks it whether it
// is done.
//
//   polled ring     reads and writes of files that PolledFiles has accepted, and reads on trial
//   ordinary ring   all else: flushes, buffered files, flags; the bell, the exit signal
//
// A polled ring takes nothing but transfers of files opened with O_DIRECT whose file system can
// poll: POLL_ADD, FSYNC and ASYNC_CANCEL answer EINVAL on it, buffered files EOPNOTSUPP
// (io_init_req() and io_rw_init_file() in io_uring/; seen on Linux 6.1, 6.12, 6.18). So it cannot
// be the only one.
//
// What cannot be polled is refused with EOPNOTSUPP before anything is done with it: by io_uring
// itself, or since Linux 6.6 by the block layer (submit_bio_noacct() in block/blk-core.c, now
// blk_mq_submit_bio()); docs/decisions/0017-polling.md has the exception. It goes again at once, on
// the ordinary ring, by the way of every passing error (EAGAIN), and the user sees nothing of it. A
// piece that is tried again, for whatever reason, is not polled, so that nothing goes round in
// circles.
//
// One thread holds both roles. While something is in flight on the polled ring it must not sleep in
// the other one: nothing would ask the device. So wait() then looks at both in turns; if nothing
// is, it sleeps on the ordinary ring as if there were no other (io_uring_enter(2) on a polled ring
// returns at once then). Whatever else ends a sleep is a completion of the ordinary ring.
#pragma once

#include "drivers/request_flags.hpp"
#include "drivers/uring/polled_files.hpp"
#include "drivers/uring/uring_driver.hpp"
#include "lib/clock.hpp"
#include "lib/log.hpp"
#include "lib/pause.hpp"

#include <algorithm>
#include <cerrno>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <sched.h>
#include <utility>

namespace ioengine {
inline namespace v0 {

template <class K>
concept PollingKernel = UringKernel<K> && requires(K& kernel) {
    { kernel.look() }
    noexcept->std::same_as<int>;
    { kernel.has_news() }
    noexcept->std::same_as<bool>;
};

struct PolledSetup {
    bool sqpoll = false;      // a thread of the kernel's takes the transfers, and asks the devices
    bool has_tables = false;  // of registered buffers and files, as large as the ordinary ring's
    Log* log = nullptr;
    TimeLimit::Clock clock = nullptr;  // another one than now_ns(): a simulation's
    void* clock_user = nullptr;
};

template <PollingKernel Kernel>
class PolledUringDriver : public UringDriver<Kernel> {
    using Base = UringDriver<Kernel>;
    using Base::add;
    using Base::events_;
    using Base::kernel_;
    using Base::kEvents;
    using Base::last_;
    using Base::setup_;
    using Base::slots_;

  public:
    // Both kernels have been set up, the polled one with polled_entries_for(depth).
    PolledUringDriver(Kernel kernel, UringSetup setup, Kernel polled, PolledSetup polled_setup)
        : Base(std::move(kernel), std::move(setup)), polled_(std::move(polled)),
          polled_setup_(polled_setup), polled_capacity_(polled_.room()) {}

    static constexpr std::uint32_t polled_entries_for(std::uint32_t depth) noexcept {
        return depth;
    }

    // -- submit role -------------------------------------------------------------------------

    // Nobody knows yet which ring the next one goes to.
    std::size_t room() noexcept { return std::min<std::size_t>(kernel_.room(), polled_.room()); }
    void push(Request& request, std::uint64_t now) noexcept {
        last_ = &place(slots_.take(request, now));
    }
    void push_again(UringSlot& slot) noexcept { place(slot); }

    template <RefuseFunction<UringSlot> Refuse>
    Handed submit(Refuse& refuse) noexcept {
        slots_.seal();
        Handed polled;
        this->hand_over(polled_, 0, polled);
        if (polled.broken != 0)
            stop_polling(refuse, polled.broken);
        Handed handed = Base::submit(refuse);
        handed.count += polled.count;
        if (handed.error == 0)
            handed.error = polled.error;
        return handed;
    }
    template <RefuseFunction<UringSlot> Refuse>
    bool abandon(Refuse& refuse, std::int64_t error) noexcept {
        withdraw_polled([&](UringSlot& slot) {
            setup_.submit_counters->requests_refused_by_kernel.add(1);
            refuse(slot, error);
        });
        return Base::abandon(refuse, error);
    }

    bool all_taken() noexcept {
        return Base::all_taken() && (!setup_.sqpoll || polled_.room() == polled_capacity_);
    }
    // cancel() asks the ordinary ring, which knows nothing of a polled transfer (ENOENT): that one
    // ends when the device is done.

    // -- poll role ---------------------------------------------------------------------------

    // The rings have the first turn in turns, so that neither can keep the other from being looked
    // at.
    std::uint32_t reap(Completion* out, std::uint32_t max) noexcept {
        if (in_flight_ == 0)
            return Base::reap(out, max);
        polled_first_ = !polled_first_;
        std::uint32_t count = polled_first_ ? reap_polled(out, max) : Base::reap(out, max);
        if (count < max)
            count += polled_first_ ? Base::reap(out + count, max - count)
                                   : reap_polled(out + count, max - count);
        return count;
    }
    std::uint32_t completions_ready() noexcept {
        return Base::completions_ready() + (in_flight_ != 0 ? polled_.completions_ready() : 0);
    }
    // Only asking tells.
    bool sees_completions() const noexcept { return in_flight_ == 0; }

    int wait(std::int64_t limit_ns) noexcept {
        if (in_flight_ == 0)
            return Base::wait(limit_ns);
        constexpr unsigned kLooksPerYield = 64;
        const TimeLimit limit(limit_ns, polled_setup_.clock, polled_setup_.clock_user);
        for (unsigned looks = 1;; ++looks) {
            if (polled_.has_news() || kernel_.has_news())
                return 0;
            // Runs what waits for this thread, of both rings: task work.
            if (const int rc = polled_.look(); rc < 0)
                return rc;
            if (limit.left_ns() == 0)
                return 0;
            if (!polled_setup_.sqpoll)
                continue;
            pause_cpu();
            // The kernel's thread may need this CPU.
            if (looks % kLooksPerYield == 0)
                ::sched_yield();
        }
    }

    // -- both roles, on one thread -----------------------------------------------------------

    bool can_sleep_in_submit() const noexcept { return in_flight_ == 0; }
    bool polls() const noexcept { return in_flight_ != 0; }
    // Without the polled ring it goes on.
    int bind() noexcept {
        const int rc = Base::bind();
        const int polled_rc = rc == 0 ? polled_.bind() : 0;
        if (polled_rc < 0) {
            polled_setup_.log->write(LogLevel::warning,
                                     "no file is polled: the ring for that cannot be bound to "
                                     "this thread: %s",
                                     std::strerror(-polled_rc));
            is_off_ = true;
        }
        return rc;
    }
    void unbind() noexcept {
        polled_.unbind();
        Base::unbind();
    }

    // -- where the kernel listens --------------------------------------------------------------

    // A place is filled in both rings or in none.
    int update_table(TableKind kind, std::uint32_t first, const TableItem* items,
                     std::uint32_t count) noexcept {
        const int filled = Base::update_table(kind, first, items, count);
        if (filled <= 0 || !polled_setup_.has_tables)
            return filled;
        const int also = polled_.update_table(kind, first, items, static_cast<unsigned>(filled));
        const TableItem nothing;
        for (int i = std::max(also, 0); i < filled; ++i)
            Base::update_table(kind, first + static_cast<unsigned>(i), &nothing, 1);
        return also;
    }

    // -- after both roles have ended ---------------------------------------------------------

    void close() noexcept {
        polled_.destroy();
        Base::close();
    }

  private:
    // -- submit role -------------------------------------------------------------------------

    io_uring_sqe& place(UringSlot& slot) noexcept {
        const Request& request = *slot.request;
        if (slot.retries != 0 || !may_be_polled(request) ||
            !files_.take(request.fd, proves(request)))
            return add(kernel_, slot);
        ++in_flight_;
        return add(polled_, slot);
    }
    // What asks for more than a transfer (to be at once, atomic, at the end, durable) is left to
    // the ordinary way.
    bool may_be_polled(const Request& request) const noexcept {
        return moves_bytes(request.action) && request.length != 0 && rwf_of(request.flags) == 0 &&
               (request.buffer_index == 0 || polled_setup_.has_tables) && !is_off_;
    }
    // Would it be read directly, if the file was opened for that?
    static bool proves(const Request& request) noexcept {
        constexpr std::uint64_t kBlockMask = 511;
        return request.action == IOAction::read &&
               ((reinterpret_cast<std::uintptr_t>(request.data) | request.length | request.offset) &
                kBlockMask) == 0;
    }

    // What lies in the polled ring and was not handed over: it was on no device.
    template <class F>
    void withdraw_polled(F&& taken) noexcept {
        polled_.withdraw([&](std::uint64_t user_data) {
            UringSlot& slot = slots_.at(Token{user_data}.slot());
            const int fd = slot.label.fd.load(std::memory_order_relaxed);  // this role's word
            if (files_.state_of(fd) == PolledFiles::State::trying)
                files_.become(fd, PolledFiles::State::unknown);
            --in_flight_;
            taken(slot);
        });
    }
    // The polled ring takes no more; the ordinary one has room, unless memory was short.
    template <RefuseFunction<UringSlot> Refuse>
    void stop_polling(Refuse& refuse, int error) noexcept {
        is_off_ = true;
        polled_setup_.log->write(LogLevel::error,
                                 "the ring for polled transfers takes no more (%s): they go the "
                                 "ordinary way",
                                 std::strerror(error));
        withdraw_polled([&](UringSlot& slot) {
            if (kernel_.room() != 0)
                add(kernel_, slot);
            else
                refuse(slot, -error);
        });
    }

    // -- poll role ---------------------------------------------------------------------------

    std::uint32_t reap_polled(Completion* out, std::uint32_t max) noexcept {
        if (polled_.completions_ready() == 0)
            static_cast<void>(polled_.look());  // what it says is said again: wait()
        if (polled_.overflowed())
            setup_.poll_counters->cq_overflows.add(1);
        const int count = polled_.peek(std::min(max, kEvents), events_.data());
        if (count <= 0)
            return 0;
        for (int i = 0; i < count; ++i) {
            const UringEvent& event = events_[static_cast<std::size_t>(i)];
            out[i].token.value = event.user_data;
            out[i].result = answer_of(event);
        }
        in_flight_ -= static_cast<std::uint32_t>(count);
        return static_cast<std::uint32_t>(count);
    }

    // Learns from it. What was refused only here passes for EAGAIN.
    std::int64_t answer_of(const UringEvent& event) noexcept {
        using State = PolledFiles::State;
        const SlotLabel& label = slots_.at(Token{event.user_data}.slot()).label;
        const int fd = label.fd.load(std::memory_order_relaxed);  // of this thread, all of it
        const bool is_trial = files_.state_of(fd) == State::trying &&
                              is_read(label.action.load(std::memory_order_relaxed));
        if (event.result == -EOPNOTSUPP || (event.result == -EINVAL && is_trial)) {
            files_.become(fd, State::refused);
            setup_.poll_counters->polled_refused.add(1);
            polled_setup_.log->write(LogLevel::info, "fd %d is not polled: %s", fd,
                                     std::strerror(-event.result));
            return -EAGAIN;
        }
        // The end of the file asks no device.
        if (is_trial)
            files_.become(fd, event.result > 0 ? State::accepted : State::unknown);
        setup_.poll_counters->polled.add(1);
        return event.result;
    }

    Kernel polled_;
    const PolledSetup polled_setup_;
    const std::size_t polled_capacity_;
    // One thread's, all of it.
    PolledFiles files_;
    std::uint32_t in_flight_ = 0;  // lies in the polled ring, or was handed over there
    bool polled_first_ = false;
    bool is_off_ = false;  // takes no new ones
};

}  // namespace v0
}  // namespace ioengine
