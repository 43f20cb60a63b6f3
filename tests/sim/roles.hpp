// SPDX-License-Identifier: MIT
//
// The two engine threads as state machines: the loops of lib/split_runner.hpp cut where another
// thread may come in between. The steps, the event count and the rules of sleeping and leaving are
// the engine's own.
#pragma once

#include "drivers/sim/world.hpp"
#include "lib/poller.hpp"
#include "lib/submit_step.hpp"
#include "tests/sim/failure.hpp"
#include "tests/sim/history.hpp"

#include <cerrno>
#include <cstdint>

namespace sim {

template <ioengine::Driver D>
class Submitter {
  public:
    Submitter(ioengine::IoSharedContext& context, ioengine::SimWorld& world, History& history,
              D& driver, ioengine::SubmitSide& side)
        : context_(context), world_(world), history_(history), driver_(driver), side_(side) {}

    bool on_stack() const noexcept { return on_stack_; }
    bool left() const noexcept { return state_ == State::left; }
    // A step has seen that everything is to be cancelled.
    bool has_cancelled() const noexcept { return has_cancelled_; }
    bool parked() const noexcept { return state_ == State::parked; }
    // Parked, not woken, and without a limit.
    bool waits_to_be_woken() const noexcept {
        return parked() && !runnable() && wakes_at_ns_ == world_.kNever;
    }
    // When its sleep ends by itself; kNever if it does not, or if it does not sleep.
    std::uint64_t wakes_at_ns() const noexcept { return parked() ? wakes_at_ns_ : world_.kNever; }
    bool runnable() const noexcept {
        if (on_stack_ || left())
            return false;
        return !parked() || !context_.submitter.announced() || world_.now_ns() >= wakes_at_ns_;
    }
    void act() {
        on_stack_ = true;
        switch (state_) {
        case State::stepping:
            step();
            break;
        case State::deciding:
            decide();
            break;
        case State::announced:
            fall_asleep();
            break;
        case State::parked:
            wake();
            break;
        case State::left:
            break;
        }
        on_stack_ = false;
    }

  private:
    enum class State : std::uint8_t { stepping, deciding, announced, parked, left };

    void step() {
        const bool cancels = context_.closing.cancelling.load(std::memory_order_acquire);
        seen_ = context_.submitter.prepare();
        outcome_ = {};
        if (side_.lock.try_take()) {
            has_cancelled_ |= cancels;
            outcome_ = ioengine::submit_step(context_, side_.role, driver_);
            side_.note_set_aside();
            outcome_.moved |= side_.lock.release();
        }
        history_.add(Event::submit_step, outcome_.moved, static_cast<std::int64_t>(outcome_.wants),
                     outcome_.limit_ns);
        state_ = State::deciding;
    }

    void decide() {
        if (context_.closing.poller_left.load(std::memory_order_acquire)) {
            context_.closing.submitter_left.store(true, std::memory_order_release);
            context_.closing.left.notify_urgent();
            history_.add(Event::submitter_leaves);
            state_ = State::left;
            return;
        }
        state_ = State::stepping;
        if (outcome_.moved || !context_.submitter.announce(seen_, outcome_.wants))
            return;
        state_ = State::announced;
    }

    // Has announced its sleep, and looks once more.
    void fall_asleep() {
        state_ = State::stepping;
        if (ioengine::missed_slots(outcome_, driver_) || !context_.submitter.announced())
            return;
        history_.add(Event::submitter_parks,
                     outcome_.wants == ioengine::EventCount::Wants::urgent_only, outcome_.limit_ns);
        wakes_at_ns_ = outcome_.limit_ns == ioengine::EventCount::kNoLimit
                           ? ioengine::SimWorld::kNever
                           : world_.now_ns() + static_cast<std::uint64_t>(outcome_.limit_ns);
        state_ = State::parked;
    }

    void wake() {
        const bool woken = !context_.submitter.announced();
        history_.add(Event::submitter_wakes, woken ? 0 : world_.now_ns() >= wakes_at_ns_ ? 1 : 2);
        state_ = State::stepping;
    }

    ioengine::IoSharedContext& context_;
    ioengine::SimWorld& world_;
    History& history_;
    D& driver_;
    ioengine::SubmitSide& side_;
    ioengine::SubmitOutcome outcome_;
    State state_ = State::stepping;
    bool on_stack_ = false;
    bool has_cancelled_ = false;
    std::uint32_t seen_ = 0;
    std::uint64_t wakes_at_ns_ = ioengine::SimWorld::kNever;
};

template <ioengine::Driver D>
class Poller {
  public:
    // `denied_waits`: while the kernel denies submit calls, it denies waiting, too.
    Poller(ioengine::IoSharedContext& context, ioengine::SimWorld& world, History& history,
           D& driver, ioengine::PollSide& poll, ioengine::SubmitSide& submit, bool denied_waits)
        : context_(context), world_(world), history_(history), driver_(driver),
          loop_(context, poll, submit, driver, nullptr), denied_waits_(denied_waits) {}

    bool on_stack() const noexcept { return on_stack_; }
    bool left() const noexcept { return state_ == State::left; }
    bool sleeps() const noexcept { return state_ == State::sleeping; }
    // On standby, and not called.
    bool waits_to_be_called() const noexcept { return state_ == State::parked && !runnable(); }
    std::uint64_t wakes_at_ns() const noexcept {
        return sleeps() || state_ == State::napping ? wakes_at_ns_ : world_.kNever;
    }
    bool runnable() const noexcept {
        if (on_stack_)
            return false;
        switch (state_) {
        case State::stepping:
            return true;
        case State::sleeping:
            return world_.has_completion() || world_.now_ns() >= wakes_at_ns_;
        case State::napping:
            return world_.now_ns() >= wakes_at_ns_;
        case State::parked:
            return !context_.standby.poller.announced();
        case State::left:
            break;
        }
        return false;
    }
    // Signals come no more.
    void calm() noexcept {
        if (sleeps())
            wakes_at_ns_ = world_.kNever;
    }
    void act() {
        on_stack_ = true;
        switch (state_) {
        case State::stepping:
            step();
            break;
        case State::sleeping:
            wake();
            break;
        case State::parked:
            history_.add(Event::poller_stands_up);
            loop_.stand_up();
            state_ = State::stepping;
            break;
        case State::napping:
            state_ = State::stepping;
            break;
        case State::left:
            break;
        }
        on_stack_ = false;
    }

  private:
    enum class State : std::uint8_t { stepping, sleeping, napping, parked, left };
    using Next = typename ioengine::Poller<D>::Next;

    void step() {
        const std::uint64_t reaped = context_.poll_counters.reaped.get();
        const Next next = loop_.next();
        history_.add(Event::poll_step, context_.poll_counters.reaped.get() - reaped);
        if (next == Next::leave)
            leave();
        else if (next == Next::sleep)
            fall_asleep();
        else if (next == Next::park)
            park();
        else
            return;
        if (next != Next::sleep)
            failures_ = 0;
    }

    void leave() {
        state_ = State::left;
        context_.closing.poller_left.store(true, std::memory_order_release);
        context_.wake_urgently();
        history_.add(Event::poller_leaves);
    }

    void park() {
        const bool parks =
            context_.standby.poller.announce(loop_.seen(), ioengine::EventCount::Wants::anything);
        history_.add(Event::poller_stands_by, parks);
        if (parks)
            state_ = State::parked;
        else
            loop_.stand_up();
    }

    void fall_asleep() {
        wakes_at_ns_ = world_.kNever;
        if (denied_waits_ && world_.faults().denied(world_.now_ns()))
            wakes_at_ns_ = world_.now_ns();
        else if (world_.faults().interrupts_wait())
            wakes_at_ns_ = world_.now_ns() + world_.faults().random().below(200'000);
        if (!context_.standby.foreign.empty())
            fail("the poller sleeps in the kernel over callbacks that a waiter left for it");
        history_.add(Event::poller_sleeps);
        state_ = State::sleeping;
    }

    void wake() {
        const std::size_t there = world_.ready();
        const int answer = driver_.wait(-1);
        loop_.awake();
        history_.add(Event::poller_wakes, there, answer);
        state_ = State::stepping;
        if (answer == 0 || answer == -EINTR) {
            failures_ = 0;
            return;
        }
        const std::int64_t nap_ns = ioengine::backoff_ns(failures_++);
        history_.add(Event::poller_naps, static_cast<std::uint64_t>(nap_ns));
        wakes_at_ns_ = world_.now_ns() + static_cast<std::uint64_t>(nap_ns);
        state_ = State::napping;
    }

    ioengine::IoSharedContext& context_;
    ioengine::SimWorld& world_;
    History& history_;
    D& driver_;
    ioengine::Poller<D> loop_;
    const bool denied_waits_;
    State state_ = State::stepping;
    bool on_stack_ = false;
    std::uint32_t failures_ = 0;
    std::uint64_t wakes_at_ns_ = ioengine::SimWorld::kNever;
};

}  // namespace sim
