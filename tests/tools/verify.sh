#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What --verify finds and counts, through every backend on a real file: verify.sh PROBE BENCH
# JSON-QUERY.
# shellcheck disable=SC2317,SC2154,SC2034  # checks are called by name; sourced files set variables
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
probe=$(realpath "$1")
bench=$(realpath "$2")
json_query=$(realpath "$3")
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"
begin verify
# shellcheck source=cli.sh disable=SC1091
. "$here/cli.sh"
unset IOENGINE_BACKEND IOENGINE_DISABLE IOENGINE_LOG

# A file of 1 MiB has 256 blocks of 4 KiB. Loads that write end with all of them read back.
every_load_verifies() {
    local backend=$1 mode=$2 rw
    needs_backend "$backend"
    for rw in randread randwrite randrw read write; do
        succeeds "$bench" --target new.dat --size 1M --rw "$rw" --requests 3000 --verify \
            --backend "$backend" --mode "$mode" --json
        [ "$(value /results/0/requests)" = 3000 ]
        [ "$(value /results/0/errors)" = 0 ]
        case $rw in
        *read) [ "$(value /results/0/verified_blocks)" = 3000 ] ;;
        *write) [ "$(value /results/0/verified_blocks)" = 256 ] ;;
        *) at_least "$(value /results/0/verified_blocks)" 1000 ;;
        esac
    done
}

odd_sizes_verify() {
    local backend=$1 size
    needs_backend "$backend"
    for size in 512 1536 12k 64k 1M; do
        succeeds "$bench" --target new.dat --size 24M --bs "$size" --depth 16 --rw randrw \
            --requests 200 --verify --backend "$backend" --json
        [ "$(value /results/0/errors)" = 0 ]
    done
}

existing_file_is_overwritten() {
    head -c 1048576 /dev/zero >"$work/old.dat"
    cp "$work/old.dat" "$work/zeros.dat"
    succeeds "$bench" --target old.dat --rw randrw --requests 1000 --verify --json
    [ "$(stat --format=%s "$work/old.dat")" = 1048576 ]
    not cmp -s "$work/old.dat" "$work/zeros.dat"
}

# Sector 100 is overwritten from outside, again and again, while the bench reads. Its offset is
# 51200, in the block at 49152.
planted_corruption_is_found() {
    local backend=$1 pid
    needs_backend "$backend"
    cd "$work"
    code=0
    "$bench" --target planted.dat --size 1M --rw randread --time 600 --verify \
        --backend "$backend" --json >"$out" 2>"$err" &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if [ -s planted.dat ]; then
            printf '%512s' '' | dd of=planted.dat bs=512 seek=100 conv=notrunc,nocreat \
                status=none 2>/dev/null || true
        fi
        sleep 0.05
    done
    wait "$pid" || code=$?
    expect_code 1
    grep -q 'wrong data at offset 51200 ' "$err"
    grep -q 'expected the sector of offset 51200 generation 1' "$err"
    [ "$(wc -l <"$err")" -eq 1 ]
    [ ! -e planted.dat ]
}

# Cut once its last block carries the mark that the pattern begins with.
shortened_file_is_found() {
    local pid
    cd "$work"
    code=0
    head -c 1048576 /dev/zero >shortened.dat
    "$bench" --target shortened.dat --rw randrw --time 60 --verify --json >"$out" 2>"$err" &
    pid=$!
    until tail -c 4096 shortened.dat | grep -qa ioengPAT; do
        kill -0 "$pid"
        sleep 0.05
    done
    truncate -s 512k shortened.dat
    wait "$pid" || code=$?
    expect_code 1
    [ "$(wc -l <"$err")" -eq 1 ]
}

for backend in uring aio; do
    for mode in chain wait wake; do
        check "every load verifies in mode $mode ($backend)" every_load_verifies "$backend" "$mode"
    done
    check "blocks of any size verify ($backend)" odd_sizes_verify "$backend"
    check "a sector overwritten from outside is reported by its offset ($backend)" \
        planted_corruption_is_found "$backend"
done
check "an existing file is overwritten by a verified mixed load, and kept" \
    existing_file_is_overwritten
check "a file that another program cuts short does not pass" shortened_file_is_found
finish
