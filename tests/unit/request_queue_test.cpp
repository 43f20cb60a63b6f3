// SPDX-License-Identifier: MIT
//
// Goal: a queue's bound is exact, a failed allocation leaves the request with the caller, and the
// counts are right.
// Method: one thread; the queue's source of memory is made to fail. Several threads are in
// tests/unit/threads_queue_test.cpp.

#include "lib/request_queue.hpp"
#include "tests/support/scarce_memory.hpp"
#include "tests/unit/unit.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace ioengine;

namespace {

using test::ScarceMemory;

std::size_t take(RequestQueue& queue, std::size_t max, std::vector<Request*>& into) {
    std::size_t total = 0;
    for (; total < max && queue.front() != nullptr; ++total) {
        into.push_back(queue.front());
        queue.take();
    }
    return total;
}

// In turns: what the driving thread submits, and what others do.
void push_both(RequestQueue& queue, test::Requests& requests, std::uint64_t count,
               std::vector<Request*>& own, std::vector<Request*>& others) {
    queue.becomes_own();
    for (std::uint64_t i = 0; i < count; ++i) {
        own.push_back(&requests.read(i));
        REQUIRE(queue.push_own(*own.back()) == RequestQueue::Pushed::yes);
        others.push_back(&requests.read(i));
        REQUIRE(queue.push(*others.back()) == RequestQueue::Pushed::yes);
    }
}

}  // namespace

TEST_CASE("a queue takes exactly its limit, and one more for each that leaves", "[queue][A8]") {
    for (const std::uint32_t limit : {1u, 2u, 31u, 32u, 33u, 1000u, 5000u}) {
        RequestCount count;
        RequestQueue queue(limit, count);
        test::Requests requests;
        Request& request = requests.read(0);
        for (std::uint32_t i = 0; i < limit; ++i)
            REQUIRE(queue.push(request) == RequestQueue::Pushed::yes);
        for (int i = 0; i < 3; ++i)
            REQUIRE(queue.push(request) == RequestQueue::Pushed::full);
        REQUIRE(queue.waiting() == limit);
        REQUIRE(queue.accepted() == limit);
        REQUIRE(queue.front() == &request);
        REQUIRE(queue.push(request) == RequestQueue::Pushed::full);  // looked at, not taken
        queue.take();
        REQUIRE(queue.push(request) == RequestQueue::Pushed::yes);
        REQUIRE(queue.push(request) == RequestQueue::Pushed::full);
        REQUIRE(queue.waiting() == limit);
        REQUIRE(queue.accepted() == limit + 1);
    }
}

TEST_CASE("a queue gives one after the other, in order, and nothing when empty", "[queue][D6]") {
    RequestCount count;
    RequestQueue queue(100, count);
    test::Requests requests;
    REQUIRE(queue.front() == nullptr);
    for (std::uint64_t i = 0; i < 70; ++i)
        REQUIRE(queue.push(requests.read(i)) == RequestQueue::Pushed::yes);
    std::vector<Request*> all;
    REQUIRE(take(queue, 7, all) == 7);
    REQUIRE(queue.waiting() == 63);
    REQUIRE(take(queue, 100, all) == 63);
    for (std::uint64_t i = 0; i < 70; ++i)
        REQUIRE(all[i]->offset == i);
    REQUIRE(queue.waiting() == 0);
    REQUIRE(queue.front() == nullptr);
}

TEST_CASE("without memory for a block the push says so, counts nothing, and works again later",
          "[queue][A8]") {
    test::Requests requests;
    Request& request = requests.read(0);
    RequestCount count;
    RequestQueue queue(1u << 20, count);
    std::uint64_t in = 0;
    {
        const ScarceMemory scarce(4);  // this thread's producer record and a little more
        while (queue.push(request) == RequestQueue::Pushed::yes)
            REQUIRE(++in < (1u << 20));
        REQUIRE(in > 0);
        for (int i = 0; i < 3; ++i)
            REQUIRE(queue.push(request) == RequestQueue::Pushed::no_memory);
        REQUIRE(queue.waiting() == in);
        REQUIRE(queue.accepted() == in);
    }
    REQUIRE(queue.push(request) == RequestQueue::Pushed::yes);
    std::vector<Request*> all;
    REQUIRE(take(queue, SIZE_MAX, all) == in + 1);
    REQUIRE(queue.waiting() == 0);
}

TEST_CASE("a context that has no memory for a request refuses it and the caller keeps it",
          "[queue][A8]") {
    test::QuietContext rig;
    test::Requests requests;
    {
        const ScarceMemory scarce(0);
        const Acceptance acceptance = rig.context.push(requests.read(0), Channel::automatic);
        REQUIRE(acceptance.code() == ErrorCode::no_memory);
        REQUIRE(rig.context.accepted() == 0);
        REQUIRE(rig.context.read.waiting() == 0);
    }
    REQUIRE(rig.context.push(requests.read(0), Channel::automatic));
    REQUIRE(rig.context.accepted() == 1);
}

TEST_CASE("blocks of a queue are used again: filling and draining it takes no further memory",
          "[queue]") {
    test::Requests requests;
    Request& request = requests.read(0);
    RequestCount count;
    RequestQueue queue(4096, count);
    std::vector<Request*> all;
    for (int i = 0; i < 4096; ++i)
        REQUIRE(queue.push(request) == RequestQueue::Pushed::yes);
    take(queue, SIZE_MAX, all);
    const ScarceMemory scarce(0);
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 4000; ++i)
            REQUIRE(queue.push(request) == RequestQueue::Pushed::yes);
        all.clear();
        REQUIRE(take(queue, SIZE_MAX, all) == 4000);
    }
}

TEST_CASE(
    "what a thread pushed before the submit role was its own stays before what it pushes then",
    "[queue][D6][threading]") {
    RequestCount count;
    RequestQueue queue(100, count);
    test::Requests requests;
    std::vector<Request*> pushed;
    for (std::uint64_t i = 0; i < 70; ++i) {
        pushed.push_back(&requests.read(i));
        REQUIRE(queue.push(*pushed.back()) == RequestQueue::Pushed::yes);
    }
    queue.becomes_own();
    for (std::uint64_t i = 70; i < 100; ++i) {
        pushed.push_back(&requests.read(i));
        REQUIRE(queue.push_own(*pushed.back()) == RequestQueue::Pushed::yes);
    }
    REQUIRE(queue.push_own(requests.read(100)) == RequestQueue::Pushed::full);
    REQUIRE(queue.waiting() == 100);
    std::vector<Request*> taken;
    REQUIRE(take(queue, 200, taken) == 100);
    REQUIRE(taken == pushed);
    REQUIRE(queue.waiting() == 0);
}

TEST_CASE("own requests and those of others take turns, each in order", "[queue][D6][threading]") {
    RequestCount count;
    RequestQueue queue(1000, count);
    test::Requests requests;
    std::vector<Request*> own;
    std::vector<Request*> others;
    push_both(queue, requests, 200, own, others);
    std::vector<Request*> taken;
    std::vector<Request*> own_taken;
    std::vector<Request*> others_taken;
    for (int part = 1; part <= 4; ++part) {
        taken.clear();
        REQUIRE(take(queue, 100, taken) == 100);
        for (Request* const request : taken) {
            const bool is_own = std::find(own.begin(), own.end(), request) != own.end();
            (is_own ? own_taken : others_taken).push_back(request);
        }
        const auto even = static_cast<std::size_t>(50 * part);
        REQUIRE(own_taken.size() + 16 >= even);
        REQUIRE(others_taken.size() + 16 >= even);
    }
    REQUIRE(own_taken == own);
    REQUIRE(others_taken == others);
}

TEST_CASE("what a search leaves of own requests and others' stays in order", "[queue][H6]") {
    RequestCount count;
    RequestQueue queue(1000, count);
    test::Requests requests;
    std::vector<Request*> own;
    std::vector<Request*> others;
    push_both(queue, requests, 60, own, others);
    REQUIRE(queue.front() != nullptr);  // some are looked at
    const auto is_odd = [](const Request& request) { return request.offset % 2 != 0; };
    std::size_t removed = 0;
    REQUIRE(queue.remove_if(is_odd, [&removed](Request&) { ++removed; }));
    REQUIRE(removed == 60);
    REQUIRE(queue.waiting() == 60);
    own.push_back(&requests.read(60));
    REQUIRE(queue.push_own(*own.back()) == RequestQueue::Pushed::yes);
    std::vector<Request*> taken;
    REQUIRE(take(queue, 200, taken) == 61);
    for (std::vector<Request*>* const all : {&own, &others}) {
        auto next = taken.begin();
        for (Request* const request : *all)
            if (!is_odd(*request)) {
                next = std::find(next, taken.end(), request);
                REQUIRE(next != taken.end());
            }
    }
}
