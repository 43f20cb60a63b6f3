// SPDX-License-Identifier: MIT
//
// Probing io_uring on the kernel that runs, and making its runner.
#include "drivers/uring/uring_backend.hpp"

#include "drivers/uring/uring_driver.hpp"
#include "drivers/uring/uring_flags.hpp"
#include "drivers/uring/uring_kernel.hpp"
#include "drivers/uring/uring_probe.hpp"
#include "lib/make_threads.hpp"
#include "lib/reporting.hpp"

#include <cstdio>
#include <memory>
#include <utility>

namespace ioengine {
inline namespace v0 {

template class UringDriver<LinuxUring>;
template class SplitRunner<UringDriver<LinuxUring>>;
template class OneThreadRunner<UringDriver<LinuxUring>>;

namespace {

void note_flag(ProbeReport& report, const char* name, unsigned flags, const char* note) noexcept {
    io_uring ring;
    io_uring_params params{};
    params.flags = flags;
    const bool available = ::io_uring_queue_init_params(4, &ring, &params) == 0;
    if (available)
        ::io_uring_queue_exit(&ring);
    note_feature(report, name, available, note);
}

UringRingSetup ring_setup_for(std::uint32_t depth, Threading threading,
                              const FeatureSet& disabled) noexcept {
    UringRingSetup ring;
    ring.one_thread = threading != Threading::split;
    ring.single_issuer = !disabled.has(Feature::single_issuer);
    ring.defer_taskrun = ring.single_issuer && !disabled.has(Feature::defer_taskrun);
    ring.coop_taskrun = !disabled.has(Feature::coop_taskrun);
    ring.sq_entries = UringDriver<LinuxUring>::sq_entries_for(depth);
    ring.cq_entries = UringDriver<LinuxUring>::cq_entries_for(depth);
    ring.submit_all = !disabled.has(Feature::submit_all);
    ring.sized_cq = !disabled.has(Feature::sized_cq);
    return ring;
}

}  // namespace

void probe_uring(const FeatureSet& disabled, bool thorough, ProbeReport& report) noexcept {
    BackendProbe& probe = report.uring;
    probe.compiled = true;
    if (disabled.has(Feature::uring)) {
        put_failure(probe, "IOENGINE_DISABLE", 0, "switched off by IOENGINE_DISABLE or Options");
        return;
    }
    LinuxUring kernel;
    probe_ring(kernel, ring_setup_for(6, Threading::split, disabled), disabled, report);
    if (!thorough || !probe.available)
        return;
    note_flag(report, "single_issuer", IORING_SETUP_SINGLE_ISSUER,
              "for Threading::owner and caller: split submits and reaps on two threads");
    note_flag(report, "defer_taskrun", IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
              "for Threading::owner and caller: split submits and reaps on two threads");
    note_flag(report, "coop_taskrun", IORING_SETUP_COOP_TASKRUN,
              "for Threading::owner and caller, without defer_taskrun");
}

std::unique_ptr<Runner> make_uring_runner(const RunnerSetup& setup, ProbeReport& report,
                                          Error& error) {
    IoSharedContext& context = *setup.context;
    UringSetup driver_setup;
    driver_setup.merge_limit = context.config.merge_limit;
    driver_setup.depth = context.config.depth;
    driver_setup.bell_fd = context.bell.fd();
    driver_setup.has_fallocate = has_feature(report, "uring_fallocate");
    driver_setup.has_sync_file_range = has_feature(report, "uring_sync_file_range");
    driver_setup.has_async_cancel = has_feature(report, "uring_async_cancel");
    driver_setup.submit_counters = &context.submit_counters;
    driver_setup.poll_counters = &context.poll_counters;
    driver_setup.check_alignment = !setup.disabled.has(Feature::direct_align);
    driver_setup.signal_file = SignalFile::open();
    if (driver_setup.signal_file.fd() < 0) {
        fill_error(error, ErrorCode::system, -driver_setup.signal_file.fd(),
                   "cannot open /dev/null or a memory file for the exit signal",
                   "raise the limit on open files (ulimit -n)");
        return nullptr;
    }
    const UringRingSetup wish = ring_setup_for(driver_setup.depth, setup.threading, setup.disabled);
    UringRingSetup ring = wish;
    if (ring.one_thread && ring.single_issuer && !LinuxUring::can_enable())
        ring.single_issuer = ring.defer_taskrun = false;
    LinuxUring kernel;
    const int rc = set_up_ring(kernel, ring);
    if (rc < 0) {
        fill_error(error, ErrorCode::system, -rc, "io_uring_setup failed", uring_setup_hint(-rc));
        return nullptr;
    }
    char note[96] = "";
    std::snprintf(note, sizeof note, "%u submission and %u completion entries%s", ring.sq_entries,
                  ring.cq_entries,
                  ring.sq_entries < wish.sq_entries ? ": locked memory is short" : "");
    note_feature(report, "sized_cq", ring.sized_cq, note).in_force = ring.sized_cq;
    note_feature(report, "submit_all", ring.submit_all).in_force = ring.submit_all;
    note_feature(report, "uring_fallocate", driver_setup.has_fallocate).in_force =
        driver_setup.has_fallocate;
    note_feature(report, "uring_sync_file_range", driver_setup.has_sync_file_range).in_force =
        driver_setup.has_sync_file_range;
    note_feature(report, "uring_async_cancel", driver_setup.has_async_cancel).in_force =
        driver_setup.has_async_cancel;
    if (ring.one_thread) {
        note_feature(report, "single_issuer", ring.single_issuer).in_force = ring.single_issuer;
        note_feature(report, "defer_taskrun", ring.defer_taskrun).in_force = ring.defer_taskrun;
        const bool cooperates = ring.coop_taskrun && !ring.defer_taskrun;
        note_feature(report, "coop_taskrun", ring.coop_taskrun,
                     cooperates ? "" : "not used: defer_taskrun is better")
            .in_force = cooperates;
    }
    return make_threads(setup, std::make_unique<UringDriver<LinuxUring>>(std::move(kernel),
                                                                         std::move(driver_setup)));
}

}  // namespace v0
}  // namespace ioengine
