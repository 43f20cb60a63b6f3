// SPDX-License-Identifier: MIT
//
// Waiter: a thread inside wait(), in steps; whoever runs it parks and sleeps between them, as
// next() says. That is lib/split_runner.hpp, or a simulation. Why nothing is missed:
// lib/standby.hpp.
#pragma once

#include "lib/lending.hpp"
#include "lib/runner.hpp"

#include <cstdint>
#include <utility>

namespace ioengine {
inline namespace v0 {

template <Driver D>
class Waiter {
  public:
    enum class Next : std::uint8_t {
        end,    // all is done
        again,  // next() once more
        park,   // until is_called(); then unpark()
        sleep,  // in the kernel, in driver.wait(); then wake()
    };

    Waiter(IoSharedContext& context, PollSide& poll, SubmitSide& submit, D& driver,
           Offload* offload, const WaitCall& call, bool limits_waits) noexcept
        : context_(context), poll_(poll), submit_(submit), driver_(driver), offload_(offload),
          call_(call), parked_(call.word), limits_waits_(limits_waits) {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    void begin() noexcept {
        const bool limited = call_.limit_ns >= 0;
        reaps_ = context_.config.lends && (!limited || limits_waits_);
        // Requests that it leaves behind would interrupt it wherever it is then.
        submits_ = reaps_ && !((limited || call_.one != nullptr) && driver_.interrupts_submitter());
        context_.standby.enter();
        if (call_.staged != 0)
            hand_over(call_.staged);
        // Not before: handing over may take a while, and others rely on a waiter to reap.
        if (reaps_)
            context_.standby.join();
    }

    Next next() noexcept {
        if (call_.done())
            return Next::end;
        if (!holds_) {
            const Next refused = ask_for_role();
            if (!holds_)
                return refused;
        }
        const WaitOutcome outcome =
            wait_step(context_, poll_.role, driver_, call_.word, call_.helps);
        if (outcome.found) {
            // What callbacks on this thread have submitted woke nobody.
            if (outcome.called_back != 0 && context_.backlog() != 0)
                hand_over(outcome.called_back);
            return Next::again;
        }
        // Asleep first, as the nudge's sender looks: then the word, whose last count asks for one.
        if (may_sleep(context_, poll_.role, driver_)) {
            parked_.word.go_into_kernel(call_.one != nullptr);
            if (!call_.done()) {
                context_.poll_counters.wait_calls.add(1);
                return Next::sleep;
            }
        }
        wake();
        return Next::again;
    }
    // The word to park on, and whether it is not to be parked on, now that it reads `seen`.
    WaitWord& word() noexcept { return parked_.word; }
    bool is_called(std::uint32_t seen) const noexcept {
        return call_.done() || WaitWord::promoted(seen);
    }
    void unpark() noexcept {
        const Place left = std::exchange(place_, Place::outside);
        if (left == Place::listed)
            context_.standby.delist(parked_);
        // Who only parks clears no flag: it may be another's that waits on the same word. One that
        // stays costs a system call.
        if (left != Place::outside)
            parked_.word.awake();
    }
    void wake() noexcept {
        context_.nudge.awake();
        parked_.word.awake();
    }

    // Done, or tired of waiting. The last touch of the context.
    void end() noexcept {
        Standby& standby = context_.standby;
        unpark();
        if (holds_)
            poll_.lock.release();  // [model: wait-3]
        if (reaps_ && standby.leave() && standby.stands_by() && work_is_left(context_))
            standby.call_poller();
        standby.exit();
    }

  private:
    // Of those that want the role and were refused: not among them, about to be listed, listed.
    enum class Place : std::uint8_t { outside, refused, listed };

    void hand_over(std::uint64_t staged) noexcept {
        if (submits_)
            submit_own(context_, submit_, driver_, offload_, call_.word, staged);
        else
            context_.wake_for_work();
    }

    // In steps of their own: try, enlist, try again; then park.
    Next ask_for_role() noexcept {
        if (place_ == Place::refused) {
            context_.standby.enlist(parked_);
            place_ = Place::listed;
            return Next::again;
        }
        holds_ = reaps_ && poll_.lock.try_take();
        if (holds_) {
            unpark();
            return Next::again;
        }
        if (place_ == Place::listed)
            return Next::park;
        parked_.word.announce(call_.one != nullptr);
        if (!reaps_)
            return Next::park;
        place_ = Place::refused;
        return Next::again;
    }

    IoSharedContext& context_;
    PollSide& poll_;
    SubmitSide& submit_;
    D& driver_;
    Offload* const offload_;
    const WaitCall call_;
    Standby::Parked parked_;
    const bool limits_waits_;  // by the driver, which may be closed when begin() looks
    bool reaps_ = false;       // tries to take the poll role
    bool submits_ = false;     // tries to take the submit role
    bool holds_ = false;
    Place place_ = Place::outside;
};

}  // namespace v0
}  // namespace ioengine
