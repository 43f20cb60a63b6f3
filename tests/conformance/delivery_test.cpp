// SPDX-License-Identifier: MIT
//
// Goal: callbacks run where they were promised to run: on the poller, in a pool of workers, or
// where a sink takes them; never on the thread that submits. A full pool never deadlocks a
// callback. Method: callbacks that note their thread, meet each other, or block; a sink that keeps
// deliveries.

#include "tests/support/child.hpp"
#include "tests/support/support.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <set>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

int this_tid() {
    return static_cast<int>(::syscall(SYS_gettid));
}

std::string this_thread_name() {
    char name[32] = {};
    ::pthread_getname_np(::pthread_self(), name, sizeof(name));
    return name;
}

// Keeps deliveries until the test runs them.
class Mailbox {
  public:
    static void take(void* self, Delivery delivery) {
        auto* box = static_cast<Mailbox*>(self);
        const std::lock_guard<std::mutex> lock(box->mutex_);
        box->letters_.push_back(delivery);
    }
    std::size_t size() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return letters_.size();
    }
    Delivery pop() {
        const std::lock_guard<std::mutex> lock(mutex_);
        const Delivery letter = letters_.back();
        letters_.pop_back();
        return letter;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<Delivery> letters_;
};

}  // namespace

TEST_EVERY_BACKEND("callbacks run on the poller thread, never on the submitting one",
                   "[delivery][C5][no-inline]") {
    constexpr int kRequests = 400;
    std::mutex mutex;
    std::set<int> tids;
    std::set<std::string> names;
    test::Latch done(kRequests);
    const auto note = [&](Result) {
        const std::lock_guard<std::mutex> lock(mutex);
        tids.insert(this_tid());
        names.insert(this_thread_name());
        done.count_down();
    };
    char byte = 0;
    auto io = test::make_context(backend);
    for (int i = 0; i < kRequests; ++i) {
        // Also what can be answered without the kernel, or is refused by it at once.
        const Acceptance answer = i % 3 == 0   ? io.nop(note)
                                  : i % 3 == 1 ? io.read(test::kClosedFd, Bytes(&byte, 1), 0, note)
                                               : io.fsync(test::kClosedFd, note);
        REQUIRE(answer);
    }
    done.wait();
    REQUIRE(io.shutdown().clean);
    REQUIRE(tids.size() == 1);
    REQUIRE(tids.count(this_tid()) == 0);
    const char* const name = test::drives_contexts() ? test::kDriverName
                             : test::one_thread()    ? "ioe-owner"
                                                     : "ioe-poll";
    REQUIRE(names == std::set<std::string>{name});
}

TEST_EVERY_BACKEND("a submission from a callback does not run callbacks inside it",
                   "[delivery][no-inline]") {
    struct Nested {
        test::Context* io;
        test::Latch* done;
        int* depth;
        int* deepest;
        int left;
        void operator()(IOEvent<Nested>& event) noexcept {
            *deepest = std::max(*deepest, ++*depth);
            const bool again = left-- > 0 && io->submit(event);
            --*depth;
            if (!again)
                done->count_down();
        }
    };
    int depth = 0;
    int deepest = 0;
    test::Latch done(2);
    auto io = test::make_context(backend);
    IOEvent<Nested> first(Nested{&io, &done, &depth, &deepest, 300});
    IOEvent<Nested> second(Nested{&io, &done, &depth, &deepest, 300});
    first.prepare_nop();
    second.prepare_fsync(test::kClosedFd);
    REQUIRE(io.submit(first));
    REQUIRE(io.submit(second));
    done.wait();
    REQUIRE(io.shutdown().clean);
    REQUIRE(deepest == 1);
}

TEST_EVERY_BACKEND("a pool of four workers runs four callbacks at once", "[delivery][C4]") {
    auto workers = IOWorkers::create(4);
    REQUIRE(workers);
    Options options;
    options.workers = &*workers;
    std::mutex mutex;
    std::set<int> tids;
    std::set<std::string> names;
    test::Latch all_inside(4);
    test::Latch done(4);
    auto io = test::make_context(backend, options);
    for (int i = 0; i < 4; ++i)
        REQUIRE(io.nop([&](Result) {
            {
                const std::lock_guard<std::mutex> lock(mutex);
                tids.insert(this_tid());
                names.insert(this_thread_name());
            }
            all_inside.count_down();
            all_inside.wait("waiting for four callbacks to be inside at once");
            done.count_down();
        }));
    done.wait();
    REQUIRE(io.shutdown().clean);
    REQUIRE(tids.size() == 4);
    REQUIRE(tids.count(this_tid()) == 0);
    for (const std::string& name : names)
        REQUIRE(name.find("work") != std::string::npos);
}

TEST_EACH_BACKEND("a callback that blocks in a worker does not hold up others", "[delivery][C4]") {
    auto workers = IOWorkers::create(2);
    REQUIRE(workers);
    Options options;
    options.workers = &*workers;
    test::Latch let_go(1);
    test::Latch others(50);
    auto io = test::make_context(backend, options);
    REQUIRE(io.nop([&](Result) { let_go.wait(); }));
    for (int i = 0; i < 50; ++i)
        REQUIRE(io.nop([&](Result) { others.count_down(); }));
    others.wait();
    let_go.count_down();
    REQUIRE(io.shutdown().completed == 51);
}

TEST_CASE("one pool serves contexts on different backends and outlives its handle",
          "[delivery][C4]") {
    auto made = IOWorkers::create(2);
    REQUIRE(made);
    auto workers = std::make_unique<IOWorkers>(*std::move(made));
    Options options;
    options.workers = workers.get();
    constexpr int kEach = 500;
    std::atomic<int> called{0};
    std::vector<test::Context> contexts;
    for (const Backend backend : {Backend::null, Backend::uring, Backend::aio})
        if (test::is_available(backend))
            contexts.push_back(test::make_context(backend, options));
    workers.reset();  // the contexts hold shares of their own
    for (test::Context& io : contexts)
        for (int i = 0; i < kEach; ++i)
            REQUIRE(io.nop([&](Result) { called.fetch_add(1); }));
    for (test::Context& io : contexts)
        REQUIRE(io.shutdown().clean);
    REQUIRE(called == kEach * static_cast<int>(contexts.size()));
}

TEST_CASE("a pool refuses sizes that make no sense", "[delivery][C4][options]") {
    for (const auto& [threads, backlog] :
         {std::pair{0u, 1u}, std::pair{257u, 1u}, std::pair{1u, 0u}, std::pair{1u, 1048577u}}) {
        const auto made = IOWorkers::create(threads, backlog);
        REQUIRE_FALSE(made);
        REQUIRE(made.error().code == ErrorCode::invalid_argument);
        REQUIRE(std::strlen(made.error().message) > 0);
        REQUIRE(std::strlen(made.error().hint) > 0);
    }
    REQUIRE(IOWorkers::create(256, 1));
}

TEST_EVERY_BACKEND("a full pool never deadlocks callbacks that submit",
                   "[delivery][C7][scenario-6]") {
    struct Chain {
        test::Context* io;
        test::Latch* done;
        int left;
        void operator()(IOEvent<Chain>& event) noexcept {
            if (left-- > 0) {
                // The queue may be full: then this callback, in the pool, has to try again.
                while (!io->submit(event))
                    std::this_thread::yield();
                return;
            }
            done->count_down();
        }
    };
    constexpr int kChains = 64;
    constexpr int kLinks = 100;
    auto workers = IOWorkers::create(1, 1);  // one completion may wait
    REQUIRE(workers);
    Options options;
    options.workers = &*workers;
    options.depth = 4;
    options.queue_limit = kChains;
    test::Latch done(kChains);
    std::vector<std::unique_ptr<IOEvent<Chain>>> chains;
    auto io = test::make_context(backend, options);
    for (int i = 0; i < kChains; ++i) {
        chains.push_back(std::make_unique<IOEvent<Chain>>(Chain{&io, &done, kLinks}));
        chains.back()->prepare_nop();
        REQUIRE(io.submit_wait(*chains.back()));
    }
    done.wait();
    const ShutdownReport report = io.shutdown();
    REQUIRE(report.clean);
    REQUIRE(report.completed == kChains * (kLinks + 1));
}

TEST_EVERY_BACKEND("a callback that finds the queue full is refused, not stuck",
                   "[delivery][C7][scenario-6]") {
    test::require_two_threads();
    struct Attempt {
        test::KeptEvent one_more;
        test::Latch inside{1};
        test::Latch let_go{1};
        test::Latch done{1};
        ErrorCode plain = ErrorCode::none;
        ErrorCode waiting = ErrorCode::none;
    } attempt;
    attempt.one_more.prepare_nop();
    Options options;
    options.depth = 1;
    options.queue_limit = 2;
    test::SlotFillers fillers;
    test::KeptEvent queued[2];
    auto io = test::make_context(backend, options);
    REQUIRE(io.nop([&attempt, &io](Result) {
        attempt.inside.count_down();
        attempt.let_go.wait("waiting for the test to fill the queue");
        attempt.plain = io.submit(attempt.one_more, Channel::read).code();
        attempt.waiting = io.submit_wait(attempt.one_more, Channel::read).code();
        attempt.done.count_down();
    }));
    attempt.inside.wait();
    fillers.fill(io);
    for (test::KeptEvent& event : queued) {
        event.prepare_nop();
        REQUIRE(io.submit(event, Channel::read));
    }
    attempt.let_go.count_down();
    attempt.done.wait();
    REQUIRE(attempt.plain == ErrorCode::queue_full);
    REQUIRE(attempt.waiting == ErrorCode::would_deadlock);
    REQUIRE(io.shutdown().clean);
    REQUIRE(queued[1].callback.done.open());
    REQUIRE_FALSE(attempt.one_more.callback.done.open());
}

TEST_EVERY_BACKEND("a sink takes each completion and runs it where it likes", "[delivery][C6]") {
    constexpr std::size_t kRequests = 100;
    Mailbox box;
    Options options;
    options.sink = &Mailbox::take;
    options.sink_user = &box;
    std::set<int> tids;
    std::size_t called = 0;
    auto io = test::make_context(backend, options);
    for (std::size_t i = 0; i < kRequests; ++i)
        REQUIRE(io.nop([&](Result result) {
            tids.insert(this_tid());
            called += result.ok();
        }));
    test::wait_until([&] { return box.size() == kRequests; }, "waiting for the sink");
    REQUIRE(called == 0);
    REQUIRE(io.stats().completed == 0);
    while (box.size() > 0) {
        Delivery letter = box.pop();
        REQUIRE(letter.request().action == IOAction::nop);
        REQUIRE(letter.request().result == 0);
        letter.run();
    }
    REQUIRE(called == kRequests);
    REQUIRE(tids == std::set<int>{this_tid()});
    REQUIRE(io.shutdown().clean);
}

TEST_EVERY_BACKEND("shutdown waits for what a sink has not run yet", "[delivery][C6][A9]") {
    Mailbox box;
    Options options;
    options.sink = &Mailbox::take;
    options.sink_user = &box;
    bool called = false;
    auto io = test::make_context(backend, options);
    REQUIRE(io.nop([&](Result) { called = true; }));
    test::wait_until([&] { return box.size() == 1; }, "waiting for the sink");
    const ShutdownReport early = io.shutdown(30ms);
    REQUIRE_FALSE(early.clean);
    REQUIRE(early.code == ErrorCode::timed_out);
    REQUIRE(early.delivering == 1);
    box.pop().run();
    REQUIRE(io.shutdown().clean);
    REQUIRE(called);
}

TEST_EVERY_BACKEND("engine threads are named, greet the user and block all signals but their own",
                   "[delivery][threads]") {
    test::require_two_threads();
    struct Roles {
        std::mutex mutex;
        std::vector<std::pair<ThreadRole, std::string>> seen;
        static void note(void* self, ThreadRole role) {
            auto* roles = static_cast<Roles*>(self);
            const std::lock_guard<std::mutex> lock(roles->mutex);
            roles->seen.emplace_back(role, this_thread_name());
        }
    } roles;
    Options options;
    options.on_thread_start = &Roles::note;
    options.thread_user = &roles;
    options.thread_name = "mydb";
    auto io = test::make_context(backend, options);
    test::wait_until(
        [&] {
            const std::lock_guard<std::mutex> lock(roles.mutex);
            return roles.seen.size() == 2;
        },
        "waiting for two engine threads to start");
    const std::vector<test::ThreadUse> threads = test::threads_named("mydb-");
    REQUIRE(threads.size() == 2);
    // SIGKILL, SIGSTOP and the two that the C library keeps for itself cannot be blocked.
    constexpr std::uint64_t kNeverBlocked = 1ULL << 8 | 1ULL << 18 | 1ULL << 31 | 1ULL << 32;
    std::uint64_t own = 0;
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT})
        own |= 1ULL << (signal - 1);
    for (const test::ThreadUse& thread : threads) {
        REQUIRE((thread.blocked_signals | kNeverBlocked | own) == ~0ULL);
        REQUIRE((thread.blocked_signals & own) == 0);
    }
    const std::lock_guard<std::mutex> lock(roles.mutex);
    std::set<std::pair<ThreadRole, std::string>> distinct(roles.seen.begin(), roles.seen.end());
    REQUIRE(distinct ==
            std::set<std::pair<ThreadRole, std::string>>{{ThreadRole::submitter, "mydb-submit"},
                                                         {ThreadRole::poller, "mydb-poll"}});
}

TEST_EVERY_BACKEND("a crash in a callback reaches the host's handler", "[delivery][threads]") {
    const test::ChildOutcome child = test::run_child([backend] {
        struct sigaction action {};
        action.sa_handler = [](int) { ::_exit(42); };
        ::sigaction(SIGSEGV, &action, nullptr);
        Options options;
        options.backend = backend;
        auto io = test::Context::create(options);
        CHILD_CHECK(io);
        CHILD_CHECK(io->nop([](Result) { ::raise(SIGSEGV); }));
        ::sleep(600);  // ended by the handler
        return 0;
    });
    INFO(child.output);
    REQUIRE(child.exit_code == 42);
}
