// SPDX-License-Identifier: MIT
//
// Tracker: proves that each accepted event got exactly one notice and each refused one none.
#ifndef IOENGINE_TESTS_SUPPORT_TRACKER_HPP
#define IOENGINE_TESTS_SUPPORT_TRACKER_HPP

#include "tests/support/catch.hpp"
#include "tests/support/wait.hpp"

#include <ioengine/ioengine.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace test {

// One cell per event, by index. The thread that submits says what became of the submission, the
// callback says that it ran; both from any thread.
class Tracker {
  public:
    explicit Tracker(std::size_t events) : cells_(events) {}

    std::size_t size() const { return cells_.size(); }

    void submitted(std::size_t index, const ioengine::Acceptance& acceptance) noexcept {
        cells_[index].answer.store(acceptance ? kAccepted : kRefused, std::memory_order_relaxed);
        (acceptance ? accepted_ : refused_).fetch_add(1, std::memory_order_relaxed);
    }
    void notice(std::size_t index, ioengine::Result result) noexcept {
        Cell& cell = cells_[index];
        cell.result.store(result.raw(), std::memory_order_relaxed);
        cell.notices.fetch_add(1, std::memory_order_relaxed);
        notices_.fetch_add(1, std::memory_order_release);  // pairs with wait_for_notices()
    }

    std::uint64_t accepted() const { return accepted_.load(std::memory_order_relaxed); }
    std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
    std::uint64_t notices() const { return notices_.load(std::memory_order_acquire); }
    ioengine::Result result(std::size_t index) const {
        return ioengine::Result(cells_[index].result.load(std::memory_order_relaxed));
    }

    // After all submissions: returns once as many notices came as events were accepted.
    void wait_for_notices() const {
        wait_until([this] { return notices() >= accepted(); }, "waiting for a notice per request");
    }

    // Once nothing moves any more.
    void require_exactly_once() const {
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < cells_.size(); ++i) {
            const unsigned notices = cells_[i].notices.load(std::memory_order_relaxed);
            const int answer = cells_[i].answer.load(std::memory_order_relaxed);
            const unsigned expected = answer == kAccepted ? 1 : 0;
            if (notices == expected)
                continue;
            if (++wrong <= 5)
                UNSCOPED_INFO("event " << i << " was " << kAnswers[answer] << " and got " << notices
                                       << " notices");
        }
        REQUIRE(wrong == 0);
        REQUIRE(notices() == accepted());
    }

  private:
    static constexpr int kNeverSubmitted = 0;
    static constexpr int kAccepted = 1;
    static constexpr int kRefused = 2;
    static constexpr const char* kAnswers[] = {"never submitted", "accepted", "refused"};

    struct Cell {
        std::atomic<unsigned> notices{0};
        std::atomic<int> answer{kNeverSubmitted};
        std::atomic<std::int64_t> result{0};
    };

    std::vector<Cell> cells_;
    std::atomic<std::uint64_t> accepted_{0};
    std::atomic<std::uint64_t> refused_{0};
    std::atomic<std::uint64_t> notices_{0};
};

// The callback of an event that a Tracker watches.
struct Tracked {
    Tracker* tracker;
    std::size_t index;
    void operator()(ioengine::Result result) const noexcept { tracker->notice(index, result); }
};

using TrackedEvent = ioengine::IOEvent<Tracked>;

// do_one(i) for each i below threads * each, from so many threads, each with `each` in a row.
template <class DoOne>
void in_threads(std::size_t threads, std::size_t each, DoOne&& do_one) {
    std::vector<std::thread> running;
    for (std::size_t t = 0; t < threads; ++t)
        running.emplace_back([&do_one, each, t] {
            for (std::size_t i = t * each; i < (t + 1) * each; ++i)
                do_one(i);
        });
    for (std::thread& thread : running)
        thread.join();
}

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_TRACKER_HPP
