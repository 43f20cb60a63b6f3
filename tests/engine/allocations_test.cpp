// SPDX-License-Identifier: MIT
//
// Goal: in steady state nothing is allocated, by nobody: not per request, not now and then.
// Method: this binary's malloc counts. Long chains of requests run once as a warm-up, in which
// queues and thread caches take what they need; then again, with the count before and after.

#include "tests/support/support.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace ioengine;

namespace {

std::atomic<std::uint64_t> g_allocations{0};
constexpr bool kCounts = !test::kAddressSanitizer && !test::kThreadSanitizer;

}  // namespace

#if !defined(IOENGINE_TESTS_ASAN) && !defined(IOENGINE_TESTS_TSAN)

// Visible, or clang hides it from the libraries.
#pragma GCC visibility push(default)

// glibc's own, under their second names; a program that defines malloc gets it used by every
// library in the process, operator new included.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
    *out = __libc_memalign(alignment, size);
    return *out != nullptr ? 0 : ENOMEM;
}
}

#pragma GCC visibility pop

#endif

namespace {

std::uint64_t allocations() {
    return g_allocations.load(std::memory_order_relaxed);
}

void require_counting() {
    if (!kCounts)
        SKIP_TEST("a sanitizer brings an allocator of its own");
    // Through pointers that the compiler cannot see through: it knows what malloc does, may leave
    // out what nobody sees, and takes for granted that our counter is not touched.
    void* (*volatile take)(std::size_t) = &std::malloc;
    void* (*volatile make)(std::size_t) = &::operator new;
    const std::uint64_t before = allocations();
    void* const plain = take(10);
    void* const made = make(10);
    std::free(plain);
    ::operator delete(made);
    REQUIRE(allocations() >= before + 2);
}

constexpr std::size_t kChains = 64;
constexpr int kWarmUpLinks = 500;
constexpr int kMeasuredLinks = 3000;

// Submits itself again until its links are used up.
struct Link {
    test::Context* io;
    test::Latch* done;
    std::atomic<std::uint64_t>* failures;
    int left = 0;
    void operator()(IOEvent<Link>& event) noexcept {
        if (!event.outcome().ok())
            failures->fetch_add(1);
        if (left-- > 0) {
            if (io->submit(event))
                return;
            failures->fetch_add(1);
        }
        done->count_down();
    }
};

// Has each of so many workers submit a read and a write: a thread's first request costs memory, and
// a fast worker may leave a slow one nothing to do for a long time.
struct Meeting {
    Meeting(test::Context& context, int file, unsigned workers)
        : io(context), fd(file), here(workers), done(2 * workers) {
        for (unsigned i = 0; i < workers; ++i)
            REQUIRE(io.nop([this](Result) { submit_when_all_are_here(); }));
        done.wait();
    }
    void submit_when_all_are_here() {
        here.count_down();
        here.wait();
        const auto finish = [this](Result) { done.count_down(); };
        if (!io.read(fd, page, 0, finish) || !io.write(fd, page, 0, finish))
            std::abort();
    }
    test::Context& io;
    const int fd;
    char page[64] = {};
    test::Latch here;
    test::Latch done;
};

// Runs chains of events in storage of their own and returns what was allocated on the way.
std::uint64_t allocations_of_chains(Backend backend, Options options, bool through_kernel,
                                    unsigned workers = 0) {
    const test::Fd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
    char page[512];
    std::atomic<std::uint64_t> failures{0};
    std::vector<std::unique_ptr<IOEvent<Link>>> chains;
    auto io = test::make_context(backend, options);
    for (std::size_t i = 0; i < kChains; ++i) {
        chains.push_back(std::make_unique<IOEvent<Link>>(Link{&io, nullptr, &failures}));
        if (!through_kernel)
            chains[i]->prepare_nop();
        else if (i % 2 == 0)
            chains[i]->prepare_read(zero.get(), page, sizeof(page), 0);
        else
            chains[i]->prepare_write(zero.get(), page, sizeof(page), 0);
    }
    if (workers != 0)
        Meeting(io, zero.get(), workers);
    std::uint64_t allocated = 0;
    for (const int links : {kWarmUpLinks, kMeasuredLinks}) {
        test::Latch done(kChains);
        const std::uint64_t before = allocations();
        std::uint64_t refused = 0;
        for (std::unique_ptr<IOEvent<Link>>& chain : chains) {
            chain->callback.done = &done;
            chain->callback.left = links;
            refused += !io.submit_wait(*chain);
        }
        done.wait();
        allocated = allocations() - before;
        REQUIRE(refused == 0);
    }
    REQUIRE(failures == 0);
    REQUIRE(io.shutdown().completed ==
            kChains * (kWarmUpLinks + kMeasuredLinks + 2) + 3 * std::uint64_t{workers});
    return allocated;
}

}  // namespace

TEST_EVERY_BACKEND("chains of reads and writes allocate nothing in steady state",
                   "[allocations][C2]") {
    require_counting();
    Options options;
    options.depth = 16;
    REQUIRE(allocations_of_chains(backend, options, true) == 0);
}

TEST_EVERY_BACKEND("chains with histograms and a watchdog allocate nothing", "[allocations]") {
    require_counting();
    Options options;
    options.depth = 16;
    options.histograms = true;
    options.watchdog_ms = 60000;
    REQUIRE(allocations_of_chains(backend, options, true) == 0);
}

TEST_EVERY_BACKEND("no-ops, which the engine completes itself, allocate nothing", "[allocations]") {
    require_counting();
    REQUIRE(allocations_of_chains(backend, {}, false) == 0);
}

TEST_EVERY_BACKEND("chains through a pool of workers allocate nothing", "[allocations][C4]") {
    require_counting();
    constexpr unsigned kWorkers = 2;
    auto workers = IOWorkers::create(kWorkers);
    REQUIRE(workers);
    Options options;
    options.depth = 16;
    options.workers = &*workers;
    REQUIRE(allocations_of_chains(backend, options, true, kWorkers) == 0);
}

TEST_EVERY_BACKEND("the one-call form allocates nothing in steady state", "[allocations][C1]") {
    require_counting();
    constexpr std::uint64_t kRequests = 100000;
    const test::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    char page[512];
    std::atomic<std::uint64_t> completed{0};
    std::uint64_t submitted = 0;
    auto io = test::make_context(backend);
    const auto submit = [&] {
        const bool accepted =
            io.read(zero.get(), page, 0, [&](Result) { completed.fetch_add(1); }).accepted();
        submitted += accepted;
        return accepted;
    };
    const auto drain = [&] {
        test::wait_until([&] { return completed == submitted; }, "waiting for all callbacks");
    };
    {
        // The warm-up fills the queue once, so that it has all the memory it will ever need.
        test::Plug plug(io);
        while (submit()) {
        }
    }
    drain();
    const std::uint64_t before = allocations();
    while (submitted < kRequests)
        if (!submit())
            std::this_thread::yield();
    drain();
    REQUIRE(allocations() - before == 0);
    REQUIRE(io.shutdown().completed == submitted + 1);
}

TEST_EVERY_BACKEND("two submitting threads allocate nothing in steady state", "[allocations]") {
    require_counting();
    constexpr std::size_t kEach = 256;
    constexpr int kWarmUpRounds = 50;
    constexpr int kRounds = 200;
    struct Count {
        std::atomic<std::size_t>* left;
        void operator()(Result) const noexcept { left->fetch_sub(1, std::memory_order_release); }
    };
    std::atomic<std::uint64_t> before{0};
    std::atomic<int> warm{0};
    std::atomic<std::uint64_t> refused{0};
    Options options;
    options.depth = 32;
    auto io = test::make_context(backend, options);
    const auto submit_rounds = [&] {
        std::atomic<std::size_t> left{0};
        std::vector<std::unique_ptr<IOEvent<Count>>> events;
        for (std::size_t i = 0; i < kEach; ++i) {
            events.push_back(std::make_unique<IOEvent<Count>>(Count{&left}));
            events.back()->prepare_nop();
        }
        for (int round = 0; round < kWarmUpRounds + kRounds; ++round) {
            if (round == kWarmUpRounds) {
                // The last thread to be warm takes the count.
                if (warm.fetch_add(1) == 1)
                    before = allocations();
                while (warm.load() < 2 || before.load() == 0)
                    std::this_thread::yield();
            }
            left.store(kEach);
            for (std::unique_ptr<IOEvent<Count>>& event : events)
                refused += !io.submit_wait(*event);
            while (left.load(std::memory_order_acquire) != 0)
                std::this_thread::yield();
        }
    };
    std::thread first(submit_rounds);
    std::thread second(submit_rounds);
    first.join();
    second.join();
    const std::uint64_t allocated = allocations() - before;
    REQUIRE(refused == 0);
    REQUIRE(allocated == 0);
    REQUIRE(io.shutdown().clean);
}
