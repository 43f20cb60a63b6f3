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

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

namespace ioengine {
inline namespace v0 {

template class UringDriver<LinuxUring>;
template class SplitRunner<UringDriver<LinuxUring>>;
template class OneThreadRunner<UringDriver<LinuxUring>>;

namespace {

void note_flag(ProbeReport& report, const char* name, unsigned flags, const char* note,
               int attach_fd = -1) noexcept {
    io_uring ring;
    io_uring_params params{};
    params.flags = flags;
    params.wq_fd = static_cast<std::uint32_t>(attach_fd);
    const bool available = ::io_uring_queue_init_params(4, &ring, &params) == 0;
    if (available)
        ::io_uring_queue_exit(&ring);
    note_feature(report, name, available, note);
}

UringRingSetup ring_setup_for(std::uint32_t depth, Threading threading, const RingWish& wish,
                              const FeatureSet& disabled) noexcept {
    UringRingSetup ring;
    ring.one_thread = threading != Threading::split;
    ring.sqpoll = wish.mode == RingMode::sqpoll;
    ring.sqpoll_idle_ms = wish.idle_ms;
    ring.sqpoll_cpu = wish.cpu;
    ring.attach_fd = wish.attach_fd;
    ring.ring_fd = !disabled.has(Feature::ring_fd);
    ring.ext_arg = !disabled.has(Feature::ext_arg);
    // A kernel without EXT_ARG has none of these.
    ring.single_issuer = ring.ext_arg && !disabled.has(Feature::single_issuer);
    ring.defer_taskrun =
        !ring.sqpoll && ring.single_issuer && !disabled.has(Feature::defer_taskrun);
    ring.coop_taskrun = !ring.sqpoll && ring.ext_arg && !disabled.has(Feature::coop_taskrun);
    ring.sq_entries = UringDriver<LinuxUring>::sq_entries_for(depth);
    ring.cq_entries = UringDriver<LinuxUring>::cq_entries_for(depth);
    ring.submit_all = !disabled.has(Feature::submit_all);
    ring.sized_cq = !disabled.has(Feature::sized_cq);
    return ring;
}

// The table of a context: its places, with what the report says of it.
std::uint32_t table_for(LinuxUring& kernel, TableKind kind, std::uint32_t asked, bool disabled,
                        ProbeReport& report) noexcept {
    const char* const name = kind == TableKind::buffers ? "registered_buffers" : "registered_files";
    int error = 0;
    const std::uint32_t places = disabled ? 0 : make_table(kernel, kind, asked, &error);
    char note[96] = "";
    if (disabled)
        std::snprintf(note, sizeof note, "switched off; requests go as ordinary ones");
    else if (error < 0)
        std::snprintf(note, sizeof note, "io_uring_register: %s; requests go as ordinary ones",
                      std::strerror(-error));
    else
        std::snprintf(note, sizeof note, "%u places", places);
    note_feature(report, name, error == 0 && !disabled, note).in_force = places != 0;
    return places;
}

const char* ring_mode_hint(const RingWish& wish, int error) noexcept {
    switch (error) {
    case EINVAL:
        return wish.cpu >= 0 ? "name a CPU that is online and in this process's cpuset in "
                               "Options::sqpoll_cpu, or leave that at -1"
                             : "leave Options::ring at RingMode::interrupts";
    case EOPNOTSUPP:
        return "SQPOLL with ordinary files needs Linux 5.11: leave Options::ring at "
               "RingMode::interrupts";
    case EPERM:
        return "before Linux 5.13 SQPOLL takes CAP_SYS_NICE; containers must allow io_uring: or "
               "leave Options::ring at RingMode::interrupts";
    default:
        return uring_setup_hint(error);
    }
}

// Does a ring in this mode serve? By the same write, flush and read as any other.
bool try_ring_mode(const RingWish& wish, const FeatureSet& disabled, Error& error) noexcept {
    if (wish.attach_fd >= 0 && disabled.has(Feature::attach_wq)) {
        fill_error(error, ErrorCode::unsupported, 0, "Options::ring_of is switched off",
                   "it is disabled by name: IOENGINE_DISABLE or Options::disable");
        return false;
    }
    if (wish.mode == RingMode::interrupts)
        return true;
    if (disabled.has(Feature::sqpoll)) {
        fill_error(error, ErrorCode::unsupported, 0, "RingMode::sqpoll is switched off",
                   "it is disabled by name: IOENGINE_DISABLE or Options::disable");
        return false;
    }
    LinuxUring kernel;
    UringRingSetup ring = ring_setup_for(6, Threading::split, wish, disabled);
    int failure = -set_up_ring(kernel, ring);
    const char* const step = failure != 0 ? "io_uring_setup" : try_transfers(kernel, &failure);
    if (step == nullptr)
        return true;
    char message[sizeof error.message];
    std::snprintf(message, sizeof message, "RingMode::sqpoll cannot be had: %s failed: %s", step,
                  std::strerror(failure));
    fill_error(error, ErrorCode::unsupported, failure, message, ring_mode_hint(wish, failure));
    return false;
}

void note_ring_mode(const RingWish& wish, const LinuxUring& kernel, ProbeReport& report) noexcept {
    char note[96] = "";
    if (wish.mode == RingMode::sqpoll) {
        std::snprintf(note, sizeof note, "the kernel's thread sleeps after %u ms without work%s",
                      wish.idle_ms, wish.by_environment ? "; IOENGINE_RING" : "");
        note_feature(report, "sqpoll", true, note).in_force = true;
    }
    if (wish.attach_fd < 0)
        return;
    const bool shares = wish.mode == RingMode::sqpoll || !kernel.has_native_workers();
    note_feature(report, "attach_wq", true,
                 shares ? "the kernel's threads are shared"
                        : "nothing to share: since Linux 5.12 workers belong to threads")
        .in_force = shares;
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
    probe_ring(kernel, ring_setup_for(6, Threading::split, {}, disabled), disabled, report);
    if (!thorough || !probe.available)
        return;
    note_feature(report, "ext_arg", kernel.limits_waits());
    RingWish sqpoll;
    sqpoll.mode = RingMode::sqpoll;
    sqpoll.idle_ms = 1;
    Error error;
    const bool has_sqpoll = try_ring_mode(sqpoll, disabled, error);
    note_feature(report, "sqpoll", has_sqpoll,
                 has_sqpoll ? "for RingMode::sqpoll: a write, a flush and a read came back"
                            : error.message);
    note_flag(report, "attach_wq", IORING_SETUP_ATTACH_WQ, "for Options::ring_of", kernel.fd());
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
    if (!try_ring_mode(setup.ring, setup.disabled, error))
        return nullptr;
    driver_setup.sqpoll = setup.ring.mode == RingMode::sqpoll;
    const UringRingSetup wish =
        ring_setup_for(driver_setup.depth, setup.threading, setup.ring, setup.disabled);
    UringRingSetup ring = wish;
    if (ring.one_thread && ring.single_issuer && !LinuxUring::can_enable())
        ring.single_issuer = ring.defer_taskrun = false;
    LinuxUring kernel;
    const int rc = set_up_ring(kernel, ring);
    if (rc < 0) {
        fill_error(error, ErrorCode::system, -rc, "io_uring_setup failed", uring_setup_hint(-rc));
        return nullptr;
    }
    driver_setup.registered = &context.registered;
    driver_setup.buffer_places =
        table_for(kernel, TableKind::buffers, context.config.registered_buffers,
                  setup.disabled.has(Feature::registered_buffers), report);
    driver_setup.file_places = table_for(kernel, TableKind::files, context.config.registered_files,
                                         setup.disabled.has(Feature::registered_files), report);
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
                     ring.sqpoll                        ? "not used: does not go with sqpoll"
                     : ring.coop_taskrun && !cooperates ? "not used: defer_taskrun is better"
                                                        : "")
            .in_force = cooperates;
    }
    note_feature(report, "ext_arg", kernel.limits_waits()).in_force = kernel.limits_waits();
    note_ring_mode(setup.ring, kernel, report);
    const int ring_fd = kernel.fd();
    auto runner = make_threads(setup, std::make_unique<UringDriver<LinuxUring>>(
                                          std::move(kernel), std::move(driver_setup)));
    runner->ring_fd = ring_fd;
    runner->ring_mode = setup.ring.mode;
    return runner;
}

}  // namespace v0
}  // namespace ioengine
