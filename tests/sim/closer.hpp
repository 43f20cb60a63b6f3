// SPDX-License-Identifier: MIT
//
// Closer: the thread that shuts down, as a state machine: Engine::shutdown() cut where another
// thread may come in between.
#pragma once

#include "drivers/sim/world.hpp"
#include "lib/shared_context.hpp"
#include "tests/sim/history.hpp"
#include "tests/sim/oracle.hpp"

#include <cstdint>

namespace sim {

class Closer {
  public:
    Closer(ioengine::IoSharedContext& context, ioengine::SimWorld& world, Oracle& oracle,
           History& history)
        : context_(context), world_(world), oracle_(oracle), history_(history) {}

    // From now on it acts. deadline_ns: on the world's clock, kNever: without.
    void begin(std::uint64_t deadline_ns) noexcept {
        deadline_ns_ = deadline_ns;
        state_ = State::closing;
    }
    bool begun() const noexcept { return state_ != State::waiting; }

    std::uint64_t wakes_at_ns() const noexcept {
        return state_ == State::draining ? deadline_ns_ : world_.kNever;
    }
    bool runnable() const noexcept {
        switch (state_) {
        case State::closing:
            return true;
        case State::emptying:
            return context_.gate.quiet();
        case State::draining:
            return world_.now_ns() >= deadline_ns_;
        default:
            return false;
        }
    }
    void act() {
        switch (state_) {
        case State::closing:
            context_.gate.close();
            context_.space.notify_urgent();
            history_.add(Event::gate_closes);
            state_ = State::emptying;
            break;
        case State::emptying:
            context_.closing.draining.store(true, std::memory_order_seq_cst);
            context_.wake_urgently();
            history_.add(Event::draining);
            state_ = State::draining;
            break;
        case State::draining:
            oracle_.cancelling();
            context_.closing.cancelling.store(true, std::memory_order_release);
            context_.wake_urgently();
            history_.add(Event::cancelling);
            state_ = State::done;
            break;
        default:
            break;
        }
    }

  private:
    enum class State : std::uint8_t { waiting, closing, emptying, draining, done };

    ioengine::IoSharedContext& context_;
    ioengine::SimWorld& world_;
    Oracle& oracle_;
    History& history_;
    State state_ = State::waiting;
    std::uint64_t deadline_ns_ = ioengine::SimWorld::kNever;
};

}  // namespace sim
