// SPDX-License-Identifier: MIT
//
// Which sanitizer this build has, for the few tests that cannot share a process with one.
#ifndef IOENGINE_TESTS_SUPPORT_SANITIZER_HPP
#define IOENGINE_TESTS_SUPPORT_SANITIZER_HPP

#if defined(__SANITIZE_ADDRESS__)
#define IOENGINE_TESTS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IOENGINE_TESTS_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define IOENGINE_TESTS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IOENGINE_TESTS_TSAN 1
#endif
#endif

namespace test {

#if defined(IOENGINE_TESTS_ASAN)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

#if defined(IOENGINE_TESTS_TSAN)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_SANITIZER_HPP
