// SPDX-License-Identifier: MIT
//
// Goal: a process with little to its name gets contexts that work, or an error that says what to
// raise, and loses nothing.
// Method: children with limits on locked memory and on descriptors, as root and as an ordinary
// user.

#include "tests/support/support.hpp"

#include <fcntl.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

using namespace ioengine;

namespace {

constexpr uid_t kNobody = 65534;
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
    CHILD_CHECK(::setgid(kNobody) == 0 && ::setuid(kNobody) == 0);
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
