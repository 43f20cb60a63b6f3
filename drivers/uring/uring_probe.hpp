// SPDX-License-Identifier: MIT
//
// Setting up a ring, and finding out whether it serves: what is asked of the kernel, and what is
// given up when it says no. Over any seam to a kernel, so that a simulated one can refuse what no
// kernel at hand refuses.
//
// Set-up alone proves little: containers allow it and deny the rest, and old kernels lack opcodes.
// So the probe writes, flushes and reads a scratch file through a real ring.
#pragma once

#include "drivers/uring/uring_kernel.hpp"
#include "lib/features.hpp"
#include "lib/registered.hpp"
#include "lib/reporting.hpp"

#include <ioengine/probe.hpp>

#include <cerrno>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace ioengine {
inline namespace v0 {

template <class K>
concept RingMaker = requires(K& kernel, UringRingSetup& ring, int fd) {
    { kernel.make_ring(ring) } -> std::same_as<int>;
    { kernel.awaits_memory(ring) } -> std::same_as<bool>;
    { kernel.opcodes() } -> std::same_as<UringOpcodes>;
    { kernel.make_table(TableKind::files, 1u, true) } -> std::same_as<int>;
    { kernel.open_scratch() } -> std::same_as<int>;
    kernel.close_scratch(fd);
};

inline const char* uring_setup_hint(int error) noexcept {
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

// As asked, or with less; `ring` says afterwards what is in force. 0 or -errno.
//   EINVAL does not say which wish the kernel does not know: they go one by one, the newest first.
//   ENOMEM may pass, if rings that were closed have not been taken apart yet. If it stays, a
//   smaller ring serves the same depth: the submit role hands over in parts, and the kernel keeps
//   completions that do not fit.
template <RingMaker K>
int set_up_ring(K& kernel, UringRingSetup& ring) noexcept {
    constexpr std::uint32_t kSmallest = 8;
    for (;;) {
        UringRingSetup made = ring;
        const int rc = kernel.make_ring(made);
        if (rc == -EINVAL && ring.one_thread && ring.defer_taskrun) {
            ring.defer_taskrun = false;
        } else if (rc == -EINVAL && ring.one_thread && ring.single_issuer) {
            ring.single_issuer = false;
        } else if (rc == -EINVAL && ring.one_thread && ring.coop_taskrun) {
            ring.coop_taskrun = false;
        } else if (rc == -EINVAL && ring.submit_all) {
            ring.submit_all = false;
        } else if (rc == -EINVAL && ring.sized_cq) {
            ring.sized_cq = false;
        } else if (rc == -ENOMEM && kernel.awaits_memory(ring)) {
            continue;
        } else if (rc == -ENOMEM && ring.sq_entries > kSmallest) {
            ring.sq_entries = (ring.sq_entries + 1) / 2;
            ring.cq_entries = 2 * ring.sq_entries;
        } else {
            if (rc == 0)
                ring = made;
            return rc;
        }
    }
}

// A table of registered buffers or files, of as many places as asked for, or fewer: files are not
// to be more than the process may open (EMFILE). How many it has, and -errno if that is none. On a
// ring that nobody uses yet: before Linux 5.13 it waits for the ring to idle, io_uring_register(2).
template <RingMaker K>
std::uint32_t make_table(K& kernel, TableKind kind, std::uint32_t places, int* error) noexcept {
    *error = 0;
    bool sparse = true;
    while (places != 0) {
        *error = kernel.make_table(kind, places, sparse);
        if (*error >= 0)
            return places;
        if (*error == -EINVAL && sparse)
            sparse = false;
        else if (*error == -EMFILE || *error == -ENOMEM)
            places /= 2;
        else
            return 0;
    }
    return 0;
}

// One operation, there and back: its result, or -errno of the machinery.
template <RingMaker K, class Prepare>
int try_operation(K& kernel, Prepare&& prepare) noexcept {
    io_uring_sqe* const sqe = kernel.next_sqe();
    if (sqe == nullptr)
        return -EBUSY;
    prepare(sqe);
    int rc = 0;
    do
        rc = kernel.submit();
    while (rc == -EINTR);
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

// Writes, flushes and reads a scratch file. Null, or the step that failed with *error.
template <RingMaker K>
const char* try_transfers(K& kernel, int* error) noexcept {
    static constexpr char kPattern[] = "ioengine probes io_uring";
    const int file = kernel.open_scratch();
    if (file < 0) {
        *error = -file;
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
    kernel.close_scratch(file);
    *error = rc < 0 ? -rc : EIO;
    return step;
}

// Sets `ring` up and fills what the report says of io_uring.
template <RingMaker K>
void probe_ring(K& kernel, UringRingSetup ring, const FeatureSet& disabled,
                ProbeReport& report) noexcept {
    BackendProbe& probe = report.uring;
    const int rc = set_up_ring(kernel, ring);
    if (rc < 0) {
        put_failure(probe, "io_uring_setup", -rc, uring_setup_hint(-rc));
        return;
    }
    int error = 0;
    const char* const step = try_transfers(kernel, &error);
    if (step != nullptr) {
        put_failure(probe, step, error, uring_setup_hint(error));
        return;
    }
    probe.available = true;
    note_feature(report, "submit_all", ring.submit_all);
    note_feature(report, "sized_cq", ring.sized_cq);
    // What is not known is taken as missing, and a helper thread serves it.
    const UringOpcodes has = kernel.opcodes();
    note_feature(report, "uring_fallocate",
                 has.fallocate && !disabled.has(Feature::uring_fallocate));
    note_feature(report, "uring_sync_file_range",
                 has.sync_file_range && !disabled.has(Feature::uring_sync_file_range));
    note_feature(report, "uring_async_cancel",
                 has.async_cancel && !disabled.has(Feature::uring_async_cancel));
    note_feature(report, "registered_buffers",
                 !disabled.has(Feature::registered_buffers) &&
                     make_table(kernel, TableKind::buffers, 1, &error) != 0);
    note_feature(report, "registered_files",
                 !disabled.has(Feature::registered_files) &&
                     make_table(kernel, TableKind::files, 1, &error) != 0);
}

}  // namespace v0
}  // namespace ioengine
