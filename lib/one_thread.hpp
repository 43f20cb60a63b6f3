// SPDX-License-Identifier: MIT
//
// OneThread: both roles on one thread, in steps; whoever runs it sleeps between them, as next()
// says: lib/one_thread_runner.hpp.
//
//   submit    submit_step(): queues -> slots -> kernel; where the backend can, the same call sleeps
//   poll      poll_step(): reap, release, deliver
//   then      moved something? again; may_leave() -> leave; else announce the sleep -> sleep
//
// Submitting comes first, so that what callbacks have submitted goes to the kernel in the call that
// waits for the next completion: one system call per round, as in a loop written by hand.
//
// Why no wake-up is lost: the thread reads the epoch of its event count before it looks at
// anything, and announces its sleep with that epoch: whatever was notified in between makes the
// announcement fail. What is notified afterwards rings the bell (lib/bell.hpp), which is armed, or
// there is a limit. Completions end the sleep by themselves. What the thread drives for, such as
// the end of requests whose callbacks run elsewhere, is asked for after the announcement as well:
// whoever brings it about notifies afterwards. Nothing else can happen: there is no other thread
// that reaps, submits or takes requests from the list of those finished without the kernel, so
// there is nobody to be nudged. The model is tests/models/one_thread.pml.
#pragma once

#include "lib/poll_step.hpp"
#include "lib/submit_step.hpp"

#include <cstdint>
#include <utility>

namespace ioengine {
inline namespace v0 {

template <Driver D>
class OneThread {
  public:
    enum class Next : std::uint8_t {
        again,  // next() once more, when it suits
        sleep,  // in driver.wait(), for at most limit_ns(); or not: next() once more
        leave,  // for good: announce it
    };

    OneThread(IoSharedContext& context, D& driver, Offload* offload) noexcept
        : context_(context), driver_(driver), offload_(offload) {}
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

    // `may_sleep`: without limit, and only as long as there is nothing to do. `enough`: what it
    // drives for has come about; then it neither sleeps nor leaves.
    template <class Enough>
    Next next(bool may_sleep, Enough&& enough) noexcept {
        awake();
        seen_ = context_.submitter.prepare();
        const bool ran = context_.errands.run();
        const std::uint32_t before = driver_.completions_ready();
        const SubmitOutcome outcome =
            submit_step(context_, submit_, driver_, offload_, Holder::sole(), [&] {
                if (may_sleep && before == 0 && driver_.can_sleep_in_submit() &&
                    nothing_else_to_do() && announce() && !enough())
                    driver_.sleep_in_next_submit();
            });
        // One that was slept for is there in any case.
        if (!awake() || outcome.handed > 1)
            poll_.cap.submitted(outcome.handed, before, driver_.completions_ready());
        const bool found = poll_step(context_, poll_, driver_);
        if (ran || found || (outcome.moved && !nothing_else_to_do()))
            return Next::again;
        if (may_leave(context_, poll_, driver_))
            return enough() ? Next::again : Next::leave;
        if (!context_.ready.empty() || !announce() || enough())
            return Next::again;
        limit_ns_ = outcome.limit_ns;
        return Next::sleep;
    }
    std::int64_t limit_ns() const noexcept { return limit_ns_; }
    // Of a context that closes, over a kernel that takes nothing.
    void leave_without_signal() noexcept { submit_.leave_sent = poll_.leave_seen = true; }

  private:
    bool announce() noexcept {
        return announced_ = context_.submitter.announce(seen_, EventCount::Wants::anything);
    }
    // Nobody has to ring, least of all this thread when it submits. True if it had announced
    // itself.
    bool awake() noexcept {
        const bool was = std::exchange(announced_, false);
        if (was)
            context_.submitter.retract();
        return was;
    }

    // Not in a context that closes: there may_leave() is to be asked before each sleep.
    bool nothing_else_to_do() const noexcept {
        const Closing& closing = context_.closing;
        return !context_.bell.wants_arming() && context_.ready.empty() && !submit_.published &&
               submit_.set_aside.empty() && context_.backlog() == 0 &&
               !driver_.slots().has_continuation() && !driver_.slots().has_put_off() &&
               !submit_.asks_on && !submit_.asks_again &&
               context_.deadlines.nearest() == Deadlines::kNever &&
               !closing.draining.load(std::memory_order_seq_cst) &&  // [model: one-4]
               !closing.cancelling.load(std::memory_order_acquire);
    }

    IoSharedContext& context_;
    D& driver_;
    Offload* const offload_;
    SubmitRole submit_;
    PollRole poll_;
    std::uint32_t seen_ = 0;
    std::int64_t limit_ns_ = EventCount::kNoLimit;
    bool announced_ = false;
};

}  // namespace v0
}  // namespace ioengine
