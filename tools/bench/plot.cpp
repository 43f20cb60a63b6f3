// SPDX-License-Identifier: MIT
//
// Draws the report.
#include "tools/bench/plot.hpp"

#include "tools/bench/format.hpp"
#include "tools/bench/options.hpp"
#include "tools/bench/report.hpp"
#include "tools/bench/svg.hpp"
#include "tools/bench/target.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

namespace bench {

namespace {

constexpr double kWidth = 860;
constexpr double kHeight = 420;
constexpr double kTop = 70;
constexpr double kBottom = 370;
constexpr std::array<const char*, 4> kColours = {"#1b6ca8", "#c1582b", "#4b8b3b", "#7a4fa0"};

const char* colour(std::size_t i) noexcept {
    return kColours[i % kColours.size()];
}

// Bars from zero: IOPS of all repetitions; dots: of each.
void draw_rates(Svg& svg, const std::vector<Outcome>& outcomes) {
    constexpr double kLeft = 70;
    constexpr double kRight = 400;
    double most = 1;
    for (const Outcome& outcome : outcomes) {
        most = std::max(most, outcome.total.iops());
        for (const double iops : outcome.iops)
            most = std::max(most, iops);
    }
    const auto y_of = [&](double iops) {
        return kBottom - (kBottom - kTop) * iops / (most * 1.05);
    };
    svg.text(kLeft, kTop - 14, "requests per second");
    svg.line(kLeft, kTop, kLeft, kBottom, "black");
    for (const double part : {0.0, 0.25, 0.5, 0.75, 1.0}) {
        svg.line(kLeft, y_of(most * part), kRight, y_of(most * part), "#dddddd");
        svg.text(kLeft - 6, y_of(most * part) + 4, format("%.0f", most * part), Svg::Align::right,
                 10);
    }
    const double step = (kRight - kLeft) / static_cast<double>(outcomes.size());
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
        const double middle = kLeft + step * (static_cast<double>(i) + 0.5);
        const double top = y_of(outcomes[i].total.iops());
        svg.box(middle - step * 0.3, top, step * 0.6, kBottom - top, colour(i));
        for (const double iops : outcomes[i].iops)
            svg.dot(middle, y_of(iops), 3, "black");
        svg.text(middle, kBottom + 18, outcomes[i].identity.name, Svg::Align::middle);
    }
}

// From the median outwards each step to the right is a tenth of what is left.
void draw_latencies(Svg& svg, const std::vector<Outcome>& outcomes) {
    constexpr double kLeft = 500;
    constexpr double kRight = 840;
    constexpr std::array<double, 6> kFractions = {0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999};
    constexpr std::array<const char*, 6> kNames = {"p50",   "p90",    "p99",
                                                   "p99.9", "p99.99", "p99.999"};
    double least = 1e12;
    double most = 1;
    for (const Outcome& outcome : outcomes) {
        least = std::min(least, static_cast<double>(outcome.total.latency.percentile_ns(0.5)));
        most = std::max(most, static_cast<double>(outcome.total.latency.percentile_ns(0.99999)));
    }
    least = std::pow(10, std::floor(std::log10(std::max(least, 1.0))));
    most = std::max(std::pow(10, std::ceil(std::log10(most))), least * 10);
    const auto y_of = [&](double ns) {
        const double part = std::log(std::max(ns, least) / least) / std::log(most / least);
        return kBottom - (kBottom - kTop) * part;
    };
    const auto x_of = [&](std::size_t i) {
        return kLeft + (kRight - kLeft) * static_cast<double>(i) / (kFractions.size() - 1.0);
    };
    svg.text(kLeft, kTop - 14, "latency, microseconds");
    svg.line(kLeft, kTop, kLeft, kBottom, "black");
    for (double ns = least; ns <= most * 1.01; ns *= 10) {
        svg.line(kLeft, y_of(ns), kRight, y_of(ns), "#dddddd");
        svg.text(kLeft - 6, y_of(ns) + 4, format("%g", ns / 1e3), Svg::Align::right, 10);
    }
    for (std::size_t i = 0; i < kFractions.size(); ++i)
        svg.text(x_of(i), kBottom + 18, kNames[i], Svg::Align::middle, 10);
    for (std::size_t o = 0; o < outcomes.size(); ++o) {
        double x = 0;
        double y = 0;
        for (std::size_t i = 0; i < kFractions.size(); ++i) {
            const double to_y =
                y_of(static_cast<double>(outcomes[o].total.latency.percentile_ns(kFractions[i])));
            if (i != 0)
                svg.line(x, y, x_of(i), to_y, colour(o), 2);
            svg.dot(x_of(i), to_y, 3, colour(o));
            x = x_of(i);
            y = to_y;
        }
    }
}

}  // namespace

std::string to_picture(const Report& report) {
    const BenchOptions& asked = report.options;
    Svg svg(kWidth, kHeight);
    svg.text(20, 24,
             format("%s, %s, blocks of %u bytes, depth %u, mode %s", report.target.path().c_str(),
                    rw_name(asked.rw), asked.block_bytes, asked.depth, mode_name(asked.mode)),
             Svg::Align::left, 14);
    draw_rates(svg, report.comparison.outcomes);
    draw_latencies(svg, report.comparison.outcomes);
    return svg.str();
}

}  // namespace bench
