#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What must not compile does not, and says why in words: misuse.sh.
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=common.sh disable=SC1091
. "$here/common.sh"
begin misuse

compile() {
    "$@" -std=c++17 -Wall -Wextra -Werror -I"$root/include" -fsyntax-only "$here/misuse.cpp"
}

# refused MESSAGE COMPILER FLAGS...
refused() {
    local message=$1
    shift
    if compile "$@" 2>"$work/said"; then
        echo "it compiled"
        return 1
    fi
    grep -E "(error|note):.*$message" "$work/said" || {
        cat "$work/said"
        echo "the message is not there: $message"
        return 1
    }
}

for compiler in g++ clang++; do
    if ! command -v "$compiler" >/dev/null; then
        skip "misuse does not compile under $compiler" "$compiler is not installed"
        continue
    fi
    check "the same calls made right compile, with a closure of 48 bytes ($compiler)" \
        compile "$compiler"
    while read -r macro fact; do
        read -r message
        check "$fact ($compiler)" refused "$message" "$compiler" "-DMISUSE_$macro"
    done <<'CASES'
LARGE_CLOSURE a closure of 49 bytes is refused with a message that says what to do
captures more than 48 bytes; capture a pointer to the state instead
OVER_ALIGNED an over-aligned closure is refused with a message that says what to do
over-aligned; capture a pointer instead
WRONG_PARAMETER a closure that takes no result is refused in words
must be callable with \(ioengine::Result\)
WRONG_EVENT_PARAMETER an own callback that takes neither event nor result is refused in words
must be callable with \(IOEvent<C>&\) or with \(ioengine::Result\)
CLOSURE_FOR_OWN_TYPE a closure in a context of an own callback type is refused in words
pass a closure to IOContext<>, or a C to IOContext<C>
THROWING_COPY a closure whose copy may throw is refused in words
must copy or move without throwing
IGNORED_ACCEPTANCE an acceptance cannot be ignored
nodiscard
IGNORED_CREATE an error of create cannot be ignored
nodiscard
COPIED_CONTEXT a context cannot be copied
deleted
COPIED_EVENT an event cannot be copied
deleted
WRITABLE_FROM_CONST a read into constant memory is refused
const (unsigned char|void)
CASES
done
finish
