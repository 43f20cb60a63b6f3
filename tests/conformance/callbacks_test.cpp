// SPDX-License-Identifier: MIT
//
// Goal: what a callback may be, what it may do, and what becomes of it when its request is refused.
// Method: closures that count their own lives, callback types of the test's own, and callbacks that
// do what users do: submit again, free their event, throw, block.

#include "tests/support/support.hpp"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace ioengine;

namespace {

// A closure that owns something movable and counts how many of its kind hold it.
class Owning {
  public:
    Owning(std::atomic<int>& holders, test::Latch& done) : holders_(&holders), done_(&done) {
        holders_->fetch_add(1);
    }
    Owning(Owning&& other) noexcept
        : holders_(std::exchange(other.holders_, nullptr)), done_(other.done_) {}
    Owning& operator=(Owning&&) = delete;
    ~Owning() {
        if (holders_ != nullptr)
            holders_->fetch_sub(1);
    }
    bool owns() const { return holders_ != nullptr; }
    void operator()(Result) noexcept { done_->count_down(); }

  private:
    std::atomic<int>* holders_;
    test::Latch* done_;
};

struct PageRead {
    test::Latch* done;
    int page_number;
    std::vector<std::pair<int, std::int64_t>>* log;
    void operator()(IOEvent<PageRead>& event) noexcept {
        log->emplace_back(event.callback.page_number, event.outcome().raw());
        done->count_down();
    }
};

}  // namespace

TEST_EVERY_BACKEND("a closure is called once with the result", "[callbacks][C1]") {
    auto io = test::make_context(backend);
    test::Latch done(1);
    int calls = 0;
    Result seen(-1);
    REQUIRE(io.nop([&](Result result) noexcept {
        ++calls;
        seen = result;
        done.count_down();
    }));
    done.wait();
    REQUIRE(io.shutdown().clean);
    REQUIRE(calls == 1);
    REQUIRE(seen.raw() == 0);
}

TEST_EACH_BACKEND("every one-call form reaches its operation", "[callbacks][C1]") {
    test::TempFile file;
    char out[8] = "forward";
    char in[8] = {};
    iovec out_vector{out, sizeof(out)};
    iovec in_vector{in, sizeof(in)};
    auto io = test::make_context(backend);
    const auto run = [&](auto&& submit) {
        test::Latch done(1);
        Result seen;
        REQUIRE(submit([&](Result result) noexcept {
            seen = result;
            done.count_down();
        }));
        done.wait();
        return seen.raw();
    };
    REQUIRE(run([&](auto f) { return io.write(file.fd(), out, 0, std::move(f)); }) == 8);
    REQUIRE(run([&](auto f) { return io.read(file.fd(), in, 0, std::move(f)); }) == 8);
    REQUIRE(std::string(in) == out);
    REQUIRE(run([&](auto f) { return io.writev(file.fd(), &out_vector, 1, 8, std::move(f)); }) ==
            8);
    REQUIRE(run([&](auto f) { return io.readv(file.fd(), &in_vector, 1, 8, std::move(f)); }) == 8);
    REQUIRE(run([&](auto f) { return io.fsync(file.fd(), std::move(f)); }) == 0);
    REQUIRE(run([&](auto f) { return io.fdatasync(file.fd(), std::move(f)); }) == 0);
    REQUIRE(run([&](auto f) { return io.nop(std::move(f)); }) == 0);
    REQUIRE(run([&](auto f) {
                return io.call(
                    [&](Request& r) {
                        r.prepare_read(file.fd(), in, 4, 4);
                        r.channel = Channel::prio;
                    },
                    std::move(f));
            }) == 4);
    REQUIRE(file.size() == 16);
}

TEST_EVERY_BACKEND("a callback type of the user's own sees its event", "[callbacks][C2][C3][H2]") {
    constexpr int kPages = 50;
    test::Latch done(kPages);
    std::vector<std::pair<int, std::int64_t>> log;
    std::vector<std::unique_ptr<IOEvent<PageRead>>> pages;
    auto made = IOContext<PageRead>::create([&] {
        Options options;
        options.backend = backend;
        return options;
    }());
    REQUIRE(made);
    for (int i = 0; i < kPages; ++i) {
        pages.push_back(std::make_unique<IOEvent<PageRead>>(PageRead{&done, i, &log}));
        pages.back()->prepare_nop();
        REQUIRE(made->submit(*pages.back()));
    }
    done.wait();
    REQUIRE(made->shutdown().clean);
    REQUIRE(log.size() == kPages);
    std::vector<bool> seen(kPages);
    for (const auto& [page, result] : log) {
        REQUIRE(result == 0);
        REQUIRE_FALSE(seen[static_cast<std::size_t>(page)]);
        seen[static_cast<std::size_t>(page)] = true;
    }
}

TEST_EVERY_BACKEND("a context of one callback type takes that type in one call",
                   "[callbacks][C2]") {
    std::vector<std::pair<int, std::int64_t>> log;
    test::Latch done(1);
    Options options;
    options.backend = backend;
    auto made = IOContext<PageRead>::create(options);
    REQUIRE(made);
    REQUIRE(made->nop(PageRead{&done, 42, &log}));
    done.wait();
    REQUIRE(made->shutdown().clean);
    REQUIRE(log.size() == 1);
    REQUIRE(log[0].first == 42);
}

TEST_EVERY_BACKEND("an accepted closure is destroyed once, after its call", "[callbacks][C1]") {
    constexpr int kCalls = 100;
    std::atomic<int> holders{0};
    test::Latch done(kCalls);
    auto io = test::make_context(backend);
    for (int i = 0; i < kCalls; ++i)
        REQUIRE(io.nop(Owning(holders, done)));
    done.wait();
    REQUIRE(io.shutdown().clean);
    REQUIRE(holders == 0);
}

TEST_EVERY_BACKEND("a refused closure is handed back as it was", "[callbacks][A6][A8][ownership]") {
    std::atomic<int> holders{0};
    test::Latch done(2);
    test::Latch never(1);
    Options options;
    options.event_pool = 1;
    auto io = test::make_context(backend, options);
    {
        Owning kept(holders, done);
        {
            test::Plug plug(io);
            REQUIRE(io.nop(Owning(holders, done)));  // takes the pool's only event
            const Acceptance full = io.nop(std::move(kept));
            REQUIRE(full.code() == ErrorCode::queue_full);
            REQUIRE(kept.owns());
            const Acceptance bad = io.call([](Request&) {}, std::move(kept));
            REQUIRE_FALSE(bad);
            REQUIRE(kept.owns());
        }
        test::wait_until([&] { return bool(io.nop(std::move(kept))); },
                         "waiting for the pool's event");
        REQUIRE_FALSE(kept.owns());
    }
    done.wait();
    REQUIRE(io.shutdown().clean);

    Owning late(holders, never);
    REQUIRE(io.nop(std::move(late)).code() == ErrorCode::shutting_down);
    REQUIRE(late.owns());
    REQUIRE(holders == 1);
}

TEST_EVERY_BACKEND("an ill-formed one-call request hands its closure back",
                   "[callbacks][ownership]") {
    std::atomic<int> holders{0};
    test::Latch never(1);
    auto io = test::make_context(backend);
    Owning kept(holders, never);
    const Acceptance refused =
        io.call([](Request& r) { r.action = IOAction::none; }, std::move(kept));
    REQUIRE(refused.code() == ErrorCode::invalid_argument);
    REQUIRE(kept.owns());
    REQUIRE(holders == 1);
    REQUIRE(io.shutdown().accepted == 0);
}

TEST_EVERY_BACKEND("a callback may submit its own event again", "[callbacks]") {
    struct Again {
        test::Context* io;
        test::Latch* done;
        int left;
        int refused = 0;
        void operator()(IOEvent<Again>& event) noexcept {
            if (left-- > 0 && io->submit(event))
                return;
            refused += left >= 0;
            done->count_down();
        }
    };
    test::Latch done(1);
    auto io = test::make_context(backend, 4);
    IOEvent<Again> event(Again{&io, &done, 5000});
    event.prepare_nop();
    REQUIRE(io.submit(event));
    done.wait();
    const ShutdownReport report = io.shutdown();
    REQUIRE(report.clean);
    REQUIRE(report.completed == 5001);
    REQUIRE(event.callback.refused == 0);
}

TEST_EVERY_BACKEND("a callback may free its event", "[callbacks]") {
    struct FreesItself {
        test::Latch* done;
        void operator()(IOEvent<FreesItself>& event) noexcept {
            test::Latch* latch = done;
            std::unique_ptr<IOEvent<FreesItself>> mine(&event);
            mine.reset();
            latch->count_down();
        }
    };
    constexpr int kEvents = 200;
    test::Latch done(kEvents);
    auto io = test::make_context(backend, 16);
    for (int i = 0; i < kEvents; ++i) {
        auto event = std::make_unique<IOEvent<FreesItself>>(FreesItself{&done});
        event->prepare_nop();
        REQUIRE(io.submit_wait(*event));
        (void)event.release();
    }
    done.wait();
    REQUIRE(io.shutdown().completed == kEvents);
}

TEST_EVERY_BACKEND("a callback that throws is contained, counted and logged", "[callbacks][C8]") {
    struct Messages {
        std::atomic<int> about_throw{0};
        static void take(void* self, LogLevel, const char* text) {
            if (std::string(text).find("deliberate") != std::string::npos)
                static_cast<Messages*>(self)->about_throw.fetch_add(1);
        }
    } messages;
    Options options;
    options.log = &Messages::take;
    options.log_user = &messages;
    test::Latch done(1);
    auto io = test::make_context(backend, options);
    REQUIRE(io.nop([](Result) { throw std::runtime_error("deliberate"); }));
    REQUIRE(io.nop([](Result) { throw 42; }));
    REQUIRE(io.nop([&](Result) noexcept { done.count_down(); }));
    done.wait();
    test::settle(io);
    REQUIRE(io.stats().callbacks_threw == 2);
    REQUIRE(io.stats().completed == 3);
    REQUIRE(messages.about_throw == 1);
    REQUIRE(io.shutdown().clean);
}

TEST_EACH_BACKEND("an error is always delivered to the callback", "[callbacks][C9][defect-4]") {
    constexpr std::size_t kRequests = 300;
    test::Tracker tracker(kRequests);
    char byte = 0;
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    auto io = test::make_context(backend, 8);
    for (std::size_t i = 0; i < kRequests; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        switch (i % 3) {
        case 0:
            events.back()->prepare_read(test::kClosedFd, &byte, 1, 0);
            break;
        case 1:
            events.back()->prepare_write(1 << 20, &byte, 1, 0);
            break;
        default:
            events.back()->prepare_fsync(test::kClosedFd);
            break;
        }
        tracker.submitted(i, io.submit_wait(*events.back()));
    }
    tracker.wait_for_notices();
    test::settle(io);
    tracker.require_exactly_once();
    REQUIRE(tracker.accepted() == kRequests);
    for (std::size_t i = 0; i < kRequests; ++i)
        REQUIRE(tracker.result(i).error() == EBADF);
    REQUIRE(io.stats().failed == kRequests);
    REQUIRE(io.stats().free_slots == 8);
}
