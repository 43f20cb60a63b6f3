// SPDX-License-Identifier: MIT
//
// Catch2, version 2 or 3 alike, with a way to skip: the only file of the tests that includes it.
#ifndef IOENGINE_TESTS_SUPPORT_CATCH_HPP
#define IOENGINE_TESTS_SUPPORT_CATCH_HPP

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define IOENGINE_CATCH_MAJOR 3
#else
#include <catch2/catch.hpp>
#define IOENGINE_CATCH_MAJOR 2
#endif

#include <string>

namespace test {

// Ends the running test case and has it recorded as skipped, never as passed. If a check of the
// same case failed before, the case stays failed. Only on the thread that runs the case.
[[noreturn]] void skip_test(const std::string& reason);

}  // namespace test

#define SKIP_TEST(reason) ::test::skip_test(reason)

#endif  // IOENGINE_TESTS_SUPPORT_CATCH_HPP
