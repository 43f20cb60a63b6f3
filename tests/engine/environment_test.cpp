// SPDX-License-Identifier: MIT
//
// Goal: the environment variables do what they say and nothing else.
// Method: forked children that set them before they make a context.

#include "tests/engine/children.hpp"
#include "tests/support/support.hpp"

#include <cstdlib>
#include <string>

using namespace ioengine;
using namespace test::children;

TEST_CASE("the environment replaces automatic only", "[choice][environment]") {
    for (const Backend named : test::kKernelBackends) {
        if (!test::is_available(named))
            continue;
        require_child_succeeds([named] {
            ::setenv("IOENGINE_BACKEND", backend_name(named), 1);
            auto automatic = test::Context::create(options_for(Backend::automatic));
            CHILD_CHECK(automatic);
            CHILD_CHECK(automatic->report().backend == named);
            CHILD_CHECK(automatic->report().asked == named);
            CHILD_CHECK(automatic->report().asked_by_environment);
            require_child_moves_data(*automatic);
            auto forced = test::Context::create(options_for(Backend::null));
            CHILD_CHECK(forced);
            CHILD_CHECK(forced->report().backend == Backend::null);
            CHILD_CHECK(!forced->report().asked_by_environment);
        });
    }
}

TEST_CASE("an unknown backend in the environment is ignored with a warning",
          "[choice][environment]") {
    const test::ChildOutcome child = test::run_child([] {
        clear_environment();
        ::setenv("IOENGINE_BACKEND", "spdk", 1);
        auto made = test::Context::create(options_for(Backend::automatic));
        CHILD_CHECK(made);
        CHILD_CHECK(!made->report().asked_by_environment);
        require_child_moves_data(*made);
        return 0;
    });
    INFO(child.output);
    REQUIRE(child.exit_code == 0);
    REQUIRE(child.output.find("IOENGINE_BACKEND=spdk") != std::string::npos);
}

TEST_EVERY_BACKEND("IOENGINE_STATS=exit prints the dump when a context ends", "[environment]") {
    for (const bool asked : {true, false}) {
        const test::ChildOutcome child = test::run_child([backend, asked] {
            clear_environment();
            if (asked)
                ::setenv("IOENGINE_STATS", "exit", 1);
            auto made = test::Context::create(options_for(backend));
            CHILD_CHECK(made);
            CHILD_CHECK(made->nop([](Result) {}));
            return 0;
        });
        INFO(child.output);
        REQUIRE(child.exit_code == 0);
        REQUIRE((child.output.find("accepted 1, completed 1") != std::string::npos) == asked);
    }
}

TEST_EVERY_BACKEND("IOENGINE_LOG overrides the level of the options", "[environment]") {
    for (const char* level : {"trace", "off"}) {
        const test::ChildOutcome child = test::run_child([backend, level] {
            clear_environment();
            ::setenv("IOENGINE_LOG", level, 1);
            Options options = options_for(backend);
            options.log_level = LogLevel::warning;
            auto made = test::Context::create(options);
            CHILD_CHECK(made);
            CHILD_CHECK(made->nop([](Result) { throw 1; }));
            return 0;
        });
        INFO(level << ": " << child.output);
        REQUIRE(child.exit_code == 0);
        REQUIRE(child.output.empty() == (std::string(level) == "off"));
    }
}
