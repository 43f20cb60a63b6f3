// SPDX-License-Identifier: MIT
//
// Goal: three channels, exact counts, a bound that refuses or waits, and the scheduler's order as a
// user sees it.
// Method: a plug holds the poller in a callback and fillers occupy every slot, so that whatever is
// submitted next stays in the queues until the test lets go. With depth 1 requests then reach the
// kernel, and complete, one at a time: the order of the callbacks is the order of the scheduler.

#include "tests/support/support.hpp"

#include <chrono>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

// Writes down in which order callbacks came.
class Order {
  public:
    void add(char kind) {
        const std::lock_guard<std::mutex> lock(mutex_);
        text_ += kind;
    }
    std::string text() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return text_;
    }

  private:
    mutable std::mutex mutex_;
    std::string text_;
};

struct Named {
    Order* order;
    char kind;
    test::Latch* done;
    void operator()(Result) const noexcept {
        order->add(kind);
        done->count_down();
    }
};

// Submits one request per letter while nothing can leave the queues: p is a priority read, r a
// read, w a write, any other letter a read under that name. Returns the order of the callbacks.
std::string order_of(Backend backend, Options options, const std::string& letters) {
    options.depth = 1;
    const test::Fd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
    unsigned char byte = 0;
    Order order;
    test::Latch done(letters.size());
    std::vector<std::unique_ptr<IOEvent<Named>>> events;
    test::SlotFillers fillers;
    auto io = test::make_context(backend, options);
    test::Plug plug(io);
    fillers.fill(io);
    for (const char letter : letters) {
        events.push_back(std::make_unique<IOEvent<Named>>(Named{&order, letter, &done}));
        if (letter == 'w')
            events.back()->prepare_write(zero.get(), &byte, 1, 0);
        else
            events.back()->prepare_read(zero.get(), &byte, 1, 0);
        REQUIRE(io.submit(*events.back(), letter == 'p' ? Channel::prio : Channel::automatic));
    }
    plug.release();
    done.wait();
    return order.text();
}

struct QueuedReads {
    explicit QueuedReads(std::size_t count) : tracker(count) {
        for (std::size_t i = 0; i < count; ++i) {
            events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
            events.back()->prepare_read(zero.get(), &byte, 1, 0);
        }
    }
    Acceptance submit(test::Context& io, std::size_t i, Channel channel) {
        const Acceptance answer = io.submit(*events[i], channel);
        tracker.submitted(i, answer);
        return answer;
    }

    test::Fd zero{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    unsigned char byte = 0;
    test::Tracker tracker;
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
};

}  // namespace

TEST_EVERY_BACKEND("each channel has a queue and an exact count of its own", "[queues][A5][A7]") {
    QueuedReads reads(12);
    test::SlotFillers fillers;
    auto io = test::make_context(backend, 4);
    {
        test::Plug plug(io);
        fillers.fill(io);
        std::size_t next = 0;
        for (const Channel channel : {Channel::prio, Channel::prio, Channel::read, Channel::read,
                                      Channel::read, Channel::write, Channel::automatic})
            REQUIRE(reads.submit(io, next++, channel));
        const Stats stats = io.stats();
        REQUIRE(stats.queued_prio == 2);
        REQUIRE(stats.queued_read == 4);
        REQUIRE(stats.queued_write == 1);
        REQUIRE(stats.running == 4);
        REQUIRE(stats.free_slots == 0);
        REQUIRE(stats.pending == 7 + 4 + 1);
        REQUIRE(stats.accepted - stats.completed == stats.pending);
    }
    test::settle(io);
    const Stats stats = io.stats();
    REQUIRE(stats.queued_prio + stats.queued_read + stats.queued_write == 0);
    REQUIRE(stats.running == 0);
    REQUIRE(stats.free_slots == stats.depth);
    REQUIRE(stats.accepted == 12);
    REQUIRE(stats.completed == 12);
    reads.tracker.require_exactly_once();
}

TEST_EVERY_BACKEND("counts are never negative while they move", "[queues][A7][defect-9]") {
    constexpr std::size_t kRequests = 20000;
    QueuedReads reads(kRequests);
    auto io = test::make_context(backend, 8);
    std::size_t sent = 0;
    std::uint64_t completed_before = 0;
    bool sane = true;
    while (sent < kRequests) {
        if (reads.submit(io, sent, Channel::read))
            ++sent;
        const Stats stats = io.stats();
        sane = sane && stats.pending <= kRequests && stats.queued_read <= kRequests &&
               stats.running <= stats.depth && stats.free_slots <= stats.depth &&
               stats.completed <= stats.accepted && stats.completed >= completed_before;
        completed_before = stats.completed;
    }
    test::settle(io);
    REQUIRE(sane);
    REQUIRE(reads.tracker.notices() == kRequests);
    REQUIRE(io.stats().completed == kRequests);
}

TEST_EVERY_BACKEND("a full queue refuses and the event stays with the caller", "[queues][A8]") {
    constexpr std::uint32_t kLimit = 5;
    QueuedReads reads(kLimit + 2);
    test::SlotFillers fillers;
    Options options;
    options.depth = 2;
    options.queue_limit = kLimit;
    auto io = test::make_context(backend, options);
    test::Plug plug(io);
    fillers.fill(io);
    for (std::size_t i = 0; i < kLimit; ++i)
        REQUIRE(reads.submit(io, i, Channel::read));
    const Acceptance refused = io.submit(*reads.events[kLimit], Channel::read);
    REQUIRE(!refused);
    REQUIRE(refused.code() == ErrorCode::queue_full);
    REQUIRE(std::string(refused.detail()).find("queue_limit") != std::string::npos);
    REQUIRE(io.stats().refused_full == 1);
    REQUIRE(reads.submit(io, kLimit + 1, Channel::prio));  // the bound is per channel

    plug.release();
    reads.tracker.wait_for_notices();
    REQUIRE(reads.submit(io, kLimit, Channel::read));  // the very same event, unharmed
    reads.tracker.wait_for_notices();
    reads.tracker.require_exactly_once();
}

TEST_EVERY_BACKEND("submit_wait waits for a place and then succeeds", "[queues][A8]") {
    constexpr std::uint32_t kLimit = 3;
    QueuedReads reads(kLimit + 1);
    test::SlotFillers fillers;
    Options options;
    options.depth = 1;
    options.queue_limit = kLimit;
    auto io = test::make_context(backend, options);
    test::Latch answered(1);
    {
        test::Plug plug(io);
        fillers.fill(io);
        for (std::size_t i = 0; i < kLimit; ++i)
            REQUIRE(reads.submit(io, i, Channel::read));
        std::thread waiter([&] {
            reads.tracker.submitted(kLimit, io.submit_wait(*reads.events[kLimit], Channel::read));
            answered.count_down();
        });
        std::this_thread::sleep_for(50ms);
        const bool waited = !answered.open();
        plug.release();
        waiter.join();
        REQUIRE(waited);
    }
    reads.tracker.wait_for_notices();
    REQUIRE(reads.tracker.accepted() == kLimit + 1);
    reads.tracker.require_exactly_once();
}

TEST_EVERY_BACKEND("submit_wait_for gives up in time and the event stays with the caller",
                   "[queues][A8]") {
    QueuedReads reads(2);
    test::SlotFillers fillers;
    Options options;
    options.depth = 1;
    options.queue_limit = 1;
    auto io = test::make_context(backend, options);
    test::Plug plug(io);
    fillers.fill(io);
    REQUIRE(reads.submit(io, 0, Channel::read));
    const auto begin = std::chrono::steady_clock::now();
    const Acceptance refused = io.submit_wait_for(*reads.events[1], 30ms, Channel::read);
    REQUIRE(std::chrono::steady_clock::now() - begin >= 30ms);
    REQUIRE(refused.code() == ErrorCode::timed_out);
    REQUIRE(io.submit_wait_for(*reads.events[1], 0ms, Channel::read).code() ==
            ErrorCode::timed_out);
    plug.release();
    reads.tracker.submitted(1, io.submit_wait_for(*reads.events[1], 100s, Channel::read));
    reads.tracker.wait_for_notices();
    REQUIRE(reads.tracker.accepted() == 2);
    reads.tracker.require_exactly_once();
}

TEST_EVERY_BACKEND("a waiting submission is refused when shutdown begins",
                   "[queues][A6][A8][race]") {
    QueuedReads reads(2);
    test::SlotFillers fillers;
    Options options;
    options.depth = 1;
    options.queue_limit = 1;
    auto io = test::make_context(backend, options);
    test::Plug plug(io);
    fillers.fill(io);
    REQUIRE(reads.submit(io, 0, Channel::read));
    ErrorCode answer = ErrorCode::none;
    std::thread waiter([&] {
        const Acceptance acceptance = io.submit_wait(*reads.events[1], Channel::read);
        reads.tracker.submitted(1, acceptance);
        answer = acceptance.code();
    });
    std::this_thread::sleep_for(20ms);
    std::thread closer([&] { (void)io.shutdown(); });
    waiter.join();  // the plug still holds everything: only the refusal can end it
    plug.release();
    closer.join();
    REQUIRE(answer == ErrorCode::shutting_down);
    REQUIRE(reads.tracker.notices() == 1);
}

TEST_EVERY_BACKEND("priority requests go before waiting reads and writes", "[queues][D1]") {
    test::require_two_threads();
    REQUIRE(order_of(backend, {}, "rrwwpp") == "pprrww");
}

TEST_EVERY_BACKEND("reads and writes take turns by their budgets", "[queues][D2][D4]") {
    Options options;
    options.read_budget = 2;
    options.write_budget = 1;
    const std::string order = order_of(backend, options, "rrrrrrwwwr");
    // The fillers are reads and use up a part of the first turn, so only the rhythm is certain: a
    // write waits for at most two reads, a read for at most one write, while both wait.
    INFO(order);
    REQUIRE(order.find("rrr") >= order.rfind('w'));
    REQUIRE(order.find("ww") == std::string::npos);
    REQUIRE(order.size() == 10);
}

TEST_EVERY_BACKEND("priority work cannot starve the others if a burst is set", "[queues][D5]") {
    Options options;
    options.priority_burst = 3;
    const std::string order = order_of(backend, options, "rwpppppppp");
    INFO(order);
    REQUIRE(order.find("pppp") >= order.find_last_of("rw"));
    REQUIRE(order_of(backend, {}, "rwpppppppp") == "pppppppprw");
}

TEST_EVERY_BACKEND("requests of one class leave in the order they came", "[queues][D6]") {
    test::require_two_threads();
    const std::string letters = "abcdefghijklmnoqstuvxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    REQUIRE(order_of(backend, {}, letters) == letters);
}
