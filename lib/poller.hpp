// SPDX-License-Identifier: MIT
//
// Poller: the thread that is there for the poll role, in steps; whoever runs it sleeps and parks
// between them, as next() says. That is lib/split_runner.hpp, or a simulation.
//
//   look      callbacks that waiters have left for this thread
//   poll      take the role if it is free; poll_step(): reap, release, lend_step(), deliver
//   lend      lend_step(): submit what callbacks left
//   hand_on   threads inside wait()? they get the role
//   then      moved something? look again; may_leave() -> leave; no role -> stand by; else sleep
//
// What callbacks submit on this thread wakes nobody, so lend_step() follows both kinds of delivery.
#pragma once

#include "lib/lending.hpp"

#include <cstdint>

namespace ioengine {
inline namespace v0 {

template <Driver D>
class Poller {
  public:
    enum class Next : std::uint8_t {
        again,  // next() once more
        sleep,  // in the kernel, in driver.wait(); then awake()
        park,   // on standby.poller until it moves from seen(); then stand_up()
        leave,  // for good: announce it
    };

    Poller(IoSharedContext& context, PollSide& poll, SubmitSide& submit, D& driver,
           Offload* offload) noexcept
        : context_(context), poll_(poll), submit_(submit), driver_(driver), offload_(offload) {}
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;

    Next next() noexcept {
        switch (at_) {
        case At::look:
            seen_ = context_.standby.poller.prepare();
            moved_ = deliver_foreign(context_);
            at_ = At::poll;
            return Next::again;
        case At::poll:
            holds_ = holds_ || poll_.lock.try_take();
            if (holds_)
                moved_ |= poll_step(context_, poll_.role, driver_, [this] { lend(); });
            at_ = moved_ ? At::lend : At::hand_on;
            return Next::again;
        case At::lend:
            lend();
            at_ = At::hand_on;
            [[fallthrough]];
        case At::hand_on:
            hand_on();
            at_ = moved_ ? At::look : holds_ ? At::rest : At::stand_by;
            return Next::again;
        case At::rest:
            at_ = At::look;
            return rest();
        case At::stand_by:
            at_ = At::look;
            return stand_by();
        }
        return Next::again;
    }

    void awake() noexcept { context_.nudge.awake(); }
    void stand_up() noexcept { context_.standby.stand_up(); }
    // The epoch to park with.
    std::uint32_t seen() const noexcept { return seen_; }

  private:
    enum class At : std::uint8_t { look, poll, lend, hand_on, rest, stand_by };

    void lend() noexcept {
        if (!context_.config.lends)
            return;
        lend_step(context_, submit_, holds_ ? &poll_.role : nullptr, driver_, offload_);
        if (!holds_)
            leave_backlog();
    }

    // What found no slot waits for slots that somebody else will free, and announce to a submitter
    // that waits for them: so it has to know.
    void leave_backlog() noexcept {
        if (context_.backlog() != 0)
            context_.wake_for_work();
    }

    void hand_on() noexcept {
        if (!holds_ || !context_.standby.has_waiters())  // [model: wait-9]
            return;
        leave_backlog();
        holds_ = false;
        poll_.lock.release();
        context_.standby.promote();
    }

    Next rest() noexcept {
        if (may_leave(context_, poll_.role, driver_))
            return Next::leave;
        // What lies on the list of foreign requests was put there before this thread took the role,
        // but perhaps after it had looked there [model: wait-10].
        if (may_sleep(context_, poll_.role, driver_) && context_.standby.foreign.empty()) {
            context_.poll_counters.wait_calls.add(1);
            return Next::sleep;
        }
        context_.nudge.awake();
        return Next::again;
    }

    // A waiter has the role, or nobody has anything to wait for.
    Next stand_by() noexcept {
        context_.standby.stand_by();
        if (context_.standby.has_waiters() || !work_is_left(context_))
            return Next::park;
        context_.standby.stand_up();
        return Next::again;
    }

    IoSharedContext& context_;
    PollSide& poll_;
    SubmitSide& submit_;
    D& driver_;
    Offload* const offload_;
    At at_ = At::look;
    bool holds_ = false;
    bool moved_ = false;
    std::uint32_t seen_ = 0;
};

}  // namespace v0
}  // namespace ioengine
