// SPDX-License-Identifier: MIT
//
// Goal: who is called, woken or left alone when waiters and the poller hand the poll role to each
// other, and when borrowers submit: cases that races show once in a million.
// Method: the engine's own steps, waiter and poller, taken one by one in one thread.

#include "tests/support/null_engine.hpp"
#include "tests/unit/unit.hpp"

#include <cstdint>

using namespace ioengine;
using test::NullEngine;
using Wants = EventCount::Wants;
using Next = NullEngine::Waiter::Next;
using Then = NullEngine::Poller::Next;

namespace {

void sleep_for_anything(NullEngine& engine) {
    REQUIRE(engine.context.submitter.announce(engine.context.submitter.prepare(), Wants::anything));
}

// A request with a callback that submits another one, once.
struct Chained : Request {
    NullEngine* engine = nullptr;
    Request* another = nullptr;
    Chained() {
        complete = [](Request* done) noexcept {
            auto& self = static_cast<Chained&>(*done);
            if (self.another != nullptr)
                self.engine->push(*self.another);
        };
        prepare_nop();
    }
};

Then run_until_it_rests(NullEngine::Poller& poller) {
    Then then = Then::again;
    while (then == Then::again)
        then = poller.next();
    return then;
}

}  // namespace

TEST_CASE("what a callback submits without a slot is told to a submitter that sleeps for work",
          "[standby][lending]") {
    NullEngine engine(NullEngine::config(1, true));
    NullEngine::Poller poller(engine.context, engine.poll_side, engine.submit_side, engine.driver,
                              nullptr);
    Chained another;
    Chained foreign;
    foreign.engine = &engine;
    foreign.another = &another;
    engine.push(foreign);
    REQUIRE(engine.submit_step().handed == 1);
    // A waiter has the role, takes the foreign request for the poller, and its own has the slot.
    REQUIRE(engine.poll_side.lock.try_take());
    engine.context.standby.enter();
    engine.context.standby.join();
    Request own;
    own.prepare_nop();
    engine.push_counted(own, own.word);
    REQUIRE(
        wait_step(engine.context, engine.poll_side.role, engine.driver, WaitWord(own.word), false)
            .found);
    REQUIRE(engine.submit_step().handed == 1);
    sleep_for_anything(engine);
    REQUIRE(run_until_it_rests(poller) == Then::park);
    REQUIRE(engine.context.backlog() == 1);
    // The slot will be freed by the waiter, who tells those that sleep for slots.
    REQUIRE_FALSE(engine.context.submitter.announced());
}

TEST_CASE("the last waiter calls a poller that stands by, if anything is left", "[standby]") {
    for (const bool left : {false, true}) {
        NullEngine engine(NullEngine::config(4, true));
        NullEngine::Poller poller(engine.context, engine.poll_side, engine.submit_side,
                                  engine.driver, nullptr);
        Request own;
        own.prepare_nop();
        engine.push_counted(own, own.word);
        REQUIRE(engine.poll_side.lock.try_take());  // the poller is refused
        engine.context.standby.enter();
        engine.context.standby.join();
        REQUIRE(run_until_it_rests(poller) == Then::park);
        REQUIRE(engine.context.standby.poller.announce(poller.seen(), Wants::anything));
        engine.poll_side.lock.release();
        auto waiter = engine.waiter({WaitWord(own.word), nullptr, 1, -1, false});
        waiter.begin();
        REQUIRE_FALSE(engine.context.standby.leave());  // the first of two
        engine.context.standby.exit();
        Chained other;
        if (left)
            engine.push(other);
        while (waiter.next() != Next::end)
            continue;
        REQUIRE(engine.context.standby.poller.announced());
        waiter.end();
        REQUIRE(engine.context.standby.poller.announced() == !left);
        REQUIRE_FALSE(engine.context.standby.anybody_inside());
    }
}

TEST_CASE("a waiter is counted on only after it has handed over", "[standby]") {
    NullEngine engine(NullEngine::config(4, true));
    engine.context.standby.enter();
    REQUIRE(engine.context.standby.anybody_inside());
    REQUIRE_FALSE(engine.context.standby.has_waiters());
    engine.context.standby.join();
    REQUIRE(engine.context.standby.has_waiters());
    REQUIRE(engine.context.standby.leave());
    REQUIRE(engine.context.standby.anybody_inside());
    engine.context.standby.exit();
    REQUIRE_FALSE(engine.context.standby.anybody_inside());
}

TEST_CASE("whoever borrows wakes a submitter that watches over nothing", "[standby][watchdog]") {
    for (const bool by_poller : {false, true}) {
        ContextConfig config = NullEngine::config(4, true);
        config.watchdog_ms = 20;
        NullEngine engine(config);
        Chained request;
        engine.push(request, NullEngine::Push::quiet);
        engine.context.unwatched.store(true);
        sleep_for_anything(engine);
        if (by_poller)
            lend_step(engine.context, engine.submit_side, &engine.poll_side.role, engine.driver);
        else
            submit_as_caller(engine.context, engine.submit_side, engine.driver, nullptr);
        REQUIRE(engine.context.backlog() == 0);
        REQUIRE_FALSE(engine.context.submitter.announced());
    }
}

TEST_CASE("a user's thread that borrows hands over no stranger's continuation", "[standby]") {
    NullEngine engine(NullEngine::config(4, true));
    Chained request;
    engine.push(request);
    REQUIRE(engine.submit_step().handed == 1);
    Completion completion;
    REQUIRE(engine.driver.reap(&completion, 1) == 1);
    auto& slots = engine.driver.slots();
    slots.carry_on(*slots.reclaim(completion.token));
    std::uint32_t word = 0;
    for (const Holder holder : {Holder::caller(), Holder::waiter(WaitWord(word))})
        REQUIRE(submit_step(engine.context, engine.submit_side.role, engine.driver, nullptr, holder)
                    .handed == 0);
    REQUIRE(slots.has_continuation());
    sleep_for_anything(engine);
    submit_as_caller(engine.context, engine.submit_side, engine.driver, nullptr);
    REQUIRE_FALSE(engine.context.submitter.announced());  // it is the submitter's
    REQUIRE(engine.submit_step().handed == 1);
}

TEST_CASE("a waiter hands over its own requests and leaves a stranger's queued", "[standby]") {
    NullEngine engine(NullEngine::config(4, true));
    Request own;
    Chained foreign;
    own.prepare_nop();
    engine.push(foreign);
    engine.push_counted(own, own.word);
    sleep_for_anything(engine);
    auto waiter = engine.waiter({WaitWord(own.word), nullptr, 1, -1, false});
    waiter.begin();
    REQUIRE(engine.context.backlog() == 2);
    REQUIRE_FALSE(engine.context.submitter.announced());
    engine.submit_step();
    // The foreign one goes to the poller's list, uncounted as completed until it is called back.
    while (waiter.next() != Next::end)
        continue;
    waiter.end();
    REQUIRE(engine.context.completed() == 1);
    REQUIRE_FALSE(engine.context.standby.foreign.empty());
}

TEST_CASE("a waiter that gives up leaves another's mark on a shared word", "[standby]") {
    NullEngine engine(NullEngine::config(4, false));
    Request request;
    request.prepare_nop();
    engine.push_counted(request, request.word);
    auto patient = engine.waiter({WaitWord(request.word), nullptr, 0, -1, false});
    auto hasty = engine.waiter({WaitWord(request.word), nullptr, 0, 0, false});
    patient.begin();
    hasty.begin();
    REQUIRE(patient.next() == Next::park);
    const std::uint32_t marked = patient.word().prepare();
    REQUIRE(hasty.next() == Next::park);
    hasty.unpark();
    hasty.end();
    REQUIRE(patient.word().prepare() == marked);
    WaitWord word(request.word);
    REQUIRE_FALSE(word.count_down());
    REQUIRE(patient.next() == Next::end);
    patient.end();
}

TEST_CASE("the last count asks for a nudge if its waiter is in the kernel", "[standby]") {
    std::uint32_t value = 0;
    WaitWord word(value);
    word.count_up();
    word.count_up();
    word.go_into_kernel(false);
    REQUIRE_FALSE(word.count_down());
    REQUIRE(word.count_down());
    REQUIRE(word.done());
    word.awake();
    REQUIRE(value == 0);
    // For one of several, each count is news.
    word.count_up();
    word.count_up();
    word.go_into_kernel(true);
    REQUIRE(word.count_down());
}
