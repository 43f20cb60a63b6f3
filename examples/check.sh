#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Runs an example on real files and compares what it did: check.sh EXAMPLE PROGRAM.
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
example=$1
run=$(realpath "$2")
# shellcheck source=../tests/abi/common.sh disable=SC1091
. "$here/../tests/abi/common.sh"
begin "example-$example"
cd "${work:?}"

# expect_exit CODE COMMAND...
expect_exit() {
    local want=$1 code=0
    shift
    "$@" >out 2>err || code=$?
    cat err
    [ "$code" -eq "$want" ] || { echo "exit code $code, not $want"; return 1; }
}

random_file() { head -c "$2" /dev/urandom >"$1"; }

# -- read_one -----------------------------------------------------------------------------------

reads_a_piece() {
    "$run" data 4096 8192 >out
    cmp --ignore-initial=4096:0 --bytes=8192 data out
    [ "$(stat -c %s out)" -eq 8192 ]
}

reads_to_the_end() {
    "$run" data 99000 4096 >out
    tail -c +99001 data | cmp - out
    [ "$(stat -c %s out)" -eq 1000 ]
}

test_read_one() {
    random_file data 100000
    check "the bytes asked for come out" reads_a_piece
    check "a read across the end of the file is short and no error" reads_to_the_end
    check "a read behind the end of the file is empty and no error" \
        expect_exit 0 "$run" data 200000
    check "a file that is not there is an error that names it" expect_exit 1 "$run" nowhere
    check "a directory cannot be read" expect_exit 1 "$run" .
    check "a wrong number is a usage error" expect_exit 2 "$run" data 12x
    check "no arguments are a usage error" expect_exit 2 "$run"
}

# -- copy_file ----------------------------------------------------------------------------------

copies() {
    local size=$1
    shift
    random_file from "$size"
    rm -f to
    "$run" from to "$@"
    cmp from to
}

copies_over_a_longer_file() {
    random_file from 10000
    random_file to 5000000
    "$run" from to
    cmp from to
}

keeps_the_file() {
    random_file from 10000
    cp from before
    ln -f from link
    expect_exit 1 "$run" from link
    cmp from before
}

says_how_far() {
    random_file from 3000000
    script --quiet --return --command "'$run' from to 1 4096" screen
    cmp from to
    grep -q "3000000 bytes through" screen
}

test_copy_file() {
    check "a file of many chunks is copied byte for byte" copies 20000001
    check "more chunks than the file has are no harm" copies 300000 32 65536
    check "one chunk at a time copies as well" copies 1000003 1 4096
    check "an odd chunk size copies as well" copies 1000003 7 12345
    check "an empty file is copied" copies 0
    check "a longer file in the way is replaced whole" copies_over_a_longer_file
    check "a file is not copied over itself" keeps_the_file
    if command -v script >/dev/null; then
        check "on a terminal the copy is the same" says_how_far
    else
        skip "on a terminal the copy is the same" "no script(1) to make a terminal"
    fi
    check "a file that is not there is an error that names it" expect_exit 1 "$run" nowhere to
    check "a directory is refused" expect_exit 1 "$run" . to
    check "too few arguments are a usage error" expect_exit 2 "$run" from
    check "help is no error" expect_exit 0 "$run" --help
}

# -- write_ahead_log ----------------------------------------------------------------------------

records() { seq "$1" "$2" | sed 's/$/ the quick brown fox jumps over the lazy dog/'; }

append() { "$run" wal >replayed 2>said; }

appends_and_replays() {
    rm -f wal
    records 1 1000 | append
    grep -q "1000 records acknowledged" said
    "$run" wal </dev/null >replayed
    records 1 1000 | cmp - replayed
    records 1001 1500 | append
    records 1 1000 | cmp - replayed
    "$run" wal </dev/null >replayed
    records 1 1500 | cmp - replayed
}

# Whatever byte the last record is torn at, the others stay and the log goes on after them.
cuts_a_torn_tail() {
    rm -f wal
    records 1 20 | append
    cp wal whole
    local size before torn
    size=$(stat -c %s wal)
    records 1 19 >expected
    before=$((size - 24 - $(records 20 20 | head -c -1 | wc -c)))
    for torn in $(seq $((before + 1)) $((size - 1))); do
        head -c "$torn" whole >wal
        echo after | append
        cmp expected replayed
        grep -q "cut $((torn - before)) torn bytes off" said
        "$run" wal </dev/null >replayed 2>said
        { cat expected && echo after; } | cmp - replayed
    done
}

# One flipped bit anywhere in the last record.
finds_a_wrong_bit() {
    rm -f wal
    records 1 3 | append
    cp wal whole
    records 1 2 >expected
    local size before at byte
    size=$(stat -c %s wal)
    before=$((size - 24 - $(records 3 3 | head -c -1 | wc -c)))
    for at in $(seq "$before" $((size - 1))); do
        cp whole wal
        byte=$(od -An -tu1 -j "$at" -N 1 whole)
        # shellcheck disable=SC2059
        printf "\\$(printf %o $((byte ^ 16)))" |
            dd of=wal bs=1 seek="$at" conv=notrunc status=none
        "$run" wal </dev/null >replayed 2>said
        cmp expected replayed
    done
}

# A file size limit stands for a full disk: the write comes back short, then fails.
keeps_what_it_acknowledged() {
    rm -f wal
    records 1 5000 >lines
    (
        trap '' XFSZ
        ulimit -f 64
        expect_exit 1 "$run" wal <lines
    )
    local acknowledged
    acknowledged=$(sed -n 's/.*: \([0-9]*\) records acknowledged/\1/p' err)
    [ "$acknowledged" -lt 5000 ]
    "$run" wal </dev/null >replayed
    [ "$(wc -l <replayed)" -ge "$acknowledged" ]
    records 1 "$(wc -l <replayed)" | cmp - replayed
}

loses_none_of_many() {
    rm -f wal
    records 1 50000 | append
    grep -q "50000 records acknowledged" said
    "$run" wal </dev/null >replayed
    records 1 50000 | cmp - replayed
}

test_write_ahead_log() {
    check "what was acknowledged is replayed, in order, after each reopening" appends_and_replays
    check "fifty thousand records share flushes and none is lost" loses_none_of_many
    check "what was acknowledged before the disk filled up is there" keeps_what_it_acknowledged
    # What replay does has nothing to do with the backend: once is enough for these two.
    if [ -z "${replay_checked:-}" ]; then
        check "a record torn at any byte is cut off and the log goes on" cuts_a_torn_tail
        check "a wrong bit anywhere in a record is found" finds_a_wrong_bit
        replay_checked=yes
    fi
    check "a log that cannot be opened is an error" expect_exit 1 "$run" nowhere/wal
    check "no arguments are a usage error" expect_exit 2 "$run"
}

# -- store --------------------------------------------------------------------------------------

tell() { printf '%s\n' "$@" | "$run" data; }

puts_and_finds() {
    rm -rf data
    [ "$(tell 'put one 1' 'put two 2 and more' 'get one')" = "$(printf 'ok one\nok two\none 1')" ]
    [ "$(tell 'get two' 'get three')" = "$(printf 'two 2 and more\nnone three')" ]
    [ "$(tell 'put one 11' all)" = "$(printf 'ok one\none 11\ntwo 2 and more')" ]
}

checkpoints() {
    rm -rf data
    seq 1 5000 | sed 's/.*/put key& value&/' | "$run" data >said
    [ "$(grep -c '^ok ' said)" -eq 5000 ]
    [ "$(tell checkpoint)" = "checkpoint $(($(cat data/CURRENT)))" ]
    local number
    number=$(cat data/CURRENT)
    [ "$number" -ge 3 ]
    [ "$(cd data && echo *)" = "CURRENT log.$number snapshot.$number" ]
    [ "$(tell all | wc -l)" -eq 5000 ]
    [ "$(tell 'get key777')" = 'key777 value777' ]
}

ignores_a_checkpoint_that_was_interrupted() {
    rm -rf data
    tell 'put a 1' checkpoint 'put a 2' >said
    echo 'a 3' >data/snapshot.2
    echo 'nonsense' >data/log.2
    echo 2 >data/CURRENT.new
    [ "$(tell all)" = 'a 2' ]
    [ "$(tell checkpoint 'get a')" = "$(printf 'checkpoint 2\na 2')" ]
}

refuses_a_damaged_snapshot() {
    rm -rf data
    tell 'put a 1' checkpoint >said
    sed -i 's/^a 1/a 7/' data/snapshot.1
    expect_exit 1 "$run" data </dev/null
}

test_store() {
    check "what was put is found, also after reopening" puts_and_finds
    check "a log that has grown is replaced by a snapshot" checkpoints
    check "what an interrupted checkpoint left is ignored" ignores_a_checkpoint_that_was_interrupted
    check "a damaged snapshot is an error" refuses_a_damaged_snapshot
    check "a directory that cannot be made is an error" expect_exit 1 "$run" nowhere/at/all
    check "no arguments are a usage error" expect_exit 2 "$run"
}

# -- thread_per_core ----------------------------------------------------------------------------

counts() {
    random_file data "$1"
    [ "$("$run" data 65 3)" -eq "$(tr -dc A <data | wc -c)" ]
}

test_thread_per_core() {
    check "bytes are counted, in three threads" counts 5000000
    check "a file smaller than a thread's part is counted" counts 2
    check "an empty file has none" counts 0
    check "a directory cannot be read" expect_exit 1 "$run" . 65
    check "a file that is not there is an error" expect_exit 1 "$run" nowhere 65
    check "no arguments are a usage error" expect_exit 2 "$run"
}

# -- epoll_loop ---------------------------------------------------------------------------------

expected_answer() { # OFFSET LENGTH
    head -c $(($1 + $2)) data | tail -c +$(($1 + 1)) | od -An -v -tu1 |
        awk -v offset="$1" '{ for (i = 1; i <= NF; ++i) { sum += $i; ++count } }
            END { printf "%d: %d bytes, sum %d\n", offset, count, sum }'
}

answers() {
    random_file data 1000000
    local offset lines=()
    for offset in 0 4096 77777 999000 999999; do lines+=("$offset 4096"); done
    printf '%s\n' "${lines[@]}" | "$run" data | sort >out
    for offset in 0 4096 77777 999000 999999; do expected_answer "$offset" 4096; done | sort |
        cmp - out
}

answers_while_it_waits_for_more() {
    random_file data 1000000
    { echo '8192 512'; sleep 0.2; echo '0 16'; } | "$run" data >out
    [ "$(wc -l <out)" -eq 2 ]
}

refuses_nonsense() {
    echo nonsense | expect_exit 1 "$run" data
}

test_epoll_loop() {
    check "each line is answered" answers
    check "lines that come later are answered, too" answers_while_it_waits_for_more
    check "nonsense is an error" refuses_nonsense
    check "a file that is not there is an error" expect_exit 1 "$run" nowhere
    check "no arguments are a usage error" expect_exit 2 "$run"
}

# -- on both backends ---------------------------------------------------------------------------

facts="test_$example"
for IOENGINE_BACKEND in uring aio; do
    export IOENGINE_BACKEND
    echo record >probe
    arguments=(probe)
    if [ "$example" = copy_file ]; then arguments+=(copy); fi
    code=0
    "$run" "${arguments[@]}" </dev/null >said 2>&1 || code=$?
    if [ "$code" -eq 69 ]; then
        skip "the example runs on $IOENGINE_BACKEND" "$(tail -n 1 said)"
    else
        # shellcheck disable=SC2034  # common.sh names the outcomes after it
        program="example-$example-$IOENGINE_BACKEND"
        "$facts"
    fi
done
finish
