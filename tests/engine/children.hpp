// SPDX-License-Identifier: MIT
//
// What forked children of the engine's tests have in common. See tests/support/child.hpp.
#ifndef IOENGINE_TESTS_ENGINE_CHILDREN_HPP
#define IOENGINE_TESTS_ENGINE_CHILDREN_HPP

#include "tests/support/support.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

namespace test::children {

using namespace ioengine;

// What a child must be able to do with whatever context it got.
inline void require_child_moves_data(test::Context& io) {
    const test::TempFile file;
    const char out[] = "moved by whatever backend there is";
    char in[sizeof(out)] = {};
    test::Latch written(1);
    CHILD_CHECK(io.write(file.fd(), out, 0, [&](Result result) {
        CHILD_CHECK(result.bytes() == sizeof(out));
        written.count_down();
    }));
    written.wait();
    test::Latch read(1);
    CHILD_CHECK(io.read(file.fd(), in, 0, [&](Result result) {
        CHILD_CHECK(result.bytes() == sizeof(out));
        read.count_down();
    }));
    read.wait();
    CHILD_CHECK(std::memcmp(in, out, sizeof(out)) == 0);
    CHILD_CHECK(io.shutdown().clean);
}

inline Options options_for(Backend backend) {
    Options options;
    options.backend = backend;
    return options;
}

inline void print(const Error& error) {
    std::printf("error %s, errno %d: %s; hint: %s\n", error_code_name(error.code), error.sys_errno,
                error.message, error.hint);
}

// Neither the user's environment nor that of the test run may choose.
inline void clear_environment() {
    ::unsetenv("IOENGINE_BACKEND");
    ::unsetenv("IOENGINE_DISABLE");
}

inline void require_child_succeeds(const std::function<void()>& body) {
    const test::ChildOutcome child = test::run_child([&body] {
        clear_environment();
        body();
        return 0;
    });
    INFO(child.output);
    REQUIRE(child.signal == 0);
    REQUIRE(child.exit_code == 0);
}

}  // namespace test::children

#endif  // IOENGINE_TESTS_ENGINE_CHILDREN_HPP
