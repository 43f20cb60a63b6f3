// SPDX-License-Identifier: MIT
//
// Engine's life, and the calls that wait. Its end is in lib/shutdown.cpp.
#include "lib/engine.hpp"

#include "lib/check.hpp"
#include "lib/request_state.hpp"
#include "lib/room.hpp"
#include "lib/validate.hpp"
#include "lib/workers.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <new>
#include <unistd.h>
#include <utility>

namespace ioengine {
inline namespace v0 {

namespace {

// The kernel shares the threads of a ring, not its descriptor: that is closed in any case.
class RingCloser {
  public:
    explicit RingCloser(const RingWish& wish) noexcept : wish_(wish) {}
    RingCloser(const RingCloser&) = delete;
    RingCloser& operator=(const RingCloser&) = delete;
    ~RingCloser() {
        if (wish_.attach_fd >= 0)
            ::close(wish_.attach_fd);
    }

  private:
    const RingWish& wish_;
};

}  // namespace

// -- creation --------------------------------------------------------------------------------

Engine::Engine(const Options& options, const Environment& environment)
    : log_(log_level_of(options, environment), options.log, options.log_user),
      disabled_(disabled_features(options, environment, log_)),
      threading_(threading_of(options, environment, log_)),
      context_(config_of(options,
                         threading_ == Threading::split
                             ? lending_of(options, environment, disabled_, log_)
                             : Lending::callbacks,
                         disabled_),
               log_),
      event_pool_size_(options.event_pool != 0 ? options.event_pool
                                               : options.queue_limit + options.depth),
      workers_(options.workers != nullptr ? options.workers->handle() : nullptr),
      stats_at_exit_(environment.stats_at_exit) {
    if (workers_ != nullptr)
        workers_->hold();
}

Engine::~Engine() {
    if (workers_ != nullptr)
        workers_->release();
}

Engine* Engine::create(const Options& options, std::uint32_t header, Error& error) noexcept {
    if (!check_options(options, header, error))
        return nullptr;
    const Environment environment = read_environment();
    Engine* engine = nullptr;
    try {
        engine = new Engine(options, environment);
        if (engine->start(options, environment, error))
            return engine;
    } catch (const std::bad_alloc&) {
        fill_error(error, ErrorCode::no_memory, ENOMEM, "no memory for the context",
                   "lower Options::depth or Options::queue_limit");
    }
    delete engine;
    return nullptr;
}

bool Engine::start(const Options& options, const Environment& environment, Error& error) {
    if (!entrance_.valid()) {
        fill_error(error, ErrorCode::no_memory, ENOMEM, "no memory for the context", "");
        return false;
    }
    RunnerSetup setup;
    setup.context = &context_;
    setup.threading = threading_;
    if (threading_ != Threading::split && !open_bell(error))
        return false;
    setup.threads = thread_setup_of(options);
    setup.wish = backend_wish(options, environment, log_);
    setup.disabled = disabled_;
    const RingCloser closer(setup.ring);
    if (!wish_for_ring(options, environment, setup, error))
        return false;
    runner_ = make_runner(setup, report_, error);
    if (runner_ == nullptr)
        return false;
    serve_registered();
    return runner_->start(error);
}

// What Options::ring and ring_of come to; the environment may have chosen a backend without.
bool Engine::wish_for_ring(const Options& options, const Environment& environment,
                           RunnerSetup& setup, Error& error) noexcept {
    setup.ring = ring_wish(options, environment, disabled_, log_);
    if (options.ring_of != nullptr && !options.ring_of->share_ring(setup.ring)) {
        fill_error(error, ErrorCode::invalid_argument, 0,
                   "Options::ring_of has no io_uring, or has been shut down",
                   "name a living context on io_uring, or leave it null");
        return false;
    }
    if (options.ring_of != nullptr && setup.ring.mode != setup.ring.attach_mode) {
        fill_error(error, ErrorCode::invalid_argument, 0,
                   "Options::ring_of is served in another ring mode than Options::ring",
                   "use the same for both");
        return false;
    }
    setup.wish.needs_ring = setup.ring.is_needed();
    const Backend backend = setup.wish.backend;
    if (!setup.wish.needs_ring || (backend != Backend::aio && backend != Backend::null))
        return true;
    fill_error(error, ErrorCode::unsupported, 0,
               "Options::ring with SQPOLL and ring_of are for io_uring, and IOENGINE_BACKEND says "
               "otherwise",
               "unset IOENGINE_BACKEND, or leave both options as they are");
    return false;
}

bool Engine::share_ring(RingWish& wish) const noexcept {
    if (entrance_.in_child())
        return false;
    const std::lock_guard<std::mutex> lock(finish_mutex_);
    if (finished_ || runner_->ring_fd < 0)
        return false;
    wish.attach_fd = ::fcntl(runner_->ring_fd, F_DUPFD_CLOEXEC, 0);
    wish.attach_mode = runner_->ring_mode;
    return wish.attach_fd >= 0;
}

// One thread for both roles is called by a bell.
bool Engine::open_bell(Error& error) noexcept {
    const int rc = context_.bell.open();
    if (rc == 0) {
        context_.submitter.ring_by(context_.bell);
        return true;
    }
    fill_error(error, ErrorCode::system, -rc, "cannot make a pipe",
               "raise the limit on open files (ulimit -n)");
    return false;
}

// Whoever hands over here stays inside the gate, as in push(): the closer waits for it. What a
// closed context has in its queues the closer sees to.
void Engine::start() noexcept {
    if (in_child())
        return;
    const bool in_own_callback = context_.in_callback();
    if (!in_own_callback && !context_.gate.enter())
        return;
    context_.tell_submitter(in_own_callback);
    if (!in_own_callback)
        context_.gate.leave();
}

// -- calls that wait --------------------------------------------------------------------------

Acceptance Engine::perform(Request& request, Channel channel) noexcept {
    if (request.complete != nullptr)
        return entrance_.refuse({ErrorCode::invalid_argument,
                                 "perform() is for requests without a callback; use submit()"});
    if (!entrance_.in_child() && would_deadlock())
        return entrance_.refuse({ErrorCode::would_deadlock,
                                 "a callback must not wait for its own context; use submit()"});
    std::uint32_t staged = 0;
    const Acceptance acceptance = entrance_.submit_counted(request, channel, request.word, &staged);
    if (acceptance)
        runner_->wait({WaitWord(request.word), nullptr, staged, kForever, false});
    return acceptance;
}

ErrorCode Engine::wait(const WaitCall& call) noexcept {
    if (entrance_.in_child())
        return ErrorCode::forked;
    const bool done = call.done();
    if (!done && !would_deadlock())
        return runner_->wait(call);
    // It will not come and hand over what it has staged.
    if (call.staged != 0)
        start();
    return done ? ErrorCode::none : ErrorCode::would_deadlock;
}

ErrorCode Engine::wait(Request& request, std::int64_t limit_ns, bool helps) noexcept {
    // With a callback nobody can say that it has returned, for it may free the request.
    if (request.complete != nullptr)
        return ErrorCode::invalid_argument;
    // Counted by a Group: that one knows when it is done.
    if (!request_state::is_in(request, request.word) && !request_state::is_idle(request))
        return ErrorCode::invalid_argument;
    return wait({WaitWord(request.word), nullptr, 0, limit_ns, helps});
}

Acceptance Engine::submit_wait(Request& request, Channel channel,
                               std::int64_t timeout_ns) noexcept {
    if (entrance_.in_child())
        return entrance_.submit(request, channel);
    if (would_deadlock())
        return entrance_.refuse({ErrorCode::would_deadlock,
                                 "a callback must not wait for its own context; use submit()"});
    return when_there_is_room(timeout_ns, [&] { return entrance_.submit(request, channel); });
}

// The thread that drives makes the room that it waits for.
template <class Submit>
Acceptance Engine::when_there_is_room(std::int64_t timeout_ns, Submit&& submit) noexcept {
    return wait_for_room(context_.space, timeout_ns, submit,
                         [this](std::uint32_t seen, std::int64_t limit_ns) {
                             if (!runner_->drive_until_moved(context_.space, seen, limit_ns))
                                 context_.space.park(seen, EventCount::Wants::anything, limit_ns);
                         });
}

void Engine::finish_merged(Request* const* members, std::size_t count, Channel channel) noexcept {
    if (entrance_.in_child())
        return;  // the parent's copies are told
    const bool may_wait = !would_deadlock();
    const Acceptance acceptance = when_there_is_room(
        may_wait ? kForever : 0, [&] { return entrance_.submit_merged(members, count, channel); });
    if (acceptance)
        return;
    const ErrorCode code = acceptance.code();
    const int error = code == ErrorCode::no_memory          ? ENOMEM
                      : code == ErrorCode::timed_out        ? EAGAIN
                      : code == ErrorCode::invalid_argument ? EINVAL
                                                            : ECANCELED;
    for (std::size_t i = 0; i < count; ++i) {
        if (!request_state::is_gathered(*members[i]))
            continue;  // somebody else's by now
        request_state::set_idle(*members[i]);
        members[i]->result = -error;
        if (members[i]->complete != nullptr)
            context_.call_back_elsewhere(*members[i]);
    }
}

ErrorCode Engine::cancel(const CancelOrder& order) noexcept {
    if (entrance_.in_child())
        return ErrorCode::forked;
    std::unique_ptr<CancelOrder> given(new (std::nothrow) CancelOrder(order));
    if (given == nullptr)
        return ErrorCode::no_memory;
    context_.cancel(std::move(given));
    return ErrorCode::none;
}

RunReport Engine::run(Run how, std::int64_t limit_ns) noexcept {
    RunReport report;
    if (entrance_.in_child())
        report.code = ErrorCode::forked;
    else if (would_deadlock())
        report.code = ErrorCode::would_deadlock;
    else
        report = runner_->run(how, limit_ns);
    return report;
}

bool Engine::would_deadlock() const noexcept {
    return context_.inside_callback() || (workers_ != nullptr && workers_->on_worker_thread());
}

// -- the end ---------------------------------------------------------------------------------

void Engine::destroy(Engine* engine) noexcept {
    if (engine->entrance_.in_child())
        return;  // the threads, and the kernel's context, are the parent's
    if (engine->would_deadlock())
        misused("a context was destroyed inside one of its own callbacks, which would wait for "
                "itself; hand it to another thread");
    engine->shutdown(kForever);
    if (engine->stats_at_exit_)
        std::fprintf(stderr, "%s", engine->dump().c_str());
    engine->cut_lifeline();
    delete engine;
}

// -- looking in ------------------------------------------------------------------------------

Stats Engine::stats() const noexcept {
    Stats stats;
    stats.depth = runner_->depth();
    stats.running = runner_->slots_in_use();
    stats.free_slots = stats.depth - stats.running;
    context_.read_stats(stats);
    return stats;
}

}  // namespace v0
}  // namespace ioengine
