#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The public headers compile alone and together, in every dialect that is promised: headers.sh.
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=common.sh disable=SC1091
. "$here/common.sh"
begin headers

warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
headers=("$root"/include/ioengine/*.h "$root"/include/ioengine/*.hpp)

# compile COMPILER FLAGS...: standard input, no output file.
compile() { "$@" "${warnings[@]}" -I"$root/include" -x c++ -fsyntax-only -; }

# Each twice: an include guard that is missing or shared with another header shows here.
each_alone() {
    local header name
    for header in "${headers[@]}"; do
        name=ioengine/${header##*/}
        echo "$name"
        printf '#include <%s>\n#include <%s>\n' "$name" "$name" | compile "$@"
    done
}

# In the reverse of the usual order: no header leans on one that happened to come before it.
all_together() {
    local header
    for header in "${headers[@]}"; do
        printf '#include <ioengine/%s>\n' "${header##*/}"
    done | sort -r | compile "$@"
}

everything_used() {
    "$@" "${warnings[@]}" -I"$root/include" -c -o "$work/use.o" "$here/use_everything.cpp"
}

# The prefix .h promises C.
c_header() {
    printf "#include <ioengine/export.h>\nint version = IOENGINE_VERSION;\n" |
        "$1" -std=c99 -Wall -Wextra -Wpedantic -Werror -I"$root/include" -x c -fsyntax-only -
}

# dialects NAME COMPILER [LIBRARY FLAG]
dialects() {
    local name=$1 standard
    shift
    for standard in 17 20; do
        check "each header compiles alone as C++$standard under $name" \
            each_alone "$@" "-std=c++$standard"
        check "all headers compile together as C++$standard under $name" \
            all_together "$@" "-std=c++$standard"
    done
    check "each header compiles without exceptions and RTTI under $name" \
        each_alone "$@" -std=c++17 -fno-exceptions -fno-rtti
    check "all that the headers offer compiles when used under $name" \
        everything_used "$@" -std=c++17
    check "all that the headers offer works without exceptions and RTTI under $name" \
        everything_used "$@" -std=c++17 -fno-exceptions -fno-rtti
    check "export.h compiles as C under $name" c_header "$1"
}

has_libcxx() { echo '#include <utility>' | clang++ -stdlib=libc++ -x c++ -fsyntax-only -; }

if command -v g++ >/dev/null; then
    dialects g++ g++
else
    skip "the headers compile under g++" "g++ is not installed"
fi
if command -v clang++ >/dev/null; then
    dialects clang++ clang++
else
    skip "the headers compile under clang++" "clang++ is not installed"
fi
if command -v clang++ >/dev/null && has_libcxx 2>"$work/libcxx"; then
    dialects "clang++ with libc++" clang++ -stdlib=libc++
else
    skip "the headers compile under clang++ with libc++" "libc++ is not installed"
fi
finish
