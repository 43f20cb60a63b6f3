// SPDX-License-Identifier: MIT
//
// The choice of the backend, made once per context: probe, wish, quirks, fall-back, and a report
// that says why.
#include "drivers/choice/quirks.hpp"
#include "drivers/null/null_driver.hpp"
#include "drivers/report.hpp"
#include "lib/config.hpp"
#include "lib/runner.hpp"
#include "lib/split_runner.hpp"
#include "lib/thread.hpp"

#if IOENGINE_HAVE_AIO
#include "drivers/aio/aio_backend.hpp"
#endif
#if IOENGINE_HAVE_URING
#include "drivers/uring/uring_backend.hpp"
#endif

#include <cstdio>
#include <cstring>
#include <sys/utsname.h>

namespace ioengine {
inline namespace v0 {

template class SplitRunner<NullDriver>;

namespace {

[[maybe_unused]] constexpr const char* kNotCompiled = "not compiled into this library";

void probe_one_uring(const FeatureSet& disabled, bool thorough, ProbeReport& report) noexcept {
    report.uring = BackendProbe();
#if IOENGINE_HAVE_URING
    probe_uring(disabled, thorough, report);
#else
    static_cast<void>(disabled);
    static_cast<void>(thorough);
    put_failure(report.uring, kNotCompiled, 0, "rebuild with meson setup -During=enabled");
#endif
}

void probe_one_aio(const FeatureSet& disabled, ProbeReport& report) noexcept {
    report.aio = BackendProbe();
#if IOENGINE_HAVE_AIO
    probe_aio(disabled, report);
#else
    static_cast<void>(disabled);
    put_failure(report.aio, kNotCompiled, 0, "rebuild with meson setup -Daio=enabled");
#endif
}

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

void choose(const BackendWish& wish, const FeatureSet& disabled, bool thorough,
            ProbeReport& report) noexcept {
    utsname system{};
    ::uname(&system);
    put_text(report.kernel, system.release);
    report.asked = wish.backend;
    report.asked_by_environment = wish.by_environment;
    const bool against_uring = note_quirks(system.release, disabled.has(Feature::quirks), report);
    // A context looks only at what it may use: setting up and destroying an AIO context costs some
    // 30 ms (the kernel waits for a grace period).
    const bool automatic = wish.backend == Backend::automatic;
    if (thorough || automatic || wish.backend == Backend::uring)
        probe_one_uring(disabled, thorough, report);
    else
        skip(report.uring, IOENGINE_HAVE_URING != 0, "not asked for");
    if (thorough || wish.backend == Backend::aio ||
        (automatic && (!report.uring.available || against_uring)))
        probe_one_aio(disabled, report);
    else
        skip(report.aio, IOENGINE_HAVE_AIO != 0,
             automatic ? "not needed: io_uring works here" : "not asked for");
    switch (wish.backend) {
    case Backend::automatic:
        report.backend = pick(against_uring, report);
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

// A backend that cannot be had is an error that names the step and what to do.
void fill_unavailable(const ProbeReport& report, Error& error) noexcept {
    const bool uring = report.asked != Backend::aio;
    const BackendProbe& probe = uring ? report.uring : report.aio;
    char message[sizeof error.message];
    std::snprintf(message, sizeof message, "%s is not available: %s%s%s",
                  report.asked == Backend::automatic ? "neither backend"
                                                     : backend_name(report.asked),
                  probe.step, probe.sys_errno != 0 ? " failed: " : "",
                  probe.sys_errno != 0 ? std::strerror(probe.sys_errno) : "");
    fill_error(error, ErrorCode::unsupported, probe.sys_errno, message, probe.hint);
}

std::unique_ptr<Runner> make_runner_here(const RunnerSetup& setup, ProbeReport& report,
                                         Error& error) {
    choose(setup.wish, setup.disabled, false, report);
    note_feature(report, "callback_lending", !setup.disabled.has(Feature::callback_lending))
        .in_force = setup.context->config.lends;
    note_feature(report, "caller_lending",
                 !setup.disabled.has(Feature::callback_lending) &&
                     !setup.disabled.has(Feature::caller_lending))
        .in_force = setup.context->config.callers_lend;
    note_feature(report, "reap_cap", !setup.disabled.has(Feature::reap_cap)).in_force =
        setup.context->config.caps_reaping && setup.context->config.lends;
    note_feature(report, "merging", !setup.disabled.has(Feature::merging)).in_force =
        setup.context->config.merge_limit != 0;
    switch (report.backend) {
    case Backend::automatic:
        fill_unavailable(report, error);
        return nullptr;
    case Backend::null:
        return std::make_unique<SplitRunner<NullDriver>>(
            setup, std::make_unique<NullDriver>(setup.context->config.depth,
                                                setup.context->submit_counters,
                                                setup.context->config.merge_limit));
#if IOENGINE_HAVE_URING
    case Backend::uring: {
        auto runner = make_uring_runner(setup, report, error);
#if IOENGINE_HAVE_AIO
        if (runner == nullptr && report.asked == Backend::automatic) {
            probe_one_aio(setup.disabled, report);
            if (!report.aio.available)
                return nullptr;
            std::snprintf(report.reason, sizeof report.reason,
                          "AIO works here; io_uring: %.80s: %.60s", error.message,
                          std::strerror(error.sys_errno));
            report.backend = Backend::aio;
            error = Error();
            return make_aio_runner(setup, report, error);
        }
#endif
        return runner;
    }
#endif
#if IOENGINE_HAVE_AIO
    case Backend::aio:
        return make_aio_runner(setup, report, error);
#endif
    default:
        break;
    }
    fill_error(error, ErrorCode::unsupported, 0, "this backend is not compiled into this library",
               "rebuild with meson setup -During=enabled -Daio=enabled");
    return nullptr;
}

}  // namespace

// A thread that has made a ring, or submitted to one, is interrupted when the ring ends, some
// milliseconds after it was closed: io_ring_exit_work() sends each of them task work with a signal
// (io_uring/io_uring.c), and whatever it waits for fails with EINTR. So it is not the user's thread
// that probes and makes rings, but one that ends with that.

void probe_backends(const BackendWish& wish, const FeatureSet& disabled, ProbeReport& report) {
    run_elsewhere([&] { choose(wish, disabled, true, report); });
}

std::unique_ptr<Runner> make_runner(const RunnerSetup& setup, ProbeReport& report, Error& error) {
    std::unique_ptr<Runner> runner;
    run_elsewhere([&] { runner = make_runner_here(setup, report, error); });
    return runner;
}

}  // namespace v0
}  // namespace ioengine
