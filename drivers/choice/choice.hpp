// SPDX-License-Identifier: MIT
//
// The choice of the backend, made once per context: probe, wish, quirks, fall-back, and a report
// that says why.
#pragma once

#include "lib/features.hpp"
#include "lib/settings.hpp"

#include <ioengine/error.hpp>
#include <ioengine/probe.hpp>

namespace ioengine {
inline namespace v0 {

// What the choice is made among. A simulation has candidates of its own.
struct Candidates {
    void* self = nullptr;
    // uname(2)'s, for the table of known defects.
    const char* kernel_release = "";
    // Fills the report's part on this backend, uring or aio.
    void (*probe)(void* self, Backend backend, bool thorough, ProbeReport& report) = nullptr;
    // Makes what runs on this backend, which is not `automatic`; or fills the error.
    bool (*make)(void* self, Backend backend, ProbeReport& report, Error& error) = nullptr;
};

// Fills the report: report.backend is the one to be made, `automatic` if there is none.
void choose(const BackendWish& wish, const FeatureSet& disabled, bool thorough,
            const Candidates& candidates, ProbeReport& report);

// Chooses and makes. Where nobody asked for a backend, and the one that was chosen cannot be made
// although its probe went well, the other takes its place. report.backend is what was made. False:
// the error says why and what to do.
bool choose_and_make(const BackendWish& wish, const FeatureSet& disabled,
                     const Candidates& candidates, ProbeReport& report, Error& error);

}  // namespace v0
}  // namespace ioengine
