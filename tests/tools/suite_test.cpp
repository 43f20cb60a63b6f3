// SPDX-License-Identifier: MIT
//
// Goal: the suite says reached, missed or too noisy as a careful reader of the repetitions would.
// Method: rows of known ratios.
#include "tests/support/support.hpp"

#include "tools/bench/comparison.hpp"
#include "tools/bench/suite.hpp"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace bench;

Row row_of(std::vector<double> ratios, std::optional<double> goal) {
    Row row;
    row.cell.goal.rate = goal;
    row.ratios = std::move(ratios);
    return row;
}

}  // namespace

TEST_CASE("a quantile lies between two values in proportion") {
    REQUIRE(quantile({}, 0.5) == 0);
    REQUIRE(quantile({3}, 0.25) == 3);
    REQUIRE(quantile({1, 2, 3, 4, 5}, 0.25) == 2);
    REQUIRE(quantile({5, 4, 3, 2, 1}, 0.75) == 4);
    REQUIRE(quantile({1, 2}, 0.75) == 1.75);
}

TEST_CASE("a goal is reached or missed if the middle half of the repetitions says so") {
    REQUIRE(judge(row_of({0.96, 0.97, 0.98, 0.99, 1.0}, 0.95)) == Verdict::reached);
    REQUIRE(judge(row_of({0.90, 0.91, 0.92, 0.93, 0.94}, 0.95)) == Verdict::missed);
    // However far they lie apart.
    REQUIRE(judge(row_of({2, 3, 4, 5, 6}, 1.5)) == Verdict::reached);
    REQUIRE(judge(row_of({0.1, 0.3, 0.5, 0.7, 0.9}, 0.95)) == Verdict::missed);
    // One that is out of the way changes nothing.
    REQUIRE(judge(row_of({0.1, 0.97, 0.98, 0.99, 1.0}, 0.95)) == Verdict::reached);
}

TEST_CASE("a goal among the middle half is too noisy to judge") {
    REQUIRE(judge(row_of({0.93, 0.94, 0.96, 0.97, 0.98}, 0.95)) == Verdict::noisy);
}

TEST_CASE("without a goal a row is reported, without repetitions it was skipped") {
    REQUIRE(judge(row_of({1, 2, 3}, std::nullopt)) == Verdict::reported);
    REQUIRE(judge(row_of({}, 0.9)) == Verdict::skipped);
}

TEST_CASE("CPU time and time per request have goals of their own") {
    Row row = row_of({2.0, 2.0, 2.1}, 1.9);
    row.cell.goal.cpu = 0.35;
    row.cpu_ratio = 0.3;
    REQUIRE(judge(row) == Verdict::reached);
    row.cpu_ratio = 0.4;
    REQUIRE(judge(row) == Verdict::missed);
    row = row_of({0.8, 0.8, 0.8}, std::nullopt);
    row.cell.goal.added = 130;
    row.added_ns = 120;
    REQUIRE(judge(row) == Verdict::reached);
    row.added_ns = 140;
    REQUIRE(judge(row) == Verdict::missed);
}

TEST_CASE("every cell of the suite has a description of its own") {
    std::set<std::string> seen;
    for (const Cell& cell : suite_cells())
        REQUIRE(seen.insert(describe(cell)).second);
    REQUIRE(seen.size() > 40);
}

TEST_CASE("table, JSON and picture name every row, skipped ones with the reason") {
    SuiteResult result;
    result.rows.push_back(row_of({1, 2, 3}, 0.9));
    result.rows.back().cell.group = "group-a";
    result.rows.back().verdict = Verdict::reached;
    result.rows.push_back(row_of({}, 0.9));
    result.rows.back().cell.group = "group-b";
    result.rows.back().why = "there is no <such> thing";
    for (const std::string& text : {to_table(result), to_json(result), to_picture(result)}) {
        REQUIRE(text.find("group-a") != std::string::npos);
        REQUIRE(text.find("group-b") != std::string::npos);
    }
    REQUIRE(to_table(result).find("no <such> thing") != std::string::npos);
    REQUIRE(to_picture(result).find("skipped") != std::string::npos);
}
