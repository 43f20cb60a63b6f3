#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The contract of --compare: compare.sh PROBE BENCH JSON-QUERY.
# shellcheck disable=SC2317,SC2154,SC2034  # checks are called by name; sourced files set variables
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
probe=$(realpath "$1")
bench=$(realpath "$2")
json_query=$(realpath "$3")
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"
begin compare
# shellcheck source=cli.sh disable=SC1091
. "$here/cli.sh"
unset IOENGINE_BACKEND IOENGINE_DISABLE IOENGINE_LOG

# has_peers BACKEND NAME...: results and ratios, ours first, everybody over the same backend.
has_peers() {
    local backend=$1 index=0 name
    shift
    for name in ioengine "$@"; do
        [ "$(value "/results/$index/name")" = "$name" ]
        [ "$(value "/results/$index/backend")" = "$backend" ]
        [ "$(value "/results/$index/errors")" = 0 ]
        at_least "$(value "/results/$index/repetitions_iops/4")" 1
        has_members "/results/$index" number iops mb_per_s p50_us p99_us cpu_us_per_io \
            ctxsw_per_io verified_blocks
        [ "$name" = ioengine ] || at_least "$(value "/ratios/$name" number)" 0.0001
        index=$((index + 1))
    done
    not value "/results/$index"
}

hand_written_peers() {
    local backend=$1 rw mode
    needs_backend "$backend"
    for mode in chain wait wake; do
        for rw in randread write randrw; do
            succeeds "$bench" --target new.dat --size 4M --rw "$rw" --mode "$mode" --depth 8 \
                --producers "$([ "$mode" = chain ] && echo 1 || echo 3)" --requests 2000 \
                --backend "$backend" --compare raw,strict --json
            has_peers "$backend" raw strict
            [ "$(value /results/0/requests)" = 2000 ]
            [ "$(value /results/1/requests)" = 2000 ]
            [ "$(value /results/2/requests)" = 2000 ]
        done
    done
}

timed_peers() {
    local backend=$1
    needs_backend "$backend"
    succeeds "$bench" --target /dev/zero --time 0.5 --backend "$backend" --compare strict,raw --json
    has_peers "$backend" raw strict
    at_least "$(value /results/1/seconds)" 0.5
    at_least "$(value /results/2/seconds)" 0.5
}

depth_one_and_many() {
    local backend=$1 depth
    needs_backend "$backend"
    for depth in 1 1000; do
        succeeds "$bench" --target /dev/zero --requests 20000 --depth "$depth" \
            --backend "$backend" --compare raw,strict --json
        has_peers "$backend" raw strict
    done
}

auto_compares_over_one_backend() {
    succeeds "$bench" --target /dev/zero --requests 1000 --compare raw --json
    has_peers "$(value /results/0/backend)" raw
}

fio_is_a_peer() {
    command -v fio >/dev/null || {
        printf 'fio is not installed\n'
        exit 77
    }
    needs_backend "$1"
    # A colon, which fio takes as the border between two files.
    succeeds "$bench" --target new:file.dat --size 4M --time 1 --backend "$1" --compare fio --json
    has_peers "$1" fio
}

missing_fio_is_69() {
    local empty=$work/empty
    mkdir -p "$empty"
    export PATH=$empty
    code=0
    (cd "$work" && "$bench" --target new.dat --size 4M --time 1 --compare fio) \
        >"$out" 2>"$err" || code=$?
    export PATH=/usr/local/bin:/usr/bin:/bin
    expect_code 69
    grep -q 'apt-get install fio' "$err"
    [ ! -e "$work/new.dat" ]
}

for backend in uring aio; do
    check "raw and strict carry the same number of requests as ours ($backend)" \
        hand_written_peers "$backend"
    check "each contender has the whole --time, split over five turns ($backend)" \
        timed_peers "$backend"
    check "raw and strict run at depth 1 and at depth 1000 ($backend)" \
        depth_one_and_many "$backend"
    check "fio carries the same load ($backend)" fio_is_a_peer "$backend"
done
check "the peers run over the backend that auto has chosen" auto_compares_over_one_backend
check "a missing fio is 69, and the message says how to install it" missing_fio_is_69
check "fio is refused on a character device" \
    fails_with 2 'file or a block device' "$bench" --target /dev/zero --compare fio
check "too few requests for five turns are refused" \
    fails_with 2 '--requests is too small' "$bench" --target /dev/zero --requests 4 --compare raw
finish
