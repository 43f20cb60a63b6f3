// SPDX-License-Identifier: MIT
//
// Waiting: threads of the user's that submit a few requests and wait for them, as Group does, each
// a state machine. Their part of wait() is the engine's own lib/waiter.hpp, or, where one thread
// drives, the Parker of lib/one_thread_runner.hpp; they decide when it may go on, as a futex and a
// kernel would.
#pragma once

#include "drivers/sim/world.hpp"
#include "lib/entrance.hpp"
#include "lib/one_thread_runner.hpp"
#include "lib/poller.hpp"
#include "lib/waiter.hpp"
#include "tests/sim/failure.hpp"
#include "tests/sim/history.hpp"
#include "tests/sim/oracle.hpp"
#include "tests/sim/subject.hpp"
#include "tests/sim/user.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace sim {

// What the waiting threads touch.
template <ioengine::Driver D>
struct WaitingSetting {
    ioengine::IoSharedContext& context;
    ioengine::Entrance& entrance;
    ioengine::SimWorld& world;
    History& history;
    Oracle& oracle;
    SubjectPool& pool;
    User& user;
    D& driver;
    ioengine::PollSide& poll;
    ioengine::SubmitSide& submit;
};

template <ioengine::Driver D>
class WaitingThread {
  public:
    // `reaps`: where there are a submitter and a poller, whose roles it may take.
    WaitingThread(const WaitingSetting<D>& setting, std::uint64_t number, bool reaps,
                  std::uint64_t seed)
        : at_(setting), number_(number), reaps_(reaps), random_(seed) {}

    bool idle() const noexcept { return state_ == State::idle; }
    // Will act by itself, or has queued what it alone will hand over.
    bool is_up() const noexcept { return !idle() && (runnable() || staged_ != 0); }
    bool sleeps_in_kernel() const noexcept { return state_ == State::sleeping; }
    bool runnable() const noexcept {
        if (on_stack_)
            return false;
        switch (state_) {
        case State::idle:
            return at_.user.wants_more() && at_.pool.idle() != 0;
        case State::parked:
            return late() || (parker_ ? waiter_word().prepare() != parker_->seen()
                                      : waiter_->is_called(waiter_word().prepare()));
        case State::sleeping:
            return at_.world.has_completion() || late();
        default:
            return true;
        }
    }
    std::uint64_t wakes_at_ns() const noexcept {
        return state_ == State::parked || state_ == State::sleeping ? ends_at_ns_
                                                                    : at_.world.kNever;
    }
    void act() {
        on_stack_ = true;
        switch (state_) {
        case State::idle:
            to_submit_ = random_.between(1, 6);
            state_ = State::submitting;
            break;
        case State::submitting:
            submit();
            break;
        case State::beginning:
            begin();
            break;
        case State::stepping:
            step();
            break;
        case State::parked:
            if (waiter_)
                waiter_->unpark();
            state_ = State::stepping;
            break;
        case State::sleeping:
            if (at_.world.has_completion())
                at_.driver.wait(-1);
            waiter_->wake();
            state_ = State::stepping;
            break;
        case State::ending:
            end();
            break;
        }
        on_stack_ = false;
    }

  private:
    enum class State : std::uint8_t {
        idle,
        submitting,
        beginning,
        stepping,
        parked,
        sleeping,
        ending
    };

    ioengine::WaitWord waiter_word() const noexcept {
        return ioengine::WaitWord(const_cast<std::uint32_t&>(word_));
    }
    bool late() const noexcept { return at_.world.now_ns() >= ends_at_ns_; }

    void submit() {
        if (to_submit_-- == 0) {
            state_ = mine_.empty() && waiter_word().done() ? State::idle : State::beginning;
            return;
        }
        at_.user.submit_own(random_, word_, staged_, mine_);
    }

    void begin() {
        state_ = State::stepping;
        if (waiter_word().done()) {
            collect();
            return;
        }
        constexpr std::uint64_t kLimits[] = {0, 30'000, 3'000'000};
        const bool limited = random_.chance(200'000);
        const std::uint64_t limit_ns = random_.pick(kLimits);
        ends_at_ns_ = limited ? at_.world.now_ns() + limit_ns : at_.world.kNever;
        const ioengine::WaitCall call{waiter_word(), one_of_mine(), std::exchange(staged_, 0u),
                                      limited ? static_cast<std::int64_t>(limit_ns) : -1,
                                      random_.chance(200'000)};
        at_.history.add(Event::wait_begins, number_);
        if (!reaps_) {
            parker_.emplace(at_.context, call);
            parker_->begin();
            return;
        }
        waiter_.emplace(at_.context, at_.poll, at_.submit, at_.driver, nullptr, call,
                        at_.driver.limits_waits());
        waiter_->begin();
    }

    // Sometimes it waits for one of them first.
    const ioengine::Request* one_of_mine() {
        return mine_.empty() || random_.chance(700'000) ? nullptr
                                                        : mine_[random_.below(mine_.size())];
    }

    void step() {
        using Then = typename ioengine::Waiter<D>::Next;
        const Then next = !parker_           ? waiter_->next()
                          : !parker_->next() ? Then::end
                          : late()           ? Then::again
                                             : Then::park;
        at_.history.add(Event::wait_step, number_, static_cast<std::int64_t>(next));
        if (next == Then::park)
            state_ = State::parked;
        else if (next == Then::sleep)
            state_ = State::sleeping;
        if (next == Then::end || (next == Then::again && late()))
            state_ = State::ending;
    }

    void end() {
        const bool done = waiter_word().done();
        if (parker_)
            parker_->end();
        else
            waiter_->end();
        at_.history.add(Event::wait_ends, number_, done);
        waiter_.reset();
        parker_.reset();
        state_ = State::beginning;
        if (done)
            collect();
    }

    void collect() {
        for (Subject* subject : mine_) {
            at_.oracle.notice(*subject);
            at_.pool.give(*subject);
        }
        mine_.clear();
        staged_ = 0;
        state_ = State::idle;
    }

    const WaitingSetting<D> at_;
    const std::uint64_t number_;
    const bool reaps_;
    ioengine::SimRandom random_;
    State state_ = State::idle;
    bool on_stack_ = false;
    std::uint32_t word_ = 0;
    std::uint32_t staged_ = 0;
    std::uint64_t to_submit_ = 0;
    std::uint64_t ends_at_ns_ = ioengine::SimWorld::kNever;
    std::vector<Subject*> mine_;  // without a callback
    std::optional<ioengine::Waiter<D>> waiter_;
    std::optional<ioengine::Parker> parker_;
};

// All of them, as one actor.
template <ioengine::Driver D>
class Waiting {
  public:
    Waiting(const WaitingSetting<D>& setting, std::uint32_t threads, bool reaps, std::uint64_t seed)
        : random_(seed) {
        for (std::uint32_t i = 0; i < threads; ++i)
            threads_.emplace_back(setting, i + 1, reaps, random_.next());
    }

    bool idle() const noexcept {
        for (const auto& thread : threads_)
            if (!thread.idle())
                return false;
        return true;
    }
    bool runnable() const noexcept {
        for (const auto& thread : threads_)
            if (thread.runnable())
                return true;
        return false;
    }
    bool anybody_is_up() const noexcept {
        for (const auto& thread : threads_)
            if (thread.is_up())
                return true;
        return false;
    }
    bool anybody_sleeps_in_kernel() const noexcept {
        for (const auto& thread : threads_)
            if (thread.sleeps_in_kernel())
                return true;
        return false;
    }
    void act() {
        for (std::size_t i = random_.below(threads_.size());; ++i) {
            auto& thread = threads_[i % threads_.size()];
            if (thread.runnable()) {
                thread.act();
                return;
            }
        }
    }
    std::uint64_t wakes_at_ns(std::uint64_t now) const noexcept {
        std::uint64_t next = ioengine::SimWorld::kNever;
        for (const auto& thread : threads_)
            if (thread.wakes_at_ns() > now && thread.wakes_at_ns() < next)
                next = thread.wakes_at_ns();
        return next;
    }

  private:
    ioengine::SimRandom random_;
    std::deque<WaitingThread<D>> threads_;  // they do not move
};

}  // namespace sim
