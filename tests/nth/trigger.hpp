// SPDX-License-Identifier: MIT
//
// Trigger: counts events, and says which of them are to fail.
#ifndef IOENGINE_TESTS_NTH_TRIGGER_HPP
#define IOENGINE_TESTS_NTH_TRIGGER_HPP

#include <atomic>
#include <cstdint>

namespace nth {

// Any thread; seq_cst throughout, since nothing here is fast. arm() and disarm() come from the
// test's thread, and what others count meanwhile belongs to the old or the new run.
class Trigger {
  public:
    // From now on the events from `first` to `last`, counted from 1, fail.
    void arm(std::uint64_t first, std::uint64_t last) {
        first_.store(0);
        last_.store(last);
        seen_.store(0);
        failed_.store(0);
        first_.store(first);
    }
    void disarm() { first_.store(0); }
    // One event: is it to fail?
    bool pull() {
        const std::uint64_t first = first_.load();
        if (first == 0)
            return false;
        const std::uint64_t n = seen_.fetch_add(1) + 1;
        if (n < first || n > last_.load())
            return false;
        failed_.fetch_add(1);
        return true;
    }
    std::uint64_t failed() const { return failed_.load(); }

  private:
    std::atomic<std::uint64_t> first_{0};  // 0: not armed
    std::atomic<std::uint64_t> last_{0};
    std::atomic<std::uint64_t> seen_{0};
    std::atomic<std::uint64_t> failed_{0};
};

}  // namespace nth

#endif  // IOENGINE_TESTS_NTH_TRIGGER_HPP
