// SPDX-License-Identifier: MIT
//
// Text's memory.
#include "lib/text.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ioengine {
inline namespace v0 {

Text make_text(const std::string& from) noexcept {
    char* const data = static_cast<char*>(std::malloc(from.size() + 1));
    if (data == nullptr)
        return {};
    std::memcpy(data, from.c_str(), from.size() + 1);
    return {data, from.size()};
}

void append_format(std::string& to, const char* format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    to += line;
}

namespace abi {
void text_free(char* data) noexcept {
    std::free(data);
}
}  // namespace abi

}  // namespace v0
}  // namespace ioengine
