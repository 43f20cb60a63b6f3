// SPDX-License-Identifier: MIT
//
// Goal: slots between the two roles: the state is enough to hand a request over, stale completions
// are ignored, and a description read at any moment is that of one request.
// Method: a "kernel" of relaxed atomics, which orders nothing, between a submit and a poll thread;
// a third thread describes slots all the time. All else is plain memory, for the thread sanitizer.

#include "lib/slot.hpp"
#include "tests/unit/unit.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::uint32_t kDepth = 4;
constexpr std::uint64_t kRequests = 30'000;

// What every label of request n must be, so that a mixture of two shows.
void number(Request& request, std::uint64_t n) {
    request.offset = n * 4096;
    request.length = n * 512 + 7;
    request.fd = static_cast<int>(n % 100'003);
    request.action = n % 2 == 0 ? IOAction::fsync : IOAction::fdatasync;
    request.queue = n % 3 == 0 ? Channel::prio : Channel::write;
}
bool is_one_request(const InFlight& entry) {
    Request expected;
    number(expected, entry.offset / 4096);
    return entry.length == expected.length && entry.fd == expected.fd &&
           entry.action == expected.action && entry.channel == expected.queue &&
           entry.age_ns == 1'000'000'000 - entry.offset / 4096;
}

}  // namespace

TEST_CASE("the slot's state alone hands requests over and back, and describes them untorn",
          "[slots][threads][H1]") {
    SlotPool<Slot> pool(kDepth);
    std::vector<Request> requests(kRequests);
    std::atomic<std::uint64_t> mailbox[kDepth];  // the kernel: 0 or a token + 1, ordering nothing
    for (auto& mail : mailbox)
        mail.store(0, std::memory_order_relaxed);
    std::atomic<std::uint64_t> completed{0};
    std::atomic<std::uint64_t> wrong{0};
    std::atomic<bool> over{false};
    const auto into_kernel = [&](Slot& slot) {
        const Token token = slot.token();
        pool.hand_over(slot);
        mailbox[token.slot()].store(token.value + 1, std::memory_order_relaxed);
    };

    std::thread submit([&] {
        for (std::uint64_t n = 0; n < kRequests;) {
            if (Slot* slot = pool.next_continuation()) {
                into_kernel(*slot);
                continue;
            }
            if (pool.available() == 0) {
                std::this_thread::yield();
                continue;
            }
            number(requests[n], n);
            Slot& slot = pool.take(requests[n], n);
            if (n % 7 == 0) {  // refused by the kernel: comes back and is taken again
                pool.hand_over(slot);
                pool.give_back(slot);
                into_kernel(pool.take(requests[n], n));
            } else {
                into_kernel(slot);
            }
            ++n;
        }
        while (completed.load() != kRequests)  // the last ones may still continue
            if (Slot* slot = pool.next_continuation())
                into_kernel(*slot);
            else
                std::this_thread::yield();
    });
    std::thread poll([&] {
        std::vector<Token> stale;
        std::uint64_t done = 0;
        while (done < kRequests) {
            bool idle = true;
            for (auto& mail : mailbox) {
                const std::uint64_t value = mail.exchange(0, std::memory_order_relaxed);
                if (value == 0)
                    continue;
                idle = false;
                const Token token{value - 1};
                Slot* const slot = pool.reclaim(token);
                if (slot == nullptr || slot->request == nullptr) {
                    wrong.fetch_add(1);
                    continue;
                }
                if (pool.reclaim(token) != nullptr)  // it comes twice
                    wrong.fetch_add(1);
                Request& request = *slot->request;
                if (request.result == 0 && request.offset % (5 * 4096) == 0) {
                    request.result = 1;
                    pool.carry_on(*slot);
                    continue;
                }
                request.result = 2;
                pool.release(*slot);
                completed.store(++done);
            }
            if (idle)
                std::this_thread::yield();
        }
    });
    std::uint64_t described = 0;
    std::thread describe([&] {
        for (; !over.load(); std::this_thread::yield())
            for (std::uint32_t i = 0; i < kDepth; ++i) {
                InFlight entry;
                if (!pool.describe(i, 1'000'000'000, entry))
                    continue;
                ++described;
                if (!is_one_request(entry))
                    wrong.fetch_add(1);
            }
    });
    test::wait_until([&] { return completed.load() == kRequests; }, "waiting for all requests");
    submit.join();
    poll.join();
    over.store(true);
    describe.join();
    REQUIRE(wrong.load() == 0);
    REQUIRE(described > 0);
    REQUIRE(pool.all_free());
    REQUIRE(pool.in_use() == 0);
    for (std::uint64_t n = 0; n < kRequests; ++n)
        if (requests[n].result != 2)
            FAIL("request " << n << " did not complete");
}
