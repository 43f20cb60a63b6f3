#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2317,SC2154  # the check is called by name; common.sh sets $work
#
# Guards the engine's own cost without a clock: instructions per request, counted by callgrind, must
# not exceed what baseline.txt says by more than its tolerance. The count is the same on every run
# and machine; it depends on the compiler, so with another one than the baseline's it is skipped.
#
# usage: check.sh PROGRAM COMPILER    (COMPILER: as `g++ -dumpfullversion` says, such as g++-12.2.0)
#
# Each count is the difference of two runs, so that set-up does not matter. To renew the baseline
# after a change on purpose, put the printed numbers into it.
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"

readonly few=20000 many=60000

instructions() { # KIND COUNT
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$way" "$@" 2>&1 |
        sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p'
}

per_request() { # KIND
    local more less
    more=$(instructions "$1" $many)
    less=$(instructions "$1" $few)
    echo $(((more - less) / (many - few)))
}

within_the_baseline() { # NOW ALLOWED
    (($1 > 0 && $1 * 100 <= $2 * (100 + tolerance)))
}

begin instructions
readonly way=$1 compiler=$2
tolerance=$(sed -n 's/^tolerance //p' "$here/baseline.txt")
baseline_compiler=$(sed -n 's/^compiler //p' "$here/baseline.txt")
while read -r kind allowed; do
    fact="$kind: the engine's own work does not grow"
    if ! command -v valgrind >/dev/null; then
        skip "$fact" 'valgrind is not installed'
    elif [[ $compiler != "$baseline_compiler" ]]; then
        skip "$fact" "the baseline is of $baseline_compiler, this is $compiler"
    else
        now=$(per_request "$kind")
        echo "$kind: $now instructions per request; baseline $allowed, tolerance $tolerance %"
        check "$fact" within_the_baseline "$now" "$allowed"
    fi
done < <(sed -n 's/^count //p' "$here/baseline.txt")
finish
