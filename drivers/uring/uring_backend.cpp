// SPDX-License-Identifier: MIT
//
// Probing io_uring on the kernel that runs, and making its runner.
#include "drivers/uring/uring_backend.hpp"

#include "drivers/uring/polled_driver.hpp"
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
template class PolledUringDriver<LinuxUring>;
template class OneThreadRunner<PolledUringDriver<LinuxUring>>;

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
    ring.sqpoll = has_sqpoll(wish.mode);
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
    if (!has_sqpoll(wish.mode))
        return true;
    if (disabled.has(Feature::sqpoll)) {
        fill_error(error, ErrorCode::unsupported, 0,
                   "SQPOLL, which Options::ring needs, is switched off",
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
    std::snprintf(message, sizeof message,
                  "SQPOLL, which Options::ring needs, cannot be had: %s failed: %s", step,
                  std::strerror(failure));
    fill_error(error, ErrorCode::unsupported, failure, message, ring_mode_hint(wish, failure));
    return false;
}

// Of what only one thread for both roles can use. `has`: the kernel has granted it.
void note_one_thread(const UringRingSetup& ring, const UringRingSetup& wish,
                     const LinuxUring& kernel, ProbeReport& report) noexcept {
    const auto note = [&report](const char* name, bool asked, bool has, const char* why_not = "") {
        const bool used = has && why_not[0] == '\0';
        const char* const reason = why_not[0] != '\0' ? why_not
                                   : asked            ? "the kernel refuses it"
                                                      : "switched off, or what it needs is";
        note_feature(report, name, has, used ? "" : reason).in_force = used;
    };
    const char* const excluded = ring.sqpoll ? "not asked for: SQPOLL excludes it" : "";
    note("single_issuer", wish.single_issuer, ring.single_issuer);
    note("defer_taskrun", wish.defer_taskrun, ring.defer_taskrun, excluded);
    note("coop_taskrun", wish.coop_taskrun, ring.coop_taskrun,
         ring.defer_taskrun ? "not used: defer_taskrun is better" : excluded);
    note("ring_fd", wish.ring_fd, wish.ring_fd && kernel.takes_ring_fd());
}

// What is in force of an ordinary ring, which was made as `ring`.
void note_ring(const UringRingSetup& ring, const UringRingSetup& wish, const UringSetup& setup,
               const LinuxUring& kernel, ProbeReport& report) noexcept {
    const auto note_used = [&report](const char* name, bool used, const char* note = "") {
        note_feature(report, name, used, note).in_force = used;
    };
    char entries[96] = "";
    std::snprintf(entries, sizeof entries, "%u submission and %u completion entries%s",
                  ring.sq_entries, ring.cq_entries,
                  ring.sq_entries < wish.sq_entries ? ": locked memory is short" : "");
    note_used("sized_cq", ring.sized_cq, entries);
    note_used("submit_all", ring.submit_all);
    note_used("uring_fallocate", setup.has_fallocate);
    note_used("uring_sync_file_range", setup.has_sync_file_range);
    note_used("uring_async_cancel", setup.has_async_cancel);
    if (ring.one_thread)
        note_one_thread(ring, wish, kernel, report);
    note_used("ext_arg", kernel.limits_waits());
}

void note_ring_mode(const RingWish& wish, const LinuxUring& kernel, ProbeReport& report) noexcept {
    char note[96] = "";
    if (has_sqpoll(wish.mode)) {
        std::snprintf(note, sizeof note, "the kernel's thread sleeps after %u ms without work%s",
                      wish.idle_ms, wish.by_environment ? "; IOENGINE_RING" : "");
        note_feature(report, "sqpoll", true, note).in_force = true;
    }
    if (wish.attach_fd < 0)
        return;
    const bool shares = has_sqpoll(wish.mode) || !kernel.has_native_workers();
    note_feature(report, "attach_wq", true,
                 shares ? "the kernel's threads are shared"
                        : "nothing to share: since Linux 5.12 workers belong to threads")
        .in_force = shares;
}

// The second ring, of polled transfers, as far as it can be had; else `polled` is null and the
// report says why. With SQPOLL one thread of the kernel's serves both.
std::unique_ptr<LinuxUring> make_polled_ring(const RunnerSetup& setup, const LinuxUring& ordinary,
                                             const UringRingSetup& as, UringSetup& driver_setup,
                                             PolledSetup& polled_setup, ProbeReport& report) {
    if (!has_iopoll(setup.ring.mode))
        return nullptr;
    if (setup.disabled.has(Feature::iopoll)) {
        note_feature(report, "iopoll", false, "switched off by name");
        return nullptr;
    }
    if (setup.threading == Threading::split) {
        note_feature(report, "iopoll", true,
                     "not used: one thread polls, Threading::owner or caller");
        return nullptr;
    }
    UringRingSetup ring = as;
    ring.iopoll = true;
    ring.sq_entries = PolledUringDriver<LinuxUring>::polled_entries_for(driver_setup.depth);
    ring.cq_entries = 2 * ring.sq_entries;
    ring.attach_fd = ring.sqpoll ? ordinary.fd() : -1;
    auto polled = std::make_unique<LinuxUring>();
    char note[96] = "";
    if (const int rc = set_up_ring(*polled, ring); rc < 0) {
        std::snprintf(note, sizeof note, "not used: io_uring_setup: %s", std::strerror(-rc));
        note_feature(report, "iopoll", false, note);
        return nullptr;
    }
    const auto has_table = [&](TableKind kind, std::uint32_t places) {
        int error = 0;
        return places == 0 || make_table(*polled, kind, places, &error) == places;
    };
    polled_setup.sqpoll = ring.sqpoll;
    polled_setup.has_tables = has_table(TableKind::buffers, driver_setup.buffer_places) &&
                              has_table(TableKind::files, driver_setup.file_places);
    polled_setup.log = &setup.context->log;
    std::snprintf(note, sizeof note, "each file from its first direct read on that can be polled%s",
                  setup.ring.by_environment ? "; IOENGINE_RING" : "");
    note_feature(report, "iopoll", true, note).in_force = true;
    return polled;
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
    if (disabled.has(Feature::iopoll))
        note_feature(report, "iopoll", false, "switched off by name");
    else
        note_flag(report, "iopoll", IORING_SETUP_IOPOLL,
                  "for RingMode::iopoll; whether a file can be polled, its first read shows");
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
    driver_setup.sqpoll = has_sqpoll(setup.ring.mode);
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
    note_ring(ring, wish, driver_setup, kernel, report);
    note_ring_mode(setup.ring, kernel, report);
    const int ring_fd = kernel.fd();
    PolledSetup polled_setup;
    const std::unique_ptr<LinuxUring> polled =
        make_polled_ring(setup, kernel, ring, driver_setup, polled_setup, report);
    std::unique_ptr<Runner> runner;
    if (polled != nullptr)
        runner = std::make_unique<OneThreadRunner<PolledUringDriver<LinuxUring>>>(
            setup,
            std::make_unique<PolledUringDriver<LinuxUring>>(
                std::move(kernel), std::move(driver_setup), std::move(*polled), polled_setup));
    else
        runner = make_threads(setup, std::make_unique<UringDriver<LinuxUring>>(
                                         std::move(kernel), std::move(driver_setup)));
    runner->ring_fd = ring_fd;
    runner->ring_mode = setup.ring.mode;
    return runner;
}

}  // namespace v0
}  // namespace ioengine
