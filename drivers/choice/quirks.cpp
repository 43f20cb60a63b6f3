// SPDX-License-Identifier: MIT
//
// Known kernel defects that a probe cannot see, because they bite under load.
//
// A release number is weak evidence: distributions carry fixes back. So every entry can be
// overridden (Options::ignore_quirks, IOENGINE_DISABLE=quirks), and only `auto` heeds the table.
#include "drivers/choice/quirks.hpp"

#include "lib/reporting.hpp"

#include <cstdint>
#include <cstdio>

namespace ioengine {
inline namespace v0 {

namespace {

constexpr std::uint32_t release_number(unsigned major, unsigned minor, unsigned patch) noexcept {
    return (major << 20) | (minor << 10) | patch;
}

constexpr std::uint32_t kNotFixed = UINT32_MAX;

struct Quirk {
    const char* name;
    std::uint32_t first;  // release that has it
    std::uint32_t fixed;  // first release without it
    bool against_uring;
    const char* note;
};

constexpr Quirk kQuirks[] = {
    {"io_wq_hash_race", release_number(5, 11, 0), release_number(5, 15, 3), true,
     "a buffered write through io_uring can be lost (io-wq hash race, fixed in 5.15.3)"},
    {"exit_in_d_state", release_number(5, 13, 0), release_number(5, 16, 0), false,
     "a thread that exits with io_uring requests in flight can hang: one of yours that drives, "
     "waits or lends must not exit before their end"},
    {"memlock_freed_late", release_number(5, 1, 0), release_number(5, 12, 0), false,
     "rings count against RLIMIT_MEMLOCK and are given back late; a ring may come out smaller"},
    {"memlock_freed_late", release_number(6, 14, 0), kNotFixed, false,
     "rings count against RLIMIT_MEMLOCK and are given back late; a ring may come out smaller"},
};

}  // namespace

bool note_quirks(const char* release, bool overridden, ProbeReport& report) noexcept {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned patch = 0;
    if (std::sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2)
        return false;
    // Ten bits hold any patch level seen so far; more would only reach into the next series.
    const std::uint32_t number = release_number(major, minor, patch > 1023 ? 1023 : patch);
    bool against_uring = false;
    for (const Quirk& quirk : kQuirks) {
        if (number < quirk.first || number >= quirk.fixed ||
            report.quirk_count == ProbeReport::kQuirksMax)
            continue;
        QuirkProbe& entry = report.quirks[report.quirk_count++];
        put_text(entry.name, quirk.name);
        put_text(entry.note, quirk.note);
        entry.applied = !overridden;
        against_uring |= entry.applied && quirk.against_uring;
    }
    return against_uring;
}

}  // namespace v0
}  // namespace ioengine
