// SPDX-License-Identifier: MIT
//
// Names the file system that holds a path.
#ifndef TOOLS_BENCH_FILESYSTEM_HPP
#define TOOLS_BENCH_FILESYSTEM_HPP

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <sys/vfs.h>
#include <utility>

namespace bench {

// "ext4", "tmpfs", ...; the number that statfs(2) gives if it is not a known one.
inline std::string filesystem_name(const std::string& path) {
    constexpr std::array<std::pair<std::uint32_t, const char*>, 9> kNames = {{
        {0x0000EF53, "ext4"},  // ext2 and ext3 share the number
        {0x01021994, "tmpfs"},
        {0x58465342, "xfs"},
        {0x9123683E, "btrfs"},
        {0x794C7630, "overlayfs"},
        {0xF2F52010, "f2fs"},
        {0x2FC12FC1, "zfs"},
        {0x00006969, "nfs"},
        {0x65735546, "fuse"},
    }};
    struct statfs info;
    if (statfs(path.c_str(), &info) != 0)
        return "unknown";
    const auto type = static_cast<std::uint32_t>(info.f_type);
    for (const auto& [number, name] : kNames) {
        if (number == type)
            return name;
    }
    std::array<char, 16> text;
    std::snprintf(text.data(), text.size(), "0x%08x", type);
    return text.data();
}

}  // namespace bench

#endif  // TOOLS_BENCH_FILESYSTEM_HPP
