// SPDX-License-Identifier: MIT
//
// Goal: a system whose AIO is used up: what is made says so and says what to raise, and io_uring
// does not care.
// Method: a guest in which fs.aio-max-nr is 128; IOENGINE_TEST_AIO_EXHAUSTED says so.

#include "tests/engine/children.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace ioengine;
using namespace test::children;

namespace {

void require_exhausted() {
    if (std::getenv("IOENGINE_TEST_AIO_EXHAUSTED") == nullptr)
        SKIP_TEST("fs.aio-max-nr is not low: only in a guest of tests/guests");
}

Options aio_of(std::uint32_t depth) {
    Options options = options_for(Backend::aio);
    options.depth = depth;
    return options;
}

// The child ends unless this is the error that tells of the limit.
void require_names_the_limit(const Error& error) {
    print(error);
    CHILD_CHECK(error.sys_errno == EAGAIN);
    CHILD_CHECK(std::strstr(error.hint, "fs.aio-max-nr") != nullptr);
}

}  // namespace

TEST_CASE("an AIO context beyond fs.aio-max-nr is an error that names it", "[aio-exhausted][F12]") {
    require_exhausted();
    require_child_succeeds([] {
        const auto made = test::Context::create(aio_of(1024));
        CHILD_CHECK(!made);
        require_names_the_limit(made.error());
        CHILD_CHECK(test::threads_named("ioe-").empty());
    });
}

TEST_CASE(
    "contexts that use AIO up leave the next one an error, and work; one that ends makes room",
    "[aio-exhausted][F12]") {
    require_exhausted();
    require_child_succeeds([] {
        std::vector<test::Context> contexts;
        for (;;) {
            auto made = test::Context::create(aio_of(16));
            if (!made) {
                require_names_the_limit(made.error());
                break;
            }
            contexts.push_back(*std::move(made));
            CHILD_CHECK(contexts.size() <= 128 / 16);
        }
        CHILD_CHECK(contexts.size() > 1);
        std::printf("%zu contexts\n", contexts.size());
        for (test::Context& io : contexts)
            require_child_moves_data(io);
        contexts.pop_back();
        auto again = test::Context::create(aio_of(16));
        if (!again)
            print(again.error());
        CHILD_CHECK(again);
        require_child_moves_data(*again);
    });
}

TEST_CASE("with AIO used up, auto runs on io_uring; where that is disabled as well, it says both",
          "[aio-exhausted][A2][F12]") {
    require_exhausted();
    test::require_backend(Backend::uring);
    require_child_succeeds([] {
        Options options = options_for(Backend::automatic);
        options.depth = 1024;
        auto made = test::Context::create(options);
        CHILD_CHECK(made);
        CHILD_CHECK(made->report().backend == Backend::uring);
        require_child_moves_data(*made);
        options.disable = "uring";
        const auto none = test::Context::create(options);
        CHILD_CHECK(!none);
        require_names_the_limit(none.error());
    });
}
