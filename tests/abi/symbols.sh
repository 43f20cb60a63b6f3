#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What the shared library gives to others, and what it takes: symbols.sh LIBRARY.
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
library=$1
# shellcheck source=common.sh disable=SC1091
. "$here/common.sh"
begin symbols

export LC_ALL=C
list=$work/list
exported=$work/exported
grep -v '^#' "$root/packaging/exported-symbols.txt" | sort >"$list"
# The name of the version itself is a symbol too, of type A.
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    sort >"$exported"

exports_the_list() {
    [ -s "$exported" ]
    diff "$list" "$exported" | c++filt
    cmp "$list" "$exported"
}

# Name by name: what follows IOENGINE_API up to the first parenthesis ends in the function's name.
list_matches_headers() {
    cat "$root"/include/ioengine/*.hpp | tr '\n' ' ' |
        grep -o 'IOENGINE_API [^(;]*(' | sed 's/(//; s/.*[ *&]//' | sort >"$work/declared"
    c++filt <"$list" | sed 's/(.*//; s/.*:://' | sort >"$work/listed"
    [ -s "$work/declared" ]
    diff "$work/declared" "$work/listed"
}

# STB_GNU_UNIQUE symbols keep a library in memory for ever: dlclose does nothing then.
exports_nothing_unique() {
    ! nm -D --defined-only "$library" | awk '$2 == "u"' | grep .
}

everything_resolves() {
    ldd -r "$library" >"$work/ldd" 2>&1
    ! grep -E 'undefined symbol|not found' "$work/ldd"
}

needs_only_liburing_2_3() {
    nm -D --undefined-only "$library" | awk '{ sub(/@.*/, "", $2); print $2 }' |
        grep -E '^(__)?io_uring_' | sort -u >"$work/needed" || true
    if ! [ -s "$work/needed" ]; then
        echo "this build has no io_uring backend"
        return 77
    fi
    grep -v '^#' "$here/liburing-2.3-symbols.txt" | sort >"$work/liburing"
    comm -23 "$work/needed" "$work/liburing" | tee "$work/missing"
    ! [ -s "$work/missing" ]
}

has_soname() {
    readelf -d "$library" | grep -F 'Library soname: [libioengine.so.0]'
}

check "the library exports exactly the checked-in list of symbols" exports_the_list
check "the list is what the public headers mark IOENGINE_API" list_matches_headers
check "no exported symbol forbids unloading" exports_nothing_unique
check "every symbol the library needs is found" everything_resolves
check "of liburing only functions that version 2.3 exports are needed" needs_only_liburing_2_3
check "the soname is libioengine.so.0" has_soname
finish
