#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# libaio's functions over the engine, by programs that know nothing of it:
# aio.sh LIBRARY-TO-PRELOAD PROBE PROGRAM, where PROGRAM is built from aio_program.cpp.
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
library=$(realpath "$1")
probe=$(realpath "$2")
program_under_test=$(realpath "$3")
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"
begin aio-drop-in
# On a disk, so that O_DIRECT means what it says.
files=$(mktemp -d /var/tmp/ioengine-aio.XXXXXX)
trap 'rm -rf "$work" "$files"' EXIT
cd "$files"
export TMPDIR=$files
export LC_ALL=C

functions_of() {
    nm -D --with-symbol-versions --defined-only "$1" | awk '$2 == "T" { print $3 }' | sort
}

exports_what_libaio_does() {
    local theirs
    theirs=$(ldd "$program_under_test" | awk '$1 ~ /^libaio/ { print $3 }')
    functions_of "$theirs" >"$work/theirs"
    functions_of "$library" >"$work/ours"
    grep -q io_submit "$work/theirs"
    diff "$work/theirs" "$work/ours"
}

expects_what_the_kernel_does() {
    "$program_under_test"
}

available() { # BACKEND
    "$probe" | grep -E "^  $1 +available" >/dev/null
}

# preloaded BACKEND COMMAND...: with our library, which must have run on that backend.
preloaded() {
    local backend=$1
    shift
    available "$backend" || { echo "$backend is not available here"; return 77; }
    IOENGINE_BACKEND=$backend IOENGINE_STATS=exit LD_PRELOAD=$library "$@" 2>"$work/stderr"
    grep -q "^ioengine context: backend $backend" "$work/stderr"
}

fio_verifies() { # BACKEND FIO-OPTION...
    local backend=$1
    shift
    command -v fio >/dev/null || { echo 'fio is not installed'; return 77; }
    preloaded "$backend" fio --name=job --directory="$files" --size=16m --ioengine=libaio \
        --iodepth=32 --verify=crc32c --verify_fatal=1 --do_verify=1 --thread "$@"
    rm -f "$files"/job*
}

# Without --validate: its checks of asynchronous reads fail over the kernel, too.
sysbench_runs() { # BACKEND
    command -v sysbench >/dev/null || { echo 'sysbench is not installed'; return 77; }
    local files_of=(--file-total-size=16M --file-num=4)
    sysbench fileio "${files_of[@]}" prepare
    preloaded "$1" sysbench fileio "${files_of[@]}" --file-test-mode=rndrw --file-io-mode=async \
        --file-extra-flags=direct --file-async-backlog=32 --events=4000 --time=0 \
        --threads=2 run >"$work/sysbench"
    grep -q 'total number of events: *4000' "$work/sysbench"
    sysbench fileio "${files_of[@]}" cleanup
}

check "it exports libaio's functions with libaio's versions, and no more" exports_what_libaio_does
check "the test program's expectations hold over the kernel itself" expects_what_the_kernel_does
for backend in aio uring; do
    check "they hold over the engine ($backend)" preloaded "$backend" "$program_under_test"
    check "fio verifies random writes ($backend)" fio_verifies "$backend" \
        --rw=randwrite --bs=4k --direct=1
    check "fio verifies a random mix of block sizes with fsync ($backend)" fio_verifies "$backend" \
        --rw=randrw --bsrange=512-64k --direct=1 --fsync=16
    check "fio verifies sequential buffered writes with fdatasync ($backend)" \
        fio_verifies "$backend" --rw=write --bs=128k --direct=0 --fdatasync=8
    check "fio verifies four jobs in batches ($backend)" fio_verifies "$backend" \
        --rw=randrw --bs=4k --direct=1 --numjobs=4 --iodepth_batch=8 --iodepth_batch_complete_min=4
    check "sysbench fileio runs asynchronously ($backend)" sysbench_runs "$backend"
done
finish
