// SPDX-License-Identifier: MIT
//
// Watchdog: logs requests that are in flight longer than Options::watchdog_ms, once each.
#pragma once

#include "lib/clock.hpp"
#include "lib/driver.hpp"
#include "lib/event_count.hpp"
#include "lib/names.hpp"
#include "lib/shared_context.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace ioengine {
inline namespace v0 {

// `completed` first. Not whether a slot is in use: a callback that is running now may submit, and a
// borrower hand it over, without a word to the submitter.
inline bool nothing_is_pending(const IoSharedContext& context) noexcept {
    const std::uint64_t completed = context.completed();
    return completed == context.accepted();
}

// One thread's: the one that sleeps with limits.
template <Driver D>
class Watchdog {
  public:
    Watchdog(IoSharedContext& context, D& driver) : context_(context), driver_(driver) {
        if (barks())
            reported_.resize(driver_.slots().depth());
    }

    bool barks() const noexcept { return context_.config.watchdog_ms != 0; }

    // Reports what is overdue; and the limit of a sleep after which to look again.
    std::int64_t look(std::int64_t limit_ns) noexcept {
        const std::int64_t patience = std::int64_t{context_.config.watchdog_ms} * 1'000'000;
        report(static_cast<std::uint64_t>(patience));
        const std::int64_t nap = patience / 2 + 1'000'000;
        return limit_ns == EventCount::kNoLimit || limit_ns > nap ? nap : limit_ns;
    }

  private:
    void report(std::uint64_t patience_ns) noexcept {
        const std::uint64_t now = coarse_now_ns();
        for (std::uint32_t i = 0; i < driver_.slots().depth(); ++i) {
            InFlight entry;
            if (!driver_.slots().describe(i, now, entry) || entry.age_ns < patience_ns)
                continue;
            // Not by the generation, which moves with each try.
            const std::uint64_t since = now - entry.age_ns;
            if (std::exchange(reported_[i], since) == since)
                continue;
            context_.submit_counters.watchdog_reports.add(1);
            context_.log.write(
                LogLevel::warning, "overdue: %s on fd %d, offset %llu, length %llu, %s for %llu ms",
                action_name(entry.action), entry.fd, static_cast<unsigned long long>(entry.offset),
                static_cast<unsigned long long>(entry.length), entry.stage,
                static_cast<unsigned long long>(entry.age_ns / 1'000'000));
        }
    }

    IoSharedContext& context_;
    D& driver_;
    std::vector<std::uint64_t> reported_;  // whom the last report was about, per slot
};

}  // namespace v0
}  // namespace ioengine
