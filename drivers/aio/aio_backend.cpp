// SPDX-License-Identifier: MIT
//
// Probing Linux AIO on the kernel that runs, and making its runner.
#include "drivers/aio/aio_backend.hpp"

#include "drivers/aio/aio_driver.hpp"
#include "drivers/aio/aio_kernel.hpp"
#include "drivers/aio/aio_probe.hpp"
#include "lib/make_threads.hpp"
#include "lib/reporting.hpp"

#include <memory>
#include <utility>

namespace ioengine {
inline namespace v0 {

template class AioDriver<LinuxAio>;
template class SplitRunner<AioDriver<LinuxAio>>;
template class OneThreadRunner<AioDriver<LinuxAio>>;

void probe_aio(const FeatureSet& disabled, ProbeReport& report) noexcept {
    BackendProbe& probe = report.aio;
    probe.compiled = true;
    if (disabled.has(Feature::aio)) {
        put_failure(probe, "IOENGINE_DISABLE", 0, "switched off by IOENGINE_DISABLE or Options");
        return;
    }
    LinuxAio kernel;
    const SignalFile file = SignalFile::open();
    probe_context(kernel, file.fd(), disabled, report);
}

std::unique_ptr<Runner> make_aio_runner(const RunnerSetup& setup, ProbeReport& report,
                                        Error& error) {
    IoSharedContext& context = *setup.context;
    AioSetup driver_setup;
    driver_setup.merge_limit = context.config.merge_limit;
    driver_setup.depth = context.config.depth;
    driver_setup.bell_fd = context.bell.fd();
    driver_setup.native_fsync = has_feature(report, "aio_fsync");
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
    LinuxAio kernel;
    const int rc = kernel.setup(AioDriver<LinuxAio>::events_for(driver_setup.depth),
                                !setup.disabled.has(Feature::aio_ring_reap));
    if (rc < 0) {
        fill_error(error, ErrorCode::system, -rc, "io_setup failed", aio_setup_hint(-rc));
        return nullptr;
    }
    note_feature(report, "aio_ring_reap", kernel.reaps_from_ring()).in_force =
        kernel.reaps_from_ring();
    note_feature(report, "aio_fsync", driver_setup.native_fsync).in_force =
        driver_setup.native_fsync;
    for (const char* const name : {"registered_buffers", "registered_files"})
        note_feature(report, name, has_feature(report, name),
                     "AIO registers nothing; requests go as ordinary ones");
    return make_threads(
        setup, std::make_unique<AioDriver<LinuxAio>>(std::move(kernel), std::move(driver_setup)));
}

}  // namespace v0
}  // namespace ioengine
