// SPDX-License-Identifier: MIT
//
// Writing into a ProbeReport.
#pragma once

#include <ioengine/probe.hpp>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace ioengine {
inline namespace v0 {

template <std::size_t N>
void put_text(char (&to)[N], const char* from) noexcept {
    std::snprintf(to, N, "%s", from);
}

// Adds a feature, or changes the one of that name.
inline FeatureProbe& note_feature(ProbeReport& report, const char* name, bool available,
                                  const char* note = "") noexcept {
    std::uint32_t i = 0;
    while (i < report.feature_count && std::strcmp(report.features[i].name, name) != 0)
        ++i;
    if (i == ProbeReport::kFeaturesMax)
        --i;
    if (i == report.feature_count)
        ++report.feature_count;
    FeatureProbe& feature = report.features[i];
    put_text(feature.name, name);
    feature.available = available;
    if (note[0] != '\0')
        put_text(feature.note, note);
    return feature;
}

inline bool has_feature(const ProbeReport& report, const char* name) noexcept {
    for (std::uint32_t i = 0; i < report.feature_count; ++i)
        if (std::strcmp(report.features[i].name, name) == 0)
            return report.features[i].available;
    return false;
}

inline void put_failure(BackendProbe& probe, const char* step, int error,
                        const char* hint) noexcept {
    probe.available = false;
    probe.sys_errno = error;
    put_text(probe.step, step);
    put_text(probe.hint, hint);
}

}  // namespace v0
}  // namespace ioengine
