// SPDX-License-Identifier: MIT
//
// Waiter: a thread inside wait(), in steps; whoever runs it parks and sleeps between them, as
// next() says. That is lib/split_runner.hpp, or a simulation. Why nothing is missed:
// lib/standby.hpp.
#pragma once

#include "lib/runner.hpp"
#include "lib/steps.hpp"

#include <cstdint>

namespace ioengine {
inline namespace v0 {

template <Driver D>
class Waiter {
  public:
    enum class Next : std::uint8_t {
        end,    // all is done
        again,  // next() once more
        park,   // until parked().word is called; then unpark()
        sleep,  // in the kernel, in driver.wait(); then wake()
    };

    Waiter(IoSharedContext& context, PollSide& poll, SubmitSide& submit, D& driver,
           Offload* offload, const WaitCall& call) noexcept
        : context_(context), poll_(poll), submit_(submit), driver_(driver), offload_(offload),
          call_(call), parked_(call.word) {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    void begin() noexcept {
        const bool limited = call_.limit_ns >= 0;
        reaps_ = context_.config.lends && (!limited || driver_.limits_waits());
        context_.standby.enter(reaps_);
        if (call_.staged == 0)
            return;
        // Past a limit its requests would interrupt it wherever it is then: the submitter's.
        if (reaps_ && !(limited && driver_.interrupts_submitter()))
            submit_own(context_, submit_, driver_, offload_, call_.word, call_.staged);
        else
            context_.wake_for_work();
    }

    Next next() noexcept {
        if (call_.word.done())
            return Next::end;
        if (!holds_ && !take_role())
            return Next::park;
        if (wait_step(context_, poll_.role, driver_, call_.word, call_.helps)) {
            // What callbacks on this thread have submitted woke nobody.
            if (context_.backlog() != 0)
                context_.wake_for_work();
            return Next::again;
        }
        // Asleep first, as the nudge's sender looks: then the word, whose last count asks for one.
        if (may_sleep(context_, poll_.role, driver_) && parked_.word.go_into_kernel()) {
            context_.poll_counters.wait_calls.add(1);
            return Next::sleep;
        }
        wake();
        return Next::again;
    }
    void unpark() noexcept {
        if (reaps_)
            context_.standby.delist(parked_);
        parked_.word.awake();
    }
    void wake() noexcept {
        context_.nudge.awake();
        parked_.word.awake();
    }

    // Done, or tired of waiting. The last touch of the context.
    void end() noexcept {
        Standby& standby = context_.standby;
        if (holds_)
            poll_.lock.release();  // [model: wait-3]
        if (reaps_ && standby.leave() && standby.stands_by() && work_is_left(context_))
            standby.call_poller();
        standby.exit();
    }

    Standby::Parked& parked() noexcept { return parked_; }

  private:
    bool take_role() noexcept {
        holds_ = reaps_ && poll_.lock.try_take();
        if (holds_)
            return true;
        parked_.word.announce();
        if (!reaps_)
            return false;
        context_.standby.enlist(parked_);
        holds_ = poll_.lock.try_take();
        if (holds_)
            unpark();
        return holds_;
    }

    IoSharedContext& context_;
    PollSide& poll_;
    SubmitSide& submit_;
    D& driver_;
    Offload* const offload_;
    const WaitCall call_;
    Standby::Parked parked_;
    bool reaps_ = false;
    bool holds_ = false;
};

}  // namespace v0
}  // namespace ioengine
