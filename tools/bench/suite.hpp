// SPDX-License-Identifier: MIT
//
// The suite: everything that is promised of the engine's speed, cell by cell, in one run.
//
// A cell is one load carried by two sides in turns: ours, and a hand-written loop or ours with an
// option changed. What is judged is the ratio of the two in the same run, repetition by repetition.
#ifndef TOOLS_BENCH_SUITE_HPP
#define TOOLS_BENCH_SUITE_HPP

#include "tools/bench/options.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bench {

// -- what is measured: suite_cells.cpp ---------------------------------------------------------

enum class Place : std::uint8_t { zero, memory, disk };
const char* place_name(Place place) noexcept;

// One of the two.
struct Side {
    enum class Kind : std::uint8_t { engine, raw, strict };
    Kind kind = Kind::engine;
    std::string name = "ioengine";
    ioengine::Threading threading = ioengine::Threading::split;
    ioengine::Lending lending = ioengine::Lending::callbacks;
    bool fixed = false;  // registered file and buffers, as raw has them
    bool merge = false;
    std::uint32_t spin_us = 0;
    std::string disable;  // features, as in IOENGINE_DISABLE
};

// Bounds that ours over theirs must keep; what is empty is reported only.
struct Goal {
    std::optional<double> rate;   // IOPS: at least
    std::optional<double> cpu;    // CPU time per request: at most
    std::optional<double> added;  // nanoseconds per request more than theirs: at most
};

struct Cell {
    std::string group;  // "chain", "wait", ...
    Place place = Place::zero;
    Rw rw = Rw::randread;
    std::uint32_t depth = 1;
    std::uint32_t producers = 1;
    Mode mode = Mode::chain;
    ioengine::Backend backend = ioengine::Backend::uring;
    Side ours;
    Side theirs;
    Goal goal;
};

std::vector<Cell> suite_cells();
// Such as "chain tmpfs randread depth 8 uring: ioengine / raw".
std::string describe(const Cell& cell);

// -- what came of it ----------------------------------------------------------------------------

enum class Verdict : std::uint8_t {
    reported,  // there is no goal
    reached,
    missed,
    noisy,   // the goal lies among the middle half of the repetitions, or those are far apart
    skipped  // it cannot be measured here
};
const char* verdict_name(Verdict verdict) noexcept;

struct Row {
    Cell cell;
    Verdict verdict = Verdict::skipped;
    std::string why;             // of what was skipped
    std::vector<double> ratios;  // IOPS, ours over theirs, by repetition
    double ours_iops = 0;
    double theirs_iops = 0;
    double cpu_ratio = 0;
    double added_ns = 0;
};
Verdict judge(const Row& row);

struct SuiteResult {
    std::vector<Row> rows;
    std::string idle;  // what an idle context costs, in words
    unsigned repetitions = 0;
    double slice_seconds = 0;
};

std::string to_table(const SuiteResult& result);
std::string to_json(const SuiteResult& result);
std::string to_picture(const SuiteResult& result);

// -- the command --------------------------------------------------------------------------------

// `ioengine-bench suite ...`, from the first word after `suite`. Throws Failure.
void run_suite(int argc, char** argv);

}  // namespace bench

#endif  // TOOLS_BENCH_SUITE_HPP
