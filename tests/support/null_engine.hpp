// SPDX-License-Identifier: MIT
//
// NullEngine: a shared context with both roles over the backend that does nothing, and no thread:
// whoever holds it takes the steps.
#ifndef IOENGINE_TESTS_SUPPORT_NULL_ENGINE_HPP
#define IOENGINE_TESTS_SUPPORT_NULL_ENGINE_HPP

#include "drivers/null/null_driver.hpp"
#include "lib/lending.hpp"
#include "lib/poller.hpp"
#include "lib/validate.hpp"
#include "lib/waiter.hpp"

#include <cstdint>
#include <cstdlib>

namespace test {

struct NullEngine {
    using Push = ioengine::IoSharedContext::Push;
    using Waiter = ioengine::Waiter<ioengine::NullDriver>;
    using Poller = ioengine::Poller<ioengine::NullDriver>;

    explicit NullEngine(ioengine::ContextConfig config)
        : context(with_clock(config), log), driver(config.depth, counters) {}

    // The clock stands still: it is not to be measured, nor a system call under valgrind.
    static ioengine::ContextConfig with_clock(ioengine::ContextConfig config) {
        config.clock_ns = [](void*) -> std::uint64_t { return 1; };
        return config;
    }
    static ioengine::ContextConfig config(std::uint32_t depth, bool lends) {
        ioengine::ContextConfig config;
        config.depth = depth;
        config.lends = lends;
        return config;
    }

    // As Engine::submit() does, and Engine::submit_counted().
    void push(ioengine::Request& request, Push how = Push::wakes) {
        if (!ioengine::validate(request) || !context.push(request, request.channel, how))
            std::abort();
    }
    void push_counted(ioengine::Request& request, std::uint32_t& word, Push how = Push::quiet) {
        ioengine::WaitWord(word).count_up();
        ioengine::request_state::set_counted(request, word);
        if (!context.push(request, request.channel, how))
            std::abort();
    }
    ioengine::SubmitOutcome submit_step() {
        return ioengine::submit_step(context, submit_side.role, driver);
    }
    Waiter waiter(const ioengine::WaitCall& call) {
        return Waiter(context, poll_side, submit_side, driver, nullptr, call, true);
    }

    ioengine::Log log;
    ioengine::IoSharedContext context;
    ioengine::SubmitCounters counters;
    ioengine::NullDriver driver;
    ioengine::SubmitSide submit_side;
    ioengine::PollSide poll_side;
};

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_NULL_ENGINE_HPP
