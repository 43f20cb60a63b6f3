// SPDX-License-Identifier: MIT
//
// Goal: no wake-up is lost, whoever notifies whom, however sleeps and notifications fall together.
// Method: threads that depend on each other's wake-ups for every single step: one that gets lost
// stops them all, and the wait for the end gives up. The proof is the model's part:
// tests/models/parking.pml.

#include "lib/event_count.hpp"
#include "tests/unit/unit.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::uint64_t kRounds = 100'000;
using Wants = EventCount::Wants;

// What a sleeper wants, and a notification that is for it.
struct Bond {
    Wants wants;
    void (*notify)(EventCount& count);
};
constexpr Bond kBonds[] = {
    {Wants::anything, [](EventCount& count) { count.notify_work(); }},
    {Wants::anything, [](EventCount& count) { count.notify_urgent(); }},
    {Wants::urgent_only, [](EventCount& count) { count.notify_slots(); }},
    {Wants::urgent_only, [](EventCount& count) { count.notify_urgent(); }},
};

// Parks until `ready()`.
template <class Ready>
void await(EventCount& count, Wants wants, Ready&& ready) {
    for (;;) {
        const std::uint32_t seen = count.prepare();
        if (ready())
            return;
        count.park(seen, wants);
    }
}

// Adds to `from` what is there, in one go; false if there is nothing.
bool take_all(std::atomic<std::uint64_t>& from, std::uint64_t& total) {
    const std::uint64_t taken = from.exchange(0, std::memory_order_acquire);
    total += taken;
    return taken != 0;
}

}  // namespace

TEST_CASE("two threads that wake each other a hundred thousand times never both sleep",
          "[event-count][threads]") {
    for (const Bond& bond : kBonds) {
        constexpr std::uint64_t kEach = kRounds / std::size(kBonds);
        EventCount counts[2];
        std::atomic<std::uint64_t> ball{0};  // even: the first player's, odd: the second's
        const auto play = [&](std::uint64_t me) {
            for (std::uint64_t i = 0; i < kEach; ++i) {
                await(counts[me], bond.wants,
                      [&] { return ball.load(std::memory_order_acquire) == 2 * i + me; });
                ball.store(2 * i + me + 1, std::memory_order_release);
                bond.notify(counts[1 - me]);
            }
        };
        std::thread first(play, 0);
        std::thread second(play, 1);
        test::wait_until([&] { return ball.load() == 2 * kEach; },
                         "waiting for two threads that wake each other");
        first.join();
        second.join();
        REQUIRE(ball.load() == 2 * kEach);
    }
}

TEST_CASE("a consumer hears of every piece of work of four producers", "[event-count][threads]") {
    constexpr std::uint64_t kProducers = 4;
    EventCount count;
    std::atomic<std::uint64_t> waiting{0};
    std::atomic<std::uint64_t> consumed{0};
    std::thread consumer([&] {
        std::uint64_t total = 0;
        while (total < kRounds) {
            await(count, Wants::anything, [&] { return take_all(waiting, total); });
            consumed.store(total);
        }
    });
    std::vector<std::thread> producers;
    for (std::uint64_t p = 0; p < kProducers; ++p)
        producers.emplace_back([&, p] {
            test::Random random(p);
            for (std::uint64_t i = 0; i < kRounds / kProducers; ++i) {
                waiting.fetch_add(1, std::memory_order_release);
                count.notify_work();
                if (random.below(8) == 0)
                    std::this_thread::yield();  // lets the consumer fall asleep
            }
        });
    test::wait_until([&] { return consumed.load() == kRounds; }, "waiting for a consumer");
    for (std::thread& producer : producers)
        producer.join();
    consumer.join();
    REQUIRE(consumed.load() == kRounds);
}

TEST_CASE("a submitter that sleeps for work or for slots, as it lacks them, misses neither",
          "[event-count][threads]") {
    constexpr std::uint64_t kSlots = 3;
    EventCount submitter;
    EventCount poller;
    std::atomic<std::uint64_t> work{0};
    std::atomic<std::uint64_t> free_slots{kSlots};
    std::atomic<std::uint64_t> in_flight{0};
    std::atomic<std::uint64_t> completed{0};
    std::thread submits([&] {
        std::uint64_t have = 0;
        std::uint64_t slots = 0;
        for (std::uint64_t done = 0; done < kRounds;) {
            const std::uint32_t seen = submitter.prepare();
            take_all(work, have);
            take_all(free_slots, slots);
            if (have != 0 && slots != 0) {
                --have;
                --slots;
                ++done;
                in_flight.fetch_add(1, std::memory_order_release);
                poller.notify_work();
                continue;
            }
            submitter.park(seen, slots == 0 ? Wants::urgent_only : Wants::anything);
        }
    });
    std::thread polls([&] {
        for (std::uint64_t total = 0; total < kRounds;) {
            std::uint64_t reaped = 0;
            await(poller, Wants::anything, [&] { return take_all(in_flight, reaped); });
            total += reaped;
            free_slots.fetch_add(reaped, std::memory_order_release);
            submitter.notify_slots();
            completed.store(total);
        }
    });
    std::thread produces([&] {
        for (std::uint64_t i = 0; i < kRounds; ++i) {
            work.fetch_add(1, std::memory_order_release);
            submitter.notify_work();
            if (i % 16 == 0)
                std::this_thread::yield();
        }
    });
    test::wait_until([&] { return completed.load() == kRounds; },
                     "waiting for a submitter and a poller");
    produces.join();
    submits.join();
    polls.join();
    REQUIRE(completed.load() == kRounds);
}

TEST_CASE("urgent news wakes all of several sleepers, each time", "[event-count][threads]") {
    constexpr std::uint64_t kSleepers = 4;
    constexpr std::uint64_t kNews = 10'000;
    EventCount count;
    EventCount back;
    std::atomic<std::uint64_t> news{0};
    std::atomic<std::uint64_t> heard{0};
    std::vector<std::thread> sleepers;
    for (std::uint64_t s = 0; s < kSleepers; ++s)
        sleepers.emplace_back([&, s] {
            const Wants wants = s % 2 == 0 ? Wants::anything : Wants::urgent_only;
            for (std::uint64_t i = 1; i <= kNews; ++i) {
                await(count, wants, [&] { return news.load(std::memory_order_acquire) >= i; });
                heard.fetch_add(1, std::memory_order_release);
                back.notify_work();
            }
        });
    std::thread teller([&] {
        for (std::uint64_t i = 1; i <= kNews; ++i) {
            news.store(i, std::memory_order_release);
            count.notify_urgent();
            await(back, Wants::anything,
                  [&] { return heard.load(std::memory_order_acquire) == i * kSleepers; });
        }
    });
    test::wait_until([&] { return heard.load() == kNews * kSleepers; }, "waiting for sleepers");
    teller.join();
    for (std::thread& sleeper : sleepers)
        sleeper.join();
    REQUIRE(heard.load() == kNews * kSleepers);
}

TEST_CASE("sleeps that end by their time limit lose no notification either",
          "[event-count][threads]") {
    constexpr std::uint64_t kItems = 20'000;
    EventCount count;
    std::atomic<std::uint64_t> waiting{0};
    std::atomic<std::uint64_t> consumed{0};
    std::atomic<bool> asleep_for_good{false};
    std::thread consumer([&] {
        std::uint64_t total = 0;
        for (std::uint64_t turn = 0; total < kItems; ++turn) {
            const std::uint32_t seen = count.prepare();
            if (take_all(waiting, total)) {
                consumed.store(total);
                continue;
            }
            // Mostly sleeps that end by themselves; in between one that only a wake-up ends.
            const bool for_good = turn % 4 == 0;
            asleep_for_good.store(for_good);
            count.park(seen, Wants::anything, for_good ? EventCount::kNoLimit : 20'000);
        }
    });
    std::thread producer([&] {
        for (std::uint64_t i = 0; i < kItems; ++i) {
            waiting.fetch_add(1, std::memory_order_release);
            count.notify_work();
            if (asleep_for_good.load())
                std::this_thread::yield();
        }
    });
    test::wait_until([&] { return consumed.load() == kItems; }, "waiting for a consumer");
    producer.join();
    consumer.join();
    REQUIRE(consumed.load() == kItems);
}
