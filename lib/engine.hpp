// SPDX-License-Identifier: MIT
//
// Engine: one context from create to destroy. Keeps the way in, the threads and the shared context
// together, waits for whoever asks it to, and sees the end through.
#pragma once

#include "lib/entrance.hpp"
#include "lib/log.hpp"
#include "lib/runner.hpp"
#include "lib/settings.hpp"
#include "lib/shared_context.hpp"

#include <ioengine/engine.hpp>
#include <ioengine/workers.hpp>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>

namespace ioengine {
inline namespace v0 {

struct Lifeline;  // lib/registration.hpp

class Engine {
  public:
    // Null and the error on failure.
    static Engine* create(const Options& options, std::uint32_t header, Error& error) noexcept;
    // Drains and frees.
    static void destroy(Engine* engine) noexcept;

    Entrance& entrance() noexcept { return entrance_; }
    Acceptance submit_wait(Request& request, Channel channel, std::int64_t timeout_ns) noexcept;
    Acceptance perform(Request& request, Channel channel) noexcept;
    // Merged requests, with waiting; what is refused for good is told so.
    void finish_merged(Request* const* members, std::size_t count, Channel channel) noexcept;
    ErrorCode wait(const WaitCall& call) noexcept;
    ErrorCode wait(Request& request, std::int64_t limit_ns, bool helps) noexcept;
    ErrorCode cancel(const CancelOrder& order) noexcept;
    RunReport run(Run how, std::int64_t limit_ns) noexcept;
    int completion_fd() noexcept { return in_child() ? -EPERM : runner_->completion_fd(); }
    // What was pushed quietly is to go.
    void start() noexcept;
    ShutdownReport shutdown(std::int64_t deadline_ns) noexcept;

    // -- registered buffers and files, in lib/registration.cpp ---------------------------------
    RegisteredTables& registered() noexcept { return context_.registered; }
    const std::shared_ptr<Lifeline>& lifeline() const noexcept { return lifeline_; }
    // See Runner::visit(); the errand is waited for.
    ErrorCode visit(Errand& errand) noexcept;
    bool in_child() const noexcept { return entrance_.in_child(); }
    Log& log() noexcept { return log_; }

    Stats stats() const noexcept;
    Text dump() const noexcept;
    const ProbeReport& report() const noexcept { return report_; }
    // Another descriptor of its ring, which the caller closes, in wish.attach_fd, and how that is
    // served; false: there is none, or none any more.
    bool share_ring(RingWish& wish) const noexcept;

    std::uint32_t event_pool_size() const noexcept { return event_pool_size_; }
    void count_refused_full() noexcept { context_.shared_counters.refused_full.add(1); }

  private:
    Engine(const Options& options, const Environment& environment);
    ~Engine();

    bool start(const Options& options, const Environment& environment, Error& error);
    void serve_registered();
    void cut_lifeline() noexcept;
    bool open_bell(Error& error) noexcept;
    bool wish_for_ring(const Options& options, const Environment& environment, RunnerSetup& setup,
                       Error& error) noexcept;
    // Calls that wait must not come from a callback that others wait for.
    bool would_deadlock() const noexcept;
    template <class Submit>
    Acceptance when_there_is_room(std::int64_t timeout_ns, Submit&& submit) noexcept;

    // -- the end, see lib/closing.hpp --------------------------------------------------------
    void begin_closing() noexcept;
    bool wait_until_left(std::int64_t limit_ns) noexcept;
    void finish_once() noexcept;
    void fill_report(ShutdownReport& report) const noexcept;
    void log_missing_driver() noexcept;
    void log_oldest() noexcept;

    Log log_;
    const FeatureSet disabled_;
    const Threading threading_;
    IoSharedContext context_;
    Entrance entrance_{context_};
    ProbeReport report_;
    const std::uint32_t event_pool_size_;
    abi::WorkerPool* const workers_;  // a share, or null
    const bool stats_at_exit_;
    std::unique_ptr<Runner> runner_;
    std::shared_ptr<Lifeline> lifeline_;
    mutable std::mutex finish_mutex_;  // closers, after both roles have left; share_ring()
    bool finished_ = false;            // under finish_mutex_
};

}  // namespace v0
}  // namespace ioengine
