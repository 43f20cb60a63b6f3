// SPDX-License-Identifier: MIT
//
// Engine's life: creation, the way in, and the end.
#include "lib/engine.hpp"

#include "lib/check.hpp"
#include "lib/clock.hpp"
#include "lib/names.hpp"
#include "lib/request_state.hpp"
#include "lib/validate.hpp"
#include "lib/workers.hpp"

#include <ioengine/merge_buffer.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <new>
#include <utility>

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

// Until `submit` is not refused for want of a place in the queue.
template <class Submit>
Acceptance Engine::wait_for_room(Submit&& submit, std::int64_t timeout_ns) noexcept {
    const std::uint64_t begun = now_ns();
    for (;;) {
        // Whoever takes requests out of the queues, or closes, moves this epoch afterwards.
        const std::uint32_t seen = context_.space.prepare();
        const Acceptance acceptance = submit();
        if (acceptance.code() != ErrorCode::queue_full)
            return acceptance;
        std::int64_t left = EventCount::kNoLimit;
        if (timeout_ns != kForever) {
            left = timeout_ns - static_cast<std::int64_t>(now_ns() - begun);
            if (left <= 0)
                return {ErrorCode::timed_out, "the channel's queue stayed full for that long"};
        }
        context_.space.park(seen, EventCount::Wants::anything, left);
    }
}

Acceptance Engine::submit_wait(Request& request, Channel channel,
                               std::int64_t timeout_ns) noexcept {
    if (fork_guard_.in_child())
        return submit(request, channel);
    if (would_deadlock())
        return count_refusal({ErrorCode::would_deadlock,
                              "a callback must not wait for its own context; use submit()"});
    return wait_for_room([&] { return submit(request, channel); }, timeout_ns);
}

// Each is well formed, and they lie side by side and are alike.
Acceptance Engine::check_merged(Request* const* members, std::size_t count,
                                Channel channel) noexcept {
    const Request& first = *members[0];
    std::uint64_t end = first.offset;
    for (std::size_t i = 0; i < count; ++i) {
        const Request& request = *members[i];
        const Acceptance checked = check(request, channel);
        if (!checked)
            return checked;
        if (!can_be_merged(request) || !are_alike(first, request) ||
            first.channel != request.channel || request.offset != end)
            return count_refusal({ErrorCode::invalid_argument,
                                  "these requests cannot go as one; see EventMergeBuffer"});
        end += request.length;
    }
    if (count > kMergeMax || end - first.offset > kMergeBytesMax)
        return count_refusal({ErrorCode::invalid_argument,
                              "more requests, or bytes, than can go as one; see EventMergeBuffer"});
    return {};
}

Acceptance Engine::submit_merged(Request* const* members, std::size_t count,
                                 Channel channel) noexcept {
    bool gathered = false;
    for (std::size_t i = 0; i < count; ++i) {
        if (!request_state::is_gathered(*members[i]))
            continue;
        gathered = true;
        request_state::set_idle(*members[i]);
    }
    const Acceptance acceptance = count == 0   ? Acceptance()
                                  : count == 1 ? submit(*members[0], channel)
                                               : submit_as_one(members, count, channel);
    for (std::size_t i = 0; gathered && !acceptance && i < count; ++i)
        if (request_state::is_idle(*members[i]))
            request_state::set_gathered(*members[i]);
    return acceptance;
}

Acceptance Engine::gather(Request& request, Channel channel) noexcept {
    const Acceptance checked = check(request, channel);
    if (checked)
        request_state::set_gathered(request);
    return checked;
}

Acceptance Engine::submit_as_one(Request* const* members, std::size_t count,
                                 Channel channel) noexcept {
    const Acceptance checked = check_merged(members, count, channel);
    if (!checked)
        return checked;
    Request& first = *members[0];
    for (std::size_t i = 0; i < count; ++i) {
        Request& request = *members[i];
        request.merged = i + 1 < count ? members[i + 1] : nullptr;
        if (request.complete != nullptr) {
            request_state::set_submitted(request);
        } else {
            request_state::set_counted(request, request.word);
            WaitWord(request.word).count_up();
        }
    }
    first.followers = static_cast<std::uint16_t>(count - 1);
    const Acceptance acceptance =
        context_.push(first, channel == Channel::automatic ? first.channel : channel);
    if (acceptance)
        return acceptance;
    first.followers = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (members[i]->complete == nullptr)
            WaitWord(members[i]->word).take_back();
        request_state::set_idle(*members[i]);
    }
    return count_refusal(acceptance);
}

void Engine::finish_merged(Request* const* members, std::size_t count, Channel channel) noexcept {
    if (fork_guard_.in_child())
        return;  // the parent's copies are told
    const bool may_wait = !would_deadlock();
    const Acceptance acceptance = wait_for_room(
        [&] { return submit_merged(members, count, channel); }, may_wait ? kForever : 0);
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
            members[i]->complete(members[i]);
    }
}

bool Engine::would_deadlock() const noexcept {
    return context_.inside_callback() || (workers_ != nullptr && workers_->on_worker_thread());
}

// -- the end ---------------------------------------------------------------------------------

void Engine::begin_closing() noexcept {
    context_.gate.close();
    context_.space.notify_urgent();  // submit_wait() hears of it
    // Callers inside are between two atomic operations of push(): no system call but a wake-up, or,
    // with Lending::callers, a submit call.
    for (unsigned looks = 0; !context_.gate.quiet(); ++looks) {
        const timespec nap{0, looks < 64 ? 0 : 100'000};
        ::nanosleep(&nap, nullptr);
    }
    context_.closing.draining.store(true, std::memory_order_seq_cst);
    context_.wake_urgently();
}

bool Engine::wait_until_left(std::int64_t limit_ns) noexcept {
    const std::uint64_t begun = now_ns();
    for (;;) {
        const std::uint32_t seen = context_.closing.left.prepare();
        // acquire: pairs with the submitter's last store.
        if (context_.closing.submitter_left.load(std::memory_order_acquire))
            return true;
        const std::int64_t left = limit_ns - static_cast<std::int64_t>(now_ns() - begun);
        if (left <= 0)
            return false;
        context_.closing.left.park(seen, EventCount::Wants::anything, left);
    }
}

void Engine::finish_once() noexcept {
    const std::lock_guard<std::mutex> lock(finish_mutex_);
    if (finished_)
        return;
    // Threads inside wait() have seen their last request done, and go.
    while (context_.standby.anybody_inside()) {
        const timespec nap{0, 50'000};
        ::nanosleep(&nap, nullptr);
    }
    runner_->finish();
    // Workers and sinks that ran the last callbacks may still stand on their last instructions.
    while (context_.handed_out() != 0) {
        const timespec nap{0, 50'000};
        ::nanosleep(&nap, nullptr);
    }
    finished_ = true;
}

ShutdownReport Engine::shutdown(std::int64_t deadline_ns) noexcept {
    constexpr std::int64_t kLogEvery = 5'000'000'000;
    // What was asked back from the kernel gets this long to arrive.
    constexpr std::int64_t kCancelGrace = 500'000'000;
    ShutdownReport report;
    if (fork_guard_.in_child() || would_deadlock()) {
        report.code = fork_guard_.in_child() ? ErrorCode::forked : ErrorCode::would_deadlock;
        return report;
    }
    begin_closing();
    bool left = false;
    if (deadline_ns == kForever) {
        while (!(left = wait_until_left(kLogEvery)))
            log_oldest();
    } else {
        left = wait_until_left(deadline_ns);
        if (!left) {
            // release: pairs with the acquire of submit_step(), which sees a closed gate with it.
            context_.closing.cancelling.store(true, std::memory_order_release);
            context_.wake_urgently();
            left = wait_until_left(kCancelGrace);
        }
    }
    if (left)
        finish_once();
    report.clean = left;
    report.code = left ? ErrorCode::none : ErrorCode::timed_out;
    fill_report(report);
    return report;
}

void Engine::fill_report(ShutdownReport& report) const noexcept {
    const Stats now = stats();
    report.accepted = now.accepted;
    report.completed = now.completed;
    report.queued = now.queued_prio + now.queued_read + now.queued_write;
    report.cancelled = context_.closing.cancelling.load(std::memory_order_acquire)
                           ? context_.poll_counters.cancelled.get()
                           : 0;
    const std::uint64_t clock = coarse_now_ns();
    const auto older = [](const InFlight& a, const InFlight& b) { return a.age_ns > b.age_ns; };
    for (std::uint32_t i = 0; i < runner_->depth(); ++i) {
        InFlight entry;
        if (!runner_->describe(i, clock, entry))
            continue;
        report.in_kernel += entry.merged;
        // Keeps the oldest: a full list gives up its youngest, which is the last.
        if (report.named == ShutdownReport::kNamed) {
            if (!older(entry, report.held[report.named - 1]))
                continue;
            --report.named;
        }
        InFlight* const end = report.held + report.named;
        InFlight* const place = std::upper_bound(report.held, end, entry, older);
        std::move_backward(place, end, end + 1);
        *place = entry;
        ++report.named;
    }
    const std::uint64_t elsewhere = report.queued + report.in_kernel;
    report.delivering = now.pending > elsewhere ? now.pending - elsewhere : 0;
}

void Engine::log_oldest() noexcept {
    ShutdownReport report;
    fill_report(report);
    if (report.named == 0) {
        log_.write(LogLevel::warning,
                   "shutdown waits: %llu requests queued, %llu callbacks not returned",
                   static_cast<unsigned long long>(report.queued),
                   static_cast<unsigned long long>(report.delivering));
        return;
    }
    const InFlight& oldest = report.held[0];
    log_.write(LogLevel::warning,
               "shutdown waits for %llu requests in flight; the oldest: %s on fd %d, offset %llu, "
               "%s for %llu ms",
               static_cast<unsigned long long>(report.in_kernel), action_name(oldest.action),
               oldest.fd, static_cast<unsigned long long>(oldest.offset), oldest.stage,
               static_cast<unsigned long long>(oldest.age_ns / 1'000'000));
}

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

// -- the ABI ---------------------------------------------------------------------------------

namespace abi {

Engine* engine_create(const Options& options, std::uint32_t header_version, Error* error) noexcept {
    return Engine::create(options, header_version, *error);
}
void engine_destroy(Engine* engine) noexcept {
    Engine::destroy(engine);
}
Acceptance engine_submit(Engine* engine, Request& request, Channel channel) noexcept {
    return engine->submit(request, channel);
}
Acceptance engine_submit_wait(Engine* engine, Request& request, Channel channel,
                              std::int64_t timeout_ns) noexcept {
    return engine->submit_wait(request, channel, timeout_ns);
}
Acceptance engine_gather(Engine* engine, Request& request, Channel channel) noexcept {
    return engine->gather(request, channel);
}
void engine_ungather(Request* const* members, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i)
        request_state::set_idle(*members[i]);
}
Acceptance engine_submit_merged(Engine* engine, Request* const* members, std::size_t count,
                                Channel channel) noexcept {
    return engine->submit_merged(members, count, channel);
}
void engine_finish_merged(Engine* engine, Request* const* members, std::size_t count,
                          Channel channel) noexcept {
    engine->finish_merged(members, count, channel);
}
Acceptance engine_perform(Engine* engine, Request& request, Channel channel) noexcept {
    return engine->perform(request, channel);
}
ErrorCode engine_wait(Engine* engine, Request& request, std::int64_t timeout_ns,
                      Wait how) noexcept {
    return engine->wait(request, timeout_ns, how == Wait::help);
}
Acceptance group_submit(GroupCount& group, Request& request, Channel channel) noexcept {
    return group.engine->submit_counted(request, channel, group.word, &group.staged);
}
void group_start(GroupCount& group) noexcept {
    if (std::exchange(group.staged, 0) != 0)
        group.engine->start();
}
ErrorCode group_wait(GroupCount& group, const Request* one, std::int64_t timeout_ns,
                     Wait how) noexcept {
    if (one != nullptr && (one->complete != nullptr || !request_state::is_in(*one, group.word)))
        return request_state::is_idle(*one) && one->complete == nullptr
                   ? ErrorCode::none
                   : ErrorCode::invalid_argument;
    return group.engine->wait(
        {WaitWord(group.word), one, std::exchange(group.staged, 0), timeout_ns, how == Wait::help});
}
void group_finish(GroupCount& group) noexcept {
    if (group_wait(group, nullptr, kForever, Wait::alone) == ErrorCode::would_deadlock)
        misused("a Group was destroyed inside a callback of its context before its requests were "
                "done; the callback would wait for itself");
}
bool group_is_done(const GroupCount& group) noexcept {
    return WaitWord(const_cast<std::uint32_t&>(group.word)).done();
}
ShutdownReport engine_shutdown(Engine* engine, std::int64_t deadline_ns) noexcept {
    return engine->shutdown(deadline_ns);
}
Stats engine_stats(const Engine* engine) noexcept {
    return engine->stats();
}
Text engine_dump(const Engine* engine) noexcept {
    return engine->dump();
}
const ProbeReport& engine_report(const Engine* engine) noexcept {
    return engine->report();
}

}  // namespace abi

}  // namespace v0
}  // namespace ioengine
