// SPDX-License-Identifier: MIT
//
// Goal: the percentiles that the bench reports are right to 1/32.
// Method: compare the histogram with sorted samples, and each bucket with its edges.
#include "tests/support/support.hpp"

#include "tools/bench/histogram.hpp"
#include "tools/bench/walk.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

namespace {

using bench::Histogram;

// Spread over many powers of two, as latencies are.
std::vector<std::uint64_t> samples(std::uint64_t seed, std::size_t count) {
    bench::Random random(seed);
    std::vector<std::uint64_t> values;
    for (std::size_t i = 0; i < count; ++i)
        values.push_back(random.next() >> (24 + random.below(40)));
    return values;
}

}  // namespace

TEST_CASE("each value lies in its bucket, and no bucket is wider than 1/32 of its value") {
    for (std::uint64_t value = 0; value < 100'000; ++value) {
        const std::size_t index = Histogram::index_of(value);
        REQUIRE(Histogram::upper_edge_ns(index) >= value);
        REQUIRE((Histogram::upper_edge_ns(index) - value) * 32 <= value);
        if (index > 0)
            REQUIRE(Histogram::upper_edge_ns(index - 1) < value);
    }
}

TEST_CASE("buckets meet without gap or overlap up to the last") {
    for (std::size_t index = 1; index < Histogram::kBuckets; ++index) {
        const std::uint64_t first = Histogram::upper_edge_ns(index - 1) + 1;
        REQUIRE(Histogram::index_of(first) == index);
        REQUIRE(Histogram::index_of(Histogram::upper_edge_ns(index)) == index);
    }
}

TEST_CASE("percentiles are at most 1/32 above those of the sorted samples and never below") {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        CAPTURE(seed);
        auto values = samples(seed, 20'000);
        const auto histogram = std::make_unique<Histogram>();
        for (const std::uint64_t value : values)
            histogram->add(value);
        std::sort(values.begin(), values.end());
        for (const double fraction : {0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
            CAPTURE(fraction);
            const auto rank =
                static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(values.size())));
            const std::uint64_t exact = values[rank - 1];
            CHECK(histogram->percentile_ns(fraction) >= exact);
            CHECK(histogram->percentile_ns(fraction) <= exact + exact / 32);
        }
        CHECK(histogram->max_ns() == values.back());
    }
}

TEST_CASE("merged histograms equal one that saw all samples") {
    const auto all = std::make_unique<Histogram>();
    const auto left = std::make_unique<Histogram>();
    const auto right = std::make_unique<Histogram>();
    const auto values = samples(42, 10'000);
    for (std::size_t i = 0; i < values.size(); ++i) {
        all->add(values[i]);
        (i % 3 == 0 ? left : right)->add(values[i]);
    }
    left->merge(*right);
    CHECK(left->samples() == all->samples());
    CHECK(left->max_ns() == all->max_ns());
    for (double fraction = 0; fraction <= 1; fraction += 0.01)
        REQUIRE(left->percentile_ns(fraction) == all->percentile_ns(fraction));
}

TEST_CASE("a histogram without samples answers 0") {
    const auto histogram = std::make_unique<Histogram>();
    CHECK(histogram->percentile_ns(0.5) == 0);
    CHECK(histogram->samples() == 0);
}

TEST_CASE("a value beyond the last bucket is kept as the maximum") {
    const auto histogram = std::make_unique<Histogram>();
    histogram->add(1);
    histogram->add(~std::uint64_t{0});
    CHECK(histogram->samples() == 2);
    CHECK(histogram->max_ns() == ~std::uint64_t{0});
    CHECK(histogram->percentile_ns(0.5) == 1);
}
