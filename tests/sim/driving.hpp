// SPDX-License-Identifier: MIT
//
// DrivingThread: the one thread that holds both roles, on a fiber: an engine thread
// (Threading::owner), or a thread of the host's that drives in all the ways there are
// (Threading::caller). What it runs is the library's own lib/one_thread_runner.hpp; where that
// sleeps in the kernel, or naps, the fiber pauses, and wherever it looks at the clock or calls the
// kernel it may be preempted.
//
// An owner's life is that of a host who drives for ever: so both have a runner for callers, which
// starts no thread.
#pragma once

#include "drivers/sim/world.hpp"
#include "lib/entrance.hpp"
#include "lib/one_thread_runner.hpp"
#include "tests/sim/failure.hpp"
#include "tests/sim/fiber.hpp"
#include "tests/sim/history.hpp"
#include "tests/sim/oracle.hpp"
#include "tests/sim/scene.hpp"
#include "tests/sim/subject.hpp"
#include "tests/sim/user.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <poll.h>
#include <utility>
#include <vector>

namespace sim {

// What the driving thread touches.
struct DrivingSetting {
    const Scene& scene;
    ioengine::IoSharedContext& context;
    ioengine::Entrance& entrance;
    ioengine::SimWorld& world;
    History& history;
    Oracle& oracle;
    SubjectPool& pool;
    User& user;
};

template <ioengine::Driver D>
class DrivingThread {
  public:
    DrivingThread(const DrivingSetting& setting, std::unique_ptr<D> driver, std::uint64_t seed)
        : at_(setting), random_(seed), runner_(setup_for(setting.context), std::move(driver)),
          fiber_([this] { live(); }) {
        if (at_.scene.polls && (done_fd_ = runner_.completion_fd()) < 0)
            fail("no descriptor to poll: %d", done_fd_);
    }

    bool left() const noexcept { return state_ == State::left; }
    bool runnable() const noexcept {
        if (on_stack_)
            return false;
        switch (state_) {
        case State::running:
            return true;
        case State::sleeping:
            return at_.world.has_completion() || late();
        case State::polling:
            return is_readable() || late();
        case State::away:
            return late();
        case State::left:
            break;
        }
        return false;
    }
    std::uint64_t wakes_at_ns() const noexcept {
        return state_ == State::running || left() ? at_.world.kNever : wakes_at_ns_;
    }
    // Asleep in the kernel, or polling, without a limit, and nothing has ended that yet.
    bool sleeps_for_good() const noexcept {
        return !runnable() && (state_ == State::sleeping || state_ == State::polling) &&
               wakes_at_ns_ == at_.world.kNever;
    }
    // In the middle of a step.
    bool is_preempted() const noexcept { return state_ == State::running && in_runner_; }
    // Signals come no more, and nobody is away any more.
    void calm() noexcept {
        if (state_ == State::sleeping)
            wakes_at_ns_ = limit_at_ns_;
    }
    // Somebody may have told its descriptor of a ring.
    void look_at_descriptor() noexcept { told_seen_ = ~at_.world.told(); }
    // `depth`: in how many other threads' steps.
    void act(unsigned depth) {
        on_stack_ = true;
        depth_ = depth;
        // To the library all fibers are one thread: this one is its driver as long as it runs.
        if (is_driver_)
            at_.context.drive_from_here();
        fiber_.resume();
        is_driver_ = at_.context.is_driven();
        at_.context.drive_no_more();
        on_stack_ = false;
    }
    // As OneThreadRunner::visit(), which goes by the thread that it is on: see act(). False: nobody
    // comes any more.
    bool visit(ioengine::Errand& errand) {
        if (at_.context.drives_here() || !is_driver_)
            return runner_.visit(errand, true) == ioengine::ErrorCode::none;
        if (!at_.context.errands.post(errand))
            return false;
        at_.context.wake_urgently();
        return true;
    }
    // All threads have left: the closer's part.
    void finish() { runner_.finish(); }

    // -- inside the runner, on the fiber -----------------------------------------------------

    void sleep(std::int64_t limit_ns) {
        limit_at_ns_ = at_.world.kNever;
        if (limit_ns >= 0)
            limit_at_ns_ = at_.world.now_ns() + static_cast<std::uint64_t>(limit_ns);
        wakes_at_ns_ = limit_at_ns_;
        if (at_.world.faults().interrupts_wait())
            wakes_at_ns_ = std::min(wakes_at_ns_, at_.world.now_ns() +
                                                      at_.world.faults().random().below(200'000));
        at_.history.add(Event::driver_sleeps, 0, limit_ns);
        if (waits_ != nullptr && waits_->done() && at_.context.submitter.announced())
            fail("a wake-up was lost: the driver sleeps over the end of what it waits for");
        // It may, while it asks devices; but not again and again.
        if (at_.world.passed_over() > 100)
            fail("the driver asks devices for ever, and never looks at what has completed");
        pause(State::sleeping);
    }
    void nap(std::int64_t nap_ns) {
        at_.history.add(Event::driver_naps, static_cast<std::uint64_t>(nap_ns));
        wakes_at_ns_ = at_.world.now_ns() + static_cast<std::uint64_t>(nap_ns);
        pause(State::away);
    }
    // True if it was preempted here. Not in a callback, whose place on the thread the library
    // remembers, nor in the middle of somebody else's step.
    bool preempt(unsigned depth, std::uint32_t ppm) {
        if (!on_stack_ || !in_runner_ || depth != depth_ || at_.context.inside_callback() ||
            !random_.chance(ppm))
            return false;
        pause(State::running);
        return true;
    }

  private:
    enum class State : std::uint8_t { running, sleeping, polling, away, left };
    using Run = ioengine::Run;

    static ioengine::RunnerSetup setup_for(ioengine::IoSharedContext& context) {
        ioengine::RunnerSetup setup;
        setup.context = &context;
        setup.threading = ioengine::Threading::caller;
        return setup;
    }

    bool late() const noexcept { return at_.world.now_ns() >= wakes_at_ns_; }
    // Asks only when somebody may have written.
    bool is_readable() const noexcept {
        if (told_seen_ != at_.world.told()) {
            told_seen_ = at_.world.told();
            pollfd one{done_fd_, POLLIN, 0};
            is_readable_ = ::poll(&one, 1, 0) == 1;
        }
        return is_readable_;
    }
    void pause(State why) {
        state_ = why;
        fiber_.pause();
        state_ = State::running;
    }

    // -- its life ----------------------------------------------------------------------------

    void live() {
        if (at_.scene.threading == ioengine::Threading::owner)
            run(Run::until, -1);
        while (!over_)
            drive();
        if (!word().done())
            fail("the roles have left while their driver waits for requests of its own");
        collect();
        at_.history.add(Event::driver_leaves);
        state_ = State::left;
    }

    // In one of the ways there are.
    void drive() {
        drive_somehow();
        if (word().done())
            collect();
        // Who has requests of its own under way waits for them: the descriptor says nothing of what
        // a sink finishes.
        if (!at_.scene.polls || over_ || !word().done())
            return;
        // After a call in which it has announced that it sleeps.
        if (random_.chance(300'000) && at_.user.runnable())
            at_.user.act();
        told_seen_ = ~at_.world.told();
        wakes_at_ns_ = again_at_ns_;
        at_.history.add(Event::driver_polls, again_at_ns_);
        pause(State::polling);
    }

    void drive_somehow() {
        const bool calm = at_.world.faults().is_calm();
        const auto limit_ns = static_cast<std::int64_t>(random_.below(3'000'000));
        const auto idle = std::exchange(idle_, false);
        switch (random_.below(12)) {
        case 0:
            if (calm || idle || !word().done())
                break;
            wakes_at_ns_ = at_.world.now_ns() + static_cast<std::uint64_t>(limit_ns);
            pause(State::away);
            return;
        case 1:
            if (at_.user.runnable())
                at_.user.act();
            return;
        case 2:
        case 3:
            if (word().done())
                submit_own();
            wait_for_own(calm || random_.chance(600'000) ? -1 : limit_ns);
            return;
        case 4:
            if (!word().done())
                break;
            run(Run::until, calm ? -1 : limit_ns);
            return;
        case 5:
            if (!at_.context.gate.closed() || !word().done())
                break;
            again_at_ns_ = at_.world.kNever;
            in_runner_ = true;
            over_ = runner_.drive_until_left(calm ? -1 : limit_ns) &&
                    at_.context.closing.submitter_left.load(std::memory_order_acquire);
            in_runner_ = false;
            return;
        case 6:
        case 7:
        case 8:
            if (idle && !at_.scene.polls)
                break;
            run(Run::now, -1);
            return;
        default:
            break;
        }
        if (!word().done() && random_.coin())
            wait_for_own(calm ? -1 : limit_ns);
        else
            run(at_.scene.polls && random_.coin() ? Run::now : Run::once, -1);
    }

    void run(Run how, std::int64_t limit_ns) {
        in_runner_ = true;
        const ioengine::RunReport report = runner_.run(how, limit_ns);
        in_runner_ = false;
        at_.history.add(Event::driver_ran, report.completed, static_cast<std::int64_t>(how),
                        report.again_in_ns);
        using ioengine::ErrorCode;
        over_ = report.code == ErrorCode::shutting_down;
        if (report.code != ErrorCode::none && !over_)
            fail("a driver is told code %d", static_cast<int>(report.code));
        idle_ = report.completed == 0;
        again_at_ns_ = report.again_in_ns < 0
                           ? at_.world.kNever
                           : at_.world.now_ns() + static_cast<std::uint64_t>(report.again_in_ns);
    }

    // -- requests of its own, as a Group's -----------------------------------------------------

    ioengine::WaitWord word() noexcept { return ioengine::WaitWord(word_); }

    void submit_own() {
        for (std::uint64_t left = random_.between(1, 6); left != 0; --left) {
            if (!at_.user.wants_more() || at_.pool.idle() == 0)
                return;
            at_.user.submit_own(random_, word_, staged_, mine_);
        }
    }
    void wait_for_own(std::int64_t limit_ns) {
        const ioengine::Request* const one =
            mine_.empty() || random_.coin() ? nullptr : mine_[random_.below(mine_.size())];
        const ioengine::WaitCall call{word(), one, std::exchange(staged_, 0u), limit_ns,
                                      random_.coin()};
        if (call.done())
            return;
        again_at_ns_ = at_.world.kNever;
        in_runner_ = true;
        waits_ = &call;
        const ioengine::ErrorCode code = runner_.wait(call);
        waits_ = nullptr;
        in_runner_ = false;
        at_.history.add(Event::driver_waited, 0, static_cast<std::int64_t>(code), limit_ns);
        if (code == ioengine::ErrorCode::none ? !call.done() : limit_ns < 0)
            fail("a wait of the driver's ends before its requests: code %d",
                 static_cast<int>(code));
    }
    void collect() {
        for (Subject* subject : mine_) {
            at_.oracle.notice(*subject);
            at_.pool.give(*subject);
        }
        mine_.clear();
    }

    const DrivingSetting at_;
    ioengine::SimRandom random_;
    ioengine::OneThreadRunner<D> runner_;
    Fiber fiber_;
    State state_ = State::running;
    bool on_stack_ = false;
    bool is_driver_ = false;
    bool in_runner_ = false;
    const ioengine::WaitCall* waits_ = nullptr;
    bool over_ = false;
    bool idle_ = false;  // nothing has come of the last call
    unsigned depth_ = 0;
    std::uint64_t wakes_at_ns_ = ioengine::SimWorld::kNever;
    // By the last report, however little has been done since. A wait tells of it by the descriptor.
    std::uint64_t again_at_ns_ = ioengine::SimWorld::kNever;
    std::uint64_t limit_at_ns_ = ioengine::SimWorld::kNever;
    int done_fd_ = -1;
    mutable std::uint64_t told_seen_ = 0;
    mutable bool is_readable_ = false;
    std::uint32_t word_ = 0;
    std::uint32_t staged_ = 0;
    std::vector<Subject*> mine_;  // without a callback
};

}  // namespace sim
