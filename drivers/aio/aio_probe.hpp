// SPDX-License-Identifier: MIT
//
// Finding out whether an AIO context serves. Over any seam to a kernel, so that a simulated one can
// refuse what no kernel at hand refuses.
#pragma once

#include "drivers/files.hpp"
#include "lib/features.hpp"
#include "lib/reporting.hpp"

#include <ioengine/probe.hpp>

#include <cerrno>
#include <concepts>
#include <libaio.h>

namespace ioengine {
inline namespace v0 {

template <class K>
concept AioMaker = requires(K& kernel, unsigned events, bool ring_reap, int fd) {
    { kernel.setup(events, ring_reap) } -> std::same_as<int>;
    { kernel.open_scratch() } -> std::same_as<int>;
    kernel.close_scratch(fd);
};

inline const char* aio_setup_hint(int error) noexcept {
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

// One operation, there and back: its result, or -errno of the machinery.
template <AioMaker K>
int try_operation(K& kernel, iocb& control) noexcept {
    iocb* list[] = {&control};
    int rc = 0;
    do
        rc = kernel.submit(1, list);
    while (rc == -EINTR);
    if (rc < 0)
        return rc;
    io_event event{};
    do
        rc = kernel.wait(1, &event, -1);
    while (rc == -EINTR);
    if (rc != 1)
        return rc < 0 ? rc : -EIO;
    return static_cast<int>(static_cast<long>(event.res));
}

// A zero-length read of `signal_fd`, which is what the exit signal needs, and a flush of a scratch
// file: IOCB_CMD_FDSYNC is not there before Linux 4.18. Fills what the report says of AIO.
template <AioMaker K>
void probe_context(K& kernel, int signal_fd, const FeatureSet& disabled,
                   ProbeReport& report) noexcept {
    BackendProbe& probe = report.aio;
    int rc = kernel.setup(4, !disabled.has(Feature::aio_ring_reap));
    if (rc < 0) {
        put_failure(probe, "io_setup", -rc, aio_setup_hint(-rc));
        return;
    }
    note_feature(report, "aio_ring_reap", kernel.reaps_from_ring());
    iocb control;
    if (signal_fd >= 0)
        io_prep_pread(&control, signal_fd, nullptr, 0, 0);
    rc = signal_fd < 0 ? signal_fd : try_operation(kernel, control);
    if (rc < 0) {
        put_failure(probe, signal_fd < 0 ? "open /dev/null" : "a zero-length read", -rc,
                    "AIO is set up but cannot read; look for a seccomp profile that forbids "
                    "io_submit or io_getevents");
        return;
    }
    probe.available = true;
    const int scratch = kernel.open_scratch();
    if (scratch >= 0)
        io_prep_fdsync(&control, scratch);
    note_feature(report, "aio_fsync",
                 scratch >= 0 && !disabled.has(Feature::aio_fsync) &&
                     try_operation(kernel, control) == 0);
    if (scratch >= 0)
        kernel.close_scratch(scratch);
}

}  // namespace v0
}  // namespace ioengine
