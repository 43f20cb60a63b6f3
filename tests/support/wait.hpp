// SPDX-License-Identifier: MIT
//
// Waiting for what callbacks do: Latch, and wait_until for conditions nobody announces.
//
// No test has a time limit: machines that run tests are noisy. A wait that lasts kSafetyBound is a
// hang, and ends the whole program with a message, since the storage that requests in flight use
// could not be taken down anyway.
#ifndef IOENGINE_TESTS_SUPPORT_WAIT_HPP
#define IOENGINE_TESTS_SUPPORT_WAIT_HPP

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace test {

constexpr std::chrono::seconds kSafetyBound{180};

[[noreturn]] inline void give_up(const char* what) {
    std::fprintf(stderr, "gave up after %lld s: %s\n", static_cast<long long>(kSafetyBound.count()),
                 what);
    std::fflush(nullptr);
    std::abort();
}

// Counts down to zero; may be counted down from any thread, also from callbacks. The waiter may
// destroy it as soon as wait() returns.
class Latch {
  public:
    explicit Latch(std::uint64_t expected) : left_(expected) {}

    void count_down(std::uint64_t by = 1) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (by > left_) {
            std::fprintf(stderr, "a latch was counted down more often than expected\n");
            std::abort();
        }
        left_ -= by;
        if (left_ == 0)
            zero_.notify_all();  // under the lock: the waiter may destroy this right after
    }

    // Returns once the count is zero. `what` is what the message of a hang says.
    void wait(const char* what = "waiting for notices that do not come") {
        std::unique_lock<std::mutex> lock(mutex_);
        if (!zero_.wait_for(lock, kSafetyBound, [this] { return left_ == 0; }))
            give_up(what);
    }

    bool open() const {
        const std::lock_guard<std::mutex> lock(mutex_);
        return left_ == 0;
    }

  private:
    mutable std::mutex mutex_;
    std::condition_variable zero_;
    std::uint64_t left_;
};

// For conditions that no callback announces, such as a gauge or a line in /proc.
template <class Condition>
void wait_until(Condition&& condition, const char* what) {
    const auto end = std::chrono::steady_clock::now() + kSafetyBound;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end)
            give_up(what);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_WAIT_HPP
