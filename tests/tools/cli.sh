# SPDX-License-Identifier: MIT
#
# Sourced by the tests of the command lines, after ../abi/common.sh: runs a program and looks at
# what it printed and how it ended.
#
#     run PROGRAM ARGUMENT...    leaves $code, and the output in $out and $err
#     fails_with CODE TEXT PROGRAM ARGUMENT...
#     value POINTER [TYPE]       of the JSON document in $out
# shellcheck shell=bash disable=SC2154  # common.sh sets $work, the scripts set $json_query

out=$work/stdout
err=$work/stderr
code=0

# In a cwd of its own, so that nothing depends on where the test runs.
run() {
    code=0
    (cd "$work" && "$@") >"$out" 2>"$err" || code=$?
}

# Shows the output if the command ended otherwise.
expect_code() {
    if [ "$code" -ne "$1" ]; then
        printf 'exit code %s instead of %s\n' "$code" "$1"
        cat "$out" "$err"
        return 1
    fi
}

# An error is one line on stderr that says what to do, and nothing on stdout.
fails_with() {
    local wanted=$1 text=$2
    shift 2
    run "$@"
    expect_code "$wanted"
    if [ -s "$out" ]; then
        printf 'stdout is not empty:\n'
        cat "$out"
        return 1
    fi
    if [ "$(wc -l <"$err")" -ne 1 ]; then
        printf 'stderr is not one line:\n'
        cat "$err"
        return 1
    fi
    if ! grep -qF -- "$text" "$err"; then
        printf 'stderr does not say "%s":\n' "$text"
        cat "$err"
        return 1
    fi
}

succeeds() {
    run "$@"
    expect_code 0
}

value() {
    "$json_query" "$out" "$@"
}

# has_members OBJECT TYPE NAME...
has_members() {
    local object=$1 type=$2 name
    shift 2
    for name in "$@"; do
        value "$object/$name" "$type" >/dev/null
    done
}

# A `!` in front of a command would be ignored by `set -e`.
not() {
    if "$@"; then
        printf 'should have failed: %s\n' "$*"
        return 1
    fi
}

# Whether a number is at least another; for numbers that may have a fraction.
at_least() {
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }'
}

# Skips the running check where a backend cannot be used here.
needs_backend() {
    local available
    run "$probe" --json
    available=$(value "/backends/$1/available" boolean)
    if [ "$available" != true ]; then
        printf 'backend %s is not available here: %s\n' "$1" "$(value "/backends/$1/hint")"
        exit 77
    fi
}
