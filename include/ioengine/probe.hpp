// SPDX-License-Identifier: MIT
//
// ProbeReport: what this kernel, container and user allow, what was chosen, and why.
#ifndef IOENGINE_PROBE_HPP
#define IOENGINE_PROBE_HPP

#include <ioengine/export.h>
#include <ioengine/options.hpp>
#include <ioengine/text.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {

// One backend as the probe found it.
struct BackendProbe {
    bool compiled = false;   // in this build of the library
    bool available = false;  // set up, opcodes present, a real read came back right
    int sys_errno = 0;       // of the step that failed; 0 if none did
    char step[40] = {};      // the step that failed, such as "io_uring_setup"
    char hint[200] = {};     // what to do about it
};

// One optional feature. in_force is true only in the report of a context that uses it.
struct FeatureProbe {
    char name[24] = {};
    bool available = false;
    bool in_force = false;
    char note[96] = {};
};

// A known defect of a range of kernels that includes this one.
struct QuirkProbe {
    char name[24] = {};
    bool applied = false;  // false: overridden
    char note[160] = {};
};

struct ProbeReport {
    static constexpr std::uint32_t kFeaturesMax = 32;
    static constexpr std::uint32_t kQuirksMax = 8;

    std::uint32_t struct_size = sizeof(ProbeReport);
    Backend asked = Backend::automatic;  // by Options or the environment
    bool asked_by_environment = false;
    Backend backend = Backend::automatic;  // in force; `automatic` if none is possible
    char reason[200] = {};                 // why this one
    char kernel[72] = {};                  // uname release
    BackendProbe uring;
    BackendProbe aio;
    std::uint32_t feature_count = 0;
    FeatureProbe features[kFeaturesMax];
    std::uint32_t quirk_count = 0;
    QuirkProbe quirks[kQuirksMax];
};

namespace abi {
IOENGINE_API ProbeReport probe(const Options& options) noexcept;
IOENGINE_API Text probe_text(const ProbeReport& report) noexcept;
IOENGINE_API Text probe_json(const ProbeReport& report) noexcept;
}  // namespace abi

// Tries both backends as create() would and reports. Takes milliseconds, leaves nothing behind.
inline ProbeReport probe(const Options& options = Options()) noexcept {
    return abi::probe(options);
}
// For people, several lines.
inline Text to_text(const ProbeReport& report) noexcept {
    return abi::probe_text(report);
}
// One JSON document: backend, reason, backends.{uring,aio}.{available,errno,hint},
// features.NAME.{available,in_force}, quirks[].
inline Text to_json(const ProbeReport& report) noexcept {
    return abi::probe_json(report);
}

// "auto", "uring", "aio", "null".
IOENGINE_API const char* backend_name(Backend backend) noexcept;

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_PROBE_HPP
