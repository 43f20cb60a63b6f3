// SPDX-License-Identifier: MIT
//
// Sink: takes completions in the poller's place and runs them later, in any order, as worker
// threads would.
#pragma once

#include "tests/sim/history.hpp"
#include "tests/sim/scene.hpp"
#include "tests/sim/subject.hpp"

#include <ioengine/options.hpp>

#include <cstdint>
#include <vector>

namespace sim {

class Sink {
  public:
    Sink(const Scene& scene, History& history, std::uint64_t seed)
        : scene_(scene), history_(history), random_(seed) {}

    // Options::sink.
    static void take(void* sink, ioengine::Delivery delivery) noexcept {
        static_cast<Sink*>(sink)->take(delivery);
    }

    bool runnable() const noexcept { return !held_.empty(); }
    void act() {
        const std::size_t i = random_.below(held_.size());
        ioengine::Delivery delivery = held_[i];
        held_[i] = held_.back();
        held_.pop_back();
        delivery.run();
    }

  private:
    void take(ioengine::Delivery delivery) noexcept {
        // The request was the engine's until now and will be the user's when the delivery runs.
        auto& subject = static_cast<Subject&>(const_cast<ioengine::Request&>(delivery.request()));
        subject.handed_out = true;
        history_.add(Event::handed_to_sink, subject.number);
        if (random_.chance(scene_.sink_at_once_ppm))
            delivery.run();
        else
            held_.push_back(delivery);
    }

    const Scene& scene_;
    History& history_;
    ioengine::SimRandom random_;
    std::vector<ioengine::Delivery> held_;
};

}  // namespace sim
