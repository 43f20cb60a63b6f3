// SPDX-License-Identifier: MIT
//
// Writes the report.
#include "tools/bench/report.hpp"

#include "tools/bench/format.hpp"
#include "tools/bench/options.hpp"
#include "tools/bench/target.hpp"

#include <ioengine/ioengine.hpp>

#include <nlohmann/json.hpp>

#include <vector>

namespace bench {

namespace {

double percentile_us(const Outcome& outcome, double fraction) {
    return static_cast<double>(outcome.total.latency.percentile_ns(fraction)) / 1e3;
}

double mb_per_s(const Outcome& outcome, const BenchOptions& options) {
    return outcome.total.iops() * options.block_bytes / 1e6;
}

std::string workload_lines(const Report& report) {
    const BenchOptions& asked = report.options;
    const Target& target = report.target;
    std::string kind = target.kind_name();
    if (target.kind() == TargetKind::regular_file)
        kind += " on " + target.filesystem();
    std::string text =
        format("target    %s: %s, %.1f MiB used, %s\n", target.path().c_str(), kind.c_str(),
               static_cast<double>(target.size_bytes()) / (1 << 20), target.access().c_str());
    text += format("load      %s, blocks of %u bytes, depth %u, mode %s", rw_name(asked.rw),
                   asked.block_bytes, asked.depth, mode_name(asked.mode));
    if (asked.mode == Mode::wake)
        text += format(", %u producers", asked.producers);
    if (asked.merge)
        text += ", merging";
    if (asked.fixed)
        text += ", registered file and buffers";
    if (asked.spin_us != 0)
        text += format(", spinning up to %u us", asked.spin_us);
    text += format(", seed %llu\n\n", static_cast<unsigned long long>(report.seed));
    return text;
}

std::string table_row(const Report& report, const Outcome& outcome) {
    const Measurement& total = outcome.total;
    return format("%-9s %-7s %10.0f %9.1f %8.1f %8.1f %8.1f %8.1f %8.1f %8.2f %9.2f %6llu\n",
                  outcome.identity.name.c_str(), outcome.identity.backend.c_str(), total.iops(),
                  mb_per_s(outcome, report.options), percentile_us(outcome, 0.5),
                  percentile_us(outcome, 0.9), percentile_us(outcome, 0.99),
                  percentile_us(outcome, 0.999), percentile_us(outcome, 0.9999),
                  total.per_request(total.cpu_us), total.per_request(total.context_switches),
                  static_cast<unsigned long long>(total.errors));
}

nlohmann::ordered_json outcome_json(const Report& report, const Outcome& outcome, bool ours) {
    const Measurement& total = outcome.total;
    nlohmann::ordered_json json;
    json["name"] = outcome.identity.name;
    json["backend"] = outcome.identity.backend;
    json["threading"] = outcome.identity.threading;
    json["lending"] = outcome.identity.lending;
    json["ring"] = outcome.identity.ring;
    json["iops"] = total.iops();
    json["mb_per_s"] = mb_per_s(outcome, report.options);
    json["p50_us"] = percentile_us(outcome, 0.5);
    json["p90_us"] = percentile_us(outcome, 0.9);
    json["p99_us"] = percentile_us(outcome, 0.99);
    json["p999_us"] = percentile_us(outcome, 0.999);
    json["p9999_us"] = percentile_us(outcome, 0.9999);
    json["cpu_us_per_io"] = total.per_request(total.cpu_us);
    json["ctxsw_per_io"] = total.per_request(total.context_switches);
    json["errors"] = total.errors;
    json["verified_blocks"] = ours ? report.verified_blocks : 0;
    json["requests"] = total.requests;
    json["seconds"] = total.seconds;
    json["repetitions_iops"] = outcome.iops;
    json["note"] = outcome.identity.note;
    return json;
}

}  // namespace

std::string to_table(const Report& report) {
    std::string text = workload_lines(report);
    text += format("%-9s %-7s %10s %9s %8s %8s %8s %8s %8s %8s %9s %6s\n", "", "backend", "IOPS",
                   "MB/s", "p50 us", "p90 us", "p99 us", "p99.9", "p99.99", "CPU us", "ctxsw",
                   "errors");
    for (const Outcome& outcome : report.comparison.outcomes)
        text += table_row(report, outcome);
    text += "CPU us and ctxsw are per request.\n\n";
    for (const Outcome& outcome : report.comparison.outcomes)
        text += format("%-9s %s\n", outcome.identity.name.c_str(), outcome.identity.note.c_str());
    for (const Ratio& ratio : report.comparison.ratios) {
        text += format("ratio     ioengine / %s in IOPS: %.3f, the median of", ratio.name.c_str(),
                       ratio.median);
        for (const double repetition : ratio.repetitions)
            text += format(" %.3f", repetition);
        text += "\n";
    }
    if (report.options.verify)
        text += format("verified  %llu blocks\n",
                       static_cast<unsigned long long>(report.verified_blocks));
    return text;
}

std::string to_json(const Report& report) {
    const BenchOptions& asked = report.options;
    nlohmann::ordered_json json;
    json["version"] = ioengine::version();
    json["target"] = {{"path", report.target.path()},
                      {"kind", report.target.kind_name()},
                      {"filesystem", report.target.filesystem()},
                      {"size_bytes", report.target.size_bytes()},
                      {"access", report.target.access()}};
    json["workload"] = {{"rw", rw_name(asked.rw)},       {"block_bytes", asked.block_bytes},
                        {"depth", asked.depth},          {"producers", asked.producers},
                        {"mode", mode_name(asked.mode)}, {"merge", asked.merge},
                        {"fixed", asked.fixed},          {"spin_us", asked.spin_us},
                        {"verify", asked.verify},        {"seed", report.seed}};
    json["results"] = nlohmann::ordered_json::array();
    bool ours = true;
    for (const Outcome& outcome : report.comparison.outcomes) {
        json["results"].push_back(outcome_json(report, outcome, ours));
        ours = false;
    }
    json["ratios"] = nlohmann::ordered_json::object();
    for (const Ratio& ratio : report.comparison.ratios)
        json["ratios"][ratio.name] = ratio.median;
    // A path need not be UTF-8; the document must be.
    return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace bench
