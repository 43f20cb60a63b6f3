// SPDX-License-Identifier: MIT
//
// What churn_test.cpp and the plugin that it loads agree on.
#ifndef IOENGINE_TESTS_ABI_CHURN_PLUGIN_HPP
#define IOENGINE_TESTS_ABI_CHURN_PLUGIN_HPP

extern "C" {

// Null if the backend ("uring" or "aio") works here, else why not.
using ChurnUnavailable = const char*(const char* backend);

// Makes a context, completes `requests` no-ops and one read on it, and destroys it. 0: done, above
// 0: the errno of a create that may succeed later, -1: failed, with the reason on standard error.
using ChurnOnce = int(const char* backend, unsigned requests);

}  // extern "C"

#endif  // IOENGINE_TESTS_ABI_CHURN_PLUGIN_HPP
