// SPDX-License-Identifier: MIT
//
// Takes turns so that a drift of the machine meets every contender alike.
#include "tools/bench/comparison.hpp"

#include "tools/bench/failure.hpp"
#include "tools/bench/live_line.hpp"
#include "tools/bench/options.hpp"

#include <algorithm>
#include <utility>

namespace bench {

namespace {

Slice share(const BenchOptions& options, unsigned repetition, unsigned of) {
    Slice slice;
    slice.seconds = options.seconds / of;
    slice.requests = options.requests / of + (repetition < options.requests % of);
    return slice;
}

}  // namespace

Comparison run_in_turns(const std::vector<std::unique_ptr<Contender>>& contenders,
                        const BenchOptions& options, unsigned repetitions_of_several) {
    const unsigned repetitions = contenders.size() > 1 ? repetitions_of_several : 1;
    if (options.requests != 0 && options.requests < repetitions)
        throw Failure(kExitUsage, "--requests is too small for " + std::to_string(repetitions) +
                                      " repetitions of a comparison");
    LiveLine live(options.block_bytes);
    Comparison comparison;
    comparison.outcomes.resize(contenders.size());
    for (unsigned repetition = 0; repetition < repetitions; ++repetition) {
        live.repetition(repetition + 1, repetitions);
        const Slice slice = share(options, repetition, repetitions);
        for (std::size_t turn = 0; turn < contenders.size(); ++turn) {
            // Every other repetition backwards, so that nobody is always the first.
            const std::size_t i = repetition % 2 == 0 ? turn : contenders.size() - 1 - turn;
            const Measurement measured = contenders[i]->run(slice, live);
            comparison.outcomes[i].total.add(measured);
            comparison.outcomes[i].iops.push_back(measured.iops());
        }
    }
    for (std::size_t i = 0; i < contenders.size(); ++i)
        comparison.outcomes[i].identity = contenders[i]->identity();

    const Outcome& ours = comparison.outcomes.front();
    for (std::size_t i = 1; i < contenders.size(); ++i) {
        const Outcome& other = comparison.outcomes[i];
        Ratio ratio{other.identity.name, 0, {}};
        for (unsigned repetition = 0; repetition < repetitions; ++repetition)
            ratio.repetitions.push_back(
                other.iops[repetition] > 0 ? ours.iops[repetition] / other.iops[repetition] : 0);
        ratio.median = median(ratio.repetitions);
        comparison.ratios.push_back(std::move(ratio));
    }
    return comparison;
}

double median(std::vector<double> values) {
    return quantile(std::move(values), 0.5);
}

// Between two values in proportion.
double quantile(std::vector<double> values, double fraction) {
    if (values.empty())
        return 0;
    std::sort(values.begin(), values.end());
    const double place = fraction * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
}

}  // namespace bench
