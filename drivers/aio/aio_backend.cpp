// SPDX-License-Identifier: MIT
//
// Probing Linux AIO, and making its runner.
#include "drivers/aio/aio_backend.hpp"

#include "drivers/aio/aio_driver.hpp"
#include "drivers/aio/aio_kernel.hpp"
#include "drivers/report.hpp"
#include "lib/split_runner.hpp"

#include <cerrno>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

namespace ioengine {
inline namespace v0 {

template class AioDriver<LinuxAio>;
template class SplitRunner<AioDriver<LinuxAio>>;

namespace {

const char* setup_hint(int error) noexcept {
    switch (error) {
    case EAGAIN:
        return "all AIO contexts of the system together exceed fs.aio-max-nr: raise it with "
               "sysctl -w fs.aio-max-nr=1048576, or lower Options::depth";
    case ENOSYS:
        return "this kernel is built without CONFIG_AIO";
    case EPERM:
    case EACCES:
        return "a seccomp profile forbids io_setup: allow it in the container's profile";
    case ENOMEM:
        return "the kernel is short of memory for an AIO context: lower Options::depth";
    default:
        return "unexpected; run ioengine-probe and report it";
    }
}

// One zero-length read, there and back; 0 or -errno. It is what the exit signal needs.
int try_read(LinuxAio& kernel, int fd) noexcept {
    iocb control;
    io_prep_pread(&control, fd, nullptr, 0, 0);
    iocb* list[] = {&control};
    int rc = kernel.submit(1, list);
    if (rc < 0)
        return rc;
    io_event event{};
    do
        rc = kernel.wait(1, &event, -1);
    while (rc == -EINTR);
    return rc < 0 ? rc : static_cast<int>(static_cast<long>(event.res));
}

// IOCB_CMD_FDSYNC on a fresh memory file; false before Linux 4.18.
bool try_fsync(LinuxAio& kernel, int fd) noexcept {
    iocb control;
    io_prep_fdsync(&control, fd);
    iocb* list[] = {&control};
    int rc = kernel.submit(1, list);
    if (rc < 0)
        return false;
    io_event event{};
    do
        rc = kernel.wait(1, &event, -1);
    while (rc == -EINTR);
    return rc == 1 && event.res == 0;
}

}  // namespace

void probe_aio(const FeatureSet& disabled, ProbeReport& report) noexcept {
    BackendProbe& probe = report.aio;
    probe.compiled = true;
    if (disabled.has(Feature::aio)) {
        put_failure(probe, "IOENGINE_DISABLE", 0, "switched off by IOENGINE_DISABLE or Options");
        return;
    }
    LinuxAio kernel;
    int rc = kernel.setup(4, !disabled.has(Feature::aio_ring_reap));
    if (rc < 0) {
        put_failure(probe, "io_setup", -rc, setup_hint(-rc));
        return;
    }
    note_feature(report, "aio_ring_reap", kernel.reaps_from_ring());
    const SignalFile file = SignalFile::open();
    rc = file.fd() < 0 ? file.fd() : try_read(kernel, file.fd());
    if (rc < 0) {
        put_failure(probe, file.fd() < 0 ? "open /dev/null" : "a zero-length read", -rc,
                    "AIO is set up but cannot read; look for a seccomp profile that forbids "
                    "io_submit or io_getevents");
        return;
    }
    probe.available = true;
    const int memory = ::memfd_create("ioengine-probe", MFD_CLOEXEC);
    note_feature(report, "aio_fsync",
                 !disabled.has(Feature::aio_fsync) && memory >= 0 && try_fsync(kernel, memory));
    if (memory >= 0)
        ::close(memory);
}

std::unique_ptr<Runner> make_aio_runner(const RunnerSetup& setup, ProbeReport& report,
                                        Error& error) {
    IoSharedContext& context = *setup.context;
    AioSetup driver_setup;
    driver_setup.merge_limit = context.config.merge_limit;
    driver_setup.depth = context.config.depth;
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
        fill_error(error, ErrorCode::system, -rc, "io_setup failed", setup_hint(-rc));
        return nullptr;
    }
    note_feature(report, "aio_ring_reap", kernel.reaps_from_ring()).in_force =
        kernel.reaps_from_ring();
    note_feature(report, "aio_fsync", driver_setup.native_fsync).in_force =
        driver_setup.native_fsync;
    return std::make_unique<SplitRunner<AioDriver<LinuxAio>>>(
        setup, std::make_unique<AioDriver<LinuxAio>>(std::move(kernel), std::move(driver_setup)));
}

}  // namespace v0
}  // namespace ioengine
