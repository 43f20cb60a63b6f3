// SPDX-License-Identifier: MIT
//
// Goal: a process with little to its name gets contexts that work, or an error that says what to
// raise, and loses nothing.
// Method: children with limits on locked memory and on descriptors, as root and as an ordinary
// user.

#include "tests/support/support.hpp"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

using namespace ioengine;

namespace {

// The kernel counts locked memory by user, and goes on counting for a moment after a ring is
// closed: so that no test pays for another, each child is a user of its own, with an id that
// belongs to nobody.
void become_nobody() {
    const uid_t nobody = 20000 + static_cast<unsigned>(::getpid()) % 40000;
    CHILD_CHECK(::setgid(nobody) == 0 && ::setuid(nobody) == 0);
}

constexpr rlim_t kFdsEnough = 256;

void limit(decltype(RLIMIT_NOFILE) what, rlim_t value) {
    rlimit now{};
    CHILD_CHECK(::getrlimit(what, &now) == 0);
    now.rlim_cur = value;
    CHILD_CHECK(::setrlimit(what, &now) == 0);
}

// A context that reads `zero`; false for an error with a hint.
bool live_once(Backend backend, const test::Fd& zero) {
    Options options;
    options.backend = backend;
    options.depth = 64;
    auto io = test::Context::create(options);
    if (!io) {
        CHILD_CHECK(io.error().hint[0] != '\0');
        return false;
    }
    unsigned char byte = 1;
    Request request;
    request.prepare_read(zero.get(), &byte, 1, 0);
    CHILD_CHECK(io->perform(request));
    CHILD_CHECK(request.outcome().bytes() == 1);
    CHILD_CHECK(byte == 0);
    CHILD_CHECK(io->shutdown().clean);
    return true;
}

// Of `lives` contexts, how many an ordinary user gets who may lock so much memory.
int lives_of_nobody(Backend backend, rlim_t locked_bytes, int lives) {
    const test::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    CHILD_CHECK(zero.valid());
    limit(RLIMIT_MEMLOCK, locked_bytes);
    become_nobody();
    int lived = 0;
    for (int i = 0; i < lives; ++i)
        lived += live_once(backend, zero) ? 1 : 0;
    return lived;
}

}  // namespace

// Rings count against the limit on some kernels, until some time after they were closed.
TEST_EACH_BACKEND("an ordinary user with little locked memory makes contexts again and again",
                  "[devices][limits][kernel-12][scenario-19]") {
    if (::geteuid() != 0)
        SKIP_TEST("only root can become somebody else");
    const int lives = backend == Backend::aio ? 20 : 200;
    const test::ChildOutcome outcome = test::run_child([&] {
        // The library waits for a while; more than a few refusals, and it does not.
        CHILD_CHECK(lives_of_nobody(backend, rlim_t{64} << 10, lives) > lives * 3 / 4);
        return 0;
    });
    INFO(outcome.output);
    REQUIRE(outcome.exit_code == 0);
}

TEST_EACH_BACKEND("without any locked memory a backend works or says so, and auto has one",
                  "[devices][limits][kernel-12][scenario-19]") {
    if (::geteuid() != 0)
        SKIP_TEST("only root can become somebody else");
    const bool has_aio = test::is_available(Backend::aio);
    for (const Backend asked : {backend, Backend::automatic}) {
        const test::ChildOutcome outcome = test::run_child([&] {
            const int lived = lives_of_nobody(asked, 0, 5);
            const bool may_be_none = asked == Backend::uring || !has_aio;
            CHILD_CHECK(lived == 5 || (lived == 0 && may_be_none));
            return 0;
        });
        INFO(backend_name(asked) << ": " << outcome.output);
        REQUIRE(outcome.exit_code == 0);
    }
}

TEST_EACH_BACKEND("whatever the limit on descriptors, a context works or says that it is too low",
                  "[devices][limits][scenario-19]") {
    const test::ChildOutcome outcome = test::run_child([&] {
        const test::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
        CHILD_CHECK(zero.valid());
        int refused = 0;
        int lived = 0;
        for (rlim_t fds = 40; fds > 3; --fds) {
            const std::uint64_t before = test::open_fds();
            limit(RLIMIT_NOFILE, fds);
            (live_once(backend, zero) ? lived : refused) += 1;
            limit(RLIMIT_NOFILE, kFdsEnough);
            CHILD_CHECK(test::open_fds() == before);
        }
        CHILD_CHECK(lived > 0 && refused > 0);
        return 0;
    });
    INFO(outcome.output);
    REQUIRE(outcome.exit_code == 0);
}

TEST_EACH_BACKEND(
    "buffers that may not be locked go as ordinary ones, and a batch of which a part may "
    "does, too",
    "[devices][limits][registered][H8]") {
    if (::geteuid() != 0)
        SKIP_TEST("only root can become somebody else");
    constexpr std::size_t kPiece = std::size_t{64} << 10;
    for (const Threading threading : {Threading::split, Threading::owner}) {
        const test::ChildOutcome outcome = test::run_child([&] {
            const test::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
            AlignedBuffer memory = *AlignedBuffer::create(8 * kPiece);
            limit(RLIMIT_MEMLOCK, 4 * kPiece);  // the ring counts, too
            become_nobody();
            Options options;
            options.backend = backend;
            options.threading = threading;
            options.depth = 4;
            auto io = test::Context::create(options);
            CHILD_CHECK(io);
            const bool works = test::in_force(*io, "registered_buffers");
            std::vector<Bytes> pieces;
            for (std::size_t i = 0; i < 8; ++i)
                pieces.emplace_back(memory.data() + i * kPiece, kPiece);
            auto all = io->register_buffers(pieces);
            CHILD_CHECK(all && !all->in_force());
            CHILD_CHECK(all->note().code == (works ? ErrorCode::system : ErrorCode::unsupported));
            CHILD_CHECK(!works || all->note().sys_errno == ENOMEM);
            // The part that had been locked is not any more: as much fits; on Linux 6.1 a moment
            // later.
            auto one = io->register_buffers({pieces[0], pieces[1]});
            test::wait_until(
                [&] {
                    if (!one || one->in_force() == works)
                        return true;
                    one = io->register_buffers({pieces[0], pieces[1]});
                    return false;
                },
                "waiting for memory that may be locked");
            CHILD_CHECK(one);
            Request request;
            for (const BufferHandle& handle : {(*all)[1], (*one)[1]}) {
                memory.data()[kPiece] = 1;
                request.prepare_read(zero.get(), memory.data() + kPiece, kPiece, 0);
                request.use(handle);
                CHILD_CHECK(io->perform(request));
                // A read of /dev/zero may end early: mem.c of the kernel looks after each page.
                CHILD_CHECK(request.outcome().bytes() != 0);
                CHILD_CHECK(memory.data()[kPiece] == 0);
            }
            const Stats stats = io->stats();
            CHILD_CHECK(stats.fixed_buffers == (works ? 1u : 0u));
            CHILD_CHECK(stats.fixed_unused == (works ? 1u : 2u));
            // A pool works, too, and says so.
            auto pool = BufferPool::create(*io, 8, kPiece);
            CHILD_CHECK(pool && !pool->in_force());
            const PooledBuffer taken = pool->take();
            CHILD_CHECK(taken);
            pool->give(taken);
            return 0;
        });
        INFO(outcome.output);
        REQUIRE(outcome.exit_code == 0);
    }
}

TEST_CASE("a table of registered files is no larger than the limit on descriptors allows",
          "[devices][limits][registered][H9]") {
    test::require_backend(Backend::uring);
    const test::ChildOutcome outcome = test::run_child([&] {
        const test::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
        limit(RLIMIT_NOFILE, 64);
        Options options;
        options.backend = Backend::uring;
        auto io = test::Context::create(options);
        CHILD_CHECK(io);
        if (!test::in_force(*io, "registered_files"))
            return 0;  // conformance says whether it has to be
        CHILD_CHECK(io->register_files({zero.get()})->in_force());
        const std::vector<int> many(100, zero.get());
        auto beyond = io->register_files(many);
        CHILD_CHECK(beyond && beyond->note().code == ErrorCode::queue_full);
        rlimit now{};
        CHILD_CHECK(::getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 64);
        return 0;
    });
    INFO(outcome.output);
    REQUIRE(outcome.exit_code == 0);
}
