#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Each backend can be left out of the build, but not both: features.sh MESON CXX...
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
meson=$1
shift
cxx=("$@")
# shellcheck source=common.sh disable=SC1091
. "$here/common.sh"
begin features

# As one file, which compiles in a fifth of the time.
configure() {
    local build=$1
    shift
    CXX="${cxx[*]}" "$meson" setup "$build" "$root" --wrap-mode=nodownload \
        -Dunity=on -Dunity_size=100 -Doptimization=0 -Ddebug=false \
        -Dtools=disabled -Dtests=disabled -Dexamples=disabled "$@"
}

builds() { ninja -C "$1" -j2; }

# Left out means out: neither linked nor called.
library_is_without() {
    local build=$1 pattern=$2
    [ -s "$build/libioengine.so" ]
    ! { ldd "$build/libioengine.so" && nm -DC "$build/libioengine.so"; } | grep -E "$pattern"
}

runs() {
    local build=$1 present=$2 absent=$3
    "${cxx[@]}" -std=c++17 -Wall -Wextra -Werror -I"$root/include" -o "$build/smoke" \
        "$here/features_smoke.cpp" -L"$build" -lioengine
    LD_LIBRARY_PATH=$build "$build/smoke" "$present" "$absent" "$work/data"
}

nothing_left() {
    if configure "$work/none" -Daio=disabled -During=disabled >"$work/said" 2>&1; then
        echo "a library without any backend was configured"
        return 1
    fi
    grep -E 'ERROR: .*backend' "$work/said" || { tail -n 5 "$work/said"; return 1; }
}

# one_left PRESENT ABSENT PATTERN: PATTERN is what must not be in the library.
one_left() {
    local present=$1 absent=$2 build=$work/$1
    check "the library configures without $absent" \
        configure "$build" "-D$absent=disabled" "-D$present=enabled"
    check "the library builds without $absent" builds "$build"
    check "without $absent nothing of it is in the library" library_is_without "$build" "$3"
    check "without $absent data goes through $present, and $absent is an error with a hint" \
        runs "$build" "$present" "$absent"
    rm -rf "$build"
}

one_left uring aio 'libaio|aio_kernel|AioDriver'
one_left aio uring 'liburing|io_uring_|UringDriver'
check "a build without any backend is refused in words" nothing_left
finish
