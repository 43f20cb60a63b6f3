// SPDX-License-Identifier: MIT
//
// OneThreadRunner: both roles on one thread: an engine thread (Threading::owner), or the one that
// calls run() (Threading::caller). The thread's steps are lib/one_thread.hpp.
//
// With Threading::caller the first thread that drives the context is its driver for good. Others
// may submit, and wait for the driver to do it. A thread to which the ring cannot be bound is not
// the driver yet: run() says so; the calls that have to come to an end try again for a while, and
// then drive a ring that takes nothing: its requests are refused with the kernel's errno.
#pragma once

#include "lib/clock.hpp"
#include "lib/driver_runner.hpp"
#include "lib/kernel_sleep.hpp"
#include "lib/offload.hpp"
#include "lib/one_thread.hpp"
#include "lib/watchdog.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <mutex>
#include <utility>

namespace ioengine {
inline namespace v0 {

// So often a ring is tried to be bound, with a back-off some three seconds, before it is given up.
constexpr std::uint32_t kBindAttemptsMax = 64;

// A thread inside wait() that leaves everything to the one that drives, in steps; whoever runs it
// parks between them.
class Parker {
  public:
    Parker(IoSharedContext& context, const WaitCall& call) noexcept
        : context_(context), call_(call), word_(call.word) {}
    Parker(const Parker&) = delete;
    Parker& operator=(const Parker&) = delete;

    void begin() noexcept {
        if (call_.staged != 0)
            context_.wake_for_work();
        context_.standby.enter();
    }
    // True: sleep on word() while it is seen(), then next() once more.
    bool next() noexcept {
        word_.announce(call_.one != nullptr);
        seen_ = word_.prepare();
        return !call_.done();
    }
    WaitWord& word() noexcept { return word_; }
    std::uint32_t seen() const noexcept { return seen_; }
    // Done, or tired of waiting. The last touch of the context.
    void end() noexcept { context_.standby.exit(); }

  private:
    IoSharedContext& context_;
    const WaitCall call_;
    WaitWord word_;
    std::uint32_t seen_ = 0;
};

template <Driver D>
class OneThreadRunner final : public DriverRunner<D> {
    using DriverRunner<D>::driver_;

  public:
    OneThreadRunner(const RunnerSetup& setup, std::unique_ptr<D> driver)
        : DriverRunner<D>(std::move(driver)), context_(*setup.context), threads_(setup.threads),
          has_thread_(setup.threading == Threading::owner), offload_(context_, threads_),
          watchdog_(context_, *driver_), sleep_(context_, *driver_),
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
        const TimeLimit limit = limit_of(call.limit_ns);
        if (!drives_at_last(limit))
            return somebody_drives() ? park(call) : ErrorCode::timed_out;
        const Inside inside(driver_inside_);
        // Callbacks may run elsewhere, in a sink: who counts the last one down rings the bell.
        WaitWord word = call.word;
        word.go_into_kernel(call.one != nullptr);
        drive([&call] { return call.done(); }, limit.left_ns());
        word.leave_kernel();
        told_ = context_.completed();
        return call.done() ? ErrorCode::none : ErrorCode::timed_out;
    }

    RunReport run(Run how, std::int64_t limit_ns) noexcept override {
        RunReport report;
        if (has_thread_) {
            report.code = ErrorCode::unsupported;
            return report;
        }
        if (!drives_here()) {
            report.code = somebody_drives() ? ErrorCode::wrong_thread : ErrorCode::system;
            return report;
        }
        const Inside inside(driver_inside_);
        const std::uint64_t before = told_;
        const std::uint64_t early = context_.poll_counters.told_early.get();
        const auto found = [&] {
            return context_.completed() != before ||
                   context_.poll_counters.told_early.get() != early;
        };
        if (how == Run::until) {
            if (!left_)
                step(0, [] { return false; });  // even if the limit has passed by now
            drive([] { return false; }, limit_ns);
        } else {
            report.again_in_ns = once(how == Run::once, found);
        }
        if (left_)
            report.code = ErrorCode::shutting_down;
        told_ = context_.completed();
        report.completed = told_ - before;
        return report;
    }

    bool drive_until_left(std::int64_t limit_ns) noexcept override {
        const TimeLimit limit = limit_of(limit_ns);
        if (drives_at_last(limit)) {
            const Inside inside(driver_inside_);
            drive([] { return false; }, limit.left_ns());
        } else if (somebody_drives()) {
            return false;
        }
        return true;
    }

    // Who does not drive yet does not begin with it here: it may be somebody who only submits.
    bool drive_until_moved(const EventCount& moving, std::uint32_t seen,
                           std::int64_t limit_ns) noexcept override {
        if (has_thread_ || !context_.drives_here())
            return false;
        const Inside inside(driver_inside_);
        drive([&moving, seen] { return moving.prepare() != seen; }, limit_ns);
        told_ = context_.completed();
        return true;
    }

    ErrorCode visit(Errand& errand, bool may_leave_it) noexcept override {
        if (context_.drives_here()) {
            errand.done(errand, true);
            return ErrorCode::none;
        }
        if (!has_thread_) {
            // Nobody drives yet, and who wants to waits: the ring is nobody's, and takes it from
            // any thread (io_uring/register.c: only a ring that was enabled has a submitter).
            const std::lock_guard<std::mutex> lock(first_);
            if (!context_.is_driven()) {
                errand.done(errand, true);
                return ErrorCode::none;
            }
        }
        // Also an engine thread may be waiting for this one: for a worker to take a delivery.
        if (!may_leave_it)
            return ErrorCode::would_deadlock;
        if (!context_.errands.post(errand))
            return ErrorCode::shutting_down;
        context_.wake_urgently();
        return ErrorCode::none;
    }

    bool misses_driver() const noexcept override {
        return !has_thread_ && context_.is_driven() && !context_.drives_here() &&
               !driver_inside_.load(std::memory_order_relaxed);  // for people, who wait anyway
    }

    int completion_fd() noexcept override {
        if (has_thread_)
            return -EOPNOTSUPP;
        // acquire: pairs with leave(); the ring may be gone.
        if (context_.closing.submitter_left.load(std::memory_order_acquire))
            return -EBADF;
        const int fd = driver_->completion_fd();
        const int rc = fd >= 0 ? context_.bell.also_tell(fd) : fd;
        if (rc < 0)
            return rc;
        // There may be something that was submitted, or has completed, before it could say so.
        if (!std::exchange(is_polled_, true))
            driver_->remind();
        return fd;
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

    // On this thread? The first one that asks is, if the ring can be bound to it; or, `at_last`,
    // though it cannot, once that was tried often enough.
    bool drives_here(bool at_last = false) noexcept {
        if (has_thread_)
            return false;
        if (context_.drives_here())
            return true;
        const std::lock_guard<std::mutex> lock(first_);
        if (somebody_drives())
            return false;
        const int rc = driver_->bind();
        if (rc != 0 && std::exchange(bind_error_, rc) != rc)
            context_.log.write(LogLevel::error, "cannot bind the ring to this thread: %s",
                               std::strerror(-rc));
        if (rc != 0 && !(++bind_attempts_ > kBindAttemptsMax && at_last))
            return false;
        unbound_ = rc != 0;
        context_.own_queues();
        context_.drive_from_here();
        return true;
    }
    // For a call that has to come to an end. False: others drive, or the time is over.
    bool drives_at_last(const TimeLimit& limit) noexcept {
        for (std::uint32_t attempt = 0; !drives_here(true); ++attempt) {
            const std::int64_t rest = limit.left_ns();
            if (somebody_drives() || rest == 0)
                return false;
            sleep_.nap(rest < 0 ? backoff_ns(attempt) : std::min(rest, backoff_ns(attempt)));
        }
        return true;
    }

    // Decided under `first_`, and for good; who looks without it may see it a little later.
    bool somebody_drives() const noexcept { return has_thread_ || context_.is_driven(); }

    TimeLimit limit_of(std::int64_t limit_ns) const noexcept {
        return TimeLimit(limit_ns, context_.config.clock_ns, context_.config.clock_user);
    }

    // Until `enough`, or both roles have left, or for limit_ns.
    template <class Enough>
    void drive(Enough&& enough, std::int64_t limit_ns) noexcept {
        using Next = typename OneThread<D>::Next;
        const TimeLimit limit = limit_of(limit_ns);
        Next next = Next::again;
        while (!left_ && !enough()) {
            const std::int64_t rest = limit.left_ns();
            if (rest == 0)
                break;
            next = step(rest, enough);
            if (next == Next::sleep)
                sleep(rest);
        }
        remind(next == Next::again || steps_.limit_ns() != EventCount::kNoLimit);
    }

    // Its host will poll; and there may be more to do, of which the descriptor has spoken already,
    // or a moment to come that nobody has told it of. What else there will be ends the sleep that
    // is announced, and says so there.
    void remind(bool there_may_be_more) noexcept {
        if (is_polled_ && (there_may_be_more || driver_->polls()))
            driver_->remind();  // [model: one-10]
    }

    // What can be done now; if that is nothing and it `waits`, what there is after a sleep. How
    // long until it should be called again in any case.
    template <class Found>
    std::int64_t once(bool waits, Found&& found) noexcept {
        using Next = typename OneThread<D>::Next;
        // Callbacks may keep it busy for ever.
        constexpr int kRoundsMax = 16;
        const auto enough = [&] { return waits && found(); };
        // What a sink's workers end counts, too. seq_cst: with
        // IoSharedContext::finish_handed_out(); found() looks after this.
        const bool counts = waits && context_.config.sink != nullptr;
        if (counts)
            context_.driver_counts.store(true, std::memory_order_seq_cst);
        Next next = Next::again;
        for (int i = 0; next == Next::again && i < kRoundsMax && !left_; ++i) {
            next = step(waits && !found() ? EventCount::kNoLimit : 0, enough);
            if (enough())
                break;
            if (next == Next::sleep && waits && !found()) {
                sleep(EventCount::kNoLimit);
                waits = false;
                next = Next::again;
            }
        }
        if (counts)  // relaxed: one wake-up too many does no harm
            context_.driver_counts.store(false, std::memory_order_relaxed);
        remind(next == Next::again);
        if (next == Next::sleep && driver_->polls())
            return 0;
        return next == Next::sleep ? watched(steps_.limit_ns()) : kForever;
    }

    template <class Enough>
    typename OneThread<D>::Next step(std::int64_t limit_ns, Enough&& enough) noexcept {
        if (unbound_ && context_.closing.draining.load(std::memory_order_seq_cst))
            steps_.leave_without_signal();
        const bool may_sleep =
            limit_ns == EventCount::kNoLimit && !watchdog_.barks() && context_.config.spin_us == 0;
        const auto next = steps_.next(may_sleep, enough);
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
        context_.errands.close();
        driver_->unbind();
        remind(true);  // its host, who may be told by the next call only
        // Once more: a thread to come may have this one's address, and asks whether it is over.
        context_.drive_from_here();
        // release: pairs with the closer's acquire.
        context_.closing.poller_left.store(true, std::memory_order_release);
        context_.closing.submitter_left.store(true, std::memory_order_release);
        context_.closing.left.notify_urgent();
    }

    // -- the engine thread -------------------------------------------------------------------

    void live() noexcept {
        context_.own_queues();
        context_.drive_from_here();
        const int rc = driver_->bind();
        bound_.store(rc == 0 ? 1 : rc, std::memory_order_release);  // pairs with wait_until_bound()
        start_.notify_urgent();
        if (rc == 0)
            drive([] { return false; }, kForever);
        context_.drive_no_more();
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
        Parker parker(context_, call);
        const TimeLimit limit(call.limit_ns);
        bool done = false;
        parker.begin();
        while (!(done = !parker.next())) {
            const std::int64_t rest = limit.left_ns();
            if (rest == 0)
                break;
            parker.word().sleep(parker.seen(), rest);
        }
        parker.end();
        return done ? ErrorCode::none : ErrorCode::timed_out;
    }

    IoSharedContext& context_;
    const ThreadSetup threads_;
    const bool has_thread_;
    Offload offload_;
    std::mutex first_;                 // caller: who drives first, or visits before
    int bind_error_ = 0;               // under `first_`: as it was logged
    std::uint32_t bind_attempts_ = 0;  // likewise: in vain
    std::atomic<bool> driver_inside_{
        false};                  // caller: Inside writes; finish() and misses_driver() read
    std::atomic<int> bound_{0};  // owner: 1, or -errno; 0: not known yet
    EventCount start_;           // owner: start() parks here

    // the driver's own
    Watchdog<D> watchdog_;
    const KernelSleep<D> sleep_;
    OneThread<D> steps_;
    std::uint32_t failures_ = 0;
    // How many requests had come to their end when its host heard of it last. What a sink's workers
    // have ended since is news to the next run(): its host may have looked just before.
    std::uint64_t told_ = 0;
    bool left_ = false;
    bool unbound_ = false;    // caller: the ring takes nothing
    bool is_polled_ = false;  // somebody has its completion_fd()
    Thread thread_;
};

}  // namespace v0
}  // namespace ioengine
