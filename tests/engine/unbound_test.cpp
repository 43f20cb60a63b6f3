// SPDX-License-Identifier: MIT
//
// Goal: with Threading::caller a ring that cannot be bound to a thread is no dead end: that thread
// is told so, another one can drive, and if none can, all that was accepted still ends.
// Method: a sandbox that a program enters after it has made its context: seccomp denies
// io_uring_register(2).

#include "tests/engine/children.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <chrono>
#include <thread>

using namespace ioengine;
using namespace test::children;

namespace {

Options driven() {
    Options options = options_for(Backend::uring);
    options.threading = Threading::caller;
    options.depth = 4;
    return options;
}

// What any thread may use needs no binding.
void require_single_issuer() {
    test::require_backend(Backend::uring);
    test::require_deny();
    if (!test::in_force(test::make_context(Backend::uring, driven()), "single_issuer"))
        SKIP_TEST("this kernel has no rings of a single issuer, or it is switched off");
}

void enter_sandbox() {
    test::deny({{"io_uring_register", EPERM}});
}

}  // namespace

TEST_CASE("a thread that the ring cannot be bound to is told so, and another one drives",
          "[threading]") {
    require_single_issuer();
    require_child_succeeds([] {
        auto io = test::Context::create(driven());
        CHILD_CHECK(io);
        int done = 0;
        CHILD_CHECK(io->nop([&done](Result result) noexcept { done += result.ok() ? 1 : 2; }));
        Request request;
        request.prepare_nop();
        std::thread([&io, &request] {
            enter_sandbox();
            CHILD_CHECK(io->run_once().code == ErrorCode::system);
            CHILD_CHECK(io->submit(request));
            CHILD_CHECK(io->wait_for(request, std::chrono::milliseconds(1)) ==
                        ErrorCode::timed_out);
        }).join();
        CHILD_CHECK(io->wait(request) == ErrorCode::none);
        CHILD_CHECK(request.outcome().ok());
        CHILD_CHECK(io->shutdown().clean);
        CHILD_CHECK(done == 1);
    });
}

TEST_CASE("a context whose ring can be bound to no thread comes to its end", "[threading]") {
    require_single_issuer();
    require_child_succeeds([] {
        auto io = test::Context::create(driven());
        CHILD_CHECK(io);
        int refused = 0;
        const auto count = [&refused](Result result) noexcept {
            refused += result.error() == EBADFD ? 1 : 0;
        };
        CHILD_CHECK(io->nop(count));
        enter_sandbox();
        CHILD_CHECK(io->run_once().code == ErrorCode::system);
        Request request;
        request.prepare_nop();
        CHILD_CHECK(io->perform(request));
        CHILD_CHECK(request.outcome().error() == EBADFD);
        CHILD_CHECK(io->nop(count));
        CHILD_CHECK(io->shutdown().clean);
        CHILD_CHECK(refused == 2);
    });
}
