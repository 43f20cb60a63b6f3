# SPDX-License-Identifier: MIT
#
# Sourced by the shell tests: counts what passed, failed and was skipped, and records it.
#
#     . common.sh; begin install; check "the fact" command...; finish
#
# Each outcome is a line on standard output and, where IOENGINE_TEST_RESULTS names a file, a line
# there: pass|fail|skip, the test program, the fact, the reason, separated by tabs.
# shellcheck shell=bash

set -euo pipefail

passed=0
failed=0
skipped=0
program=
work=

# The path that meson gives its tests would hide which library a program finds by itself.
begin() {
    unset LD_LIBRARY_PATH
    program=$1
    work=$(mktemp -d "${TMPDIR:-/tmp}/ioengine-$program.XXXXXX")
    trap 'rm -rf "$work"' EXIT
}

outcome() {
    local what=$1 fact=$2 reason=${3:-}
    printf '%s: %s%s\n' "$what" "$fact" "${reason:+ ($reason)}"
    if [ -n "${IOENGINE_TEST_RESULTS:-}" ]; then
        printf '%s\t%s\t%s\t%s\n' "$what" "$program" "$fact" "$reason" >>"$IOENGINE_TEST_RESULTS"
    fi
}

pass() {
    passed=$((passed + 1))
    outcome pass "$1"
}

fail() {
    failed=$((failed + 1))
    outcome fail "$1" "${2:-}"
}

skip() {
    skipped=$((skipped + 1))
    outcome skip "$1" "$2"
}

# check FACT COMMAND...: passes if the command succeeds, is skipped if it exits with 77, else fails
# and shows what it said. A function fails at its first failing line.
check() {
    local fact=$1 code=0
    shift
    set +e
    (
        set -e
        "$@"
    ) >"$work/check.out" 2>&1
    code=$?
    set -e
    case $code in
    0) pass "$fact" ;;
    77) skip "$fact" "$(tail -n 1 "$work/check.out")" ;;
    *)
        sed 's/^/    | /' "$work/check.out"
        fail "$fact" "exit code $code"
        ;;
    esac
}

# The exit code that meson expects: 0 passed, 1 failed, 77 all skipped. A test that checked nothing
# has failed.
finish() {
    printf '%s: %d passed, %d failed, %d skipped\n' "$program" "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ] || exit 1
    [ "$passed" -gt 0 ] || { [ "$skipped" -gt 0 ] && exit 77; } || exit 1
    exit 0
}
