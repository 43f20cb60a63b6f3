// SPDX-License-Identifier: MIT
//
// Engine's life, and the way in. Its end is in lib/shutdown.cpp.
#include "lib/engine.hpp"

#include "lib/check.hpp"
#include "lib/request_state.hpp"
#include "lib/room.hpp"
#include "lib/validate.hpp"
#include "lib/workers.hpp"

#include <cerrno>
#include <cstdio>
#include <new>

namespace ioengine {
inline namespace v0 {

// -- creation --------------------------------------------------------------------------------

Engine::Engine(const Options& options, const Environment& environment)
    : log_(log_level_of(options, environment), options.log, options.log_user),
      disabled_(disabled_features(options, environment, log_)),
      context_(config_of(options, lending_of(options, environment, disabled_, log_), disabled_),
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
    if (!fork_guard_.valid()) {
        fill_error(error, ErrorCode::no_memory, ENOMEM, "no memory for the context", "");
        return false;
    }
    RunnerSetup setup;
    setup.context = &context_;
    setup.threads = thread_setup_of(options);
    setup.wish = backend_wish(options, environment, log_);
    setup.disabled = disabled_;
    runner_ = make_runner(setup, report_, error);
    return runner_ != nullptr && runner_->start(error);
}

// -- the way in ------------------------------------------------------------------------------

Acceptance Engine::count_refusal(Acceptance refusal) noexcept {
    if (refusal.code() == ErrorCode::queue_full)
        context_.shared_counters.refused_full.add(1);
    else
        context_.shared_counters.refused_other.add(1);
    return refusal;
}

Acceptance Engine::check(const Request& request, Channel channel) noexcept {
    if (fork_guard_.in_child())
        return {ErrorCode::forked, "this process is a fork of the one that made the context; "
                                   "create a context of its own"};
    const Acceptance well_formed = validate(request);
    if (!well_formed)
        return count_refusal(well_formed);
    if (channel > Channel::write)
        return count_refusal({ErrorCode::invalid_argument, "channel is no value of its enum"});
    return {};
}

Acceptance Engine::submit(Request& request, Channel channel) noexcept {
    if (request.complete == nullptr)
        return submit_counted(request, channel, request.word, nullptr);
    const Acceptance checked = check(request, channel);
    if (!checked)
        return checked;
    request_state::set_submitted(request);
    const Acceptance acceptance =
        context_.push(request, channel == Channel::automatic ? request.channel : channel);
    if (!acceptance) {
        request_state::set_idle(request);
        return count_refusal(acceptance);
    }
    return acceptance;
}

Acceptance Engine::submit_counted(Request& request, Channel channel, std::uint32_t& countdown,
                                  std::uint32_t* staged) noexcept {
    const Acceptance checked = check(request, channel);
    if (!checked)
        return checked;
    request_state::set_counted(request, countdown);
    WaitWord word(countdown);
    word.count_up();
    // Quietly only if the caller will come and hand it over. From a callback: whoever runs it does,
    // or is told that it must wake somebody.
    const bool quiet = staged != nullptr && context_.config.lends && !context_.in_callback();
    using Push = IoSharedContext::Push;
    const Acceptance acceptance =
        context_.push(request, channel == Channel::automatic ? request.channel : channel,
                      quiet ? Push::quiet : Push::wakes);
    if (!acceptance) {
        word.take_back();
        request_state::set_idle(request);
        return count_refusal(acceptance);
    }
    if (quiet)
        ++*staged;
    return acceptance;
}

Acceptance Engine::perform(Request& request, Channel channel) noexcept {
    if (request.complete != nullptr)
        return count_refusal({ErrorCode::invalid_argument,
                              "perform() is for requests without a callback; use submit()"});
    if (!fork_guard_.in_child() && would_deadlock())
        return count_refusal({ErrorCode::would_deadlock,
                              "a callback must not wait for its own context; use submit()"});
    std::uint32_t staged = 0;
    const Acceptance acceptance = submit_counted(request, channel, request.word, &staged);
    if (acceptance)
        runner_->wait({WaitWord(request.word), nullptr, staged, kForever, false});
    return acceptance;
}

ErrorCode Engine::wait(const WaitCall& call) noexcept {
    if (fork_guard_.in_child())
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
    if (fork_guard_.in_child())
        return submit(request, channel);
    if (would_deadlock())
        return count_refusal({ErrorCode::would_deadlock,
                              "a callback must not wait for its own context; use submit()"});
    return wait_for_room(context_.space, timeout_ns, [&] { return submit(request, channel); });
}

bool Engine::would_deadlock() const noexcept {
    return context_.inside_callback() || (workers_ != nullptr && workers_->on_worker_thread());
}

// -- the end ---------------------------------------------------------------------------------

void Engine::destroy(Engine* engine) noexcept {
    if (engine->fork_guard_.in_child())
        return;  // the threads, and the kernel's context, are the parent's
    if (engine->would_deadlock())
        misused("a context was destroyed inside one of its own callbacks, which would wait for "
                "itself; hand it to another thread");
    engine->shutdown(kForever);
    if (engine->stats_at_exit_)
        std::fprintf(stderr, "%s", engine->dump().c_str());
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
