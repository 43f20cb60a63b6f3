// SPDX-License-Identifier: MIT
//
// Takes COUNT requests the way of KIND through the engine, over the backend that does nothing, in
// one thread: what is left is the engine's own work. Run under callgrind by check.sh, which counts.
//
//   submit   validate, push by a foreign thread, scheduler, slot, submit, reap, deliver
//   chain    the same for a request that its callback submits again, with lending
//   drive    the same on the one thread for both roles
//   drive-1  the same with one request in flight, which pays for the whole round by itself
//   wait     a request without a callback, staged, handed over and reaped by its waiter
//
// usage: way-of-a-request KIND COUNT
#include "lib/one_thread.hpp"
#include "tests/support/null_engine.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace ioengine;

namespace {

constexpr std::uint32_t kDepth = 32;

struct Counted : Request {
    test::NullEngine* engine = nullptr;
    std::uint64_t left = 0;
};

char g_page[4096];

void submit_from_outside(std::uint64_t count) {
    test::NullEngine engine(test::NullEngine::config(kDepth, false));
    Request requests[kDepth];
    for (Request& request : requests)
        request.complete = [](Request*) noexcept {};
    for (std::uint64_t done = 0; done < count; done += kDepth) {
        for (Request& request : requests) {
            request.prepare_read(0, g_page, sizeof(g_page), 0);
            engine.push(request);
        }
        engine.submit_step();
        while (poll_step(engine.context, engine.poll_side.role, engine.driver))
            continue;
    }
}

// `depth` requests that their callbacks submit again, until there were `count`.
class Chain {
  public:
    Chain(test::NullEngine& engine, std::uint32_t depth, std::uint64_t count) {
        for (std::uint32_t i = 0; i < depth; ++i) {
            Counted& request = requests_[i];
            request.engine = &engine;
            request.left = count / depth;
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
    }

  private:
    Counted requests_[kDepth];
};

void chain_of_callbacks(std::uint64_t count) {
    test::NullEngine engine(test::NullEngine::config(kDepth, true));
    const Chain chain(engine, kDepth, count);
    const auto lend = [&engine] {
        lend_step(engine.context, engine.submit_side, &engine.poll_side.role, engine.driver);
    };
    lend();
    while (poll_step(engine.context, engine.poll_side.role, engine.driver, lend))
        lend();
}

void drive(std::uint32_t depth, std::uint64_t count) {
    test::NullEngine engine(test::NullEngine::config(depth, false));
    engine.context.own_queues();
    engine.context.drive_from_here();
    OneThread<NullDriver> steps(engine.context, engine.driver, nullptr);
    const Chain chain(engine, depth, count);
    while (steps.next(true, [] { return false; }) == OneThread<NullDriver>::Next::again)
        continue;
}

void wait_for_each(std::uint64_t count) {
    test::NullEngine engine(test::NullEngine::config(kDepth, true));
    for (std::uint64_t done = 0; done < count; ++done) {
        Request request;
        request.prepare_read(0, g_page, sizeof(g_page), 0);
        engine.push_counted(request, request.word);
        auto waiter = engine.waiter({WaitWord(request.word), nullptr, 1, -1, false});
        waiter.begin();
        while (waiter.next() != test::NullEngine::Waiter::Next::end)
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
    else if (count != 0 && std::strcmp(argv[1], "drive") == 0)
        drive(kDepth, count);
    else if (count != 0 && std::strcmp(argv[1], "drive-1") == 0)
        drive(1, count);
    else if (count != 0 && std::strcmp(argv[1], "wait") == 0)
        wait_for_each(count);
    else
        return std::fprintf(stderr, "usage: %s submit|chain|drive|drive-1|wait COUNT\n", argv[0]),
               2;
    return 0;
}
