// SPDX-License-Identifier: MIT
//
// The backends of this build, as candidates for the choice: make_runner() and probe_backends() of
// lib/runner.hpp.
#include "drivers/choice/choice.hpp"
#include "drivers/null/null_driver.hpp"
#include "lib/config.hpp"
#include "lib/make_threads.hpp"
#include "lib/reporting.hpp"
#include "lib/runner.hpp"
#include "lib/thread.hpp"

#if IOENGINE_HAVE_AIO
#include "drivers/aio/aio_backend.hpp"
#endif
#if IOENGINE_HAVE_URING
#include "drivers/uring/uring_backend.hpp"
#endif

#include <memory>
#include <sys/utsname.h>
#include <utility>

namespace ioengine {
inline namespace v0 {

template class SplitRunner<NullDriver>;
template class OneThreadRunner<NullDriver>;

namespace {

[[maybe_unused]] constexpr const char* kNotCompiled = "not compiled into this library";

void probe_one_uring([[maybe_unused]] const FeatureSet& disabled, [[maybe_unused]] bool thorough,
                     ProbeReport& report) noexcept {
    report.uring = BackendProbe();
#if IOENGINE_HAVE_URING
    probe_uring(disabled, thorough, report);
#else
    put_failure(report.uring, kNotCompiled, 0, "rebuild with meson setup -During=enabled");
#endif
}

void probe_one_aio([[maybe_unused]] const FeatureSet& disabled, ProbeReport& report) noexcept {
    report.aio = BackendProbe();
#if IOENGINE_HAVE_AIO
    probe_aio(disabled, report);
#else
    put_failure(report.aio, kNotCompiled, 0, "rebuild with meson setup -Daio=enabled");
#endif
}

void note_settings(const RunnerSetup& setup, ProbeReport& report) noexcept {
    const ContextConfig& config = setup.context->config;
    const bool has_two = setup.threading == Threading::split;
    const char* const note = has_two ? "" : "one thread holds both roles";
    const bool may_lend = !setup.disabled.has(Feature::callback_lending);
    note_feature(report, "callback_lending", may_lend, note).in_force = config.lends && has_two;
    note_feature(report, "caller_lending", may_lend && !setup.disabled.has(Feature::caller_lending),
                 note)
        .in_force = config.callers_lend;
    note_feature(report, "reap_cap", !setup.disabled.has(Feature::reap_cap)).in_force =
        config.caps_reaping && config.lends;
    if (report.backend != Backend::uring) {
        // Needed, it is an error there; by the environment it is only noted.
        if (setup.ring.by_environment && has_sqpoll(setup.ring.mode))
            note_feature(report, "sqpoll", false, "IOENGINE_RING is for io_uring");
        if (has_iopoll(setup.ring.mode))
            note_feature(report, "iopoll", false, "not used: only io_uring polls devices");
    }
    note_feature(report, "merging", !setup.disabled.has(Feature::merging)).in_force =
        config.merge_limit != 0;
}

std::unique_ptr<Runner> make_on(Backend backend, const RunnerSetup& setup, ProbeReport& report,
                                Error& error) {
    note_settings(setup, report);
    switch (backend) {
    case Backend::null:
        return make_threads(
            setup, std::make_unique<NullDriver>(
                       setup.context->config.depth, setup.context->submit_counters,
                       setup.context->config.merge_limit,
                       setup.threading == Threading::split ? nullptr : &setup.context->bell));
#if IOENGINE_HAVE_URING
    case Backend::uring:
        return make_uring_runner(setup, report, error);
#endif
#if IOENGINE_HAVE_AIO
    case Backend::aio:
        return make_aio_runner(setup, report, error);
#endif
    default:
        fill_error(error, ErrorCode::unsupported, 0,
                   "this backend is not compiled into this library",
                   "rebuild with meson setup -During=enabled -Daio=enabled");
        return nullptr;
    }
}

// Makes one runner; without a setup it only probes.
struct Maker {
    const FeatureSet& disabled;
    const RunnerSetup* setup = nullptr;
    std::unique_ptr<Runner> runner;

    Candidates candidates(const utsname& system) {
        return {this, system.release,
                [](void* self, Backend backend, bool thorough, ProbeReport& report) {
                    const FeatureSet& off = static_cast<Maker*>(self)->disabled;
                    if (backend == Backend::uring)
                        probe_one_uring(off, thorough, report);
                    else
                        probe_one_aio(off, report);
                },
                [](void* self, Backend backend, ProbeReport& report, Error& error) {
                    auto& maker = *static_cast<Maker*>(self);
                    maker.runner = make_on(backend, *maker.setup, report, error);
                    return maker.runner != nullptr;
                }};
    }
};

}  // namespace

// A thread that has made a ring, or submitted to one, is interrupted when the ring ends, some
// milliseconds after it was closed: io_ring_exit_work() sends each of them task work with a signal
// (io_uring/io_uring.c), and whatever it waits for fails with EINTR. So it is not the user's thread
// that probes and makes rings, but one that ends with that.

void probe_backends(const BackendWish& wish, const FeatureSet& disabled, ProbeReport& report) {
    run_elsewhere([&] {
        utsname system{};
        ::uname(&system);
        Maker maker{disabled, nullptr, nullptr};
        choose(wish, disabled, true, maker.candidates(system), report);
    });
}

std::unique_ptr<Runner> make_runner(const RunnerSetup& setup, ProbeReport& report, Error& error) {
    Maker maker{setup.disabled, &setup, nullptr};
    run_elsewhere([&] {
        utsname system{};
        ::uname(&system);
        choose_and_make(setup.wish, setup.disabled, maker.candidates(system), report, error);
    });
    return std::move(maker.runner);
}

}  // namespace v0
}  // namespace ioengine
