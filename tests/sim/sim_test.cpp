// SPDX-License-Identifier: MIT
//
// Goal: the contract holds over a kernel that does everything wrong that it may, and the simulation
// that shows it can be replayed.
// Method: many seeds; each is a history of its own, with faults, then without. A simulation that
// finds something ends its process, so each runs in a child.
#include "tests/sim/failure.hpp"
#include "tests/sim/runs.hpp"
#include "tests/support/support.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unistd.h>

namespace {

std::uint64_t requests_wanted() {
    const char* text = std::getenv("IOENGINE_SIM_REQUESTS");
    return text != nullptr && *text != '\0' ? std::strtoull(text, nullptr, 10) : 1'000'000;
}

test::ChildOutcome in_child(const sim::RunOptions& options) {
    return test::run_child([&] {
        ::alarm(0);  // how long it takes is for whoever chose the number of requests
        sim::tell_story_on_crash();
        const sim::RunTotals totals = sim::run(options);
        sim::print_totals(totals);
        for (const ioengine::Fault fault : sim::missing_faults(totals, options.backends))
            std::printf("never injected: %s\n", ioengine::name_of(fault).name);
        return 0;
    });
}

std::string digest_in(const std::string& output) {
    const std::size_t at = output.find("digest ");
    return at == std::string::npos ? "" : output.substr(at, 23);
}
// Without the warning that ASan begins with, which names the process.
std::string from_digest(const std::string& output) {
    return output.substr(std::min(output.find("digest "), output.size()));
}

}  // namespace

TEST_CASE("simulated requests complete exactly once under every kind of fault, on every backend") {
    sim::RunOptions options;
    options.requests = requests_wanted();
    options.backends = sim::all_backends();
    const test::ChildOutcome outcome = in_child(options);
    std::printf("%s", outcome.output.c_str());
    CHECK(outcome.signal == 0);
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.output.find("never injected") == std::string::npos);
}

TEST_CASE("the same seed gives the same history, another seed another one") {
    for (const sim::Backend backend : sim::all_backends()) {
        sim::RunOptions options;
        options.seed = test::announced_seed("simulation") % 1'000'000'000;
        options.seeds_max = 10;
        options.requests = UINT64_MAX;
        options.backends = {backend};
        const test::ChildOutcome first = in_child(options);
        const test::ChildOutcome second = in_child(options);
        ++options.seed;
        const test::ChildOutcome other = in_child(options);
        INFO(first.output);
        REQUIRE(first.exit_code == 0);
        REQUIRE(digest_in(first.output).size() == 23);
        CHECK(from_digest(first.output) == from_digest(second.output));
        CHECK(digest_in(other.output) != digest_in(first.output));
    }
}

TEST_CASE("a simulation can be made less: what is left out does not happen") {
    sim::RunOptions options;
    options.seeds_max = 20;
    options.requests = UINT64_MAX;
    options.backends = sim::all_backends();
    options.scene_requests = 40;
    REQUIRE(sim::leave_out(options, "EIO"));
    REQUIRE(sim::leave_out(options, "EAGAIN storm"));
    REQUIRE(sim::leave_out(options, "EINVAL for a flag"));
    REQUIRE_FALSE(sim::leave_out(options, "EOI"));
    REQUIRE_FALSE(sim::leave_out(options, "completion spilled over"));
    REQUIRE(sim::less_of(options) == " --without 'EINVAL for a flag' --without 'EAGAIN storm' "
                                     "--without 'EIO' --scene-requests 40");
    const sim::RunTotals totals = sim::run(options);
    REQUIRE(totals.simulations > 5 * options.backends.size());
    REQUIRE(totals.faults.of(ioengine::Fault::eio) == 0);
    REQUIRE(totals.faults.of(ioengine::Fault::setup_einval) == 0);
    REQUIRE(totals.faults.of(ioengine::Fault::eagain_storm) == 0);
    REQUIRE(totals.faults.of(ioengine::Fault::enodata) > 0);
    // And what is needed to use every slot again, once the faults are over.
    REQUIRE(totals.requests < totals.simulations * 1'000);
}

TEST_CASE("a simulation that finds something prints the command that replays it") {
    const test::ChildOutcome outcome = test::run_child([]() -> int {
        ioengine::SimWorld world({}, {}, 1);
        sim::History history;
        history.begin(world, false);
        history.add(sim::Event::accepted, 5, 1, 2);
        sim::set_story({&history, 4711, "aio"});
        sim::fail("two %s", "notices");
    });
    CHECK(outcome.exit_code == 1);
    CHECK(outcome.output.find("FAILED: seed 4711 on aio: two notices\n") != std::string::npos);
    CHECK(outcome.output.find("request #5 accepted") != std::string::npos);
    CHECK(outcome.output.find("replay: ioengine-sim --backend aio --seed 4711 --seeds 1\n") !=
          std::string::npos);
}

TEST_CASE("a failed check inside the library prints the command that replays it, too") {
    const test::ChildOutcome outcome = test::run_child([]() -> int {
        sim::History history;
        sim::set_story({&history, 4712, "uring"});
        sim::tell_story_on_crash();
        std::abort();
    });
    CHECK(outcome.exit_code == 1);
    CHECK(outcome.output.find("--backend uring --seed 4712") != std::string::npos);
}
