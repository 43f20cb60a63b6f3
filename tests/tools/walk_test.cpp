// SPDX-License-Identifier: MIT
//
// Goal: every contender does the work that the command line asked for.
// Method: take steps and look at where they lead.
#include "tests/support/support.hpp"

#include "tools/bench/walk.hpp"

#include <vector>

namespace {

using bench::Rw;
using bench::Step;
using bench::Walk;

std::vector<Step> take(Walk& walk, std::size_t count) {
    std::vector<Step> steps;
    Step step;
    while (steps.size() < count && walk.next(step))
        steps.push_back(step);
    return steps;
}

}  // namespace

TEST_CASE("a sequential walk takes each block in turn from its first and wraps around") {
    Walk walk(Rw::read, 5, 3, 1, Walk::kUnlimited);
    const auto steps = take(walk, 12);
    REQUIRE(steps.size() == 12);
    for (std::size_t i = 0; i < steps.size(); ++i) {
        CHECK(steps[i].block == (i + 3) % 5);
        CHECK_FALSE(steps[i].write);
    }
}

TEST_CASE("a limited walk ends after exactly its steps") {
    for (const Rw rw : {Rw::read, Rw::write, Rw::randread, Rw::randwrite, Rw::randrw}) {
        Walk walk(rw, 100, 0, 1, 17);
        CHECK(take(walk, 1000).size() == 17);
        Step step;
        CHECK_FALSE(walk.next(step));
    }
}

TEST_CASE("a random walk reaches every block about equally often") {
    constexpr std::size_t kBlocks = 64;
    constexpr std::size_t kSteps = kBlocks * 1000;
    Walk walk(Rw::randread, kBlocks, 0, 7, Walk::kUnlimited);
    std::vector<std::size_t> visits(kBlocks);
    for (const Step& step : take(walk, kSteps)) {
        REQUIRE(step.block < kBlocks);
        ++visits[step.block];
    }
    // Seven standard deviations: chance alone does not go there, and the seed is fixed anyway.
    for (const std::size_t count : visits) {
        CHECK(count > 1000 - 7 * 32);
        CHECK(count < 1000 + 7 * 32);
    }
}

TEST_CASE("reads only read, writes only write, and a mixed walk does both in equal parts") {
    for (const Rw rw : {Rw::read, Rw::write, Rw::randread, Rw::randwrite, Rw::randrw}) {
        Walk walk(rw, 100, 0, 3, Walk::kUnlimited);
        std::size_t writes = 0;
        for (const Step& step : take(walk, 10'000))
            writes += step.write;
        CAPTURE(static_cast<int>(rw));
        if (rw == Rw::randrw) {
            CHECK(writes > 4500);
            CHECK(writes < 5500);
        } else {
            CHECK(writes == (bench::writes(rw) ? 10'000U : 0U));
        }
    }
}

TEST_CASE("the same seed walks the same way, another seed another way") {
    Walk one(Rw::randrw, 1 << 20, 0, 5, Walk::kUnlimited);
    Walk same(Rw::randrw, 1 << 20, 0, 5, Walk::kUnlimited);
    Walk other(Rw::randrw, 1 << 20, 0, 6, Walk::kUnlimited);
    std::size_t equal = 0;
    for (int i = 0; i < 1000; ++i) {
        Step a;
        Step b;
        Step c;
        REQUIRE((one.next(a) && same.next(b) && other.next(c)));
        REQUIRE((a.block == b.block && a.write == b.write));
        equal += a.block == c.block;
    }
    CHECK(equal < 10);
}
