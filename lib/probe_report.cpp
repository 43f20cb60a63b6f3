// SPDX-License-Identifier: MIT
//
// ProbeReport as text and as JSON, and the probe that stands alone.
#include "lib/config.hpp"
#include "lib/runner.hpp"
#include "lib/text.hpp"

#include <ioengine/engine.hpp>
#include <ioengine/probe.hpp>

#include <nlohmann/json.hpp>

#include <cstring>
#include <new>
#include <string>

namespace ioengine {
inline namespace v0 {

namespace {

void append_backend(std::string& to, const char* name, const BackendProbe& probe) {
    append_format(to, "  %-6s %s", name, probe.available ? "available" : "not available");
    if (!probe.available)
        append_format(to, ": %s", probe.step);
    if (probe.hint[0] != '\0')
        append_format(to, "\n         %s", probe.hint);
    to += '\n';
}

nlohmann::json json_of(const BackendProbe& probe) {
    return {{"compiled", probe.compiled},
            {"available", probe.available},
            {"errno", probe.sys_errno},
            {"step", probe.step},
            {"hint", probe.hint}};
}

}  // namespace

namespace abi {

ProbeReport probe(const Options& options) noexcept {
    ProbeReport report;
    try {
        Environment environment = read_environment();
        Log log(log_level_of(options, environment), options.log, options.log_user);
        probe_backends(backend_wish(options, environment, log),
                       disabled_features(options, environment, log), report);
    } catch (const std::bad_alloc&) {
        std::strcpy(report.reason, "out of memory");
    }
    return report;
}

Text probe_text(const ProbeReport& report) noexcept {
    try {
        std::string text;
        append_format(text, "kernel   %s\n", report.kernel);
        append_format(text, "backend  %s (asked for: %s%s)\n",
                      report.backend == Backend::automatic ? "none" : backend_name(report.backend),
                      backend_name(report.asked),
                      report.asked_by_environment ? ", by IOENGINE_BACKEND" : "");
        append_format(text, "reason   %s\n", report.reason);
        text += "backends\n";
        append_backend(text, "uring", report.uring);
        append_backend(text, "aio", report.aio);
        if (report.feature_count != 0)
            text += "features\n";
        for (std::uint32_t i = 0; i < report.feature_count; ++i) {
            const FeatureProbe& feature = report.features[i];
            append_format(text, "  %-22s %s%s%s%s\n", feature.name,
                          feature.available ? "yes" : "no", feature.in_force ? ", in force" : "",
                          feature.note[0] != '\0' ? "; " : "", feature.note);
        }
        for (std::uint32_t i = 0; i < report.quirk_count; ++i)
            append_format(text, "quirk    %s%s: %s\n", report.quirks[i].name,
                          report.quirks[i].applied ? "" : " (overridden)", report.quirks[i].note);
        return make_text(text);
    } catch (const std::bad_alloc&) {
        return {};
    }
}

Text probe_json(const ProbeReport& report) noexcept {
    try {
        nlohmann::json json;
        json["kernel"] = report.kernel;
        json["asked"] = backend_name(report.asked);
        json["asked_by_environment"] = report.asked_by_environment;
        json["backend"] =
            report.backend == Backend::automatic ? "none" : backend_name(report.backend);
        json["reason"] = report.reason;
        json["backends"]["uring"] = json_of(report.uring);
        json["backends"]["aio"] = json_of(report.aio);
        json["features"] = nlohmann::json::object();
        for (std::uint32_t i = 0; i < report.feature_count; ++i) {
            const FeatureProbe& feature = report.features[i];
            json["features"][feature.name] = {{"available", feature.available},
                                              {"in_force", feature.in_force},
                                              {"note", feature.note}};
        }
        json["quirks"] = nlohmann::json::array();
        for (std::uint32_t i = 0; i < report.quirk_count; ++i)
            json["quirks"].push_back({{"name", report.quirks[i].name},
                                      {"applied", report.quirks[i].applied},
                                      {"note", report.quirks[i].note}});
        return make_text(json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    } catch (...) {
        return {};
    }
}

}  // namespace abi

const char* version() noexcept {
    return IOENGINE_VERSION_STRING;
}

}  // namespace v0
}  // namespace ioengine
