// SPDX-License-Identifier: MIT
//
// Takes COUNT requests the way of KIND through the engine, over the backend that does nothing, in
// one thread: what is left is the engine's own work. Run under callgrind by check.sh, which counts.
//
//   submit   validate, push by a foreign thread, scheduler, slot, submit, reap, deliver
//   chain    the same for a request that its callback submits again, with lending
//   wait     a request without a callback, staged, handed over and reaped by its waiter
//
// usage: way-of-a-request KIND COUNT
#include "drivers/null/null_driver.hpp"
#include "lib/steps.hpp"
#include "lib/validate.hpp"
#include "lib/waiter.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace ioengine;

namespace {

constexpr std::uint32_t kDepth = 32;

struct Engine {
    explicit Engine(bool lends) : context(config(lends), log), driver(kDepth, counters) {}

    static ContextConfig config(bool lends) {
        ContextConfig config;
        config.depth = kDepth;
        config.lends = lends;
        // The coarse clock is a system call under valgrind.
        config.clock_ns = [](void*) -> std::uint64_t { return 1; };
        return config;
    }
    void push(Request& request, IoSharedContext::Push how = IoSharedContext::Push::wakes) {
        if (!validate(request) || !context.push(request, request.channel, how))
            std::abort();
    }

    Log log;
    IoSharedContext context;
    SubmitCounters counters;
    NullDriver driver;
    SubmitSide submit_side;
    PollSide poll_side;
};

struct Counted : Request {
    Engine* engine = nullptr;
    std::uint64_t left = 0;
};

char g_page[4096];

void submit_from_outside(std::uint64_t count) {
    Engine engine(false);
    Request requests[kDepth];
    for (Request& request : requests)
        request.complete = [](Request*) noexcept {};
    for (std::uint64_t done = 0; done < count; done += kDepth) {
        for (Request& request : requests) {
            request.prepare_read(0, g_page, sizeof(g_page), 0);
            engine.push(request);
        }
        submit_step(engine.context, engine.submit_side.role, engine.driver);
        while (poll_step(engine.context, engine.poll_side.role, engine.driver))
            continue;
    }
}

void chain_of_callbacks(std::uint64_t count) {
    Engine engine(true);
    Counted requests[kDepth];
    for (Counted& request : requests) {
        request.engine = &engine;
        request.left = count / kDepth;
        request.complete = [](Request* done) noexcept {
            auto& again = static_cast<Counted&>(*done);
            if (--again.left == 0)
                return;
            again.prepare_read(0, g_page, sizeof(g_page), 0);
            again.engine->push(again);
        };
        request.prepare_read(0, g_page, sizeof(g_page), 0);
        engine.push(request);
    }
    const auto lend = [&engine] {
        lend_step(engine.context, engine.submit_side, &engine.poll_side.role, engine.driver);
    };
    lend();
    while (poll_step(engine.context, engine.poll_side.role, engine.driver, lend))
        lend();
}

void wait_for_each(std::uint64_t count) {
    Engine engine(true);
    for (std::uint64_t done = 0; done < count; ++done) {
        Request request;
        request.prepare_read(0, g_page, sizeof(g_page), 0);
        WaitWord word(request.word);
        word.count_up();
        request_state::set_counted(request, request.word);
        if (!engine.context.push(request, request.channel, IoSharedContext::Push::quiet))
            std::abort();
        Waiter<NullDriver> waiter(engine.context, engine.poll_side, engine.submit_side,
                                  engine.driver, nullptr, {word, nullptr, 1, -1, false}, true);
        waiter.begin();
        while (waiter.next() != Waiter<NullDriver>::Next::end)
            continue;
        waiter.end();
    }
}

}  // namespace

int main(int argc, char** argv) {
    const std::uint64_t count = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
    if (count != 0 && std::strcmp(argv[1], "submit") == 0)
        submit_from_outside(count);
    else if (count != 0 && std::strcmp(argv[1], "chain") == 0)
        chain_of_callbacks(count);
    else if (count != 0 && std::strcmp(argv[1], "wait") == 0)
        wait_for_each(count);
    else
        return std::fprintf(stderr, "usage: %s submit|chain|wait COUNT\n", argv[0]), 2;
    return 0;
}
