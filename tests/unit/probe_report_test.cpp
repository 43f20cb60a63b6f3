// SPDX-License-Identifier: MIT
//
// Goal: the table of known kernel defects hits exactly the releases it names, and a report reads
// the same as text and as JSON.
// Method: releases on both sides of each edge; a report filled by hand, its JSON parsed back.

#include "drivers/choice/quirks.hpp"
#include "lib/reporting.hpp"
#include "tests/unit/unit.hpp"

#include <ioengine/probe.hpp>

#include <nlohmann/json.hpp>

#include <cstring>
#include <string>

using namespace ioengine;

namespace {

bool speaks_against_uring(const char* release, bool overridden = false) {
    ProbeReport report;
    return note_quirks(release, overridden, report);
}

bool names_quirk(const char* release, const char* name) {
    ProbeReport report;
    note_quirks(release, false, report);
    for (std::uint32_t i = 0; i < report.quirk_count; ++i)
        if (std::strcmp(report.quirks[i].name, name) == 0)
            return true;
    return false;
}

ProbeReport a_report() {
    ProbeReport report;
    report.asked = Backend::automatic;
    report.backend = Backend::aio;
    put_text(report.reason, "AIO works here; io_uring does not: \"denied\"");
    put_text(report.kernel, "5.15.0-test");
    report.aio.compiled = report.aio.available = true;
    report.uring.compiled = true;
    put_failure(report.uring, "io_uring_setup", EPERM, "allow it");
    note_feature(report, "aio_fsync", true, "native").in_force = true;
    note_feature(report, "aio_ring_reap", false);
    note_quirks(report.kernel, false, report);
    return report;
}

}  // namespace

TEST_CASE("lost buffered writes: from 5.11 until before 5.15.3, and overridable", "[quirks]") {
    for (const char* bad :
         {"5.11", "5.11.0", "5.13.19-generic", "5.14.0-70.el9", "5.15.0-91", "5.15.2"}) {
        INFO(bad);
        REQUIRE(speaks_against_uring(bad));
        REQUIRE_FALSE(speaks_against_uring(bad, true));
    }
    for (const char* good : {"5.10.226", "5.15.3", "5.15.100", "5.16", "6.1.0-18-amd64", "6.12.1",
                             "4.18.0", "5.15.99999", "15.11.0"}) {
        INFO(good);
        REQUIRE_FALSE(speaks_against_uring(good));
    }
}

TEST_CASE("the other quirks are named for their releases and speak against nothing", "[quirks]") {
    REQUIRE(names_quirk("5.13.0", "exit_in_d_state"));
    REQUIRE(names_quirk("5.15.170", "exit_in_d_state"));
    REQUIRE_FALSE(names_quirk("5.12.19", "exit_in_d_state"));
    REQUIRE_FALSE(names_quirk("5.16.0", "exit_in_d_state"));
    REQUIRE(names_quirk("5.1.0", "memlock_freed_late"));
    REQUIRE(names_quirk("5.11.22", "memlock_freed_late"));
    REQUIRE_FALSE(names_quirk("5.12.0", "memlock_freed_late"));
    REQUIRE_FALSE(names_quirk("6.12.0", "memlock_freed_late"));
    REQUIRE(names_quirk("6.18.44", "memlock_freed_late"));
}

TEST_CASE("an overridden quirk stays in the report, as not applied", "[quirks]") {
    ProbeReport report;
    REQUIRE_FALSE(note_quirks("5.14.0", true, report));
    REQUIRE(report.quirk_count == 2);
    REQUIRE(std::string(report.quirks[0].name) == "io_wq_hash_race");
    REQUIRE_FALSE(report.quirks[0].applied);
    REQUIRE(report.quirks[0].note[0] != '\0');
}

TEST_CASE("a release that is no number has no quirks", "[quirks]") {
    for (const char* release : {"", "6", "next", "six.one"})
        REQUIRE_FALSE(speaks_against_uring(release));
}

TEST_CASE("a feature is noted once, and found by name", "[probe-report]") {
    ProbeReport report;
    REQUIRE_FALSE(has_feature(report, "submit_all"));
    note_feature(report, "submit_all", true, "first");
    REQUIRE(has_feature(report, "submit_all"));
    note_feature(report, "submit_all", false);
    REQUIRE(report.feature_count == 1);
    REQUIRE_FALSE(has_feature(report, "submit_all"));
    REQUIRE(std::string(report.features[0].note) == "first");
}

TEST_CASE("more features than a report holds do no harm", "[probe-report]") {
    ProbeReport report;
    for (std::uint32_t i = 0; i < ProbeReport::kFeaturesMax + 5; ++i)
        note_feature(report, ("f" + std::to_string(i)).c_str(), true);
    REQUIRE(report.feature_count == ProbeReport::kFeaturesMax);
    REQUIRE(has_feature(report, "f0"));
}

TEST_CASE("the JSON of a report says all that the report says", "[probe-report][A3]") {
    const ProbeReport report = a_report();
    const Text text = to_json(report);
    const auto json = nlohmann::json::parse(text.c_str());
    REQUIRE(json["backend"] == "aio");
    REQUIRE(json["asked"] == "auto");
    REQUIRE(json["asked_by_environment"] == false);
    REQUIRE(json["reason"] == report.reason);
    REQUIRE(json["kernel"] == "5.15.0-test");
    REQUIRE(json["backends"]["aio"]["available"] == true);
    REQUIRE(json["backends"]["aio"]["errno"] == 0);
    REQUIRE(json["backends"]["uring"]["available"] == false);
    REQUIRE(json["backends"]["uring"]["errno"] == EPERM);
    REQUIRE(json["backends"]["uring"]["hint"] == "allow it");
    REQUIRE(json["features"]["aio_fsync"]["available"] == true);
    REQUIRE(json["features"]["aio_fsync"]["in_force"] == true);
    REQUIRE(json["features"]["aio_ring_reap"]["available"] == false);
    REQUIRE(json["quirks"].size() == 2);
    REQUIRE(json["quirks"][0]["name"] == "io_wq_hash_race");
    REQUIRE(json["quirks"][0]["applied"] == true);
}

TEST_CASE("the JSON of a report without a backend says none, and bytes that are no UTF-8 do no "
          "harm",
          "[probe-report]") {
    ProbeReport report;
    put_text(report.reason, "\xff\xfe");
    const auto json = nlohmann::json::parse(to_json(report).c_str());
    REQUIRE(json["backend"] == "none");
    REQUIRE(json["quirks"].is_array());
    REQUIRE(json["features"].is_object());
}

TEST_CASE("the text of a report names backend, reason, failing step, hint, features and quirks",
          "[probe-report]") {
    const std::string text = to_text(a_report()).c_str();
    for (const char* part : {"backend  aio", "io_uring does not", "io_uring_setup", "allow it",
                             "aio_fsync", "in force", "native", "io_wq_hash_race"}) {
        INFO(text);
        REQUIRE(text.find(part) != std::string::npos);
    }
    ProbeReport none;
    none.asked = Backend::uring;
    none.asked_by_environment = true;
    const std::string other = to_text(none).c_str();
    REQUIRE(other.find("backend  none") != std::string::npos);
    REQUIRE(other.find("IOENGINE_BACKEND") != std::string::npos);
}
