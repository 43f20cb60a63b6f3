// SPDX-License-Identifier: MIT
//
// Goal: where io_uring is really switched off, by sysctl kernel.io_uring_disabled (Linux 6.6) or by
// the filter of a container, `automatic` runs on AIO and says why.
// Method: a guest in which it is; IOENGINE_TEST_URING_OFF says so. tests/engine/choice_test.cpp
// denies the same to single children.

#include "tests/engine/children.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>

using namespace ioengine;
using namespace test::children;

namespace {

void require_uring_off() {
    if (std::getenv("IOENGINE_TEST_URING_OFF") == nullptr)
        SKIP_TEST("io_uring is not switched off: only in a guest of tests/guests");
}

}  // namespace

TEST_CASE("with io_uring switched off, auto runs on AIO and names what switches it on",
          "[uring-off][A2][kernel-7][scenario-14]") {
    require_uring_off();
    require_child_succeeds([] {
        auto made = test::Context::create(options_for(Backend::automatic));
        if (!made)
            print(made.error());
        CHILD_CHECK(made);
        const ProbeReport& report = made->report();
        CHILD_CHECK(report.backend == Backend::aio);
        CHILD_CHECK(!report.uring.available);
        CHILD_CHECK(report.uring.sys_errno == EPERM);
        CHILD_CHECK(std::strcmp(report.uring.step, "io_uring_setup") == 0);
        CHILD_CHECK(std::strstr(report.uring.hint, "kernel.io_uring_disabled") != nullptr);
        CHILD_CHECK(std::strstr(report.uring.hint, "seccomp") != nullptr);
        CHILD_CHECK(std::strstr(report.reason, "io_uring_setup") != nullptr);
        require_child_moves_data(*made);
    });
}

TEST_CASE("with io_uring switched off, forcing it is an error with a hint",
          "[uring-off][A3][kernel-7]") {
    require_uring_off();
    require_child_succeeds([] {
        const auto made = test::Context::create(options_for(Backend::uring));
        CHILD_CHECK(!made);
        print(made.error());
        CHILD_CHECK(made.error().sys_errno == EPERM);
        CHILD_CHECK(std::strstr(made.error().hint, "kernel.io_uring_disabled") != nullptr);
        CHILD_CHECK(test::threads_named("ioe-").empty());
    });
}
