// SPDX-License-Identifier: MIT
//
// ioengine-sim: runs simulations from the command line, to search and to replay.
#include "tests/sim/failure.hpp"
#include "tests/sim/runs.hpp"
#include "tests/sim/shrink.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace {

constexpr int kUsage = 2;

constexpr char kHelp[] =
    R"(Usage: ioengine-sim [--seed N] [--seeds COUNT] [--requests N] [--backend aio|uring|both]
                    [--threading split|owner|caller|drawn] [--verbose] [--without FAULT]...
                    [--scene-requests N] [--shrink]

  --seed N       the first seed (1)
  --seeds COUNT  how many seeds, one after the other (as many as --requests needs)
  --requests N   ends once so many requests were accepted, all seeds together (1000000)
  --backend B    aio, uring, or each seed on both (both)
  --threading T  split, owner or caller in all simulations, or as each seed says (drawn)
  --verbose      prints every event
  --without F    without this kind of fault, by the name in the table at the end; may be repeated
  --scene-requests N
                 at most N requests in each simulation
  --shrink       with --seed N --seeds 1 --backend B, which fail: finds fewer faults and requests
                 with which they still fail, and runs those

The same seed gives the same history, whose digest is printed. Exits 0 if the contract held and, unless
--seeds was given, every kind of fault was injected; 1 if not, with the command that replays it.
)";

[[noreturn]] void usage(const char* what) {
    std::fprintf(stderr, "ioengine-sim: %s; see --help\n", what);
    std::exit(kUsage);
}

std::uint64_t number(const char* text) {
    char* end = nullptr;
    errno = 0;
    const unsigned long long value = text == nullptr ? 0 : std::strtoull(text, &end, 10);
    if (text == nullptr || *text == '\0' || *end != '\0' || errno != 0)
        usage("a number is missing or is none");
    return value;
}

std::vector<sim::Backend> backends(const char* name) {
    if (name == nullptr)
        usage("--backend needs aio, uring or both");
    if (std::strcmp(name, "both") == 0)
        return sim::all_backends();
    for (const sim::Backend backend : sim::all_backends())
        if (std::strcmp(name, sim::backend_name(backend)) == 0)
            return {backend};
    usage("there is no such backend in this build");
}

std::optional<ioengine::Threading> threading(const char* name) {
    if (name == nullptr)
        usage("--threading needs split, owner, caller or drawn");
    if (std::strcmp(name, "drawn") == 0)
        return std::nullopt;
    for (const ioengine::Threading one : sim::kThreadings)
        if (std::strcmp(name, sim::threading_name(one)) == 0)
            return one;
    usage("there is no such threading");
}

}  // namespace

int main(int argc, char** argv) {
    sim::RunOptions options;
    options.backends = sim::all_backends();
    bool some_seeds = false;
    bool shrinks = false;
    for (int i = 1; i < argc; ++i) {
        const auto is = [&](const char* name) { return std::strcmp(argv[i], name) == 0; };
        const char* const value = i + 1 < argc ? argv[i + 1] : nullptr;
        if (is("--help") || is("-h")) {
            std::fputs(kHelp, stdout);
            return 0;
        }
        if (is("--verbose")) {
            options.verbose = true;
            continue;
        }
        if (is("--shrink")) {
            shrinks = true;
            continue;
        }
        if (is("--seed"))
            options.seed = number(value);
        else if (is("--seeds"))
            options.seeds_max = number(value), some_seeds = true;
        else if (is("--requests"))
            options.requests = number(value);
        else if (is("--scene-requests"))
            options.scene_requests = number(value);
        else if (is("--without")) {
            if (value == nullptr || !sim::leave_out(options, value))
                usage("--without needs a fault of the table that a run ends with");
        } else if (is("--threading"))
            options.threading = threading(value);
        else if (is("--backend"))
            options.backends = backends(value);
        else
            usage("unknown argument");
        ++i;
    }
    if (some_seeds)
        options.requests = UINT64_MAX;
    if (shrinks) {
        if (options.seeds_max != 1 || options.backends.size() != 1)
            usage("--shrink needs --seed N --seeds 1 --backend B");
        options = sim::shrink(options);
    }
    sim::tell_story_on_crash();
    const sim::RunTotals totals = sim::run(options);
    sim::print_totals(totals);
    if (some_seeds)
        return 0;
    const std::vector<ioengine::Fault> missing = sim::missing_faults(totals, options.backends);
    for (const ioengine::Fault fault : missing)
        std::printf("FAILED: never injected: %s\n", ioengine::name_of(fault).name);
    return missing.empty() ? 0 : 1;
}
