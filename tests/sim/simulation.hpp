// SPDX-License-Identifier: MIT
//
// Simulation: one scene from beginning to end, in one thread. At each tick chance picks who runs:
// the user, an engine thread, the kernel, a worker, the closer. In the middle of a step, wherever
// it calls the kernel, the clock or a callback, chance may let somebody else run as well. The
// engine has a submitter and a poller, or one thread for both roles: tests/sim/driving.hpp.
//
// A first part with faults, a second one without, in which everything must come to an end: if at
// any time nobody can run and something is left, a wake-up was lost; if it takes too many ticks,
// somebody spins.
#pragma once

#include "drivers/sim/world.hpp"
#include "lib/entrance.hpp"
#include "lib/lending.hpp"
#include "tests/sim/closer.hpp"
#include "tests/sim/contents.hpp"
#include "tests/sim/driving.hpp"
#include "tests/sim/failure.hpp"
#include "tests/sim/history.hpp"
#include "tests/sim/oracle.hpp"
#include "tests/sim/places.hpp"
#include "tests/sim/roles.hpp"
#include "tests/sim/scene.hpp"
#include "tests/sim/simulate.hpp"
#include "tests/sim/sink.hpp"
#include "tests/sim/subject.hpp"
#include "tests/sim/user.hpp"
#include "tests/sim/waiting.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace sim {

// Makes the driver of a scene: std::unique_ptr<D> operator()(const Scene&, SimWorld&, context).
template <class M, class D>
concept DriverMaker = requires(M& make, const Scene& scene, ioengine::SimWorld& world,
                               ioengine::IoSharedContext& context) {
    { make(scene, world, context) } -> std::same_as<std::unique_ptr<D>>;
};

template <ioengine::Driver D>
class Simulation {
  public:
    template <DriverMaker<D> Make>
    Simulation(const Scene& scene, SubjectPool& pool, History& history, bool verbose, Make&& make)
        : scene_(scene), history_(begun(history, verbose)), pool_(pool),
          random_(scene.seed ^ 0x7469636bULL), world_(kernel_of(scene), scene.faults, scene.seed),
          contents_(world_, random_, has_polled_ring(scene)),
          sink_(scene_, history, random_.next()), context_(config(), log_),
          made_(make(scene_, world_, with_bell())), driver_(made_.get()),
          oracle_(scene_, world_, contents_, history, ioengine::kSubmitAttemptsMax),
          places_(scene_, context_, contents_, pool, history, random_.next()),
          user_(scene_, world_, context_, entrance_, contents_, places_, oracle_, pool, history,
                random_.next()),
          closer_(context_, world_, oracle_, history),
          submitter_(context_, world_, history, *driver_, side_),
          poller_(context_, world_, history, *driver_, poll_, side_,
                  scene.backend == Backend::uring),
          waiting_(
              {context_, entrance_, world_, history, oracle_, pool, user_, *driver_, poll_, side_},
              scene_.waiters, scene_.threading == ioengine::Threading::split, random_.next()) {
        context_.callers_step = {
            [](void* self) {
                auto& simulation = *static_cast<Simulation*>(self);
                simulation.user_.push_succeeded();
                const bool outer = std::exchange(simulation.user_hands_over_, true);
                ioengine::submit_as_caller<D>(simulation.context_, simulation.side_,
                                              *simulation.driver_, nullptr);
                simulation.user_hands_over_ = outer;
            },
            this};
        watch();
        if (scene_.threading != ioengine::Threading::split)
            driving_.emplace(
                DrivingSetting{scene_, context_, entrance_, world_, history, oracle_, pool, user_},
                std::move(made_), random_.next());
        serve_places();
    }

    Outcome run() {
        pool_.reset();
        user_.aim_at(scene_.requests);
        with_faults();
        without_faults();
        end();
        return {history_.digest(),
                oracle_.accepted_count(),
                oracle_.failed_count(),
                oracle_.registered_count(),
                context_.poll_counters.polled.get(),
                ticks_,
                world_.faults().rules_obeyed(),
                world_.faults().counts()};
    }

  private:
    enum Actor : std::size_t {
        kUser,
        kSubmitter,
        kPoller,
        kKernel,
        kSink,
        kWaiting,
        kCloser,
        kDriver,
        kActors
    };
    static constexpr unsigned kNestedMax = 3;

    // -- the two parts -----------------------------------------------------------------------

    void with_faults();
    bool no_progress();
    void without_faults();
    void when_nobody_can_run();
    void end();
    bool over() const noexcept { return driving_ ? driving_->left() : submitter_.left(); }

    // -- ticks -------------------------------------------------------------------------------

    // False if nobody could run.
    bool tick();
    bool run_somebody();
    void submitter_exits();
    bool can_run(std::size_t actor) const;
    void run(std::size_t actor);
    std::uint64_t next_moment_ns() const noexcept;
    void draw_mood();
    void glance() const;
    void nobody_sleeps_over_work() const;
    void driver_does_not_sleep_over_work() const;
    void hear_bell();

    // -- watching ----------------------------------------------------------------------------

    History& begun(History& history, bool verbose) noexcept {
        history.begin(world_, verbose);
        return history;
    }
    ioengine::ContextConfig config();
    ioengine::IoSharedContext& with_bell();
    void serve_places();
    void watch();
    // Null for the engine's own signals.
    Subject* subject_of(std::uint64_t token);
    // All of a slot whose requests go as one; of any other slot none.
    const Oracle::Members& merged_in(std::uint64_t token);
    void repeat_former_piece(const Subject& subject);
    void count_call(ioengine::SimCall call, std::int64_t count, int answer);
    void seam();
    void fork();

    const Scene scene_;
    History& history_;
    SubjectPool& pool_;
    ioengine::SimRandom random_;
    ioengine::SimWorld world_;
    Contents contents_;
    Sink sink_;
    ioengine::Log log_;  // says nothing
    ioengine::IoSharedContext context_;
    ioengine::Entrance entrance_{context_};
    std::unique_ptr<D> made_;  // until somebody has it who drives
    D* const driver_;
    Oracle::Members merged_;  // of the slot that was asked for last
    Oracle oracle_;
    Places places_;
    User user_;
    Closer closer_;
    ioengine::SubmitSide side_;
    Submitter<D> submitter_;
    ioengine::PollSide poll_;
    Poller<D> poller_;
    Waiting<D> waiting_;
    std::optional<DrivingThread<D>> driving_;  // in place of submitter and poller

    bool calm_ = false;
    bool user_hands_over_ = false;  // inside a step of a caller
    std::uint64_t ticks_ = 0;
    std::uint64_t progress_ = 0;  // accepted and noticed requests, and when that last changed
    std::uint64_t progress_tick_ = 0;
    std::uint64_t calls_in_tick_ = 0;
    std::uint64_t looks_in_tick_ = 0;  // at the clock
    std::uint64_t rings_ = 0;          // of the bell, as far as the world knows
    unsigned nested_ = 0;
    std::array<std::uint32_t, kActors> mood_{};
    std::uint64_t mood_ends_ = 0;
};

}  // namespace sim
