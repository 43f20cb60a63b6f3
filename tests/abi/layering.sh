#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Who includes whom: the boundaries of the source tree, read from its include lines.
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=common.sh disable=SC1091
. "$here/common.sh"
begin layering
cd "$root"

third_party='liburing|libaio|spdlog|fmt/|concurrentqueue|moodycamel|catch2|CLI/|nlohmann'

# includes DIRECTORY...: file:what for each include line of its sources.
includes() {
    find "$@" \( -name '*.hpp' -o -name '*.h' -o -name '*.cpp' \) -not -path '*/adapters/*' \
        -exec grep -HoE '^ *# *include *[<"][^>"]+[>"]' {} + |
        sed -E 's/: *# *include */:/'
}

# none_of PATTERN DIRECTORY...: fails, and shows them, if an include line matches. A search that
# found no include lines at all has not looked.
none_of() {
    local pattern=$1
    shift
    includes "$@" >"$work/includes"
    [ -s "$work/includes" ]
    ! grep -E ":[<\"]($pattern)" "$work/includes"
}

# only PATTERN DIRECTORY...: every include line matches.
only() {
    local pattern=$1
    shift
    includes "$@" >"$work/includes"
    [ -s "$work/includes" ]
    ! grep -vE ":[<\"]($pattern)[>\"]\$" "$work/includes"
}

# What the compiler really opens, through whatever detour.
headers_open_no_third_party() {
    c++ -std=c++17 -Iinclude -M -x c++ include/ioengine/ioengine.hpp | tr -s ' \134' '\n' \
        >"$work/opened"
    grep -q 'ioengine/context.hpp' "$work/opened"
    ! grep -E "$third_party" "$work/opened"
}

# A header of lib/ must not reach a driver through another header either.
lib_opens_no_kernel_interface() {
    local header
    for header in lib/*.hpp; do
        c++ -std=c++20 -Iinclude -I. -M -MG -x c++ "$header" | tr -s ' \134' '\n' >"$work/opened"
        grep -qx "$header" "$work/opened"
        if grep -E '^(.*/)?(libaio\.h|liburing\.h|drivers/.*)$' "$work/opened"; then
            echo "opened by $header"
            return 1
        fi
    done
}

one_source_logs() {
    includes lib drivers | grep -E ':[<"](spdlog|fmt)/' | cut -d: -f1 | sort -u >"$work/loggers"
    cat "$work/loggers"
    [ "$(wc -l <"$work/loggers")" -eq 1 ]
}

one_source_test_framework() {
    includes tests | grep -E ':[<"]catch2/' | cut -d: -f1 | sort -u >"$work/framework"
    cat "$work/framework"
    [ "$(wc -l <"$work/framework")" -eq 1 ]
}

# Each driver is a room of its own; only the choice between them knows the others.
rooms_are_apart() {
    local room other
    for room in aio uring null sim; do
        [ -d "drivers/$room" ] || continue
        for other in aio uring null sim choice; do
            [ "$other" = "$room" ] && continue
            includes "drivers/$room" >"$work/includes"
            if grep -E ":[<\"]drivers/$other/" "$work/includes"; then return 1; fi
        done
    done
}

virtual_only_in_the_runner() {
    grep -rlE --include='*.?pp' '^[^/]*\bvirtual\b' include lib drivers | tee "$work/virtual"
    ! grep -vE '^lib/runner\.hpp$' "$work/virtual"
}

# A standard header has no directory and no extension; <sys/uio.h> and friends stay out too, so that
# a public header never drags the system in.
check "public headers include themselves and the standard library only" \
    only 'ioengine/[a-z_]+\.(hpp|h)|[a-z_]+' include
check "public headers open no third party, however indirectly" headers_open_no_third_party
check "lib/ includes no kernel library, kernel interface or driver" \
    none_of 'libaio\.h|liburing\.h|liburing/|linux/io_uring\.h|linux/aio_abi\.h|drivers/' lib
check "no header of lib/ opens a kernel library or driver, however indirectly" \
    lib_opens_no_kernel_interface
check "lib/ and drivers/ include nothing from tests or tools" \
    none_of 'tests/|tools/|examples/' lib drivers
check "drivers do not know each other" rooms_are_apart
check "one source knows the logging library" one_source_logs
check "one header knows the test framework" one_source_test_framework
check "examples include the installed interface, and each other, only" \
    only 'ioengine/ioengine\.hpp|[a-z_]+|(sys/)?[a-z]+\.h|log\.hpp' examples
check "the runner is the only virtual class" virtual_only_in_the_runner
finish
