// SPDX-License-Identifier: MIT
//
// What nearly every test includes, compiled once per program. No test relies on it.
#include "tests/support/support.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
