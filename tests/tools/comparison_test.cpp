// SPDX-License-Identifier: MIT
//
// Goal: a comparison is interleaved, shares the time fairly, and reports the median of ratios; what
// fio prints is understood.
// Method: contenders that only take notes; samples of fio's output.
#include "tests/support/support.hpp"

#include "tools/bench/comparison.hpp"
#include "tools/bench/failure.hpp"
#include "tools/bench/fio_contender.hpp"
#include "tools/bench/live_line.hpp"
#include "tools/bench/options.hpp"

#include <memory>
#include <string>
#include <vector>

namespace {

using namespace bench;
#if IOENGINE_CATCH_MAJOR == 3
using Catch::Approx;
#endif

struct Turn {
    std::string name;
    Slice slice;
};

// Has a fixed speed in each of its repetitions.
class Noted : public Contender {
  public:
    Noted(const char* name, std::vector<double> iops, std::vector<Turn>& turns)
        : iops_(std::move(iops)), turns_(turns) {
        identity_.name = name;
    }
    const Identity& identity() const noexcept override { return identity_; }
    Measurement run(const Slice& slice, LiveLine&) override {
        Measurement measured;
        measured.seconds = 2;
        measured.requests = static_cast<std::uint64_t>(iops_.at(runs_++) * 2);
        turns_.push_back({identity_.name, slice});
        return measured;
    }

  private:
    Identity identity_;
    std::vector<double> iops_;
    std::vector<Turn>& turns_;
    std::size_t runs_ = 0;
};

}  // namespace

TEST_CASE("contenders take turns five times, each with a fifth of the time, not always in order") {
    std::vector<Turn> turns;
    std::vector<std::unique_ptr<Contender>> contenders;
    contenders.push_back(
        std::make_unique<Noted>("a", std::vector<double>{100, 200, 100, 300, 100}, turns));
    contenders.push_back(
        std::make_unique<Noted>("b", std::vector<double>{100, 100, 200, 100, 400}, turns));
    BenchOptions options;
    options.seconds = 10;
    const Comparison comparison = run_in_turns(contenders, options);

    REQUIRE(turns.size() == 10);
    std::string order;
    for (const Turn& turn : turns) {
        order += turn.name;
        CHECK(turn.slice.seconds == Approx(2));
        CHECK(turn.slice.requests == 0);
    }
    CHECK(order == "abbaabbaab");

    REQUIRE(comparison.outcomes.size() == 2);
    CHECK(comparison.outcomes[0].identity.name == "a");
    CHECK(comparison.outcomes[0].total.requests == 1600);
    CHECK(comparison.outcomes[0].total.iops() == Approx(160));
    REQUIRE(comparison.ratios.size() == 1);
    CHECK(comparison.ratios[0].name == "b");
    CHECK(comparison.ratios[0].repetitions == std::vector<double>{1, 2, 0.5, 3, 0.25});
    CHECK(comparison.ratios[0].median == Approx(1));
}

TEST_CASE("a number of requests is shared without loss") {
    std::vector<Turn> turns;
    std::vector<std::unique_ptr<Contender>> contenders;
    contenders.push_back(std::make_unique<Noted>("a", std::vector<double>(5, 1), turns));
    contenders.push_back(std::make_unique<Noted>("b", std::vector<double>(5, 1), turns));
    BenchOptions options;
    options.requests = 1003;
    static_cast<void>(run_in_turns(contenders, options));
    std::uint64_t of_a = 0;
    std::uint64_t of_b = 0;
    for (const Turn& turn : turns)
        (turn.name == "a" ? of_a : of_b) += turn.slice.requests;
    CHECK(of_a == 1003);
    CHECK(of_b == 1003);
}

TEST_CASE("a contender alone runs once, for the whole time") {
    std::vector<Turn> turns;
    std::vector<std::unique_ptr<Contender>> contenders;
    contenders.push_back(std::make_unique<Noted>("a", std::vector<double>{7}, turns));
    BenchOptions options;
    options.seconds = 3;
    const Comparison comparison = run_in_turns(contenders, options);
    REQUIRE(turns.size() == 1);
    CHECK(turns[0].slice.seconds == Approx(3));
    CHECK(comparison.ratios.empty());
}

TEST_CASE("the median of an even number of values lies between the middle two") {
    CHECK(median({4, 1, 3, 2}) == Approx(2.5));
    CHECK(median({3, 1, 2}) == Approx(2));
    CHECK(median({}) == 0);
}

TEST_CASE("fio's figures are taken from its JSON, also behind a warning") {
    const Measurement measured = parse_fio(R"(fio: this is a warning
{ "jobs": [ { "error": 0, "job_runtime": 500, "usr_cpu": 10.0, "sys_cpu": 30.0, "ctx": 77,
  "mixed": { "total_ios": 1000, "iops": 2000.0,
             "lat_ns": { "bins": { "1000": 900, "50000": 100 } } } } ] })");
    CHECK(measured.requests == 1000);
    CHECK(measured.iops() == Approx(2000));
    CHECK(measured.cpu_us == Approx(200'000));
    CHECK(measured.context_switches == Approx(77));
    CHECK(measured.errors == 0);
    CHECK(measured.latency.samples() == 1000);
    CHECK(measured.latency.percentile_ns(0.5) >= 1000);
    CHECK(measured.latency.percentile_ns(0.5) <= 1031);
    CHECK(measured.latency.percentile_ns(0.99) == 50'000);
}

TEST_CASE("an error that fio reports is counted and named") {
    const Measurement measured =
        parse_fio(R"({ "jobs": [ { "error": 5, "job_runtime": 1, "usr_cpu": 0, "sys_cpu": 0,
        "ctx": 0, "mixed": { "total_ios": 0, "iops": 0, "lat_ns": { "bins": {} } } } ] })");
    CHECK(measured.errors == 1);
    CHECK(measured.first_error.find("Input/output error") != std::string::npos);
}

TEST_CASE("output of fio that is not what was expected is an error, not a figure") {
    for (const char* output : {"", "nothing", "{", "{}", R"({"jobs":[]})", R"({"jobs":[{}]})"}) {
        CAPTURE(output);
        CHECK_THROWS_AS(parse_fio(output), Failure);
    }
}
