// SPDX-License-Identifier: MIT
//
// Probing io_uring, and making its runner.
//
// Set-up alone proves little: containers allow it and deny the rest, and old kernels lack opcodes.
// So the probe writes, flushes and reads a memory file through a real ring.
#include "drivers/uring/uring_backend.hpp"

#include "drivers/report.hpp"
#include "drivers/uring/uring_driver.hpp"
#include "drivers/uring/uring_kernel.hpp"
#include "lib/split_runner.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

// Newer than the oldest headers we build with. Linux 6.0 and 6.1.
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif
#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8)
#endif

namespace ioengine {
inline namespace v0 {

template class UringDriver<LinuxUring>;
template class SplitRunner<UringDriver<LinuxUring>>;

namespace {

const char* setup_hint(int error) noexcept {
    switch (error) {
    case ENOSYS:
        return "this kernel has no io_uring, or a seccomp profile hides it: use AIO, or allow "
               "io_uring_setup, io_uring_enter and io_uring_register";
    case EPERM:
    case EACCES:
        return "forbidden by a seccomp profile (containers: allow io_uring_setup, io_uring_enter "
               "and io_uring_register) or by sysctl kernel.io_uring_disabled (set it to 0)";
    case ENOMEM:
        return "not enough locked memory for a ring: raise ulimit -l, or lower Options::depth";
    case EMFILE:
    case ENFILE:
        return "too many open files: raise ulimit -n";
    case EINVAL:
        return "this kernel refuses the plainest ring; it is older than Linux 5.6";
    default:
        return "unexpected; run ioengine-probe and report it";
    }
}

// One operation, there and back: its result, or -errno of the machinery.
template <class Prepare>
int try_operation(LinuxUring& kernel, Prepare&& prepare) noexcept {
    io_uring_sqe* const sqe = kernel.next_sqe();
    if (sqe == nullptr)
        return -EBUSY;
    prepare(sqe);
    int rc = kernel.submit();
    if (rc < 0)
        return rc;
    do
        rc = kernel.wait(-1);
    while (rc == -EINTR);
    UringEvent event;
    if (rc < 0 || kernel.peek(1, &event) != 1)
        return rc < 0 ? rc : -EIO;
    return event.result;
}

// Writes, flushes and reads a memory file. Null, or the step that failed with *error.
const char* try_transfers(LinuxUring& kernel, int* error) noexcept {
    static constexpr char kPattern[] = "ioengine probes io_uring";
    const int file = ::memfd_create("ioengine-probe", MFD_CLOEXEC);
    if (file < 0) {
        *error = errno;
        return "memfd_create";
    }
    char back[sizeof kPattern] = {};
    const char* step = nullptr;
    int rc = try_operation(kernel, [&](io_uring_sqe* sqe) {
        ::io_uring_prep_write(sqe, file, kPattern, sizeof kPattern, 512);
    });
    if (rc != sizeof kPattern) {
        step = "a write through the ring";
    } else if ((rc = try_operation(kernel, [&](io_uring_sqe* sqe) {
                    ::io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
                })) != 0) {
        step = "a flush through the ring";
    } else if ((rc = try_operation(kernel,
                                   [&](io_uring_sqe* sqe) {
                                       ::io_uring_prep_read(sqe, file, back, sizeof back, 512);
                                   })) != sizeof kPattern ||
               std::memcmp(back, kPattern, sizeof kPattern) != 0) {
        step = "a read through the ring";
    }
    ::close(file);
    *error = rc < 0 ? -rc : EIO;
    return step;
}

// The optional opcodes, by IORING_REGISTER_PROBE (Linux 5.6). If that is denied they are taken as
// missing, and a helper thread serves them.
void note_opcodes(const FeatureSet& disabled, ProbeReport& report) noexcept {
    io_uring_probe* const opcodes = ::io_uring_get_probe();
    const auto has = [&](int opcode) {
        return opcodes != nullptr && ::io_uring_opcode_supported(opcodes, opcode) != 0;
    };
    note_feature(report, "uring_fallocate",
                 has(IORING_OP_FALLOCATE) && !disabled.has(Feature::uring_fallocate));
    note_feature(report, "uring_sync_file_range",
                 has(IORING_OP_SYNC_FILE_RANGE) && !disabled.has(Feature::uring_sync_file_range));
    note_feature(report, "uring_async_cancel",
                 has(IORING_OP_ASYNC_CANCEL) && !disabled.has(Feature::uring_async_cancel));
    if (opcodes != nullptr)
        ::io_uring_free_probe(opcodes);
}

void note_flag(ProbeReport& report, const char* name, unsigned flags, const char* note) noexcept {
    io_uring ring;
    io_uring_params params{};
    params.flags = flags;
    const bool available = ::io_uring_queue_init_params(4, &ring, &params) == 0;
    if (available)
        ::io_uring_queue_exit(&ring);
    note_feature(report, name, available, note);
}

UringRingSetup ring_setup_for(std::uint32_t depth, const FeatureSet& disabled) noexcept {
    UringRingSetup ring;
    ring.sq_entries = UringDriver<LinuxUring>::sq_entries_for(depth);
    ring.cq_entries = UringDriver<LinuxUring>::cq_entries_for(depth);
    ring.submit_all = !disabled.has(Feature::submit_all);
    ring.sized_cq = !disabled.has(Feature::sized_cq);
    return ring;
}

// With less locked memory than a ring of full size needs, a smaller one serves the same depth: the
// submit role hands over in parts, and the kernel keeps completions that do not fit.
int setup_or_shrink(LinuxUring& kernel, UringRingSetup& ring) noexcept {
    constexpr std::uint32_t kSmallest = 8;
    for (;;) {
        UringRingSetup wish = ring;
        const int rc = kernel.setup(wish);
        if (rc != -ENOMEM || ring.sq_entries <= kSmallest) {
            ring = wish;
            return rc;
        }
        ring.sq_entries = (ring.sq_entries + 1) / 2;
        ring.cq_entries = 2 * ring.sq_entries;
    }
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
    UringRingSetup ring = ring_setup_for(6, disabled);
    const int rc = kernel.setup(ring);
    if (rc < 0) {
        put_failure(probe, "io_uring_setup", -rc, setup_hint(-rc));
        return;
    }
    int error = 0;
    const char* const step = try_transfers(kernel, &error);
    if (step != nullptr) {
        put_failure(probe, step, error, setup_hint(error));
        return;
    }
    probe.available = true;
    note_feature(report, "submit_all", ring.submit_all);
    note_feature(report, "sized_cq", ring.sized_cq);
    note_opcodes(disabled, report);
    if (!thorough)
        return;
    note_flag(report, "single_issuer", IORING_SETUP_SINGLE_ISSUER,
              "not used: split threading submits and reaps on two threads");
    note_flag(report, "defer_taskrun", IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
              "not used: split threading submits and reaps on two threads");
    note_flag(report, "coop_taskrun", IORING_SETUP_COOP_TASKRUN,
              "not used: completions would wait for the submitter");
}

std::unique_ptr<Runner> make_uring_runner(const RunnerSetup& setup, ProbeReport& report,
                                          Error& error) {
    IoSharedContext& context = *setup.context;
    UringSetup driver_setup;
    driver_setup.merge_limit = context.config.merge_limit;
    driver_setup.depth = context.config.depth;
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
    const UringRingSetup wish = ring_setup_for(driver_setup.depth, setup.disabled);
    UringRingSetup ring = wish;
    LinuxUring kernel;
    const int rc = setup_or_shrink(kernel, ring);
    if (rc < 0) {
        fill_error(error, ErrorCode::system, -rc, "io_uring_setup failed", setup_hint(-rc));
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
    return std::make_unique<SplitRunner<UringDriver<LinuxUring>>>(
        setup,
        std::make_unique<UringDriver<LinuxUring>>(std::move(kernel), std::move(driver_setup)));
}

}  // namespace v0
}  // namespace ioengine
