// SPDX-License-Identifier: MIT
//
// Engine's end: no new work, what is there is finished, and the report says what is not. See
// lib/closing.hpp.
#include "lib/clock.hpp"
#include "lib/engine.hpp"
#include "lib/names.hpp"

#include <algorithm>
#include <ctime>
#include <mutex>

namespace ioengine {
inline namespace v0 {

void Engine::begin_closing() noexcept {
    context_.gate.close();
    context_.space.notify_urgent();  // submit_wait() hears of it
    // Callers inside are between two atomic operations of push(): no system call but a wake-up, or,
    // with Lending::callers, a submit call.
    for (unsigned looks = 0; !context_.gate.quiet(); ++looks) {
        const timespec nap{0, looks < 64 ? 0 : 100'000};
        ::nanosleep(&nap, nullptr);
    }
    context_.closing.draining.store(true, std::memory_order_seq_cst);
    context_.wake_urgently();
}

bool Engine::wait_until_left(std::int64_t limit_ns) noexcept {
    if (runner_->drive_until_left(limit_ns))
        return context_.closing.submitter_left.load(std::memory_order_acquire);
    const TimeLimit limit(limit_ns);
    for (;;) {
        const std::uint32_t seen = context_.closing.left.prepare();
        // acquire: pairs with the submitter's last store.
        if (context_.closing.submitter_left.load(std::memory_order_acquire))
            return true;
        const std::int64_t left = limit.left_ns();
        if (left == 0)
            return false;
        context_.closing.left.park(seen, EventCount::Wants::anything, left);
    }
}

void Engine::finish_once() noexcept {
    const std::lock_guard<std::mutex> lock(finish_mutex_);
    if (finished_)
        return;
    // Threads inside wait() have seen their last request done, and go.
    while (context_.standby.anybody_inside()) {
        const timespec nap{0, 50'000};
        ::nanosleep(&nap, nullptr);
    }
    context_.registered.close();
    runner_->finish();
    // Workers and sinks that ran the last callbacks may still stand on their last instructions.
    while (context_.handed_out() != 0) {
        const timespec nap{0, 50'000};
        ::nanosleep(&nap, nullptr);
    }
    finished_ = true;
}

ShutdownReport Engine::shutdown(std::int64_t deadline_ns) noexcept {
    constexpr std::int64_t kLogEvery = 5'000'000'000;
    // What was asked back from the kernel gets this long to arrive.
    constexpr std::int64_t kCancelGrace = 500'000'000;
    ShutdownReport report;
    if (entrance_.in_child() || would_deadlock()) {
        report.code = entrance_.in_child() ? ErrorCode::forked : ErrorCode::would_deadlock;
        return report;
    }
    begin_closing();
    bool left = false;
    if (deadline_ns == kForever) {
        while (!(left = wait_until_left(kLogEvery)))
            log_oldest();
    } else {
        left = wait_until_left(deadline_ns);
        if (!left) {
            std::uint64_t nobody = Closing::kNotYet;
            // relaxed: read again by closers only, after they have stored.
            context_.closing.cancelled_before.compare_exchange_strong(
                nobody, context_.poll_counters.cancelled.get(), std::memory_order_relaxed);
            // release: pairs with the acquire of submit_step(), which sees a closed gate with it.
            context_.closing.cancelling.store(true, std::memory_order_release);
            context_.wake_urgently();
            left = wait_until_left(kCancelGrace);
        }
    }
    if (left)
        finish_once();
    else
        log_missing_driver();
    report.clean = left;
    report.code = left ? ErrorCode::none : ErrorCode::timed_out;
    fill_report(report);
    return report;
}

void Engine::fill_report(ShutdownReport& report) const noexcept {
    const Stats now = stats();
    report.accepted = now.accepted;
    report.completed = now.completed;
    report.queued = now.queued_prio + now.queued_read + now.queued_write;
    const std::uint64_t before = context_.closing.cancelled_before.load(std::memory_order_relaxed);
    report.cancelled =
        before != Closing::kNotYet ? context_.poll_counters.cancelled.get() - before : 0;
    const std::uint64_t clock = coarse_now_ns();
    const auto older = [](const InFlight& a, const InFlight& b) { return a.age_ns > b.age_ns; };
    for (std::uint32_t i = 0; i < runner_->depth(); ++i) {
        InFlight entry;
        if (!runner_->describe(i, clock, entry))
            continue;
        report.in_kernel += entry.merged;
        // Keeps the oldest: a full list gives up its youngest, which is the last.
        if (report.named == ShutdownReport::kNamed) {
            if (!older(entry, report.held[report.named - 1]))
                continue;
            --report.named;
        }
        InFlight* const end = report.held + report.named;
        InFlight* const place = std::upper_bound(report.held, end, entry, older);
        std::move_backward(place, end, end + 1);
        *place = entry;
        ++report.named;
    }
    const std::uint64_t elsewhere = report.queued + report.in_kernel;
    report.delivering = now.pending > elsewhere ? now.pending - elsewhere : 0;
}

void Engine::log_missing_driver() noexcept {
    if (runner_->misses_driver())
        log_.write(
            LogLevel::warning,
            "shutdown waits for the thread that drives this context (Threading::caller): it "
            "has to go on with run_once() or run_for() until they say shutting_down, or call "
            "shutdown() itself");
}

void Engine::log_oldest() noexcept {
    log_missing_driver();
    ShutdownReport report;
    fill_report(report);
    if (report.named == 0) {
        log_.write(LogLevel::warning,
                   "shutdown waits: %llu requests queued, %llu callbacks not returned",
                   static_cast<unsigned long long>(report.queued),
                   static_cast<unsigned long long>(report.delivering));
        return;
    }
    const InFlight& oldest = report.held[0];
    log_.write(LogLevel::warning,
               "shutdown waits for %llu requests in flight; the oldest: %s on fd %d, offset %llu, "
               "%s for %llu ms",
               static_cast<unsigned long long>(report.in_kernel), action_name(oldest.action),
               oldest.fd, static_cast<unsigned long long>(oldest.offset), oldest.stage,
               static_cast<unsigned long long>(oldest.age_ns / 1'000'000));
}

}  // namespace v0
}  // namespace ioengine
