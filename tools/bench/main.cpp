// SPDX-License-Identifier: MIT
//
// ioengine-bench: the order of things, from the command line to the exit code.
#include "tools/bench/arena.hpp"
#include "tools/bench/comparison.hpp"
#include "tools/bench/engine_contender.hpp"
#include "tools/bench/failure.hpp"
#include "tools/bench/fio_contender.hpp"
#include "tools/bench/growth.hpp"
#include "tools/bench/options.hpp"
#include "tools/bench/peers.hpp"
#include "tools/bench/plot.hpp"
#include "tools/bench/report.hpp"
#include "tools/bench/session.hpp"
#include "tools/bench/suite.hpp"
#include "tools/bench/svg.hpp"
#include "tools/bench/target.hpp"
#include "tools/bench/verifier.hpp"

#include <ioengine/ioengine.hpp>

#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace bench {

namespace {

// The peers run over the backend that ours will have in force.
ioengine::Backend backend_in_force(const BenchOptions& options) {
    ioengine::Options asked;
    asked.backend = options.backend;
    const ioengine::ProbeReport report = ioengine::probe(asked);
    if (report.backend == ioengine::Backend::automatic)
        throw Failure(kExitUnavailable,
                      std::string(report.reason) + "; ioengine-probe says what each backend lacks");
    return report.backend;
}

std::vector<std::unique_ptr<Contender>> make_contenders(const Workload& workload) {
    const BenchOptions& options = workload.options;
    std::vector<std::unique_ptr<Contender>> contenders;
    contenders.push_back(make_engine_contender(workload));
    if (!options.compares())
        return contenders;
    const ioengine::Backend backend = backend_in_force(options);
    if (options.compare_raw)
        contenders.push_back(make_raw_loop(workload, backend));
    if (options.compare_strict)
        contenders.push_back(make_strict_pair(workload, backend));
    if (options.compare_fio)
        contenders.push_back(make_fio_contender(workload, backend));
    return contenders;
}

void print(const std::string& text) {
    const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
    if (!written)
        throw Failure(kExitUnavailable, "cannot write the report to stdout: " + errno_text(errno));
}

std::uint64_t random_seed() {
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
}

// Wrong data, then errors: what makes the run a failure although it came to its end.
void require_right(const Comparison& comparison, const Verifier* verifier) {
    if (verifier != nullptr && verifier->failed())
        throw Failure(kExitWrong, verifier->first_mismatch() + " (" +
                                      std::to_string(verifier->mismatches()) +
                                      " wrong blocks seen before the run was stopped)");
    for (const Outcome& outcome : comparison.outcomes) {
        if (outcome.total.errors != 0)
            throw Failure(kExitWrong, std::to_string(outcome.total.errors) + " requests of " +
                                          outcome.identity.name + " failed, the first " +
                                          outcome.total.first_error);
    }
}

void run(const BenchOptions& options) {
    if (!options.plot.empty())
        write_file(options.plot, "");  // before the work, rather than after it
    Target target(options);
    const std::uint64_t seed = random_seed();
    std::optional<Verifier> verifier;
    if (options.verify)
        verifier.emplace(target.blocks(), options.block_bytes, seed);
    target.lay_out(verifier ? &*verifier : nullptr);
    target.open_for_run();

    const Arena arena(options.depth, options.block_bytes);
    const Workload workload{options, target, arena, verifier ? &*verifier : nullptr, seed};
    const auto contenders = make_contenders(workload);
    const Comparison comparison = run_in_turns(contenders, options);

    if (verifier && !verifier->failed() && writes(options.rw))
        verifier->check_everything(target.fd());
    const Report report{options, target, comparison, seed,
                        verifier ? verifier->verified_blocks() : 0};
    print(options.json ? to_json(report) : to_table(report));
    if (!options.plot.empty())
        write_file(options.plot, to_picture(report));
    require_right(comparison, verifier ? &*verifier : nullptr);
}

}  // namespace

}  // namespace bench

int main(int argc, char** argv) {
    // Without this a limit on file sizes would kill the program; so it is an error like others.
    std::signal(SIGXFSZ, SIG_IGN);
    const std::string command = argc > 1 ? argv[1] : "";
    try {
        if (command == "suite")
            bench::run_suite(argc - 1, argv + 1);
        else if (command == "growth")
            bench::run_growth(argc - 1, argv + 1);
        else if (const auto options = bench::parse_options(argc, argv))
            bench::run(*options);
    } catch (const bench::Failure& failure) {
        std::fprintf(stderr, "ioengine-bench: %s\n", failure.what());
        return failure.code();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "ioengine-bench: %s\n", error.what());
        return bench::kExitUnavailable;
    }
    return bench::kExitDone;
}
