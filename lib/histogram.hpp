// SPDX-License-Identifier: MIT
//
// LatencyHistogram: log-linear, sixteen buckets per power of two, one writer, any readers.
#pragma once

#include "lib/counters.hpp"

#include <ioengine/stats.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

class LatencyHistogram {
  public:
    void record(std::uint64_t ns) noexcept {
        buckets_[bucket_of(ns)].add(1);
        max_.raise_to(ns);
    }

    LatencySummary summary() const noexcept {
        LatencySummary s;
        for (const RoleCounter& bucket : buckets_)
            s.samples += bucket.get();
        s.p50_ns = percentile(s.samples, 5000);
        s.p90_ns = percentile(s.samples, 9000);
        s.p99_ns = percentile(s.samples, 9900);
        s.p999_ns = percentile(s.samples, 9990);
        s.p9999_ns = percentile(s.samples, 9999);
        s.max_ns = max_.get();
        return s;
    }

    static constexpr unsigned kSubBits = 4;
    static constexpr std::size_t kBuckets = (64 - kSubBits + 1) << kSubBits;

    static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
        if (value < (1u << kSubBits))
            return static_cast<std::size_t>(value);
        const unsigned exponent = static_cast<unsigned>(std::bit_width(value)) - 1;
        const std::uint64_t mantissa = (value >> (exponent - kSubBits)) & ((1u << kSubBits) - 1);
        return (std::size_t{exponent - kSubBits + 1} << kSubBits) +
               static_cast<std::size_t>(mantissa);
    }
    // The largest value that falls into the bucket.
    static constexpr std::uint64_t upper_edge(std::size_t bucket) noexcept {
        if (bucket < (1u << kSubBits))
            return bucket;
        const unsigned shift = static_cast<unsigned>(bucket >> kSubBits) - 1;
        const std::uint64_t mantissa = (bucket & ((1u << kSubBits) - 1)) + (1u << kSubBits);
        return (mantissa << shift) + ((std::uint64_t{1} << shift) - 1);
    }

  private:
    // share: in hundredths of a percent.
    std::uint64_t percentile(std::uint64_t samples, std::uint64_t share) const noexcept {
        if (samples == 0)
            return 0;
        const std::uint64_t rank = (samples * share + 9999) / 10000;
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < kBuckets; ++i) {
            seen += buckets_[i].get();
            if (seen >= rank)
                return upper_edge(i);
        }
        return max_.get();
    }

    std::array<RoleCounter, kBuckets> buckets_{};
    RoleCounter max_;
};

}  // namespace v0
}  // namespace ioengine
