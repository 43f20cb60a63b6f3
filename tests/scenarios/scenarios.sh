#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# scenarios.sh TEST-PROGRAM...: the twenty scenarios of docs/testing.md each have tests that bear
# their number as a tag, on both backends; and those that are races, tagged so, are run again and
# again: IOENGINE_TEST_RACES times, or 3.
# shellcheck disable=SC2317  # checks are called by name
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Before the working directory may change.
programs=()
for one in "$@"; do programs+=("$(realpath "$one")"); done
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"
begin scenarios
rounds=${IOENGINE_TEST_RACES:-3}

# tests_with TAGS: the names of all such tests. Catch2 2 and 3 differ in how they are asked, and the
# former exits with their number.
tests_with() {
    local one
    for one in "${programs[@]}"; do
        "$one" --list-test-names-only "$1" 2>/dev/null ||
            "$one" --list-tests --verbosity quiet "$1" 2>/dev/null || true
    done
}

has_tests() { # NUMBER
    local backend
    case $1 in
    # Each backend denied is a case of its own, for both of them.
    14) tests_with "[scenario-14]" | grep . ;;
    *)
        for backend in uring aio; do
            tests_with "[scenario-$1][$backend]" | grep .
        done
        ;;
    esac
}

# races PROGRAM: all at once, since each fails by itself if it does. Their outcomes were recorded by
# their own suites.
races() {
    local round code
    unset IOENGINE_TEST_RESULTS
    export IOENGINE_TEST_ROUNDS_URING=20 IOENGINE_TEST_ROUNDS_AIO=3
    for ((round = 1; round <= rounds; ++round)); do
        code=0
        "$1" '[race]~[null]' || code=$?
        case $code in
        0) ;;
        77) return 77 ;;  # all were skipped, and said why
        *)
            echo "in round $round of $rounds"
            return 1
            ;;
        esac
    done
}

for number in {1..20}; do
    check "scenario $number has a test, on both backends" has_tests "$number"
done
for one in "${programs[@]}"; do
    case $one in
    */test-conformance | */test-engine)
        check "the races of ${one##*/}, $rounds times" races "$one"
        ;;
    esac
done
finish
