// SPDX-License-Identifier: MIT
//
// Judges the suite's cells, and writes the table, the JSON document and the picture.
#include "tools/bench/suite.hpp"

#include "tools/bench/comparison.hpp"
#include "tools/bench/format.hpp"
#include "tools/bench/svg.hpp"

#include <ioengine/ioengine.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <sys/utsname.h>
#include <thread>

namespace bench {

namespace {

struct Spread {
    double low = 0;
    double middle = 0;
    double high = 0;
    double relative() const noexcept { return middle > 0 ? (high - low) / middle : 0; }
};

// The median, and between which values the middle half lies.
Spread spread_of(const Row& row) {
    return {quantile(row.ratios, 0.25), median(row.ratios), quantile(row.ratios, 0.75)};
}

std::string goal_text(const Goal& goal) {
    std::string text;
    if (goal.rate)
        text += format(">= %.2f", *goal.rate);
    if (goal.cpu)
        text += format(", CPU <= %.2f", *goal.cpu);
    if (goal.added)
        text += format("<= %.0f ns more", *goal.added);
    return text.empty() ? "-" : text;
}

std::string machine() {
    utsname name;
    if (uname(&name) != 0)
        return "unknown machine";
    return format("%s %s, %s, %u CPUs, ioengine %s", name.sysname, name.release, name.machine,
                  std::thread::hardware_concurrency(), ioengine::version());
}

}  // namespace

const char* verdict_name(Verdict verdict) noexcept {
    switch (verdict) {
    case Verdict::reported:
        return "reported";
    case Verdict::reached:
        return "reached";
    case Verdict::missed:
        return "missed";
    case Verdict::noisy:
        return "too noisy";
    case Verdict::skipped:
        return "skipped";
    }
    return "unknown";
}

Verdict judge(const Row& row) {
    constexpr double kTooFarApart = 0.25;
    const Goal& goal = row.cell.goal;
    if (row.ratios.empty())
        return Verdict::skipped;
    if (!goal.rate && !goal.cpu && !goal.added)
        return Verdict::reported;
    const Spread spread = spread_of(row);
    const bool other_goals_kept =
        (!goal.cpu || row.cpu_ratio <= *goal.cpu) && (!goal.added || row.added_ns <= *goal.added);
    // A goal that the whole middle half keeps, or misses, is decided however wide that is.
    const bool all_above = !goal.rate || spread.low >= *goal.rate;
    const bool all_below = goal.rate && spread.high < *goal.rate;
    if (all_above && other_goals_kept)
        return Verdict::reached;
    if (all_below)
        return Verdict::missed;
    if (!goal.rate || all_above)
        return spread.relative() > kTooFarApart ? Verdict::noisy : Verdict::missed;
    return Verdict::noisy;
}

std::string to_table(const SuiteResult& result) {
    std::string text = machine() + "\n";
    text += format("%u repetitions of %.2f s for each side of each cell, in turns; ratios are "
                   "medians [middle half]\n\n",
                   result.repetitions, result.slice_seconds);
    text +=
        format("%-68s %-22s %-9s %11s %11s %8s %9s  %s\n", "cell, ours / theirs", "ratio of IOPS",
               "CPU ratio", "ours IOPS", "theirs", "ns more", "verdict", "goal");
    std::size_t counts[5] = {};
    for (const Row& row : result.rows) {
        ++counts[static_cast<std::size_t>(row.verdict)];
        if (row.verdict == Verdict::skipped) {
            text += format("%-68s skipped: %s\n", describe(row.cell).c_str(), row.why.c_str());
            continue;
        }
        const Spread spread = spread_of(row);
        text += format("%-68s %5.2f [%5.2f, %5.2f]   %9.2f %11.0f %11.0f %8.0f %9s  %s\n",
                       describe(row.cell).c_str(), spread.middle, spread.low, spread.high,
                       row.cpu_ratio, row.ours_iops, row.theirs_iops, row.added_ns,
                       verdict_name(row.verdict), goal_text(row.cell.goal).c_str());
    }
    text += "\n" + result.idle + "\n";
    text += format("%zu reached, %zu missed, %zu too noisy to judge, %zu without a goal, %zu "
                   "skipped\n",
                   counts[static_cast<std::size_t>(Verdict::reached)],
                   counts[static_cast<std::size_t>(Verdict::missed)],
                   counts[static_cast<std::size_t>(Verdict::noisy)],
                   counts[static_cast<std::size_t>(Verdict::reported)],
                   counts[static_cast<std::size_t>(Verdict::skipped)]);
    return text;
}

std::string to_json(const SuiteResult& result) {
    nlohmann::ordered_json json;
    json["version"] = ioengine::version();
    json["machine"] = machine();
    json["repetitions"] = result.repetitions;
    json["slice_seconds"] = result.slice_seconds;
    json["idle"] = result.idle;
    json["cells"] = nlohmann::ordered_json::array();
    for (const Row& row : result.rows) {
        const Cell& cell = row.cell;
        nlohmann::ordered_json entry;
        entry["group"] = cell.group;
        entry["backend"] = ioengine::backend_name(cell.backend);
        entry["place"] = place_name(cell.place);
        entry["rw"] = rw_name(cell.rw);
        entry["depth"] = cell.depth;
        entry["producers"] = cell.producers;
        entry["mode"] = mode_name(cell.mode);
        entry["ours"] = cell.ours.name;
        entry["theirs"] = cell.theirs.name;
        entry["verdict"] = verdict_name(row.verdict);
        entry["goal"] = goal_text(cell.goal);
        if (row.verdict == Verdict::skipped) {
            entry["why"] = row.why;
        } else {
            const Spread spread = spread_of(row);
            entry["ratio"] = spread.middle;
            entry["ratio_quartiles"] = {spread.low, spread.high};
            entry["ratios"] = row.ratios;
            entry["cpu_ratio"] = row.cpu_ratio;
            entry["added_ns"] = row.added_ns;
            entry["ours_iops"] = row.ours_iops;
            entry["theirs_iops"] = row.theirs_iops;
        }
        json["cells"].push_back(entry);
    }
    return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

// A line for each cell: its median, its middle half, its goal, on a scale of ratios.
std::string to_picture(const SuiteResult& result) {
    constexpr double kRow = 17;
    constexpr double kTop = 60;
    constexpr double kLeft = 500;
    constexpr double kRight = 980;
    constexpr double kLeast = 0.1;
    constexpr double kMost = 10;
    const double bottom = kTop + kRow * static_cast<double>(result.rows.size()) + 8;
    const auto x_of = [&](double ratio) {
        const double clamped = std::clamp(ratio, kLeast, kMost);
        return kLeft + (kRight - kLeft) * std::log(clamped / kLeast) / std::log(kMost / kLeast);
    };
    Svg svg(1000, bottom + 40);
    svg.text(20, 22, "ioengine suite: IOPS, ours / theirs", Svg::Align::left, 15);
    svg.text(20, 40, machine(), Svg::Align::left, 11);
    for (const double ratio : {0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0}) {
        const bool even = ratio > 0.99 && ratio < 1.01;
        svg.line(x_of(ratio), kTop - 6, x_of(ratio), bottom, even ? "#888888" : "#dddddd");
        svg.text(x_of(ratio), bottom + 14, format("%g", ratio), Svg::Align::middle, 10);
    }
    svg.text(20, bottom + 30,
             "dot: median; line: middle half of the repetitions; mark: goal. Green reached, red "
             "missed, grey too noisy or without a goal.",
             Svg::Align::left, 10);
    double y = kTop + kRow / 2;
    for (const Row& row : result.rows) {
        svg.text(20, y + 4, describe(row.cell), Svg::Align::left, 10.5);
        if (row.verdict == Verdict::skipped) {
            svg.text(kLeft, y + 4, "skipped", Svg::Align::left, 10);
        } else {
            const Spread spread = spread_of(row);
            const char* const colour = row.verdict == Verdict::reached  ? "#2e7d32"
                                       : row.verdict == Verdict::missed ? "#c62828"
                                                                        : "#777777";
            svg.line(x_of(spread.low), y, x_of(spread.high), y, colour, 2);
            svg.dot(x_of(spread.middle), y, 4, colour);
            if (row.cell.goal.rate)
                svg.line(x_of(*row.cell.goal.rate), y - 6, x_of(*row.cell.goal.rate), y + 6,
                         "black", 2);
        }
        y += kRow;
    }
    return svg.str();
}

}  // namespace bench
