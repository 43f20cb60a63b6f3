// SPDX-License-Identifier: MIT
//
// Goal: four threads submit mixed work while the context is shut down: each accepted event gets one
// notice, each refused one is still the caller's, and the process does not grow.
// Method: many rounds of create, submit, shut down at a random moment. A refused event is freed at
// once and an accepted one in its callback, so that a late touch is a use after free. The rounds
// are IOENGINE_TEST_ROUNDS_URING (100) and IOENGINE_TEST_ROUNDS_AIO (50).

#include "tests/support/giving_up.hpp"
#include "tests/support/support.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <malloc.h>
#include <memory>
#include <string>
#include <sys/uio.h>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kThreads = 4;
constexpr std::size_t kEach = 100;
constexpr std::size_t kBlock = 4096;
constexpr std::uint64_t kFileBlocks = 64;

std::uint64_t rounds_of(const char* variable, std::uint64_t otherwise) {
    const char* value = std::getenv(variable);
    return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

// What a notice adds to; freed with its buffer by the notice itself.
struct Mixed {
    test::Tracker* tracker;
    std::size_t index;
    unsigned char* buffer = nullptr;
    iovec vectors[2] = {};

    void operator()(IOEvent<Mixed>& event) noexcept {
        test::Tracker* const watch = tracker;
        const std::size_t number = index;
        const Result result = event.outcome();
        const std::unique_ptr<IOEvent<Mixed>> mine(&event);
        std::free(event.callback.buffer);
        watch->notice(number, result);
    }
};

void prepare_any(IOEvent<Mixed>& event, int fd, test::Random& random) {
    unsigned char* const data = event.callback.buffer;
    const std::uint64_t offset = random.below(kFileBlocks) * kBlock;
    switch (random.below(9)) {
    case 0:
    case 1:
    case 2:
        event.prepare_read(fd, data, kBlock, offset);
        break;
    case 3:
    case 4:
        event.prepare_write(fd, data, kBlock, offset);
        break;
    case 5:
        event.callback.vectors[0] = {data, kBlock / 2};
        event.callback.vectors[1] = {data + kBlock / 2, kBlock / 2};
        event.prepare_readv(fd, event.callback.vectors, 2, offset);
        break;
    case 6:
        event.prepare_nop();
        break;
    case 7:
        event.prepare_read(-1, data, kBlock, offset);
        break;
    default:
        event.prepare_sync_file_range(fd, 0, kBlock, 0);
        break;
    }
}

void submit_all(test::Context& io, int fd, test::Tracker& tracker, std::size_t first,
                std::uint64_t seed) {
    test::Random random(seed);
    for (std::size_t i = first; i < first + kEach; ++i) {
        auto event = std::make_unique<IOEvent<Mixed>>(Mixed{&tracker, i});
        event->callback.buffer = static_cast<unsigned char*>(std::aligned_alloc(kBlock, kBlock));
        std::fill_n(event->callback.buffer, kBlock, static_cast<unsigned char>(i));
        prepare_any(*event, fd, random);
        // From here an accepted event may be gone at any moment.
        IOEvent<Mixed>* const submitted = event.release();
        const Channel channel = random.below(4) == 0 ? Channel::prio : Channel::automatic;
        const Acceptance answer = random.below(2) == 0
                                      ? io.submit(*submitted, channel)
                                      : io.submit_wait_for(*submitted, 1ms, channel);
        tracker.submitted(i, answer);
        if (!answer) {
            const std::unique_ptr<IOEvent<Mixed>> back(submitted);
            std::free(back->callback.buffer);
        }
    }
}

// One life of a context. Returns how many submissions were refused because of the shutdown or a
// full queue, so that the test can say that both outcomes occurred.
std::uint64_t run_round(Backend backend, int fd, const IOWorkers& workers, std::uint64_t seed) {
    test::Random random(seed);
    test::Tracker tracker(kThreads * kEach);
    Options options;
    options.depth = 1 + static_cast<std::uint32_t>(random.below(32));
    options.queue_limit = 1 + static_cast<std::uint32_t>(random.below(64));
    options.workers = random.below(3) == 0 ? &workers : nullptr;
    const auto nap = std::chrono::microseconds(random.below(2000));
    const std::uint64_t way = random.below(3);
    ShutdownReport report;
    {
        std::vector<std::thread> threads;
        auto io = test::make_context(backend, options);
        std::atomic<bool> go{false};
        for (std::size_t t = 0; t < kThreads; ++t)
            threads.emplace_back([&, t, thread_seed = random.next()] {
                while (!go.load(std::memory_order_acquire))
                    std::this_thread::yield();
                submit_all(io, fd, tracker, t * kEach, thread_seed);
            });
        go.store(true, std::memory_order_release);
        std::this_thread::sleep_for(nap);
        if (way == 0)
            report = io.shutdown();
        else if (way == 1)
            report = io.shutdown(1000s);
        else
            (void)io.shutdown(0s);  // past its deadline at once: what it cancels is noticed too
        for (std::thread& thread : threads)
            thread.join();
        report = io.shutdown();
    }
    REQUIRE(report.clean);
    REQUIRE(report.accepted == tracker.accepted());
    REQUIRE(report.completed == tracker.accepted());
    tracker.require_exactly_once();
    return tracker.refused();
}

// What Group::start() hands over itself, while another thread shuts down.
void race_a_start(Backend backend, Lending lending) {
    Options options;
    options.lending = lending;
    options.threading = Threading::split;
    auto io = test::make_context(backend, options);
    test::Latch ready(1);
    std::atomic<bool> done{false};
    std::thread user([&] {
        Request request;
        request.prepare_nop();
        Group group(io);
        const Acceptance accepted = group.submit(request);
        ready.count_down();
        group.start();
        done = group.wait() == ErrorCode::none && (!accepted || request.outcome().ok());
    });
    ready.wait();
    const ShutdownReport report = io.shutdown();
    user.join();
    REQUIRE(report.clean);
    REQUIRE(done);
}

// An order that ends the last request, upon whose notice the context is destroyed.
void race_a_cancel(Backend backend) {
    test::Pipe pipe;
    char byte = 0;
    auto io = std::make_unique<test::Context>(test::make_context(backend));
    test::Latch over(1);
    const Acceptance accepted = io->read(pipe.read_end(), Bytes(&byte, 1), 0,
                                         [&over](Result) noexcept { over.count_down(); });
    REQUIRE(accepted);
    Engine* const engine = io->engine();
    ErrorCode said{};
    std::thread user([&] { said = abi::engine_cancel(engine, accepted.handle()); });
    over.wait();
    io.reset();
    user.join();
    REQUIRE(said == ErrorCode::none);
}

struct Footprint {
    std::uint64_t fds = test::open_fds();
    std::uint64_t threads = test::thread_count();
    std::uint64_t rss = test::rss_bytes();
};

void run_rounds(Backend backend, std::uint64_t rounds) {
    const std::uint64_t seed = test::announced_seed("shutdown race");
    test::Random random(seed);
    test::TempFile file(kFileBlocks * kBlock);
    auto workers = IOWorkers::create(2);
    REQUIRE(workers);
    const std::uint64_t warm_up = rounds / 4 + 1;
    std::uint64_t refused = 0;
    for (std::uint64_t i = 0; i < warm_up; ++i)
        refused += run_round(backend, file.direct_fd(), *workers, random.next());
    ::malloc_trim(0);
    test::wait_for_engine_threads(2);  // the pool's
    const Footprint before;
    for (std::uint64_t i = warm_up; i < rounds; ++i)
        refused += run_round(backend, file.direct_fd(), *workers, random.next());
    ::malloc_trim(0);
    test::wait_for_engine_threads(2);
    const Footprint after;
    std::printf("%s: %llu rounds, %llu of %llu submissions refused, resident %llu -> %llu KiB\n",
                backend_name(backend), static_cast<unsigned long long>(rounds),
                static_cast<unsigned long long>(refused),
                static_cast<unsigned long long>(rounds * kThreads * kEach),
                static_cast<unsigned long long>(before.rss / 1024),
                static_cast<unsigned long long>(after.rss / 1024));
    REQUIRE(after.fds == before.fds);
    REQUIRE(after.threads == before.threads);
    REQUIRE(refused > 0);
    // A round's own memory is about 2 MiB: one that stayed behind per round would show at once. A
    // sanitizer keeps freed memory on purpose.
    if (!test::kAddressSanitizer && !test::kThreadSanitizer)
        REQUIRE(after.rss < before.rss + (32u << 20));
}

}  // namespace

TEST_CASE("submissions racing a shutdown are noticed once or stay with the caller / uring",
          "[shutdown-race][A6][A9][A10][uring][scenario-4][race]") {
    test::require_backend(Backend::uring);
    run_rounds(Backend::uring, rounds_of("IOENGINE_TEST_ROUNDS_URING", 100));
}

TEST_CASE("submissions racing a shutdown are noticed once or stay with the caller / aio",
          "[shutdown-race][A6][A9][A10][aio][scenario-4][race]") {
    test::require_backend(Backend::aio);
    run_rounds(Backend::aio, rounds_of("IOENGINE_TEST_ROUNDS_AIO", 50));
}

TEST_CASE("submissions racing a shutdown are noticed once or stay with the caller / null",
          "[shutdown-race][A6][A9][A10][null][scenario-4]") {
    run_rounds(Backend::null, rounds_of("IOENGINE_TEST_ROUNDS_URING", 100));
}

TEST_EACH_BACKEND("starting a group races with shutdown", "[shutdown-race][A6]") {
    for (int round = 0; round < (backend == Backend::aio ? 20 : 150); ++round)
        race_a_start(backend, round % 2 == 0 ? Lending::callers : Lending::callbacks);
}

TEST_EACH_BACKEND("an order to cancel outlives what it ends", "[shutdown-race][H6]") {
    test::require_giving_up(backend);
    for (int round = 0; round < 200; ++round)
        race_a_cancel(backend);
}
