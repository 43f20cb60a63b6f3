#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The installed library serves programs outside the tree:
#
#     install.sh BUILD PREFIX LIBDIR MESON CXX...
#
# BUILD is installed below a temporary directory. The consumer is built against that by pkg-config
# and, after the tree was moved elsewhere, by CMake, and run.
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$1
prefix=$2
libdir=$3
meson=$4
shift 4
cxx=("$@")
# shellcheck source=common.sh disable=SC1091
. "$here/common.sh"
begin install

staged=$work/staged
moved=$work/moved

# What is built already is not built again while other tests run.
installs() {
    "$meson" install -C "$build" --destdir "$staged" --no-rebuild ||
        "$meson" install -C "$build" --destdir "$staged"
}

installs_every_header() {
    (cd "$root/include/ioengine" && printf '%s\n' *.h *.hpp) >"$work/headers"
    (cd "$staged$prefix/include/ioengine" && printf '%s\n' *.h *.hpp) | diff "$work/headers" -
}

# In the tree as installed, with the temporary directory as the root of the system.
with_pkg_config() {
    PKG_CONFIG_SYSROOT_DIR=$staged PKG_CONFIG_PATH=$staged$prefix/$libdir/pkgconfig \
        PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 pkg-config "$@"
}

builds_by_pkg_config() {
    local flags
    with_pkg_config --exists --print-errors 'ioengine >= 0.1'
    flags=$(with_pkg_config --cflags --libs ioengine)
    echo "flags: $flags"
    # shellcheck disable=SC2086  # they are words
    "${cxx[@]}" -std=c++17 -o "$work/by-pkg-config" "$here/consumer/consumer.cpp" $flags
    LD_LIBRARY_PATH=$staged$prefix/$libdir "$work/by-pkg-config" "$work/data"
    grep -q 'through the engine and back' "$work/data"
}

needs_no_private_library() {
    with_pkg_config --cflags --libs ioengine >"$work/flags"
    grep -q -e '-lioengine' "$work/flags"
    ! grep -E 'uring|aio|spdlog|fmt|nlohmann' "$work/flags"
}

configure() {
    rm -rf "$work/cmake"
    CXX="${cxx[*]}" cmake -S "$here/consumer" -B "$work/cmake" \
        -DCMAKE_PREFIX_PATH="$moved$prefix" "$@"
}

builds_by_cmake() {
    configure
    cmake --build "$work/cmake"
    rm -f "$work/data"
    "$work/cmake/consumer" "$work/data"
    grep -q 'through the engine and back' "$work/data"
    ldd "$work/cmake/consumer" | grep -F "$moved$prefix/$libdir/libioengine.so"
}

accepts_version() { configure -DWANTED="$1"; }

# Refused for its version, not for being absent.
refuses_version() {
    if configure -DWANTED="$1" >"$work/said" 2>&1; then
        echo "version $1 was found"
        return 1
    fi
    grep -E 'ioengine-config.cmake, version' "$work/said" || { cat "$work/said"; return 1; }
}

# A library file that is gone is a message at configure time, not a linker error.
misses_the_library() {
    rm "$moved$prefix/$libdir"/libioengine.so*
    if configure >"$work/said" 2>&1; then
        echo "the package was found"
        return 1
    fi
    grep -F 'install ioengine again' "$work/said" || { cat "$work/said"; return 1; }
}

check "meson install puts the library below DESTDIR" installs
check "every public header is installed" installs_every_header
if command -v pkg-config >/dev/null; then
    check "a program outside the tree builds by pkg-config and runs" builds_by_pkg_config
    check "pkg-config asks for no library but this one" needs_no_private_library
else
    skip "a program outside the tree builds by pkg-config and runs" "pkg-config is not installed"
fi
if command -v cmake >/dev/null; then
    mv "$staged" "$moved"
    check "a program outside the tree builds by CMake from a moved tree and runs" builds_by_cmake
    for version in 0 0.1 0.1.0 "0.1.0;EXACT" 0.1...0.3; do
        check "find_package accepts version ${version/;/ }" accepts_version "$version"
    done
    for version in 0.0 0.1.99 0.2 1 "0.1.1;EXACT" 0.2...0.3; do
        check "find_package refuses version ${version/;/ }" refuses_version "$version"
    done
    check "find_package says so when the library file is missing" misses_the_library
else
    skip "a program outside the tree builds by CMake and runs" "cmake is not installed"
fi
finish
