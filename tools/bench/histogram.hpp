// SPDX-License-Identifier: MIT
//
// Histogram: a log-linear histogram of nanoseconds, for percentiles that are at most 1/32 too
// large.
//
// Values below 32 have a bucket each. Above, each power of two is cut into 32 equal buckets, so a
// bucket is never wider than 1/32 of its lower edge. One thread writes; others read when it is
// done.
#ifndef TOOLS_BENCH_HISTOGRAM_HPP
#define TOOLS_BENCH_HISTOGRAM_HPP

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace bench {

class Histogram {
  public:
    static constexpr unsigned kSubBits = 5;
    static constexpr std::uint64_t kSubBuckets = std::uint64_t{1} << kSubBits;
    static constexpr unsigned kExponentMax = 41;  // 2^42 ns, over an hour; longer counts as that
    static constexpr std::size_t kBuckets = (kExponentMax - kSubBits + 2) * kSubBuckets;

    void add(std::uint64_t value_ns, std::uint64_t times = 1) noexcept {
        counts_[index_of(value_ns)] += times;
        samples_ += times;
        max_ns_ = std::max(max_ns_, value_ns);
    }

    void merge(const Histogram& other) noexcept {
        for (std::size_t i = 0; i < kBuckets; ++i)
            counts_[i] += other.counts_[i];
        samples_ += other.samples_;
        max_ns_ = std::max(max_ns_, other.max_ns_);
    }

    std::uint64_t samples() const noexcept { return samples_; }
    std::uint64_t max_ns() const noexcept { return max_ns_; }

    // The smallest bucket edge that at least `fraction` (0..1) of all samples do not exceed; 0
    // without samples.
    std::uint64_t percentile_ns(double fraction) const noexcept {
        const auto wanted = std::max<std::uint64_t>(
            1, static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(samples_))));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < kBuckets; ++i) {
            seen += counts_[i];
            if (seen >= wanted)
                return std::min(upper_edge_ns(i), max_ns_);
        }
        return max_ns_;
    }

    static constexpr std::size_t index_of(std::uint64_t value_ns) noexcept {
        if (value_ns < kSubBuckets)
            return static_cast<std::size_t>(value_ns);
        const auto exponent = static_cast<unsigned>(std::bit_width(value_ns)) - 1;
        if (exponent > kExponentMax)
            return kBuckets - 1;
        const std::uint64_t sub = (value_ns >> (exponent - kSubBits)) & (kSubBuckets - 1);
        return static_cast<std::size_t>((exponent - kSubBits + 1) * kSubBuckets + sub);
    }

    // The largest value that belongs into bucket `index`.
    static constexpr std::uint64_t upper_edge_ns(std::size_t index) noexcept {
        if (index < kSubBuckets)
            return index;
        const std::size_t shift = index / kSubBuckets - 1;
        const std::uint64_t sub = index % kSubBuckets;
        return ((kSubBuckets + sub + 1) << shift) - 1;
    }

  private:
    std::array<std::uint64_t, kBuckets> counts_{};
    std::uint64_t samples_ = 0;
    std::uint64_t max_ns_ = 0;
};

}  // namespace bench

#endif  // TOOLS_BENCH_HISTOGRAM_HPP
