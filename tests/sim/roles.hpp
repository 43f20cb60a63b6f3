// SPDX-License-Identifier: MIT
//
// The two engine threads as state machines: the loops of lib/split_runner.hpp cut where another
// thread may come in between. The steps, the event count and the rules of sleeping and leaving are
// the engine's own.
#pragma once

#include "drivers/sim/world.hpp"
#include "lib/steps.hpp"
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
           D& driver, ioengine::SubmitSide& side, bool denied_waits)
        : context_(context), world_(world), history_(history), driver_(driver), side_(side),
          denied_waits_(denied_waits) {}

    bool on_stack() const noexcept { return on_stack_; }
    bool left() const noexcept { return state_ == State::left; }
    bool sleeps() const noexcept { return state_ == State::sleeping; }
    std::uint64_t wakes_at_ns() const noexcept {
        return sleeps() || state_ == State::napping ? wakes_at_ns_ : world_.kNever;
    }
    bool runnable() const noexcept {
        if (on_stack_ || left())
            return false;
        if (sleeps())
            return world_.has_completion() || world_.now_ns() >= wakes_at_ns_;
        return state_ != State::napping || world_.now_ns() >= wakes_at_ns_;
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
            if (!step())
                state_ = State::leaving;
            else if (context_.config.lends)
                state_ = State::lending;
            break;
        case State::lending:
            lend();
            state_ = State::stepping;
            break;
        case State::leaving:
            state_ = State::falling_asleep;
            if (ioengine::may_leave(context_, role_, driver_))
                leave();
            break;
        case State::falling_asleep:
            fall_asleep();
            break;
        case State::sleeping:
            wake();
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
    enum class State : std::uint8_t {
        stepping,
        lending,
        leaving,
        falling_asleep,
        sleeping,
        napping,
        left
    };

    bool step() {
        const bool found = ioengine::poll_step(context_, role_, driver_, [this] {
            if (context_.config.lends)
                lend();
        });
        history_.add(Event::poll_step, found);
        return found;
    }

    void lend() {
        const std::uint64_t before = context_.submit_counters.submit_calls.get();
        ioengine::lend_step(context_, side_, role_, driver_);
        history_.add(Event::lend_step, context_.submit_counters.submit_calls.get() - before);
    }

    void leave() {
        state_ = State::left;
        context_.closing.poller_left.store(true, std::memory_order_release);
        context_.wake_urgently();
        history_.add(Event::poller_leaves);
    }

    void fall_asleep() {
        if (!ioengine::may_sleep(context_, role_, driver_)) {
            context_.nudge.awake();
            failures_ = 0;
            state_ = State::stepping;
            return;
        }
        context_.poll_counters.wait_calls.add(1);
        wakes_at_ns_ = world_.kNever;
        if (denied_waits_ && world_.faults().denied(world_.now_ns()))
            wakes_at_ns_ = world_.now_ns();
        else if (world_.faults().interrupts_wait())
            wakes_at_ns_ = world_.now_ns() + world_.faults().random().below(200'000);
        history_.add(Event::poller_sleeps);
        state_ = State::sleeping;
    }

    void wake() {
        const std::size_t there = world_.ready();
        const int answer = driver_.wait();
        context_.nudge.awake();
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
    ioengine::SubmitSide& side_;
    const bool denied_waits_;
    ioengine::PollRole role_;
    State state_ = State::stepping;
    bool on_stack_ = false;
    std::uint32_t failures_ = 0;
    std::uint64_t wakes_at_ns_ = ioengine::SimWorld::kNever;
};

}  // namespace sim
