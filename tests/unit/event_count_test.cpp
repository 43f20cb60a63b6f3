// SPDX-License-Identifier: MIT
//
// Goal: who is woken by what, and what a notification costs when nobody sleeps.
// Method: one thread, sleeps that end by their time limit: a flag that outlives its sleeper tells
// whom the next notifier would have woken. Then real sleepers, watched through /proc.

#include "lib/clock.hpp"
#include "lib/event_count.hpp"
#include "tests/unit/unit.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

using namespace ioengine;

namespace {

constexpr std::int64_t kMillisecond = 1'000'000;

// 'S' while the thread sleeps in the kernel.
char state_of_thread(long tid) {
    const std::string path = "/proc/self/task/" + std::to_string(tid) + "/stat";
    std::FILE* const file = std::fopen(path.c_str(), "re");
    if (file == nullptr)
        return '?';
    char line[256] = {};
    const char* const read = std::fgets(line, sizeof line, file);
    std::fclose(file);
    const std::string text = read != nullptr ? line : "";
    const std::size_t bracket = text.rfind(')');
    return bracket != std::string::npos && bracket + 2 < text.size() ? text[bracket + 2] : '?';
}

// A thread that parks once, without a limit.
class Sleeper {
  public:
    Sleeper(EventCount& count, EventCount::Wants wants)
        : thread_([this, &count, wants] {
              const std::uint32_t seen = count.prepare();
              tid_.store(::syscall(SYS_gettid), std::memory_order_release);
              count.park(seen, wants);
              awake_.store(true, std::memory_order_release);
          }) {
        test::wait_until([this] { return tid() != 0 && state_of_thread(tid()) == 'S'; },
                         "waiting for a thread to fall asleep");
    }
    ~Sleeper() { thread_.join(); }

    bool awake() const { return awake_.load(std::memory_order_acquire); }
    // Still asleep after it had every opportunity to wake.
    bool sleeps_on() const {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return !awake() && state_of_thread(tid()) == 'S';
    }
    void wait_awake() const {
        test::wait_until([this] { return awake(); }, "waiting for a sleeper to wake");
    }

  private:
    long tid() const { return tid_.load(std::memory_order_acquire); }

    std::atomic<long> tid_{0};
    std::atomic<bool> awake_{false};
    std::thread thread_;
};

}  // namespace

TEST_CASE("a notification makes no system call while nobody has parked", "[event-count]") {
    EventCount count;
    REQUIRE_FALSE(count.notify_work());
    REQUIRE_FALSE(count.notify_slots());
    REQUIRE_FALSE(count.notify_urgent());
}

TEST_CASE("park returns at once when something was notified since prepare", "[event-count]") {
    EventCount count;
    for (const auto wants : {EventCount::Wants::anything, EventCount::Wants::urgent_only}) {
        const std::uint32_t seen = count.prepare();
        count.notify_slots();
        REQUIRE(count.park(seen, wants));  // without a limit: it would hang
    }
}

TEST_CASE("park returns false when its time has run out, and not before", "[event-count]") {
    EventCount count;
    const std::uint64_t begun = now_ns();
    REQUIRE_FALSE(count.park(count.prepare(), EventCount::Wants::anything, 5 * kMillisecond));
    REQUIRE(now_ns() - begun >= 5u * kMillisecond);
    REQUIRE_FALSE(count.park(count.prepare(), EventCount::Wants::urgent_only, 0));
}

TEST_CASE("only work and urgent news are for a sleeper that wants anything", "[event-count]") {
    EventCount count;
    const auto sleep = [&count] {
        REQUIRE_FALSE(count.park(count.prepare(), EventCount::Wants::anything, kMillisecond));
    };
    sleep();
    REQUIRE_FALSE(count.notify_slots());
    REQUIRE(count.notify_work());
    sleep();
    REQUIRE(count.notify_urgent());
}

TEST_CASE("only slots and urgent news are for a sleeper that has work and no place for it",
          "[event-count]") {
    EventCount count;
    const auto sleep = [&count] {
        REQUIRE_FALSE(count.park(count.prepare(), EventCount::Wants::urgent_only, kMillisecond));
    };
    sleep();
    REQUIRE_FALSE(count.notify_work());
    REQUIRE(count.notify_slots());
    sleep();
    REQUIRE(count.notify_urgent());
}

TEST_CASE("a flag that outlived its sleeper costs the next notifier one call and nothing else",
          "[event-count]") {
    EventCount count;
    REQUIRE_FALSE(count.park(count.prepare(), EventCount::Wants::anything, kMillisecond));
    REQUIRE(count.notify_work());
    REQUIRE_FALSE(count.notify_work());
    REQUIRE_FALSE(count.notify_urgent());
}

TEST_CASE("free slots do not wake a sleeper that wants anything; work does", "[event-count]") {
    EventCount count;
    const Sleeper sleeper(count, EventCount::Wants::anything);
    for (int i = 0; i < 100; ++i)
        REQUIRE_FALSE(count.notify_slots());
    REQUIRE(sleeper.sleeps_on());
    REQUIRE(count.notify_work());
    sleeper.wait_awake();
    REQUIRE(sleeper.awake());
}

TEST_CASE("work does not wake a sleeper that wants urgent news only; slots do", "[event-count]") {
    EventCount count;
    const Sleeper sleeper(count, EventCount::Wants::urgent_only);
    for (int i = 0; i < 100; ++i)
        REQUIRE_FALSE(count.notify_work());
    REQUIRE(sleeper.sleeps_on());
    REQUIRE(count.notify_slots());
    sleeper.wait_awake();
    REQUIRE(sleeper.awake());
}

TEST_CASE("urgent news wakes every sleeper, whatever each wants", "[event-count]") {
    EventCount count;
    const Sleeper first(count, EventCount::Wants::anything);
    const Sleeper second(count, EventCount::Wants::urgent_only);
    REQUIRE(count.notify_urgent());
    first.wait_awake();
    second.wait_awake();
    REQUIRE(first.awake());
    REQUIRE(second.awake());
}
