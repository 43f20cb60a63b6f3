// SPDX-License-Identifier: MIT
//
// Everything tests share, in one include.
//
//   catch.hpp      Catch2 and SKIP_TEST           backends.hpp   one test, every backend
//   wait.hpp       Latch, wait_until              requests.hpp   one request, Plug, SlotFillers
//   random.hpp     seeds, patterns, digest        tracker.hpp    exactly one notice each
//   temp_file.hpp  files, pipes, small tmpfs      process.hpp    what /proc/self says
//   child.hpp      forked children, seccomp       sanitizer.hpp  which one this build has
#ifndef IOENGINE_TESTS_SUPPORT_SUPPORT_HPP
#define IOENGINE_TESTS_SUPPORT_SUPPORT_HPP

#include "tests/support/backends.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/child.hpp"
#include "tests/support/process.hpp"
#include "tests/support/random.hpp"
#include "tests/support/requests.hpp"
#include "tests/support/sanitizer.hpp"
#include "tests/support/temp_file.hpp"
#include "tests/support/tracker.hpp"
#include "tests/support/wait.hpp"

#endif  // IOENGINE_TESTS_SUPPORT_SUPPORT_HPP
