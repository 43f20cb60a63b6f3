// SPDX-License-Identifier: MIT
//
// SplitRunner: the seed's model. A submitter thread is there for the submit role, a poller thread
// for the poll role.
//
//   submitter                                  poller: lib/poller.hpp
//     epoch = prepare()                          take the poll role
//     take the submit role                       poll_step(): reap, release, lend_step(), deliver
//     submit_step(): queues -> slots -> kernel   lend_step(): submit what callbacks left
//     moved something? again                     threads inside wait()? -> leave them the role
//     poller left? leave                         nothing there? may_leave() -> leave
//     park until the epoch moves                 may_sleep()? -> wait in the kernel; or stand by
//
// A thread inside wait() is lib/waiter.hpp.
//
// With Lending::callbacks the poller borrows the submit role for a step before it delivers (slots
// have come free) and after; with Lending::none it never does, and wakes the submitter for slots
// and continuations instead.
//
// Who wakes whom: a submission, a freed slot, a continuation, a note for a nudge or the closer
// wakes the submitter, through its event count. Completions wake the poller, through the kernel;
// whatever else it must see comes with a nudge. Neither has any other reason to wake: an idle
// context costs nothing.
#pragma once

#include "lib/clock.hpp"
#include "lib/driver_runner.hpp"
#include "lib/kernel_sleep.hpp"
#include "lib/lending.hpp"
#include "lib/offload.hpp"
#include "lib/poller.hpp"
#include "lib/waiter.hpp"
#include "lib/watchdog.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

namespace ioengine {
inline namespace v0 {

template <Driver D>
class SplitRunner final : public DriverRunner<D> {
    using DriverRunner<D>::driver_;

  public:
    SplitRunner(const RunnerSetup& setup, std::unique_ptr<D> driver)
        : DriverRunner<D>(std::move(driver)), context_(*setup.context), threads_(setup.threads),
          limits_waits_(driver_->limits_waits()), offload_(context_, threads_),
          watchdog_(context_, *driver_), sleep_(context_, *driver_),
          loop_(context_, poll_, side_, *driver_, &offload_) {
        context_.callers_step = {[](void* user) {
                                     auto& self = *static_cast<SplitRunner*>(user);
                                     submit_as_caller(self.context_, self.side_, *self.driver_,
                                                      &self.offload_);
                                 },
                                 this};
    }

    bool start(Error& error) noexcept override {
        if (poller_.start([this] { poll_loop(); }, threads_, ThreadRole::poller)) {
            if (submitter_.start([this] { submit_loop(); }, threads_, ThreadRole::submitter))
                return true;
            // The poller sleeps in the kernel: with no submitter, this thread holds that role and
            // sends it home.
            context_.gate.close();
            context_.closing.draining.store(true, std::memory_order_seq_cst);
            submit_loop();
            poller_.join();
        }
        driver_->close();
        error.code = ErrorCode::system;
        error.sys_errno = EAGAIN;
        std::strcpy(error.message, "cannot start an engine thread");
        std::strcpy(error.hint, "raise the limit on threads (ulimit -u, the container's pids.max) "
                                "or free memory");
        return false;
    }

    void finish() noexcept override {
        submitter_.join();
        poller_.join();
        offload_.stop();
        driver_->close();
    }

    ErrorCode wait(const WaitCall& call) noexcept override {
        using Next = typename Waiter<D>::Next;
        Waiter<D> waiter(context_, poll_, side_, *driver_, &offload_, call, limits_waits_);
        const TimeLimit limit(call.limit_ns);
        std::uint32_t failures = 0;
        ErrorCode code = ErrorCode::none;
        waiter.begin();
        for (Next next = waiter.next(); next != Next::end; next = waiter.next()) {
            const std::int64_t left = limit.left_ns();
            const bool late = left == 0;
            if (next == Next::park) {
                const std::uint32_t seen = waiter.word().prepare();
                if (!late && !waiter.is_called(seen))
                    waiter.word().sleep(seen, left);
                waiter.unpark();
            } else if (next == Next::sleep) {
                const int rc = late ? 0 : sleep_(left);
                waiter.wake();
                failures = sleep_.after(rc, failures);
            }
            if (late && !call.done()) {
                code = ErrorCode::timed_out;
                break;
            }
        }
        waiter.end();
        return code;
    }

  private:
    // -- submitter thread ----------------------------------------------------------------------

    void submit_loop() noexcept {
        for (;;) {
            const std::uint32_t seen = context_.submitter.prepare();
            SubmitOutcome outcome;
            // Refused: the borrower has our note, and wakes us.
            if (side_.lock.try_take()) {
                outcome = submit_step(context_, side_.role, *driver_, &offload_);
                side_.note_set_aside();
                outcome.moved |= side_.lock.release();
            }
            // acquire: pairs with the poller's last store.
            if (context_.closing.poller_left.load(std::memory_order_acquire))
                break;
            if (!outcome.moved && context_.submitter.announce(seen, outcome.wants) &&
                !missed_slots(outcome, *driver_))
                sleep(seen, outcome);
        }
        context_.closing.submitter_left.store(true, std::memory_order_release);
        context_.closing.left.notify_urgent();
    }

    void sleep(std::uint32_t seen, const SubmitOutcome& outcome) noexcept {
        context_.submitter.sleep(seen, outcome.wants, watch(outcome.limit_ns));
        context_.unwatched.store(false, std::memory_order_relaxed);
    }

    // With a watchdog: reports what is overdue, and cuts a sleep short until all has completed.
    std::int64_t watch(std::int64_t limit_ns) noexcept {
        if (!watchdog_.barks())
            return limit_ns;
        if (nothing_is_pending(context_)) {
            context_.unwatched.store(true, std::memory_order_relaxed);
            std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with borrowers
            if (nothing_is_pending(context_))
                return limit_ns;
        }
        return watchdog_.look(limit_ns);
    }

    // -- poller thread -------------------------------------------------------------------------

    void poll_loop() noexcept {
        using Next = typename Poller<D>::Next;
        std::uint32_t failures = 0;
        for (Next next = loop_.next(); next != Next::leave; next = loop_.next()) {
            if (next == Next::sleep) {
                const int rc = sleep_(EventCount::kNoLimit);
                loop_.awake();
                failures = sleep_.after(rc, failures);
            } else if (next == Next::park) {
                context_.standby.poller.park(loop_.seen(), EventCount::Wants::anything);
                loop_.stand_up();
            }
        }
        // [model: close-7] release: the submitter sees everything that this thread did.
        context_.closing.poller_left.store(true, std::memory_order_release);
        context_.wake_urgently();
    }

    IoSharedContext& context_;
    const ThreadSetup threads_;
    const bool limits_waits_;
    Offload offload_;
    Watchdog<D> watchdog_;  // submitter's
    const KernelSleep<D> sleep_;
    SubmitSide side_;
    PollSide poll_;
    // The poller's; here rather than on its stack, which a forked child lacks.
    Poller<D> loop_;
    Thread submitter_;
    Thread poller_;
};

}  // namespace v0
}  // namespace ioengine
