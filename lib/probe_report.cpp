// SPDX-License-Identifier: MIT
//
// ProbeReport as text and as JSON, and the probe that stands alone.
#include "lib/config.hpp"
#include "lib/reporting.hpp"
#include "lib/runner.hpp"
#include "lib/text.hpp"

#include <ioengine/engine.hpp>
#include <ioengine/probe.hpp>

#include <nlohmann/json.hpp>

#include <cerrno>
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

// A string of JSON. Values with structure are not used: their destructor allocates (nlohmann 3.11,
// basic_json::json_value::destroy), and so ends the program where memory is short.
std::string quoted(const char* text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

const char* truth(bool value) noexcept {
    return value ? "true" : "false";
}

std::string json_of(const BackendProbe& probe) {
    return std::string("{\"compiled\": ") + truth(probe.compiled) +
           ", \"available\": " + truth(probe.available) +
           ", \"errno\": " + std::to_string(probe.sys_errno) + ", \"step\": " + quoted(probe.step) +
           ", \"hint\": " + quoted(probe.hint) + "}";
}

std::string json_of(const FeatureProbe& feature) {
    return std::string("{\"available\": ") + truth(feature.available) +
           ", \"in_force\": " + truth(feature.in_force) + ", \"note\": " + quoted(feature.note) +
           "}";
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
        put_text(report.reason, "out of memory");
        for (BackendProbe* const backend : {&report.uring, &report.aio})
            if (!backend->available && backend->step[0] == '\0')
                put_failure(*backend, "not looked at", ENOMEM, "try again with more memory");
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
        const bool chosen = report.backend != Backend::automatic;
        std::string json = "{\n  \"kernel\": " + quoted(report.kernel);
        json += ",\n  \"asked\": " + quoted(backend_name(report.asked));
        json += std::string(",\n  \"asked_by_environment\": ") + truth(report.asked_by_environment);
        json += ",\n  \"backend\": " + quoted(chosen ? backend_name(report.backend) : "none");
        json += ",\n  \"reason\": " + quoted(report.reason);
        json += ",\n  \"backends\": {\n    \"uring\": " + json_of(report.uring);
        json += ",\n    \"aio\": " + json_of(report.aio) + "\n  }";
        json += ",\n  \"features\": {";
        for (std::uint32_t i = 0; i < report.feature_count; ++i)
            json += (i == 0 ? "\n    " : ",\n    ") + quoted(report.features[i].name) + ": " +
                    json_of(report.features[i]);
        json += "\n  },\n  \"quirks\": [";
        for (std::uint32_t i = 0; i < report.quirk_count; ++i)
            json += std::string(i == 0 ? "\n    " : ",\n    ") +
                    "{\"name\": " + quoted(report.quirks[i].name) +
                    ", \"applied\": " + truth(report.quirks[i].applied) +
                    ", \"note\": " + quoted(report.quirks[i].note) + "}";
        json += "\n  ]\n}\n";
        return make_text(json);
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
