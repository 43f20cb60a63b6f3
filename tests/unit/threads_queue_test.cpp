// SPDX-License-Identifier: MIT
//
// Goal: several producers at one bounded queue: each one's order holds, counts never go below zero
// or beyond the limit, and a producer that waits for a place is never forgotten.
// Method: producers, one consumer, and a thread that looks at the counts all the time.

#include "lib/scheduler.hpp"
#include "tests/unit/unit.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::size_t kProducers = 4;

// Requests of one producer: fd says whose, offset says which.
std::vector<Request> numbered(std::size_t producer, std::uint64_t count) {
    std::vector<Request> requests(count);
    for (std::uint64_t i = 0; i < count; ++i) {
        requests[i].complete = [](Request*) noexcept {};
        requests[i].action = IOAction::read;
        requests[i].fd = static_cast<int>(producer);
        requests[i].offset = i;
    }
    return requests;
}

}  // namespace

TEST_CASE("requests of one channel leave in the order in which each thread submitted them",
          "[scheduler][threads][D6]") {
    constexpr std::uint64_t kEach = 20'000;
    ContextConfig config;
    config.queue_limit = 256;
    test::QuietContext rig(config);
    std::vector<std::vector<Request>> requests;
    for (std::size_t p = 0; p < kProducers; ++p)
        requests.push_back(numbered(p, kEach));
    std::vector<std::thread> producers;
    for (std::size_t p = 0; p < kProducers; ++p)
        producers.emplace_back([&, p] {
            const Channel channel = p % 2 == 0 ? Channel::read : Channel::prio;
            for (Request& request : requests[p])
                while (!rig.context.push(request, channel))
                    std::this_thread::yield();
        });
    std::uint64_t next[kProducers] = {};
    std::uint64_t total = 0;
    std::uint64_t out_of_order = 0;
    std::vector<Request*> taken;
    test::wait_until(
        [&] {
            for (int i = 0; i < 100; ++i) {
                taken.clear();
                total += poll_request_from_queues(rig.context, 7, taken);
                for (const Request* request : taken)
                    out_of_order += request->offset != next[request->fd]++;
            }
            return total == kProducers * kEach;
        },
        "waiting for all requests of four producers");
    for (std::thread& producer : producers)
        producer.join();
    REQUIRE(out_of_order == 0);
    REQUIRE(rig.context.accepted() == kProducers * kEach);
}

TEST_CASE("defect 9: counts of a queue never go below zero, whoever looks when",
          "[queue][threads][A7][defect-9]") {
    constexpr std::uint64_t kEach = 20'000;
    constexpr std::uint32_t kLimit = 16;
    RequestCount count;
    RequestQueue queue(kLimit, count);
    std::vector<Request> requests(kProducers);  // each one's own: a push writes to it
    std::atomic<bool> over{false};
    std::atomic<std::uint64_t> accepted{0};
    std::atomic<std::uint64_t> wrong{0};
    std::vector<std::thread> producers;
    for (std::size_t p = 0; p < kProducers; ++p)
        producers.emplace_back([&, p] {
            for (std::uint64_t i = 0; i < kEach;) {
                if (queue.push(requests[p]) != RequestQueue::Pushed::yes) {
                    std::this_thread::yield();
                    continue;
                }
                accepted.fetch_add(1, std::memory_order_relaxed);
                ++i;
            }
        });
    std::thread looker([&] {
        std::uint64_t accepted_before = 0;
        while (!over.load()) {
            const std::uint64_t accepted_now = queue.accepted();
            if (queue.waiting() > kProducers * kEach || accepted_now < accepted_before)
                wrong.fetch_add(1);
            accepted_before = accepted_now;
        }
    });
    std::atomic<bool> producing{true};
    std::uint64_t popped = 0;
    std::thread consumer([&] {
        for (;;) {
            const bool last_look = !producing.load();
            std::uint64_t n = 0;
            for (; queue.front() != nullptr; ++n)
                queue.take();
            popped += n;
            if (n == 0 && last_look)
                return;
        }
    });
    for (std::thread& producer : producers)
        producer.join();
    producing.store(false);
    consumer.join();
    over.store(true);
    looker.join();
    REQUIRE(wrong.load() == 0);
    REQUIRE(accepted.load() == kProducers * kEach);
    REQUIRE(popped == accepted.load());
    REQUIRE(queue.accepted() == accepted.load());
    REQUIRE(queue.waiting() == 0);
}

TEST_CASE("a queue that has room for everybody is never full for anybody", "[queue][threads][A8]") {
    constexpr std::uint64_t kEach = 50'000;
    RequestCount count;
    RequestQueue queue(kProducers, count);
    std::vector<Request> requests(kProducers);
    std::atomic<bool> outside[kProducers];
    for (auto& request : outside)
        request.store(true);
    std::atomic<std::uint64_t> refused{0};
    std::atomic<std::uint64_t> popped{0};
    std::vector<std::thread> threads;
    for (std::size_t p = 0; p < kProducers; ++p)
        threads.emplace_back([&, p] {
            // Each has one request and pushes it when it is out, so no more than the limit are in.
            requests[p].offset = p;
            for (std::uint64_t i = 0; i < kEach; ++i) {
                while (!outside[p].exchange(false))
                    std::this_thread::yield();
                while (queue.push(requests[p]) != RequestQueue::Pushed::yes)
                    refused.fetch_add(1);
            }
        });
    threads.emplace_back([&] {
        while (popped.load() != kProducers * kEach) {
            const Request* const request = queue.front();
            if (request == nullptr) {
                std::this_thread::yield();
                continue;
            }
            queue.take();
            popped.fetch_add(1);
            outside[request->offset].store(true);
        }
    });
    test::wait_until([&] { return popped.load() == kProducers * kEach; },
                     "waiting for producers of one request each");
    for (std::thread& thread : threads)
        thread.join();
    REQUIRE(refused.load() == 0);
}

TEST_CASE("a producer that waits for a place is never forgotten, whoever else tries",
          "[queue][threads][A8]") {
    constexpr int kRounds = 3000;
    constexpr std::uint64_t kWaiters = 2;
    RequestCount count;
    RequestQueue queue(1, count);
    EventCount space;
    std::vector<Request> requests(kWaiters + 1);  // each one's own: a push writes to it
    std::atomic<std::uint64_t> in{0};
    std::atomic<std::uint64_t> out{0};
    std::atomic<int> round{0};
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    // As Engine::submit_wait().
    for (std::uint64_t w = 0; w < kWaiters; ++w)
        threads.emplace_back([&, w] {
            for (int i = 0; i < kRounds; ++i) {
                while (round.load() < i)
                    std::this_thread::yield();
                for (;;) {
                    const std::uint32_t seen = space.prepare();
                    if (queue.push(requests[w]) == RequestQueue::Pushed::yes)
                        break;
                    space.park(seen, EventCount::Wants::anything);
                }
                in.fetch_add(1);
            }
        });
    // As Engine::submit() by somebody who does not try again.
    std::atomic<std::uint64_t> passing{0};
    threads.emplace_back([&] {
        for (int i = 0; i < kRounds; ++i) {
            while (round.load() < i)
                std::this_thread::yield();
            if (queue.push(requests[kWaiters]) == RequestQueue::Pushed::yes)
                passing.fetch_add(1);
        }
    });
    // As the submit role.
    threads.emplace_back([&] {
        while (!over.load()) {
            if (queue.front() != nullptr) {
                queue.take();
                out.fetch_add(1);
                space.notify_urgent();
            } else {
                std::this_thread::yield();
            }
        }
    });
    for (int i = 0; i < kRounds; ++i) {
        round.store(i);
        const auto all = [&] { return in.load() == static_cast<std::uint64_t>(i + 1) * kWaiters; };
        for (int looks = 0; looks < 1000 && !all(); ++looks)
            std::this_thread::yield();
        test::wait_until(all, "waiting for producers that wait for a place");
    }
    over.store(true);
    for (std::thread& thread : threads)
        thread.join();
    for (; queue.front() != nullptr; out.fetch_add(1))
        queue.take();
    REQUIRE(in.load() == kRounds * kWaiters);
    REQUIRE(out.load() == in.load() + passing.load());
}
