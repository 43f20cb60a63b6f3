// SPDX-License-Identifier: MIT
//
// dump(): a context described for people.
#include "lib/clock.hpp"
#include "lib/engine.hpp"
#include "lib/names.hpp"
#include "lib/text.hpp"

#include <new>
#include <string>

namespace ioengine {
inline namespace v0 {

namespace {

using Ull = unsigned long long;

void append_counts(std::string& to, const Stats& s) {
    append_format(to,
                  "  accepted %llu, completed %llu (%llu failed), refused %llu full + %llu other\n",
                  Ull{s.accepted}, Ull{s.completed}, Ull{s.failed}, Ull{s.refused_full},
                  Ull{s.refused_other});
    append_format(to, "  queued %llu prio, %llu read, %llu write; slots %u of %u in use\n",
                  Ull{s.queued_prio}, Ull{s.queued_read}, Ull{s.queued_write}, s.running, s.depth);
    append_format(
        to,
        "  submit calls %llu (%llu again), refused by the kernel %llu, waits %llu, reaped "
        "%llu\n",
        Ull{s.submit_calls}, Ull{s.submit_retries}, Ull{s.requests_refused_by_kernel},
        Ull{s.wait_calls}, Ull{s.reaped});
    if (s.polled + s.polled_refused != 0)
        append_format(to, "  polled %llu, could not be polled %llu\n", Ull{s.polled},
                      Ull{s.polled_refused});
    append_format(to,
                  "  merged %llu (%llu times broken up), continued %llu, retried %llu, offloaded "
                  "%llu, nudges %llu, submitter wakes "
                  "%llu, overflows %llu\n",
                  Ull{s.merged}, Ull{s.merges_broken}, Ull{s.continuations},
                  Ull{s.completion_retries}, Ull{s.offloaded}, Ull{s.nudges},
                  Ull{s.submitter_wakes}, Ull{s.cq_overflows});
    append_format(to, "  bytes read %llu, written %llu; slow deliveries %llu, longest %llu us\n",
                  Ull{s.bytes_read}, Ull{s.bytes_written}, Ull{s.slow_deliveries},
                  Ull{s.longest_delivery_ns} / 1000);
    if (s.latency.samples != 0)
        append_format(to, "  latency us: p50 %.1f, p99 %.1f, p99.9 %.1f, max %.1f\n",
                      static_cast<double>(s.latency.p50_ns) / 1e3,
                      static_cast<double>(s.latency.p99_ns) / 1e3,
                      static_cast<double>(s.latency.p999_ns) / 1e3,
                      static_cast<double>(s.latency.max_ns) / 1e3);
}

}  // namespace

Text Engine::dump() const noexcept {
    try {
        std::string text;
        const Stats now = stats();
        append_format(text, "ioengine context: backend %s, %s\n", backend_name(report_.backend),
                      context_.gate.closed() ? "closing" : "open");
        append_counts(text, now);
        const std::uint64_t clock = coarse_now_ns();
        for (std::uint32_t i = 0; i < runner_->depth(); ++i) {
            InFlight entry;
            if (!runner_->describe(i, clock, entry))
                continue;
            append_format(text, "  in flight: slot %u, %s fd %d offset %llu length %llu", i,
                          action_name(entry.action), entry.fd, Ull{entry.offset},
                          Ull{entry.length});
            if (entry.merged != 1)
                append_format(text, " (%u requests)", entry.merged);
            append_format(text, ", channel %s, %s, %llu ms\n", channel_name(entry.channel),
                          entry.stage, Ull{entry.age_ns} / 1'000'000);
        }
        return make_text(text);
    } catch (const std::bad_alloc&) {
        return {};
    }
}

}  // namespace v0
}  // namespace ioengine
