// SPDX-License-Identifier: MIT
//
// Goal: each value falls into the bucket whose edges hold it, and percentiles are those of the
// values, at most a sixteenth too large.
// Method: every edge of every bucket; random values against a sorted list of them.

#include "lib/histogram.hpp"
#include "tests/unit/unit.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

using namespace ioengine;

namespace {

using Histogram = LatencyHistogram;

// The value that `share` of all values do not exceed, by sorting.
std::uint64_t exact(std::vector<std::uint64_t> values, double share) {
    std::sort(values.begin(), values.end());
    auto rank = static_cast<std::size_t>(share * static_cast<double>(values.size()) + 0.999999);
    rank = std::max<std::size_t>(rank, 1);
    return values[std::min(rank, values.size()) - 1];
}

}  // namespace

TEST_CASE("buckets follow each other without gap or overlap over all of 64 bits", "[histogram]") {
    std::uint64_t lower = 0;
    for (std::size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
        const std::uint64_t upper = Histogram::upper_edge(bucket);
        REQUIRE(upper >= lower);
        REQUIRE(Histogram::bucket_of(lower) == bucket);
        REQUIRE(Histogram::bucket_of(upper) == bucket);
        // At most a sixteenth wide.
        REQUIRE(upper - lower <= lower / 16);
        lower = upper + 1;
    }
    REQUIRE(lower == 0);  // the last edge is 2^64 - 1
}

TEST_CASE("an empty histogram says 0 everywhere", "[histogram]") {
    const Histogram histogram;
    const LatencySummary summary = histogram.summary();
    REQUIRE(summary.samples == 0);
    REQUIRE(summary.p50_ns == 0);
    REQUIRE(summary.p9999_ns == 0);
    REQUIRE(summary.max_ns == 0);
}

TEST_CASE("small values have exact percentiles", "[histogram]") {
    Histogram histogram;
    for (std::uint64_t i = 1; i <= 10; ++i)
        histogram.record(i);
    const LatencySummary summary = histogram.summary();
    REQUIRE(summary.samples == 10);
    REQUIRE(summary.p50_ns == 5);
    REQUIRE(summary.p90_ns == 9);
    REQUIRE(summary.p99_ns == 10);
    REQUIRE(summary.max_ns == 10);
}

TEST_CASE("percentiles are at most a sixteenth above the exact ones, and never below",
          "[histogram]") {
    const std::uint64_t seed = test::announced_seed("histogram");
    test::Random random(seed);
    for (const std::uint64_t spread : {100u, 100'000u, 4'000'000'000u}) {
        Histogram histogram;
        std::vector<std::uint64_t> values;
        for (int i = 0; i < 20'000; ++i) {
            const std::uint64_t value = random.below(1 + random.below(spread));
            histogram.record(value);
            values.push_back(value);
        }
        const LatencySummary summary = histogram.summary();
        REQUIRE(summary.samples == values.size());
        REQUIRE(summary.max_ns == *std::max_element(values.begin(), values.end()));
        for (const auto& [share, found] :
             std::vector<std::pair<double, std::uint64_t>>{{0.5, summary.p50_ns},
                                                           {0.9, summary.p90_ns},
                                                           {0.99, summary.p99_ns},
                                                           {0.999, summary.p999_ns},
                                                           {0.9999, summary.p9999_ns}}) {
            const std::uint64_t right = exact(values, share);
            INFO("spread " << spread << ", share " << share);
            REQUIRE(found >= right);
            REQUIRE(found <= right + right / 16);
        }
    }
}

TEST_CASE("one slow request among ten thousand shows in the last percentile and the maximum only",
          "[histogram]") {
    Histogram histogram;
    for (int i = 0; i < 9'999; ++i)
        histogram.record(10);
    histogram.record(1'000'000'000);
    const LatencySummary summary = histogram.summary();
    REQUIRE(summary.p999_ns == 10);
    REQUIRE(summary.p9999_ns == 10);
    REQUIRE(summary.max_ns == 1'000'000'000);
    histogram.record(1'000'000'000);
    REQUIRE(histogram.summary().p9999_ns >= 1'000'000'000);
}
