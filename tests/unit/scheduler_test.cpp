// SPDX-License-Identifier: MIT
//
// Goal: the order in which waiting requests leave the queues, and its bounds.
// Method: a context that nobody serves, a plain vector as the collection of slots, quotas of every
// size. Requests are numbered, so that each can be found again.

#include "lib/scheduler.hpp"
#include "tests/unit/unit.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace ioengine;

namespace {

ContextConfig config_with(std::uint32_t reads, std::uint32_t writes, std::uint32_t burst = 0) {
    ContextConfig config;
    config.queue_limit = 1u << 20;
    config.read_budget = reads;
    config.write_budget = writes;
    config.priority_burst = burst;
    return config;
}

// Keeps each queue it is told of supplied, and takes in batches of random size.
class EndlessWork {
  public:
    EndlessWork(const ContextConfig& config, std::uint64_t seed) : rig_(config), random_(seed) {}

    void keep(Channel channel) { kept_.push_back(channel); }

    // The channels of the next `count` requests, one letter each.
    std::string take(std::size_t count) {
        std::vector<Request*> taken;
        while (taken.size() < count) {
            for (const Channel channel : kept_)
                refill(channel);
            const std::size_t quota =
                std::min<std::size_t>(1 + random_.below(11), count - taken.size());
            const std::size_t before = taken.size();
            REQUIRE(poll_request_from_queues(rig_.context, quota, taken) == quota);
            REQUIRE(taken.size() - before == quota);
        }
        return test::channels_of(taken);
    }

  private:
    void refill(Channel channel) {
        IoSharedContext& context = rig_.context;
        RequestQueue& queue = channel == Channel::prio   ? context.prio
                              : channel == Channel::read ? context.read
                                                         : context.write;
        while (queue.waiting() < 64)
            REQUIRE(context.push(requests_.read(0), channel));
    }

    test::QuietContext rig_;
    test::Random random_;
    test::Requests requests_;
    std::vector<Channel> kept_;
};

std::string repeated(const std::string& pattern, std::size_t length) {
    std::string text;
    while (text.size() < length)
        text += pattern;
    text.resize(length);
    return text;
}

std::string run_of(char letter, std::size_t count) {
    return std::string(count, letter);
}

}  // namespace

TEST_CASE("priority requests leave before all others, each class in its order",
          "[scheduler][D1][D6]") {
    test::QuietContext rig;
    test::Requests requests;
    for (std::uint64_t i = 0; i < 10; ++i) {
        REQUIRE(rig.context.push(requests.read(i), Channel::automatic));
        REQUIRE(rig.context.push(requests.write(i), Channel::automatic));
        REQUIRE(rig.context.push(requests.write(i), Channel::prio));
    }
    std::vector<Request*> taken;
    REQUIRE(poll_request_from_queues(rig.context, 1000, taken) == 30);
    REQUIRE(test::channels_of(taken) == run_of('P', 10) + run_of('R', 10) + run_of('W', 10));
    for (std::size_t i = 0; i < 30; ++i)
        REQUIRE(taken[i]->offset == i % 10);
}

TEST_CASE("a priority request that comes between two batches is first in the next one",
          "[scheduler][D1]") {
    test::QuietContext rig;
    test::Requests requests;
    for (std::uint64_t i = 0; i < 4; ++i)
        REQUIRE(rig.context.push(requests.read(i), Channel::automatic));
    std::vector<Request*> taken;
    REQUIRE(poll_request_from_queues(rig.context, 2, taken) == 2);
    REQUIRE(rig.context.push(requests.read(9), Channel::prio));
    REQUIRE(poll_request_from_queues(rig.context, 2, taken) == 2);
    REQUIRE(test::channels_of(taken) == "RRPR");
}

TEST_CASE("reads and writes take turns by their budgets over ten thousand requests in batches of "
          "any size",
          "[scheduler][D2]") {
    const std::uint64_t seed = test::announced_seed("turns");
    EndlessWork work(config_with(4, 2), seed);
    work.keep(Channel::read);
    work.keep(Channel::write);
    REQUIRE(work.take(10'000) == repeated("RRRRWW", 10'000));
}

TEST_CASE("an empty class gives its turn away, and has it back when it has work",
          "[scheduler][D2]") {
    test::QuietContext rig(config_with(3, 2));
    test::Requests requests;
    std::vector<Request*> taken;
    for (std::uint64_t i = 0; i < 20; ++i)
        REQUIRE(rig.context.push(requests.write(i), Channel::automatic));
    REQUIRE(poll_request_from_queues(rig.context, 10, taken) == 10);
    REQUIRE(test::channels_of(taken) == run_of('W', 10));

    for (std::uint64_t i = 0; i < 20; ++i)
        REQUIRE(rig.context.push(requests.read(i), Channel::automatic));
    taken.clear();
    REQUIRE(poll_request_from_queues(rig.context, 1000, taken) == 30);
    REQUIRE(test::channels_of(taken) == repeated("RRRWW", 25) + run_of('R', 5));
}

TEST_CASE("never more than the quota is taken, and all of it while there is work",
          "[scheduler][D3]") {
    for (const std::size_t quota : {0u, 1u, 2u, 31u, 32u, 33u, 64u, 65u, 100u}) {
        test::QuietContext rig(config_with(16, 16, 5));
        test::Requests requests;
        for (std::uint64_t i = 0; i < 60; ++i) {
            REQUIRE(rig.context.push(requests.read(i), Channel::automatic));
            REQUIRE(rig.context.push(requests.write(i), Channel::automatic));
            REQUIRE(rig.context.push(requests.write(i), Channel::prio));
        }
        std::vector<Request*> taken;
        std::size_t left = 180;
        while (left != 0) {
            const std::size_t before = taken.size();
            const std::size_t moved = poll_request_from_queues(rig.context, quota, taken);
            INFO("quota " << quota << ", left " << left);
            REQUIRE(moved == std::min(quota, left));
            REQUIRE(taken.size() == before + moved);
            if (quota == 0)
                break;
            left -= moved;
            REQUIRE(rig.context.prio.waiting() + rig.context.read.waiting() +
                        rig.context.write.waiting() ==
                    left);
        }
        std::sort(taken.begin(), taken.end());
        REQUIRE(std::adjacent_find(taken.begin(), taken.end()) == taken.end());
    }
}

TEST_CASE("an empty context gives nothing", "[scheduler][D3]") {
    test::QuietContext rig;
    std::vector<Request*> taken;
    REQUIRE(poll_request_from_queues(rig.context, 100, taken) == 0);
    REQUIRE(taken.empty());
}

TEST_CASE("the oldest write waits for read_budget reads, the oldest read for write_budget writes, "
          "and no longer, however work comes",
          "[scheduler][D4]") {
    const std::uint64_t seed = test::announced_seed("starvation bound");
    test::Random random(seed);
    for (const auto& [reads, writes] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{
             {1, 1}, {1, 5}, {5, 1}, {3, 7}, {16, 16}}) {
        test::QuietContext rig(config_with(reads, writes));
        test::Requests requests;
        std::size_t longest_of_write = 0;
        std::size_t longest_of_read = 0;
        std::size_t others_before_write = 0;  // since the oldest waiting one became the oldest
        std::size_t others_before_read = 0;
        for (int step = 0; step < 20'000; ++step) {
            const bool read = random.below(2) == 0;
            const std::uint64_t burst = random.below(2 * (reads + writes));
            for (std::uint64_t i = 0; i < burst; ++i)
                REQUIRE(rig.context.push(read ? requests.read(0) : requests.write(0),
                                         Channel::automatic));
            const bool write_waits = rig.context.write.waiting() != 0;
            const bool read_waits = rig.context.read.waiting() != 0;
            std::vector<Request*> one;
            if (poll_request_from_queues(rig.context, 1, one) == 0)
                continue;
            const bool was_read = one[0]->queue == Channel::read;
            others_before_write = was_read && write_waits ? others_before_write + 1 : 0;
            others_before_read = !was_read && read_waits ? others_before_read + 1 : 0;
            longest_of_write = std::max(longest_of_write, others_before_write);
            longest_of_read = std::max(longest_of_read, others_before_read);
        }
        INFO("budgets " << reads << " and " << writes);
        REQUIRE(longest_of_write == reads);
        REQUIRE(longest_of_read == writes);
    }
}

TEST_CASE("with priority_burst each of these waits for that many priority requests, and no longer",
          "[scheduler][D4][D5]") {
    const std::uint64_t seed = test::announced_seed("priority burst");
    EndlessWork work(config_with(2, 1, 3), seed);
    work.keep(Channel::prio);
    work.keep(Channel::read);
    work.keep(Channel::write);
    REQUIRE(work.take(12'000) == repeated("PPPRPPPRPPPW", 12'000));
}

TEST_CASE("with priority_burst a class that is alone gets every free place", "[scheduler][D5]") {
    const std::uint64_t seed = test::announced_seed("priority alone");
    EndlessWork work(config_with(2, 1, 3), seed);
    work.keep(Channel::prio);
    REQUIRE(work.take(1000) == run_of('P', 1000));

    EndlessWork writes(config_with(2, 1, 3), seed);
    writes.keep(Channel::write);
    REQUIRE(writes.take(1000) == run_of('W', 1000));
}

TEST_CASE("without priority_burst priority goes first for as long as it has work",
          "[scheduler][D5]") {
    const std::uint64_t seed = test::announced_seed("no priority burst");
    EndlessWork work(config_with(2, 1), seed);
    work.keep(Channel::prio);
    work.keep(Channel::read);
    work.keep(Channel::write);
    REQUIRE(work.take(5000) == run_of('P', 5000));
}

TEST_CASE("what a collection does in a push shows in the same call: there is no list in between",
          "[scheduler][D7]") {
    // Notes how much still waited at each push, and submits a priority request from the tenth.
    struct Collection {
        void push(Request& request) noexcept {
            order.push_back(&request);
            waiting.push_back(context.read.waiting());
            if (order.size() == 10)
                accepted = context.push(urgent, Channel::prio).accepted();
        }
        IoSharedContext& context;
        Request& urgent;
        std::vector<Request*> order;
        std::vector<std::uint64_t> waiting;
        bool accepted = false;
    };
    test::QuietContext rig(config_with(64, 64));
    test::Requests requests;
    constexpr std::size_t kCount = 200;
    for (std::uint64_t i = 0; i < kCount; ++i)
        REQUIRE(rig.context.push(requests.read(i), Channel::automatic));
    Collection collection{rig.context, requests.read(999), {}, {}};
    REQUIRE(poll_request_from_queues(rig.context, 1000, collection) == kCount + 1);
    REQUIRE(collection.accepted);
    REQUIRE(collection.order.size() == kCount + 1);
    // At no push had more left the queue than what the collection had seen. (The priority request
    // is the 65th of them.)
    for (std::size_t i = 0; i <= kCount; ++i)
        REQUIRE(collection.waiting[i] + i + (i < 64 ? 1 : 0) == kCount);
    // The priority request was taken within the same call, after the turn that was under way.
    const auto place =
        std::find(collection.order.begin(), collection.order.end(), &collection.urgent);
    REQUIRE(place != collection.order.end());
    REQUIRE(place - collection.order.begin() == 64);
}

TEST_CASE("requests that share a place need no quota, and are counted all the same",
          "[scheduler][merge]") {
    // Each place takes four.
    struct Places {
        void push(Request&) noexcept {
            ++places;
            in_last = 1;
        }
        bool may_append(const Request&) const noexcept { return in_last != 0 && in_last < 4; }
        void append(Request&) noexcept { ++in_last; }
        std::size_t places = 0;
        std::size_t in_last = 0;
    };
    test::QuietContext rig(config_with(64, 64));
    test::Requests requests;
    for (std::uint64_t i = 0; i < 30; ++i)
        REQUIRE(rig.context.push(requests.read(i), Channel::automatic));
    Places places;
    REQUIRE(poll_request_from_queues(rig.context, 5, places) == 20);
    REQUIRE(places.places == 5);
    REQUIRE(rig.context.read.waiting() == 10);
    // One that joins what was there before is counted, too.
    places.in_last = 3;
    REQUIRE(poll_request_from_queues(rig.context, 1, places) == 5);
    REQUIRE(places.places == 6);
    REQUIRE(rig.context.read.waiting() == 5);
}
