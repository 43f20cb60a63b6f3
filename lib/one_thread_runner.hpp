// SPDX-License-Identifier: MIT
//
// OneThreadRunner: both roles on one thread: an engine thread (Threading::owner), or the one that
// calls run() (Threading::caller). The thread's steps are lib/one_thread.hpp.
//
// With Threading::caller the first thread that drives the context is its driver for good. Others
// may submit, and wait for the driver to do it.
#pragma once

#include "lib/clock.hpp"
#include "lib/kernel_sleep.hpp"
#include "lib/offload.hpp"
#include "lib/one_thread.hpp"
#include "lib/runner.hpp"
#include "lib/watchdog.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <utility>

namespace ioengine {
inline namespace v0 {

template <Driver D>
class OneThreadRunner final : public Runner {
  public:
    OneThreadRunner(const RunnerSetup& setup, std::unique_ptr<D> driver)
        : context_(*setup.context), threads_(setup.threads),
          has_thread_(setup.threading == Threading::owner), driver_(std::move(driver)),
          offload_(context_, threads_), watchdog_(context_, *driver_), sleep_(context_, *driver_),
          steps_(context_, *driver_, &offload_) {}

    bool start(Error& error) noexcept override {
        if (!has_thread_)
            return true;
        if (thread_.start([this] { live(); }, threads_, ThreadRole::owner)) {
            const int rc = wait_until_bound();
            if (rc == 0)
                return true;
            thread_.join();
            fill_error(error, ErrorCode::system, -rc, "cannot bind the ring to the engine thread",
                       "use Threading::split");
        } else {
            fill_error(error, ErrorCode::system, EAGAIN, "cannot start an engine thread",
                       "raise the limit on threads (ulimit -u, the container's pids.max) or free "
                       "memory");
        }
        driver_->close();
        return false;
    }

    void finish() noexcept override {
        // A driver that has driven the context to its end may still stand on its last instructions.
        // acquire: pairs with ~Inside().
        while (driver_inside_.load(std::memory_order_acquire)) {
            const timespec nap{0, 50'000};
            ::nanosleep(&nap, nullptr);
        }
        thread_.join();
        offload_.stop();
        driver_->close();
    }

    ErrorCode wait(const WaitCall& call) noexcept override {
        if (!drives_here()) {
            if (call.staged != 0)
                context_.wake_for_work();
            return park(call);
        }
        const Inside inside(driver_inside_);
        drive([&call] { return call.done(); }, call.limit_ns);
        return call.done() ? ErrorCode::none : ErrorCode::timed_out;
    }

    RunReport run(Run how, std::int64_t limit_ns) noexcept override {
        RunReport report;
        if (has_thread_) {
            report.code = ErrorCode::unsupported;
            return report;
        }
        if (!drives_here()) {
            report.code = bind_error_.load(std::memory_order_relaxed) != 0
                              ? ErrorCode::system
                              : ErrorCode::wrong_thread;
            return report;
        }
        const Inside inside(driver_inside_);
        const std::uint64_t before = context_.completed();
        const auto found = [&] { return context_.completed() != before; };
        if (how == Run::until)
            drive([] { return false; }, limit_ns);
        else
            report.again_in_ns = once(how == Run::once, found);
        if (left_)
            report.code = ErrorCode::shutting_down;
        report.completed = context_.completed() - before;
        return report;
    }

    bool drive_until_left(std::int64_t limit_ns) noexcept override {
        if (!drives_here())
            return false;
        drive([] { return false; }, limit_ns);
        return true;
    }

    int completion_fd() noexcept override {
        if (has_thread_)
            return -EOPNOTSUPP;
        const int fd = driver_->completion_fd();
        is_polled_ |= fd >= 0;
        return fd;
    }

    std::uint32_t depth() const noexcept override { return driver_->slots().depth(); }
    std::uint32_t slots_in_use() const noexcept override { return driver_->slots().in_use(); }
    bool describe(std::uint32_t i, std::uint64_t now, InFlight& out) const noexcept override {
        return driver_->slots().describe(i, now, out);
    }

  private:
    // A call of the driver's, after which it touches the context no more. What comes before its
    // leave() is seen by the closer with that.
    class Inside {
      public:
        explicit Inside(std::atomic<bool>& flag) noexcept : flag_(flag) {
            flag_.store(true, std::memory_order_relaxed);
        }
        Inside(const Inside&) = delete;
        Inside& operator=(const Inside&) = delete;
        ~Inside() { flag_.store(false, std::memory_order_release); }

      private:
        std::atomic<bool>& flag_;
    };

    // -- the driver --------------------------------------------------------------------------

    // On this thread? The first one that asks is.
    bool drives_here() noexcept {
        if (has_thread_)
            return false;
        // An address that no other living thread has.
        static thread_local char t_here;
        const void* nobody = nullptr;
        // relaxed: only this thread can have stored its own address.
        if (driver_thread_.load(std::memory_order_relaxed) == &t_here)
            return bind_error_.load(std::memory_order_relaxed) == 0;
        if (!driver_thread_.compare_exchange_strong(nobody, &t_here, std::memory_order_relaxed))
            return false;
        const int rc = driver_->bind();
        bind_error_.store(rc, std::memory_order_relaxed);
        if (rc != 0)
            context_.log.write(LogLevel::error, "cannot bind the ring to this thread: %s",
                               std::strerror(-rc));
        return rc == 0;
    }

    // Until `enough`, or both roles have left, or for limit_ns.
    template <class Enough>
    void drive(Enough&& enough, std::int64_t limit_ns) noexcept {
        const TimeLimit limit(limit_ns);
        while (!left_ && !enough()) {
            const std::int64_t rest = limit.left_ns();
            if (rest == 0)
                return;
            if (step(rest) == OneThread<D>::Next::sleep)
                sleep(rest);
        }
    }

    // What can be done now; if that is nothing and it `waits`, what there is after a sleep. How
    // long until it should be called again in any case.
    template <class Found>
    std::int64_t once(bool waits, Found&& found) noexcept {
        using Next = typename OneThread<D>::Next;
        // Callbacks may keep it busy for ever.
        constexpr int kRoundsMax = 16;
        Next next = Next::again;
        for (int i = 0; next == Next::again && i < kRoundsMax && !left_; ++i) {
            next = step(waits && !found() ? EventCount::kNoLimit : 0);
            if (waits && found())
                break;
            if (next == Next::sleep && waits && !found()) {
                sleep(EventCount::kNoLimit);
                waits = false;
                next = Next::again;
            }
        }
        // There may be more to do, of which the descriptor has spoken already.
        if (is_polled_ && next == Next::again)
            driver_->remind();
        return next == Next::sleep ? watched(steps_.limit_ns()) : kForever;
    }

    typename OneThread<D>::Next step(std::int64_t limit_ns) noexcept {
        const bool may_sleep =
            limit_ns == EventCount::kNoLimit && !watchdog_.barks() && context_.config.spin_us == 0;
        const auto next = steps_.next(may_sleep);
        if (next == OneThread<D>::Next::leave)
            leave();
        return next;
    }

    void sleep(std::int64_t limit_ns) noexcept {
        const std::int64_t own = watched(steps_.limit_ns());
        if (limit_ns == EventCount::kNoLimit || (own != EventCount::kNoLimit && own < limit_ns))
            limit_ns = own;
        context_.poll_counters.wait_calls.add(1);
        failures_ = sleep_.after(sleep_(limit_ns), failures_);
    }

    std::int64_t watched(std::int64_t limit_ns) noexcept {
        return watchdog_.barks() && !nothing_is_pending(context_) ? watchdog_.look(limit_ns)
                                                                  : limit_ns;
    }

    void leave() noexcept {
        left_ = true;
        driver_->unbind();
        // release: pairs with the closer's acquire.
        context_.closing.poller_left.store(true, std::memory_order_release);
        context_.closing.submitter_left.store(true, std::memory_order_release);
        context_.closing.left.notify_urgent();
    }

    // -- the engine thread -------------------------------------------------------------------

    void live() noexcept {
        const int rc = driver_->bind();
        bound_.store(rc == 0 ? 1 : rc, std::memory_order_release);  // pairs with wait_until_bound()
        start_.notify_urgent();
        if (rc == 0)
            drive([] { return false; }, kForever);
    }

    int wait_until_bound() noexcept {
        for (;;) {
            const std::uint32_t seen = start_.prepare();
            const int bound = bound_.load(std::memory_order_acquire);  // pairs with live()
            if (bound != 0)
                return bound > 0 ? 0 : bound;
            start_.park(seen, EventCount::Wants::anything);
        }
    }

    // -- other threads -----------------------------------------------------------------------

    ErrorCode park(const WaitCall& call) noexcept {
        context_.standby.enter();
        WaitWord word = call.word;
        const TimeLimit limit(call.limit_ns);
        bool done = false;
        for (;;) {
            word.announce(call.one != nullptr);
            const std::uint32_t seen = word.prepare();
            done = call.done();
            const std::int64_t rest = limit.left_ns();
            if (done || rest == 0)
                break;
            word.sleep(seen, rest);
        }
        context_.standby.exit();
        return done ? ErrorCode::none : ErrorCode::timed_out;
    }

    IoSharedContext& context_;
    const ThreadSetup threads_;
    const bool has_thread_;
    const std::unique_ptr<D> driver_;
    Offload offload_;
    std::atomic<const void*> driver_thread_{nullptr};  // caller: who drives
    std::atomic<int> bind_error_{0};                   // caller: the driver writes, all may ask
    std::atomic<bool> driver_inside_{false};           // caller: the driver writes, finish() reads
    std::atomic<int> bound_{0};                        // owner: 1, or -errno; 0: not known yet
    EventCount start_;                                 // owner: start() parks here

    // the driver's own
    Watchdog<D> watchdog_;
    const KernelSleep<D> sleep_;
    OneThread<D> steps_;
    std::uint32_t failures_ = 0;
    bool left_ = false;
    bool is_polled_ = false;  // somebody has its completion_fd()
    Thread thread_;
};

}  // namespace v0
}  // namespace ioengine
