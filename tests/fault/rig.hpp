// SPDX-License-Identifier: MIT
//
// StepRig: a driver over the fault layer and both roles in one hand, without any thread. Steps are
// taken one by one and the clock is the test's, so that what depends on time is exact.
#ifndef IOENGINE_TESTS_FAULT_RIG_HPP
#define IOENGINE_TESTS_FAULT_RIG_HPP

#include "lib/poll_step.hpp"
#include "lib/submit_step.hpp"
#include "tests/fault/make_driver.hpp"
#include "tests/support/support.hpp"

#include <cstdint>
#include <memory>

namespace test {

template <ioengine::Driver D>
struct StepRig {
    using Make = std::unique_ptr<D> (*)(ioengine::IoSharedContext&, FaultPlan&, int*);

    StepRig(std::uint32_t depth, FaultPlan& plan, Make make) : context(config(depth), log) {
        int error = 0;
        driver = make(context, plan, &error);
        INFO("errno " << -error);
        REQUIRE(driver != nullptr);
    }
    StepRig(const StepRig&) = delete;
    StepRig& operator=(const StepRig&) = delete;
    ~StepRig() {
        if (driver != nullptr)
            driver->close();
    }

    ioengine::SubmitOutcome submit_step() {
        return ioengine::submit_step(context, submit_role, *driver);
    }
    bool poll_step() { return ioengine::poll_step(context, *poll_role, *driver); }
    // Both roles in turn, time running, until everything accepted has completed.
    void run_until_quiet() {
        wait_until(
            [this] {
                submit_step();
                poll_step();
                clock += 100'000'000;
                return context.completed() == context.accepted();
            },
            "waiting for steps to complete all requests");
    }
    // The poll role alone, until it has seen enough.
    template <class Enough>
    void poll_until(Enough&& enough) {
        wait_until(
            [&] {
                poll_step();
                return enough();
            },
            "waiting for completions");
    }
    // What the closer does, up to where the roles go on by themselves.
    void begin_closing() {
        context.gate.close();
        context.closing.draining.store(true);
    }
    bool may_leave() { return ioengine::may_leave(context, *poll_role, *driver); }

    ioengine::ContextConfig config(std::uint32_t depth) {
        ioengine::ContextConfig config;
        config.depth = depth;
        config.clock_ns = [](void* user) { return *static_cast<std::uint64_t*>(user); };
        config.clock_user = &clock;
        return config;
    }

    std::uint64_t clock = 1;  // nanoseconds
    ioengine::Log log;
    ioengine::IoSharedContext context;
    ioengine::SubmitRole submit_role;
    std::unique_ptr<ioengine::PollRole> poll_role = std::make_unique<ioengine::PollRole>();
    std::unique_ptr<D> driver;
};

// Runs `body` with a rig over this backend.
template <class Body>
void with_rig(ioengine::Backend backend, std::uint32_t depth, FaultPlan& plan, Body&& body) {
#if IOENGINE_HAVE_AIO
    if (backend == ioengine::Backend::aio) {
        StepRig<FaultyAioDriver> rig(depth, plan, make_aio_driver);
        body(rig);
    }
#endif
#if IOENGINE_HAVE_URING
    if (backend == ioengine::Backend::uring) {
        StepRig<FaultyUringDriver> rig(depth, plan, make_uring_driver);
        body(rig);
    }
#endif
}

}  // namespace test

#endif  // IOENGINE_TESTS_FAULT_RIG_HPP
