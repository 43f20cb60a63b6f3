// SPDX-License-Identifier: MIT
//
// Runner: threads for the two roles. The only virtual class; called when a context begins and ends
// and when somebody looks in, never per request.
#pragma once

#include "lib/request_state.hpp"
#include "lib/settings.hpp"
#include "lib/shared_context.hpp"
#include "lib/thread.hpp"
#include "lib/wait_word.hpp"

#include <ioengine/engine.hpp>
#include <ioengine/error.hpp>
#include <ioengine/probe.hpp>
#include <ioengine/stats.hpp>

#include <cerrno>
#include <cstdint>
#include <memory>

namespace ioengine {
inline namespace v0 {

// What a thread waits for.
struct WaitCall {
    WaitWord word;
    const Request* one = nullptr;  // of those that the word counts, without a callback; null: all
    std::uint64_t staged = 0;      // of its requests: pushed quietly since the last wait
    std::int64_t limit_ns = -1;    // negative: without limit
    bool helps = false;            // runs others' callbacks, too

    bool done() const noexcept {
        return one != nullptr ? request_state::is_idle(*one) : word.done();
    }
};

class Runner {
  public:
    virtual ~Runner() = default;
    Runner() = default;
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;

    // Starts the threads. On failure none is left.
    virtual bool start(Error& error) noexcept = 0;
    // After both roles have left: joins the threads and destroys the kernel's context.
    virtual void finish() noexcept = 0;

    // Until what `call` names is done: none; or its limit has passed: timed_out.
    virtual ErrorCode wait(const WaitCall& call) noexcept = 0;

    // Where a thread of the host's drives: see OneThreadRunner.
    virtual RunReport run(Run how, std::int64_t limit_ns) noexcept {
        static_cast<void>(how);
        static_cast<void>(limit_ns);
        RunReport report;
        report.code = ErrorCode::unsupported;
        return report;
    }
    // This thread drives until both roles have left, or for limit_ns. False: others do it.
    virtual bool drive_until_left(std::int64_t limit_ns) noexcept {
        static_cast<void>(limit_ns);
        return false;
    }
    // This thread drives until `moving` is not `seen` any more, or for limit_ns. False: others do.
    virtual bool drive_until_moved(const EventCount& moving, std::uint32_t seen,
                                   std::int64_t limit_ns) noexcept {
        static_cast<void>(moving);
        static_cast<void>(seen);
        static_cast<void>(limit_ns);
        return false;
    }
    // Nothing goes on, as the thread that drives is in no call. A guess: it may be about to come.
    virtual bool misses_driver() const noexcept { return false; }
    virtual int completion_fd() noexcept { return -EOPNOTSUPP; }

    // Has an errand done where the kernel listens to it: here and now, if that is any thread or
    // this one; else by the thread that drives, when it comes by. Where that thread is the host's,
    // which may be waiting for this one, it must be allowed. none: it is done, or will be;
    // otherwise it never is.
    virtual ErrorCode visit(Errand& errand, bool may_leave_it) noexcept {
        static_cast<void>(may_leave_it);
        errand.done(errand, true);
        return ErrorCode::none;
    }
    // The kernel's tables, see lib/registered.hpp. update_table() only where visit() runs it, or
    // with the poll role.
    virtual std::uint32_t table_places(TableKind kind) const noexcept = 0;
    virtual int update_table(TableKind kind, std::uint32_t first, const TableItem* items,
                             std::uint32_t count) noexcept = 0;
    // Of a ring that other contexts may attach to, and how that is served; -1: there is none. Set
    // by who makes the runner.
    int ring_fd = -1;
    RingMode ring_mode = RingMode::interrupts;

    virtual std::uint32_t depth() const noexcept = 0;
    virtual std::uint32_t slots_in_use() const noexcept = 0;
    // Describes slot i; false if it holds nothing. Any thread.
    virtual bool describe(std::uint32_t i, std::uint64_t now, InFlight& out) const noexcept = 0;
};

// What a backend needs to make a runner.
struct RunnerSetup {
    IoSharedContext* context = nullptr;
    Threading threading = Threading::split;
    ThreadSetup threads;
    BackendWish wish;
    RingWish ring;
    FeatureSet disabled;
};

// Probes the kernel and makes the runner that the options and the environment ask for, or fills the
// error. Always fills the report. Throws std::bad_alloc only. Implemented by the backends' side,
// drivers/choice.
std::unique_ptr<Runner> make_runner(const RunnerSetup& setup, ProbeReport& report, Error& error);

// Fills the report as make_runner() would, and with what a probe alone has time for.
void probe_backends(const BackendWish& wish, const FeatureSet& disabled, ProbeReport& report);

}  // namespace v0
}  // namespace ioengine
