// SPDX-License-Identifier: MIT
//
// Draws the live line over itself.
#include "tools/bench/live_line.hpp"

#include <array>
#include <cstdio>
#include <unistd.h>

namespace bench {

LiveLine::LiveLine(std::uint32_t block_bytes)
    : block_bytes_(block_bytes), shown_(isatty(STDERR_FILENO) == 1) {}

void LiveLine::show(const std::string& name, std::uint64_t completed, std::uint64_t elapsed_ns,
                    const Slice& slice) {
    if (!shown_)
        return;
    const double seconds = static_cast<double>(elapsed_ns) / 1e9;
    const double done = slice.requests != 0
                            ? static_cast<double>(completed) / static_cast<double>(slice.requests)
                            : seconds / slice.seconds;
    const double iops = seconds > 0 ? static_cast<double>(completed) / seconds : 0;
    std::array<char, 160> text;
    std::snprintf(text.data(), text.size(),
                  "%-9s run %u of %u  %3.0f %%  %10.0f IOPS  %8.1f MB/s  %llu requests",
                  name.c_str(), number_, of_, done * 100, iops, iops * block_bytes_ / 1e6,
                  static_cast<unsigned long long>(completed));
    say(text.data());
}

void LiveLine::say(const std::string& text) {
    if (shown_)
        std::fprintf(stderr, "\r\033[K%s", text.c_str());
}

void LiveLine::clear() {
    if (shown_)
        std::fputs("\r\033[K", stderr);
}

}  // namespace bench
