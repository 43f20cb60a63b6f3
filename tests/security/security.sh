#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What SECURITY.md says of the built files: security.sh ENVIRONMENT-READER FILE...
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
reader=$(realpath "$1")
shift
files=()
for file in "$@"; do files+=("$(realpath "$file")"); done
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"
begin security
export LC_ALL=C

read_by_a_stranger() { # PROGRAM
    setpriv --reuid=65534 --regid=65534 --clear-groups \
        env -i IOENGINE_BACKEND=aio IOENGINE_LOG=off IOENGINE_DISABLE=merging \
        IOENGINE_LENDING=none IOENGINE_STATS=exit "$1"
}

environment_is_for_the_unprivileged() {
    [ "$(id -u)" = 0 ] || { echo 'only root can make a setuid program'; return 77; }
    command -v setpriv >/dev/null || { echo 'setpriv is not installed'; return 77; }
    chmod 755 "$work"
    install -m 755 "$reader" "$work/plain"
    install -m 4755 "$reader" "$work/setuid"
    [ "$(read_by_a_stranger "$work/plain" | tr '\n' ' ')" = 'aio off merging none exit ' ]
    if findmnt -no OPTIONS -T "$work" | grep nosuid >/dev/null; then
        echo "$work lies on a file system without setuid"
        return 77
    fi
    [ "$(read_by_a_stranger "$work/setuid" | tr '\n' ' ')" = '- - - - - ' ]
}

no_page_is_writable_and_executable() {
    for file in "${files[@]}"; do
        if readelf -lW "$file" | grep -E '^ +(LOAD|GNU_STACK) .* RWE'; then return 1; fi
    done
}

relocations_become_read_only() {
    for file in "${files[@]}"; do
        readelf -lW "$file" | grep GNU_RELRO >/dev/null
        readelf -dW "$file" | grep -E 'BIND_NOW|FLAGS_1.*NOW' >/dev/null
        if readelf -dW "$file" | grep TEXTREL; then return 1; fi
    done
}

stacks_are_guarded() {
    for file in "${files[@]}"; do
        nm -D --undefined-only "$file" | grep __stack_chk_fail >/dev/null
    done
}

# Memory beyond the end of a buffer whose size the compiler knows is not touched by libc's calls.
calls_are_fortified() {
    for file in "${files[@]}"; do
        nm -D --undefined-only "$file" | grep -E '__[a-z]+_chk@' >/dev/null || { echo "$file"; return 1; }
    done
}

check "the environment is read, but not by setuid programs" environment_is_for_the_unprivileged
check "no page is writable and executable" no_page_is_writable_and_executable
check "relocations are done at the start and read-only afterwards" relocations_become_read_only
check "stacks that hold arrays are guarded" stacks_are_guarded
check "libc's calls are fortified" calls_are_fortified
finish
