// SPDX-License-Identifier: MIT
//
// format(): printf(3) into a string.
#ifndef TOOLS_BENCH_FORMAT_HPP
#define TOOLS_BENCH_FORMAT_HPP

#include <cstdio>
#include <string>

namespace bench {

template <class... Values>
std::string format(const char* pattern, Values... values) {
    const int length = std::snprintf(nullptr, 0, pattern, values...);
    std::string text(static_cast<std::size_t>(length) + 1, '\0');
    std::snprintf(text.data(), text.size(), pattern, values...);
    text.pop_back();
    return text;
}

}  // namespace bench

#endif  // TOOLS_BENCH_FORMAT_HPP
