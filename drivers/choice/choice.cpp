// SPDX-License-Identifier: MIT
//
// Choosing.
#include "drivers/choice/choice.hpp"

#include "drivers/choice/quirks.hpp"
#include "lib/config.hpp"
#include "lib/reporting.hpp"

#include <cstdio>
#include <cstring>

namespace ioengine {
inline namespace v0 {

namespace {

void skip(BackendProbe& probe, bool compiled, const char* why) noexcept {
    probe.compiled = compiled;
    put_failure(probe, why, 0, "ioengine-probe looks at both");
}

// What `auto` picks, with the reason.
Backend pick(bool quirk_against_uring, ProbeReport& report) noexcept {
    if (report.uring.available && !(quirk_against_uring && report.aio.available)) {
        put_text(report.reason, quirk_against_uring
                                    ? "io_uring works here; a known defect of this kernel speaks "
                                      "against it, but AIO is not available"
                                    : "io_uring works here: a write, a flush and a read came back");
        return Backend::uring;
    }
    if (report.aio.available) {
        if (report.uring.available)
            put_text(report.reason,
                     "AIO works here; a known defect of this kernel speaks against io_uring");
        else
            std::snprintf(report.reason, sizeof report.reason,
                          "AIO works here; io_uring does not: %s%s%s", report.uring.step,
                          report.uring.sys_errno != 0 ? " failed: " : "",
                          report.uring.sys_errno != 0 ? std::strerror(report.uring.sys_errno) : "");
        return Backend::aio;
    }
    put_text(report.reason, "neither io_uring nor AIO works here");
    return Backend::automatic;
}

// A backend that cannot be had is an error that names the step and what to do.
void fill_unavailable(const BackendWish& wish, const ProbeReport& report, Error& error) noexcept {
    const bool uring = report.asked != Backend::aio;
    const BackendProbe& probe = uring ? report.uring : report.aio;
    char message[sizeof error.message];
    std::snprintf(message, sizeof message, "%s is not available: %s%s%s",
                  wish.needs_ring                      ? "uring, for Options::ring,"
                  : report.asked == Backend::automatic ? "neither backend"
                                                       : backend_name(report.asked),
                  probe.step, probe.sys_errno != 0 ? " failed: " : "",
                  probe.sys_errno != 0 ? std::strerror(probe.sys_errno) : "");
    fill_error(error, ErrorCode::unsupported, probe.sys_errno, message, probe.hint);
}

}  // namespace

void choose(const BackendWish& wish, const FeatureSet& disabled, bool thorough,
            const Candidates& candidates, ProbeReport& report) {
    put_text(report.kernel, candidates.kernel_release);
    report.asked = wish.backend;
    report.asked_by_environment = wish.by_environment;
    const bool against_uring =
        note_quirks(candidates.kernel_release, disabled.has(Feature::quirks), report);
    // A context looks only at what it may use: setting up and destroying an AIO context costs some
    // 30 ms (the kernel waits for a grace period).
    const bool automatic = wish.backend == Backend::automatic && !wish.needs_ring;
    if (thorough || automatic || wish.needs_ring || wish.backend == Backend::uring)
        candidates.probe(candidates.self, Backend::uring, thorough, report);
    else
        skip(report.uring, IOENGINE_HAVE_URING != 0, "not asked for");
    if (thorough || wish.backend == Backend::aio ||
        (automatic && (!report.uring.available || against_uring)))
        candidates.probe(candidates.self, Backend::aio, thorough, report);
    else
        skip(report.aio, IOENGINE_HAVE_AIO != 0,
             automatic ? "not needed: io_uring works here" : "not asked for");
    switch (wish.backend) {
    case Backend::automatic:
        if (!wish.needs_ring) {
            report.backend = pick(against_uring, report);
            return;
        }
        report.backend = report.uring.available ? Backend::uring : Backend::automatic;
        put_text(report.reason, report.uring.available
                                    ? "io_uring works here, and Options::ring asks for it"
                                    : "Options::ring asks for io_uring, which does not work here");
        return;
    case Backend::null:
        report.backend = Backend::null;
        break;
    case Backend::uring:
        report.backend = report.uring.available ? Backend::uring : Backend::automatic;
        break;
    case Backend::aio:
        report.backend = report.aio.available ? Backend::aio : Backend::automatic;
        break;
    }
    std::snprintf(report.reason, sizeof report.reason, "%s was asked for by %s%s",
                  backend_name(wish.backend),
                  wish.by_environment ? "IOENGINE_BACKEND" : "Options::backend",
                  report.backend == Backend::automatic ? " and does not work here" : "");
}

bool choose_and_make(const BackendWish& wish, const FeatureSet& disabled,
                     const Candidates& candidates, ProbeReport& report, Error& error) {
    choose(wish, disabled, false, candidates, report);
    if (report.backend == Backend::automatic) {
        fill_unavailable(wish, report, error);
        return false;
    }
    if (candidates.make(candidates.self, report.backend, report, error))
        return true;
    if (report.asked != Backend::automatic || wish.needs_ring)
        return false;
    const bool had_uring = report.backend == Backend::uring;
    const Backend other = had_uring ? Backend::aio : Backend::uring;
    // The one that came second may not have been looked at.
    if (had_uring)
        candidates.probe(candidates.self, other, false, report);
    if (!(had_uring ? report.aio : report.uring).available)
        return false;
    // What comes second had something against it: a known defect, or nothing worse than its cost.
    std::snprintf(report.reason, sizeof report.reason, "%s works here%s; %s: %.60s: %.40s",
                  had_uring ? "AIO" : "io_uring",
                  had_uring ? "" : ", but for a known defect of this kernel",
                  had_uring ? "io_uring" : "AIO", error.message, std::strerror(error.sys_errno));
    report.backend = other;
    error = Error();
    return candidates.make(candidates.self, other, report, error);
}

}  // namespace v0
}  // namespace ioengine
