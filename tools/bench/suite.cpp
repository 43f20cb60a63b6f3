// SPDX-License-Identifier: MIT
//
// Runs the suite: its command line, its targets, its cells in turn.
#include "tools/bench/suite.hpp"

#include "tools/bench/arena.hpp"
#include "tools/bench/command_line.hpp"
#include "tools/bench/comparison.hpp"
#include "tools/bench/engine_contender.hpp"
#include "tools/bench/failure.hpp"
#include "tools/bench/format.hpp"
#include "tools/bench/peers.hpp"
#include "tools/bench/session.hpp"
#include "tools/bench/svg.hpp"
#include "tools/bench/target.hpp"

#include <ioengine/ioengine.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

namespace bench {

namespace {

struct SuiteOptions {
    std::string disk = "/var/tmp";
    std::string memory = "/dev/shm";
    std::string out = "ioengine-suite";
    std::vector<std::string> only;
    unsigned repetitions = 7;
    double seconds = 0.4;
    std::uint64_t file_bytes = std::uint64_t{256} << 20;
    bool quick = false;
};

constexpr const char* kWords =
    R"(Each cell is judged by the ratio of two sides that took turns in the same run: reached, missed, or
noisy if the repetitions lie too far apart to tell. A goal that is missed does not fail the run.
Writes OUT.txt, OUT.json and OUT.svg; the table is printed as well.)";

bool parse(int argc, char** argv, SuiteOptions& options) {
    CLI::App app("Measures everything that is promised of the engine's speed, against hand-written "
                 "loops and against itself with an option changed.",
                 "ioengine-bench suite");
    app.footer(kWords);
    app.add_flag("--quick", options.quick, "short slices: under three minutes, and noisier");
    add_directory(app, "--disk", options.disk, "a directory on a disk");
    add_directory(app, "--memory", options.memory, "a directory on a tmpfs");
    app.add_option("--out", options.out, "what the files' names begin with")
        ->type_name("OUT")
        ->capture_default_str();
    app.add_option("--only", options.only,
                   "cells whose description contains one of these words, such as wait or aio")
        ->delimiter(',')
        ->type_name("WORD,...");
    const CLI::Option* const repetitions = add_repeat(app, options.repetitions, 3);
    if (!parse_command_line(app, argc, argv))
        return false;
    if (options.quick) {
        options.seconds = 0.1;
        options.file_bytes = std::uint64_t{64} << 20;
        if (repetitions->count() == 0)
            options.repetitions = 5;
    }
    return true;
}

BenchOptions options_of(const Cell& cell, const Side& side, const std::string& path) {
    BenchOptions options;
    options.target = path;
    options.rw = cell.rw;
    options.depth = cell.depth;
    options.producers = cell.producers;
    options.mode = cell.mode;
    options.backend = cell.backend;
    options.threading = side.threading;
    options.lending = side.lending;
    options.fixed = side.fixed;
    options.merge = side.merge;
    options.spin_us = side.spin_us;
    return options;
}

std::unique_ptr<Contender> contender_of(const Cell& cell, const Side& side,
                                        const Workload& workload) {
    switch (side.kind) {
    case Side::Kind::raw:
        return make_raw_loop(workload, cell.backend);
    case Side::Kind::strict:
        return make_strict_pair(workload, cell.backend);
    case Side::Kind::engine:
        break;
    }
    return make_engine_contender(workload, options_of(cell, side, workload.options.target),
                                 side.name, side.disable);
}

Row measure(const Cell& cell, const std::string& path, const SuiteOptions& suite) {
    Row row;
    row.cell = cell;
    try {
        BenchOptions options = options_of(cell, cell.ours, path);
        options.seconds = suite.seconds * suite.repetitions;
        Target target(options);
        target.open_for_run();
        const Arena arena(options.depth, options.block_bytes);
        const Workload workload{options, target, arena, nullptr, 1};
        std::vector<std::unique_ptr<Contender>> contenders;
        contenders.push_back(contender_of(cell, cell.ours, workload));
        contenders.push_back(contender_of(cell, cell.theirs, workload));
        const Comparison comparison = run_in_turns(contenders, options, suite.repetitions);
        const Outcome& ours = comparison.outcomes[0];
        const Outcome& theirs = comparison.outcomes[1];
        for (const Outcome* const outcome : {&ours, &theirs})
            if (outcome->total.errors != 0)
                throw Failure(kExitWrong, outcome->identity.name + ": requests failed, the first " +
                                              outcome->total.first_error);
        row.ratios = comparison.ratios[0].repetitions;
        row.ours_iops = median(ours.iops);
        row.theirs_iops = median(theirs.iops);
        const double their_cpu = theirs.total.per_request(theirs.total.cpu_us);
        row.cpu_ratio = their_cpu > 0 ? ours.total.per_request(ours.total.cpu_us) / their_cpu : 0;
        row.added_ns = 1e9 / row.ours_iops - 1e9 / row.theirs_iops;
        row.verdict = judge(row);
    } catch (const Failure& failure) {
        if (failure.code() != kExitUnavailable)
            throw;
        row.why = failure.what();
    }
    return row;
}

// What a second costs in which nothing is asked of a context.
std::string measure_idle() {
    std::string text;
    for (const ioengine::Backend backend : {ioengine::Backend::uring, ioengine::Backend::aio}) {
        ioengine::Options options;
        options.backend = backend;
        auto made = ioengine::IOContext<>::create(options);
        if (!made) {
            text += format("idle  %-5s skipped: %s\n", ioengine::backend_name(backend),
                           made.error().message);
            continue;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        rusage before;
        rusage after;
        getrusage(RUSAGE_SELF, &before);
        std::this_thread::sleep_for(std::chrono::seconds(1));
        getrusage(RUSAGE_SELF, &after);
        const auto us = [](const rusage& use) {
            return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
                   static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
        };
        // This thread's own sleep is one of the switches.
        text += format("idle  %-5s one second costs %.0f us of CPU, %ld context switches\n",
                       ioengine::backend_name(backend), us(after) - us(before),
                       after.ru_nvcsw - before.ru_nvcsw - 1);
    }
    return text;
}

// A file that all cells of its place use.
class SharedFile {
  public:
    SharedFile(const std::string& directory, std::uint64_t bytes) {
        options_.target = directory + "/ioengine-suite-" + std::to_string(getpid()) + ".dat";
        options_.size_bytes = bytes;
        options_.rw = Rw::randrw;
        target_.emplace(options_);
        target_->lay_out(nullptr);
    }
    const std::string& path() const noexcept { return target_->path(); }
    const std::string& filesystem() const noexcept { return target_->filesystem(); }

  private:
    BenchOptions options_;
    std::optional<Target> target_;
};

bool selected(const Cell& cell, const SuiteOptions& options) {
    const std::string text = describe(cell);
    return options.only.empty() ||
           std::any_of(options.only.begin(), options.only.end(), [&](const std::string& word) {
               return text.find(word) != std::string::npos;
           });
}

}  // namespace

void run_suite(int argc, char** argv) {
    SuiteOptions options;
    if (!parse(argc, argv, options))
        return;
    std::vector<Cell> cells = suite_cells();
    cells.erase(std::remove_if(cells.begin(), cells.end(),
                               [&](const Cell& cell) { return !selected(cell, options); }),
                cells.end());
    if (cells.empty())
        throw Failure(kExitUsage, "no cell contains any of the words of --only");
    write_file(options.out + ".txt", "");  // before the work, rather than after it
    const SharedFile disk(options.disk, options.file_bytes);
    const SharedFile memory(options.memory, options.file_bytes);
    if (disk.filesystem() == "tmpfs")
        throw Failure(kExitUsage, options.disk + " is a tmpfs; name a directory on a disk: --disk");

    SuiteResult result;
    result.repetitions = options.repetitions;
    result.slice_seconds = options.seconds;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        if (isatty(STDERR_FILENO) != 0)
            std::fprintf(stderr, "\r\033[K%zu of %zu: %s\n", i + 1, cells.size(),
                         describe(cells[i]).c_str());
        const std::string path = cells[i].place == Place::zero     ? "/dev/zero"
                                 : cells[i].place == Place::memory ? memory.path()
                                                                   : disk.path();
        result.rows.push_back(measure(cells[i], path, options));
    }
    result.idle = measure_idle();
    const std::string table = to_table(result);
    write_file(options.out + ".txt", table);
    write_file(options.out + ".json", to_json(result));
    write_file(options.out + ".svg", to_picture(result));
    std::cout << table << std::flush;
    if (!std::cout)
        throw Failure(kExitUnavailable, "cannot write the table to stdout");
}

}  // namespace bench
