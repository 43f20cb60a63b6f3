// SPDX-License-Identifier: MIT
//
// Measurement: the figures of one contender over one or several windows of time.
#ifndef TOOLS_BENCH_MEASUREMENT_HPP
#define TOOLS_BENCH_MEASUREMENT_HPP

#include "tools/bench/histogram.hpp"

#include <cstdint>
#include <string>

namespace bench {

// How long one repetition lasts.
struct Slice {
    double seconds = 0;
    std::uint64_t requests = 0;  // if not 0, this many instead
};

struct Measurement {
    std::uint64_t requests = 0;
    double seconds = 0;
    double cpu_us = 0;  // user and system time of the process
    double context_switches = 0;
    std::uint64_t errors = 0;
    std::string first_error;  // empty without errors
    Histogram latency;

    double iops() const noexcept {
        return seconds > 0 ? static_cast<double>(requests) / seconds : 0;
    }
    double per_request(double amount) const noexcept {
        return requests > 0 ? amount / static_cast<double>(requests) : 0;
    }

    void add(const Measurement& other) {
        requests += other.requests;
        seconds += other.seconds;
        cpu_us += other.cpu_us;
        context_switches += other.context_switches;
        errors += other.errors;
        if (first_error.empty())
            first_error = other.first_error;
        latency.merge(other.latency);
    }
};

}  // namespace bench

#endif  // TOOLS_BENCH_MEASUREMENT_HPP
