#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The contract of ioengine-probe: probe.sh PROBE BENCH JSON-QUERY.
# shellcheck disable=SC2317,SC2154,SC2034  # checks are called by name; sourced files set variables
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
probe=$(realpath "$1")
json_query=$(realpath "$3")
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"
begin probe
# shellcheck source=cli.sh disable=SC1091
. "$here/cli.sh"
unset IOENGINE_BACKEND IOENGINE_DISABLE IOENGINE_LOG

help_is_complete() {
    succeeds "$probe" --help
    grep -q -- --json "$out"
    grep -q 'Exit codes' "$out"
}

text_names_backend_and_reason() {
    succeeds "$probe"
    grep -q '^backend' "$out"
    grep -q '^reason' "$out"
}

json_has_the_schema() {
    succeeds "$probe" --json
    case $(value /backend string) in
    uring | aio) ;;
    *) value /backend && return 1 ;;
    esac
    [ -n "$(value /reason string)" ]
    local backend feature
    for backend in uring aio; do
        value "/backends/$backend/available" boolean
        value "/backends/$backend/errno" number
        value "/backends/$backend/hint" string
    done
    value /features object
    for feature in aio_fsync submit_all; do
        value "/features/$feature/available" boolean
        value "/features/$feature/in_force" boolean
    done
    value /quirks array
}

chosen_backend_is_available() {
    succeeds "$probe" --json
    [ "$(value "/backends/$(value /backend)/available")" = true ]
}

environment_chooses_the_backend() {
    needs_backend aio
    export IOENGINE_BACKEND=aio
    succeeds "$probe" --json
    [ "$(value /backend)" = aio ]
    grep -q . "$out"
}

# Printed all the same, since that is when people need it.
no_backend_is_69() {
    export IOENGINE_DISABLE=uring,aio
    run "$probe" --json
    expect_code 69
    [ "$(value /backends/uring/available)" = false ]
    [ "$(value /backends/aio/available)" = false ]
    [ -n "$(value /backends/uring/hint)" ]
    [ "$(wc -l <"$err")" -eq 1 ]
    grep -q 'no backend can be used' "$err"
}

unwritable_stdout_is_an_error() {
    code=0
    "$probe" >/dev/full 2>"$err" || code=$?
    expect_code 1
    grep -q 'No space left' "$err"
}

check "--help exits 0 and names the option and the exit codes" help_is_complete
check "the text names the backend and the reason" text_names_backend_and_reason
check "the JSON document has every member of the schema" json_has_the_schema
check "the chosen backend is one that is available" chosen_backend_is_available
check "IOENGINE_BACKEND chooses the backend" environment_chooses_the_backend
check "without any backend the report is printed and the exit code is 69" no_backend_is_69
check "an unknown option is a usage error" fails_with 2 --nonsense "$probe" --nonsense
check "an argument is a usage error" fails_with 2 nonsense "$probe" nonsense
check "a report that cannot be written is an error" unwritable_stdout_is_an_error
finish
