// SPDX-License-Identifier: MIT
//
// The members of Simulation; included once per driver.
#pragma once

#include "tests/sim/simulation.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

namespace sim {

// -- the two parts ---------------------------------------------------------------------------

template <ioengine::Driver D>
void Simulation<D>::with_faults() {
    std::uint64_t linger = random_.below(3'000);
    user_.keep_trying(random_.below(30));
    while (!over()) {
        if (!closer_.begun() && oracle_.accepted_count() >= scene_.close_after)
            closer_.begin(scene_.ending == Ending::past_deadline
                              ? world_.now_ns() + random_.below(30'000'000)
                              : world_.kNever);
        if ((user_.is_satisfied() || closer_.begun()) && linger-- == 0)
            return;
        if (tick() && !no_progress())
            continue;
        // Time may pass for ever while the engine asks again and again for what it cannot have.
        if (world_.never_in_flight() != 0) {
            world_.release_never();
            continue;
        }
        if (no_progress())
            return;
        if (oracle_.outstanding() != 0 || user_.waits_for_space() || closer_.begun() ||
            !waiting_.idle())
            when_nobody_can_run();
        return;
    }
}

// Faults may go on for so long that the rest of the requests is better tried without.
template <ioengine::Driver D>
bool Simulation<D>::no_progress() {
    constexpr std::uint64_t kPatience = 10'000;
    const std::uint64_t progress = oracle_.accepted_count() + oracle_.noticed_count();
    if (progress != progress_) {
        progress_ = progress;
        progress_tick_ = ticks_;
    }
    return ticks_ - progress_tick_ > kPatience;
}

template <ioengine::Driver D>
void Simulation<D>::without_faults() {
    calm_ = true;
    history_.add(Event::calm);
    world_.calm();
    poller_.calm();
    if (driving_)
        driving_->calm();
    // Enough to need every slot again.
    user_.aim_at(oracle_.accepted_count() + (closer_.begun() ? 0 : 2 * scene_.config.depth + 8));
    const std::uint64_t bound = ticks_ + 100'000 + 400 * (oracle_.outstanding() + pool_.size());
    while (!over()) {
        if (ticks_ > bound)
            fail("no end in sight after %llu ticks without faults",
                 static_cast<unsigned long long>(ticks_));
        if (tick())
            continue;
        // Everybody sleeps, and without a limit. That is right if nothing is left to do.
        if (closer_.begun() || oracle_.outstanding() != 0 || user_.waits_for_space() ||
            !waiting_.idle())
            when_nobody_can_run();
        if (!user_.is_satisfied())
            fail("the user has not been able to submit everything");
        if (driver_->slots().available() != scene_.config.depth)
            fail("only %zu of %u slots are free while nothing is in flight",
                 driver_->slots().available(), scene_.config.depth);
        places_.check_quiet();
        closer_.begin(world_.kNever);
    }
}

template <ioengine::Driver D>
void Simulation<D>::when_nobody_can_run() {
    fail("a wake-up was lost: nobody can run, and %llu requests have not completed%s%s",
         static_cast<unsigned long long>(oracle_.outstanding()),
         user_.waits_for_space() ? ", the user waits for a place in a queue"
         : !waiting_.idle()      ? ", a thread is inside wait()"
                                 : "",
         closer_.begun() ? ", shutdown has begun" : "");
}

template <ioengine::Driver D>
void Simulation<D>::end() {
    while (user_.waits_for_space()) {
        if (!user_.runnable())
            fail("the user is left waiting for a place in a queue");
        user_.act();
    }
    for (int steps = 0; !waiting_.idle(); ++steps) {
        if (!waiting_.runnable() || steps > 10'000)
            fail("the engine's threads have left while a thread is inside wait()");
        waiting_.act();
    }
    if (context_.standby.anybody_inside())
        fail("a thread is counted inside wait() at the end");
    if (sink_.runnable())
        fail("the engine's threads have left while a delivery is still to be run");
    if (!driver_->slots().all_free())
        fail("a slot is not free at the end");
    places_.end();
    if (driving_)
        driving_->finish();
    else
        driver_->close();
    if (world_.destroyed_with() != 0)
        fail("the kernel's context is destroyed with %zu operations in flight",
             world_.destroyed_with());
    ioengine::Stats stats;
    context_.read_stats(stats);
    stats.running = driver_->slots().in_use();
    oracle_.check_end(stats);
    if (context_.handed_out() != 0)
        fail("a delivery is not over at the end");
    if (stats.stale_completions > world_.faults().counts().of(ioengine::Fault::stale))
        fail("%llu completions of living requests were taken for stale ones",
             static_cast<unsigned long long>(stats.stale_completions));
    pool_.check_idle();
    if (pool_.idle() != pool_.size())
        fail("requests are missing at the end");
    history_.add(Event::over);
}

// -- ticks -----------------------------------------------------------------------------------

template <ioengine::Driver D>
bool Simulation<D>::tick() {
    ++ticks_;
    calls_in_tick_ = looks_in_tick_ = 0;
    if (ticks_ >= mood_ends_)
        draw_mood();
    if ((ticks_ & 63) == 0)
        glance();
    hear_bell();
    if (driving_)
        driver_does_not_sleep_over_work();
    else
        nobody_sleeps_over_work();
    world_.advance_to(world_.now_ns() + random_.below(scene_.tick_max_ns));
    if (scene_.backend == Backend::uring &&
        world_.faults().strikes(ioengine::Fault::submitter_exits))
        submitter_exits();
    if (!calm_ && !driving_ && submitter_.parked() && random_.chance(scene_.wakes_ppm)) {
        submitter_.act();
        return true;
    }
    return run_somebody();
}

template <ioengine::Driver D>
void Simulation<D>::submitter_exits() {
    const std::size_t cancelled = world_.submitter_exits();
    if (cancelled == 0)
        return;
    world_.faults().note(ioengine::Fault::submitter_exits);
    history_.add(Event::submitter_exits, cancelled);
}

template <ioengine::Driver D>
bool Simulation<D>::run_somebody() {
    hear_bell();
    std::uint32_t total = 0;
    std::array<std::uint32_t, kActors> weights{};
    for (std::size_t i = 0; i < kActors; ++i) {
        weights[i] = can_run(i) ? mood_[i] : 0;
        total += weights[i];
    }
    if (total == 0)
        return false;
    auto drawn = static_cast<std::uint32_t>(random_.below(total));
    std::size_t actor = 0;
    while (drawn >= weights[actor])
        drawn -= weights[actor++];
    run(actor);
    return true;
}

template <ioengine::Driver D>
bool Simulation<D>::can_run(std::size_t actor) const {
    switch (actor) {
    case kUser:
        return user_.runnable();
    case kSubmitter:
        return !driving_ && submitter_.runnable();
    case kPoller:
        return !driving_ && poller_.runnable();
    case kDriver:
        return driving_ && driving_->runnable();
    case kKernel:
        return next_moment_ns() != world_.kNever || world_.has_entries();
    case kSink:
        return sink_.runnable();
    case kWaiting:
        return waiting_.runnable();
    default:
        return closer_.runnable();
    }
}

template <ioengine::Driver D>
void Simulation<D>::run(std::size_t actor) {
    switch (actor) {
    case kUser:
        user_.act();
        break;
    case kSubmitter:
        submitter_.act();
        break;
    case kPoller:
        poller_.act();
        break;
    case kDriver:
        driving_->act(nested_);
        break;
    case kKernel:
        if (world_.has_entries() && (next_moment_ns() == world_.kNever || random_.coin()))
            world_.take_entries();
        else
            world_.advance_to(next_moment_ns());
        break;
    case kSink:
        sink_.act();
        break;
    case kWaiting:
        waiting_.act();
        break;
    default:
        closer_.act();
        break;
    }
}

// The nearest moment to come at which something happens by itself.
template <ioengine::Driver D>
std::uint64_t Simulation<D>::next_moment_ns() const noexcept {
    std::uint64_t next = world_.next_due_ns();
    for (const std::uint64_t moment :
         {submitter_.wakes_at_ns(), poller_.wakes_at_ns(), closer_.wakes_at_ns(),
          user_.thinks_until_ns(), waiting_.wakes_at_ns(world_.now_ns()),
          driving_ ? driving_->wakes_at_ns() : world_.kNever})
        if (moment > world_.now_ns())
            next = std::min(next, moment);
    return next;
}

// Some are quick for a while and others slow, so that queues fill up and run dry.
template <ioengine::Driver D>
void Simulation<D>::draw_mood() {
    for (std::uint32_t& weight : mood_)
        weight = random_.pick({1u, 4u, 16u, 64u, 256u});
    mood_ends_ = ticks_ + random_.between(20, 800);
}

template <ioengine::Driver D>
void Simulation<D>::glance() const {
    ioengine::Stats stats;
    context_.read_stats(stats);
    oracle_.glance(stats);
    if (driver_->slots().in_use() > scene_.config.depth)
        fail("more slots are in use than there are");
}

// Later traffic would wake somebody and hide it: so it is asked whenever all of the engine sleeps,
// and nothing but the user or a completion to come could end that.
template <ioengine::Driver D>
void Simulation<D>::nobody_sleeps_over_work() const {
    const bool reaped_in_time = poller_.sleeps() || waiting_.anybody_sleeps_in_kernel();
    if (nested_ != 0 || !submitter_.waits_to_be_woken() || waiting_.anybody_is_up() ||
        !(poller_.sleeps() || poller_.waits_to_be_called()) || world_.has_completion() ||
        poller_.wakes_at_ns() != world_.kNever)
        return;
    if (context_.backlog() != 0 && driver_->slots().any_released())
        fail("a wake-up was lost: %llu requests wait in the queues, slots are free, all sleep",
             static_cast<unsigned long long>(context_.backlog()));
    if (driver_->slots().has_continuation() || driver_->slots().has_put_off())
        fail("a wake-up was lost: requests are to go on, and all sleep");
    if (!context_.ready.empty() && !context_.nudge.pending())
        fail("a wake-up was lost: finished requests wait for their notices, all sleep");
    if (!context_.standby.foreign.empty())
        fail("a wake-up was lost: callbacks wait for the poller, all sleep");
    if (!reaped_in_time && driver_->slots().in_use() != 0)
        fail("a wake-up was lost: requests are in the kernel, and nobody will reap them");
}

// The same for the one thread, whom a bell wakes.
template <ioengine::Driver D>
void Simulation<D>::driver_does_not_sleep_over_work() const {
    if (nested_ != 0 || !driving_->sleeps_for_good() || world_.has_completion())
        return;
    if (world_.polled() != 0)
        fail("a wake-up was lost: %zu transfers are to be polled, and the driver sleeps",
             world_.polled());
    // Called, and to hear of it: the bell is watched, or has been heard.
    if (!context_.submitter.announced()) {
        if (!world_.watches() && world_.next_due_ns() == world_.kNever && !world_.has_entries())
            fail("a wake-up was lost: the bell has rung, and the kernel does not watch it");
        return;
    }
    if (waiting_.anybody_is_up())
        return;
    if (context_.backlog() != 0 && driver_->slots().any_released())
        fail("a wake-up was lost: %llu requests wait in the queues, slots are free, the driver "
             "sleeps",
             static_cast<unsigned long long>(context_.backlog()));
    if (driver_->slots().has_continuation() || driver_->slots().has_put_off())
        fail("a wake-up was lost: requests are to go on, and the driver sleeps");
    if (!context_.ready.empty())
        fail("a wake-up was lost: finished requests wait for their notices, the driver sleeps");
}

// Somebody may have rung it: the kernel that watches it would know at once.
template <ioengine::Driver D>
void Simulation<D>::hear_bell() {
    const std::uint64_t rings = context_.shared_counters.submitter_wakes.get();
    if (!driving_ || rings == rings_)
        return;
    rings_ = rings;
    world_.look_at_watched();
    driving_->look_at_descriptor();
}

// -- watching --------------------------------------------------------------------------------

template <ioengine::Driver D>
ioengine::IoSharedContext& Simulation<D>::with_bell() {
    if (scene_.threading == ioengine::Threading::split)
        return context_;
    if (const int rc = context_.bell.open(); rc != 0)
        fail("no pipe for a bell: %s", std::strerror(-rc));
    context_.submitter.ring_by(context_.bell);
    return context_;
}

template <ioengine::Driver D>
ioengine::ContextConfig Simulation<D>::config() {
    ioengine::ContextConfig config = scene_.config;
    config.clock_user = this;
    config.clock_ns = [](void* self) {
        auto& simulation = *static_cast<Simulation*>(self);
        if (++simulation.looks_in_tick_ > 1'000'000)
            fail("the engine goes round and round, and looks at the clock");
        simulation.seam();
        return simulation.world_.now_ns();
    };
    config.nap = [](void* self, std::int64_t nap_ns) {
        static_cast<Simulation*>(self)->driving_->nap(nap_ns);
    };
    if (scene_.uses_sink) {
        config.sink = &Sink::take;
        config.sink_user = &sink_;
    }
    return config;
}

// As OneThreadRunner::visit() and Runner::visit() do it.
template <ioengine::Driver D>
void Simulation<D>::serve_places() {
    using ioengine::Errand;
    Places::Kernel kernel;
    kernel.user = this;
    kernel.update = [](void* self, ioengine::TableKind kind, std::uint32_t first,
                       const ioengine::TableItem* items, std::uint32_t count) {
        return static_cast<Simulation*>(self)->driver_->update_table(kind, first, items, count);
    };
    kernel.visit = [](void* self, Errand& errand) {
        auto& simulation = *static_cast<Simulation*>(self);
        if (simulation.driving_)
            return simulation.driving_->visit(errand);
        errand.done(errand, true);
        return true;
    };
    kernel.buffer_places = driver_->table_places(ioengine::TableKind::buffers);
    kernel.file_places = driver_->table_places(ioengine::TableKind::files);
    places_.serve(kernel);
}

template <ioengine::Driver D>
void Simulation<D>::watch() {
    using ioengine::Request;
    using ioengine::SimOperation;
    ioengine::SimWatcher& watcher = world_.watcher;
    watcher.user = this;
    watcher.seam = [](void* self) { static_cast<Simulation*>(self)->seam(); };
    if (scene_.threading != ioengine::Threading::split)
        watcher.sleep = [](void* self, std::int64_t limit_ns) {
            static_cast<Simulation*>(self)->driving_->sleep(limit_ns);
        };
    watcher.called = [](void* self, ioengine::SimCall call, std::int64_t count, int answer) {
        static_cast<Simulation*>(self)->count_call(call, count, answer);
    };
    watcher.scheduled = [](void* self, const Request& request) {
        static_cast<Simulation*>(self)->oracle_.scheduled(request);
    };
    watcher.entered = [](void* self, SimOperation& operation) {
        auto& simulation = *static_cast<Simulation*>(self);
        Subject* const subject = simulation.subject_of(operation.token);
        operation.subject = subject;
        // What the kernel's thread takes is that thread's, and it takes it when it likes.
        const bool at_once = !simulation.scene_.ring.sqpoll;
        operation.by_user = simulation.user_hands_over_ && at_once;
        if (subject != nullptr && simulation.submitter_.has_cancelled() && at_once)
            fail("request #%llu is given to the kernel after everything was cancelled",
                 static_cast<unsigned long long>(subject->number));
        if (subject == nullptr) {
            simulation.history_.add(Event::entered, 0, 0,
                                    static_cast<std::int64_t>(operation.token & 0xF));
            return;
        }
        simulation.repeat_former_piece(*subject);
        const Oracle::Members& merged = simulation.merged_in(operation.token);
        if (merged.empty())
            simulation.oracle_.entered(*subject, operation);
        else
            simulation.oracle_.entered_as_one(merged, operation);
    };
    watcher.answered = [](void* self, const SimOperation& operation, std::int64_t result) {
        auto& simulation = *static_cast<Simulation*>(self);
        // It has to be asked of the other ring: tried again, like what passes.
        if (operation.polled && result == -EOPNOTSUPP)
            result = -EAGAIN;
        if (operation.subject == nullptr) {
            simulation.history_.add(Event::answered, 0, result);
            return;
        }
        const Oracle::Members& merged = simulation.merged_in(operation.token);
        if (merged.empty())
            simulation.oracle_.answered(*static_cast<Subject*>(operation.subject), operation,
                                        result);
        else
            simulation.oracle_.answered_as_one(merged, operation, result);
    };
    watcher.refused = [](void* self, std::uint64_t token, int answer) {
        auto& simulation = *static_cast<Simulation*>(self);
        Subject* const subject = simulation.subject_of(token);
        if (subject == nullptr)
            return;
        const Oracle::Members& merged = simulation.merged_in(token);
        if (merged.empty())
            simulation.oracle_.refused(*subject, answer);
        else
            simulation.oracle_.refused_as_one(merged, answer);
    };
    watcher.withdrawn = [](void* self, std::uint64_t token) {
        auto& simulation = *static_cast<Simulation*>(self);
        Subject* const subject = simulation.subject_of(token);
        if (subject == nullptr)
            return;
        const Oracle::Members& merged = simulation.merged_in(token);
        if (merged.empty())
            simulation.oracle_.withdrawn(*subject);
        else
            simulation.oracle_.withdrawn_as_one(merged);
    };
    watcher.ran_here = [](void* self, const Request& request, std::int64_t result) {
        auto& subject = static_cast<Subject&>(const_cast<Request&>(request));
        static_cast<Simulation*>(self)->oracle_.ran_here(subject, result);
    };
}

template <ioengine::Driver D>
Subject* Simulation<D>::subject_of(std::uint64_t value) {
    const ioengine::Token token{value};
    for (const ioengine::Signal signal : {ioengine::Signal::nudge, ioengine::Signal::leave,
                                          ioengine::Signal::cancel, ioengine::Signal::wake})
        if (token.value == ioengine::token_of(signal).value)
            return nullptr;
    if (token.slot() >= scene_.config.depth)
        fail("the kernel is given a token of no slot: %llx",
             static_cast<unsigned long long>(value));
    auto& slot = driver_->slots().at(token.slot());
    if (slot.token().value != value || slot.request == nullptr ||
        slot.state.load(std::memory_order_relaxed) != ioengine::SlotState::in_kernel)
        fail("the kernel is given slot %u, which does not say so", token.slot());
    return static_cast<Subject*>(slot.request);
}

template <ioengine::Driver D>
const Oracle::Members& Simulation<D>::merged_in(std::uint64_t value) {
    merged_.clear();
    const auto& slot = driver_->slots().at(ioengine::Token{value}.slot());
    if (!slot.transfer.is_merged())
        return merged_;
    ioengine::Request* request = slot.request;
    for (unsigned i = 0; i < slot.members; ++i, request = request->merged)
        merged_.push_back(static_cast<Subject*>(request));
    return merged_;
}

// The request goes on under another token, so a completion of its former piece means nothing.
template <ioengine::Driver D>
void Simulation<D>::repeat_former_piece(const Subject& subject) {
    if (!subject.entered || !world_.faults().strikes(ioengine::Fault::stale))
        return;
    history_.add(Event::stale, subject.token);
    world_.repeat_stale({subject.token, static_cast<std::int64_t>(random_.below(512))});
}

template <ioengine::Driver D>
void Simulation<D>::count_call(ioengine::SimCall call, std::int64_t count, int answer) {
    history_.add(call == ioengine::SimCall::submit ? Event::submit_call : Event::wait_call,
                 static_cast<std::uint64_t>(count), answer);
    if (call == ioengine::SimCall::submit)
        oracle_.submit_called(count, answer, context_.poll_counters.reaped.get());
    if (++calls_in_tick_ > 10'000)
        fail("%llu kernel calls without an end", static_cast<unsigned long long>(calls_in_tick_));
}

// Somebody who is not already in the middle of something may run here.
template <ioengine::Driver D>
void Simulation<D>::seam() {
    if (world_.faults().strikes(ioengine::Fault::killed)) {
        world_.faults().note(ioengine::Fault::killed);
        contents_.check_acknowledged();
    }
    if (!user_.is_short_of_memory() && world_.faults().strikes(ioengine::Fault::forked))
        fork();
    if (driving_ && !user_.is_short_of_memory() && driving_->preempt(nested_, scene_.preempt_ppm))
        return;
    if (nested_ >= kNestedMax || user_.is_short_of_memory() || !random_.chance(scene_.seam_ppm))
        return;
    // Whoever that is, it is not the driver, in whose step we may be.
    const bool in_driver = context_.drives_here();
    if (in_driver)
        context_.drive_no_more();
    ++nested_;
    run_somebody();
    --nested_;
    if (in_driver)
        context_.drive_from_here();
}

// The child lives for a moment, with the context's memory and none of its threads.
template <ioengine::Driver D>
void Simulation<D>::fork() {
    world_.faults().note(ioengine::Fault::forked);
    history_.add(Event::forked);
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child < 0)
        fail("fork: %s", std::strerror(errno));
    if (child == 0) {
        const std::uint64_t events = history_.digest();
        user_.act_as_child();
        if (history_.digest() != events)
            fail("a forked child has made the engine do something");
        ::_exit(0);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail("a forked child has not ended well: status %d", status);
}

}  // namespace sim
