#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The contract of ioengine-bench's command line: bench.sh PROBE BENCH JSON-QUERY.
# shellcheck disable=SC2317,SC2154,SC2034  # checks are called by name; sourced files set variables
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
probe=$(realpath "$1")
bench=$(realpath "$2")
json_query=$(realpath "$3")
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"
begin bench
# shellcheck source=cli.sh disable=SC1091
. "$here/cli.sh"
unset IOENGINE_BACKEND IOENGINE_DISABLE IOENGINE_LOG

zero=(--target /dev/zero)

help_names_every_option() {
    succeeds "$bench" --help
    local option
    for option in target size rw bs depth producers mode backend threading lending ring merge fixed spin \
        time requests verify compare json plot; do
        grep -q -- "--$option" "$out" || {
            printf -- '--%s is missing\n' "$option"
            return 1
        }
    done
    grep -q 'Examples' "$out"
    grep -q 'Exit codes' "$out"
}

json_has_the_schema() {
    local backend=$1
    [ "$backend" = null ] || needs_backend "$backend"
    succeeds "$bench" "${zero[@]}" --backend "$backend" --requests 3000 --json
    has_members /results/0 string name backend threading lending ring
    has_members /results/0 number iops mb_per_s p50_us p90_us p99_us p999_us p9999_us \
        cpu_us_per_io ctxsw_per_io errors verified_blocks
    value /ratios object
    [ "$(value /results/0/name)" = ioengine ]
    [ "$(value /results/0/backend)" = "$backend" ]
    [ "$(value /results/0/threading)" = split ]
    [ "$(value /results/0/lending)" = callbacks ]
    [ "$(value /results/0/ring)" = default ]
    [ "$(value /results/0/requests)" = 3000 ]
    [ "$(value /results/0/errors)" = 0 ]
    at_least "$(value /results/0/iops)" 1
    at_least "$(value /results/0/p99_us)" "$(value /results/0/p50_us)"
    at_least "$(value /results/0/p9999_us)" "$(value /results/0/p99_us)"
    [ ! -s "$err" ]
}

# Each producer has requests in flight of its own: several, or a single one.
producers_run() {
    local mode=$1 backend depth
    needs_backend uring
    needs_backend aio
    for backend in uring aio null; do
        for depth in 3 7; do
            succeeds "$bench" "${zero[@]}" --mode "$mode" --producers 3 --depth "$depth" \
                --backend "$backend" --requests 5000 --json
            [ "$(value /results/0/requests)" = 5000 ]
            [ "$(value /results/0/errors)" = 0 ]
        done
    done
}

every_load_runs_on_a_new_file() {
    local rw
    for rw in randread randwrite randrw read write; do
        succeeds "$bench" --target new.dat --size 2M --rw "$rw" --requests 500 --json
        [ "$(value /results/0/requests)" = 500 ]
        [ "$(value /results/0/errors)" = 0 ]
        [ "$(value /target/size_bytes)" = 2097152 ]
        [ ! -e "$work/new.dat" ]
    done
}

time_is_kept() {
    succeeds "$bench" "${zero[@]}" --time 0.3 --json
    at_least "$(value /results/0/seconds)" 0.3
    at_least "$(value /results/0/requests)" 1
}

fewer_requests_than_depth() {
    succeeds "$bench" "${zero[@]}" --requests 3 --depth 64 --json
    [ "$(value /results/0/requests)" = 3 ]
}

sizes_have_suffixes() {
    succeeds "$bench" "${zero[@]}" --bs 8k --size 1G --requests 100 --json
    [ "$(value /workload/block_bytes)" = 8192 ]
    [ "$(value /target/size_bytes)" = 1073741824 ]
}

existing_file_is_kept() {
    head -c 1048576 /dev/urandom >"$work/kept.dat"
    cp "$work/kept.dat" "$work/copy.dat"
    succeeds "$bench" --target kept.dat --requests 200 --json
    [ "$(value /target/size_bytes)" = 1048576 ]
    cmp "$work/kept.dat" "$work/copy.dat"
}

table_has_all_columns() {
    succeeds "$bench" "${zero[@]}" --requests 1000
    local column
    for column in IOPS MB/s p50 p90 p99 p99.9 p99.99 CPU ctxsw errors; do
        grep -qF "$column" "$out"
    done
    grep -q '^ioengine' "$out"
    # No live line, and no escape sequences, where there is no terminal.
    not grep -q "$(printf '\033')" "$out" "$err"
}

failing_requests_exit_1() {
    run "$bench" --target /dev/full --rw write --requests 100 --json
    expect_code 1
    [ "$(value /results/0/errors)" = 100 ]
    grep -q 'No space left on device' "$err"
    [ "$(wc -l <"$err")" -eq 1 ]
}

signal_deletes_the_file() {
    local pid
    cd "$work"
    "$bench" --target signal.dat --size 4M --rw randrw --time 600 >"$out" 2>"$err" &
    pid=$!
    until [ -s signal.dat ]; do
        kill -0 "$pid"
        sleep 0.05
    done
    kill -TERM "$pid"
    code=0
    wait "$pid" || code=$?
    expect_code 143
    [ ! -e signal.dat ]
}

environment_chooses_the_backend() {
    needs_backend aio
    export IOENGINE_BACKEND=aio
    succeeds "$bench" "${zero[@]}" --requests 1000 --json
    [ "$(value /results/0/backend)" = aio ]
}

no_backend_is_69() {
    export IOENGINE_DISABLE=uring,aio
    fails_with 69 ';' "$bench" "${zero[@]}" --requests 1000
}

unwritable_stdout_is_an_error() {
    code=0
    "$bench" "${zero[@]}" --requests 100 >/dev/full 2>"$err" || code=$?
    [ "$code" -ne 0 ]
    grep -q 'No space left' "$err"
}

# An SVG document: a root, its end, and no value that is no number.
is_picture() {
    head -c 4 "$1" | grep -q '<svg'
    tail -n 1 "$1" | grep -q '</svg>'
    not grep -qE '(nan|inf)"' "$1"
}

iopoll_keeps_the_data() {
    local threading ring
    needs_backend uring
    for threading in owner caller; do
        for ring in iopoll both; do
            succeeds "$bench" --target new.dat --size 2M --rw randrw --depth 8 --requests 2000 \
                --threading "$threading" --ring "$ring" --verify --json
            [ "$(value /results/0/ring)" = "$ring" ]
            [ "$(value /results/0/requests)" = 2000 ]
            [ "$(value /results/0/errors)" = 0 ]
            value /results/0/note | grep -q polled
        done
    done
}

sqpoll_keeps_the_data() {
    local threading
    needs_backend uring
    for threading in split owner caller; do
        succeeds "$bench" --target new.dat --size 2M --rw randrw --depth 8 --requests 2000 \
            --threading "$threading" --ring sqpoll --verify --json
        [ "$(value /results/0/ring)" = sqpoll ]
        [ "$(value /results/0/backend)" = uring ]
        [ "$(value /results/0/requests)" = 2000 ]
        [ "$(value /results/0/errors)" = 0 ]
    done
}

merging_and_spinning_keep_the_data() {
    succeeds "$bench" --target new.dat --size 2M --rw write --depth 16 --requests 4000 --merge on \
        --verify --json
    [ "$(value /workload/merge)" = true ]
    [ "$(value /results/0/requests)" = 4000 ]
    at_least "$(value /results/0/verified_blocks)" 512
    succeeds "$bench" --target new.dat --size 2M --rw randrw --depth 2 --requests 500 --spin 50 \
        --verify --json
    [ "$(value /workload/spin_us)" = 50 ]
    [ "$(value /results/0/errors)" = 0 ]
}

registered_ones_keep_the_data() {
    local threading
    for threading in split owner caller; do
        succeeds "$bench" --target new.dat --size 2M --rw randrw --depth 8 --requests 2000 \
            --threading "$threading" --fixed on --verify --json
        [ "$(value /workload/fixed)" = true ]
        [ "$(value /results/0/requests)" = 2000 ]
        [ "$(value /results/0/errors)" = 0 ]
    done
}

plot_is_a_picture() {
    succeeds "$bench" "${zero[@]}" --requests 1000 --compare raw --plot run.svg --json
    is_picture "$work/run.svg"
    grep -q '>raw</text>' "$work/run.svg"
    fails_with 69 'cannot write' "$bench" "${zero[@]}" --requests 10 --plot /nonexistent/run.svg
}

suite_writes_table_json_and_picture() {
    needs_backend uring
    succeeds "$bench" suite --help
    grep -q -- '--quick' "$out"
    succeeds "$bench" suite --quick --repeat 3 --only 'cost  uring,spin  uring,merge uring /dev' \
        --disk "$work" --memory /dev/shm --out part
    grep -q 'verdict' "$out"
    cmp "$out" "$work/part.txt"
    is_picture "$work/part.svg"
    cp "$work/part.json" "$out"
    [ "$(value /cells/0/group)" = cost ]
    [ "$(value /cells/1/ours)" = caller ]
    [ "$(value /cells/5/group)" = spin ]
    [ "$(value /cells/5/ours)" = spinning ]
    [ "$(value /cells/6/group)" = merge ]
    at_least "$(value /cells/0/ours_iops)" 1
    [ -z "$(find "$work" /dev/shm -name 'ioengine-suite-*')" ]
    fails_with 2 'no cell' "$bench" suite --only nonsense
    fails_with 2 'suite --help' "$bench" suite --nonsense
}

growth_prints_its_tables() {
    succeeds "$bench" growth --time 0.01 --repeat 1
    grep -q '^queued requests' "$out"
    grep -q '^1000000 ' "$out"
    fails_with 2 'growth --help' "$bench" growth --time never
}

check "--help exits 0 and names every option, examples and exit codes" help_names_every_option
for backend in uring aio null; do
    check "--json prints one document with every member ($backend)" json_has_the_schema "$backend"
done
for mode in wait wake; do
    check "mode $mode carries every request on every backend" producers_run "$mode"
done
check "every --rw runs on a new file, which is deleted at the end" every_load_runs_on_a_new_file
check "--time is kept" time_is_kept
check "fewer requests than --depth are exactly that many" fewer_requests_than_depth
check "sizes take suffixes of 1024" sizes_have_suffixes
check "an existing file is read in full, unchanged and not deleted" existing_file_is_kept
check "the table has every column and no escape sequences" table_has_all_columns
check "failing requests are counted, the first is named, the exit code is 1" \
    failing_requests_exit_1
check "--merge and --spin carry every request, with its data" merging_and_spinning_keep_the_data
check "--fixed carries every request, with its data" registered_ones_keep_the_data
check "--ring sqpoll carries every request in each threading" sqpoll_keeps_the_data
check "--ring iopoll and both carry every request, and say what was polled" iopoll_keeps_the_data
check "--plot draws the run" plot_is_a_picture
check "suite judges its cells and writes a table, JSON and a picture" \
    suite_writes_table_json_and_picture
check "growth measures producers, files and queues" growth_prints_its_tables
check "a signal ends the run and deletes the file it made" signal_deletes_the_file
check "IOENGINE_BACKEND chooses the backend" environment_chooses_the_backend
check "without any backend the exit code is 69" no_backend_is_69
check "a report that cannot be written is an error" unwritable_stdout_is_an_error

# refuses TEXT ARGUMENT...: a usage error whose message contains TEXT.
refuses() {
    local text=$1
    shift
    check "refused as usage: ${*:-nothing at all}" fails_with 2 "$text" "$bench" "$@"
}
head -c 65536 /dev/zero >"$work/small.dat"
refuses --target
refuses '--nonsense' "${zero[@]}" --nonsense
refuses 'supported: chain|wait|wake' "${zero[@]}" --mode sleep
refuses 'supported: split|owner|caller' "${zero[@]}" --threading both
refuses 'supported: default|sqpoll|iopoll|both' "${zero[@]}" --ring poll
refuses '--ring iopoll needs one thread' "${zero[@]}" --ring iopoll
refuses '--ring both needs one thread' "${zero[@]}" --ring both
refuses '--ring both is for io_uring' "${zero[@]}" --ring both --backend aio --threading owner
refuses '--ring sqpoll is for io_uring' "${zero[@]}" --ring sqpoll --backend aio
refuses '--lending' "${zero[@]}" --threading owner --lending none
refuses '--threading caller' "${zero[@]}" --threading caller --mode wake
refuses '--threading caller' "${zero[@]}" --threading caller --mode wait --producers 2 --depth 4
refuses 'supported: callers|callbacks|none' "${zero[@]}" --lending all
refuses 'supported: on|off' "${zero[@]}" --merge maybe
refuses '--spin' "${zero[@]}" --spin 10001
refuses 'supported: auto|uring|aio|null' "${zero[@]}" --backend epoll
refuses 'supported: randread|randwrite|randrw|read|write' "${zero[@]}" --rw trim
refuses 'supported: raw|fio|strict' "${zero[@]}" --compare raw,asio
refuses '--bs must be a multiple of 512' "${zero[@]}" --bs 1000
refuses '--bs must be a multiple of 512' "${zero[@]}" --bs 0
refuses '--bs must be a multiple of 512' "${zero[@]}" --bs 32M
refuses '--bs' "${zero[@]}" --bs many
refuses '--depth' "${zero[@]}" --depth 0
refuses '--depth' "${zero[@]}" --depth 32769
refuses '--depth' "${zero[@]}" --depth -1
refuses '--time' "${zero[@]}" --time 0
refuses '--time' "${zero[@]}" --time nan
refuses '--requests' "${zero[@]}" --requests 0
refuses '--requests' "${zero[@]}" --requests 10 --time 1
refuses '--producers' "${zero[@]}" --producers 2
refuses '--producers' "${zero[@]}" --mode wake --producers 5 --depth 4
refuses '--verify' "${zero[@]}" --verify
refuses '--verify' --target new.dat --rw randrw --verify --compare raw
refuses '--verify' --target new.dat --rw randrw --verify --backend null
refuses '--verify' --target small.dat --rw randread --verify
refuses '--verify' --target new.dat --size 128k --rw randrw --verify --depth 32
refuses '--compare' "${zero[@]}" --backend null --compare raw
refuses '--size' --target small.dat --size 1M
refuses '--size' --target new.dat --size 512
refuses 'one block' --target small.dat --bs 128k
refuses 'character device' --target /dev/null --rw randread
refuses 'character device' --target /dev/random --rw randread
refuses 'neither a file nor a device' --target /
check "a target in a folder that does not exist is 69" \
    fails_with 69 'No such file' "$bench" --target missing/new.dat
check "no refusal leaves a file behind" test ! -e "$work/new.dat"
finish
