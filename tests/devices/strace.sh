#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The library as it is installed, under strace(1), which makes system calls fail or come late:
# strace.sh COPY-FILE WRITE-AHEAD-LOG PROBE. Whatever happens to a call, the copy is the original,
# and the log holds what was written to it.
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
copy_file=$(realpath "$1")
write_ahead_log=$(realpath "$2")
probe=$(realpath "$3")
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"
begin strace
files=$(mktemp -d /var/tmp/ioengine-strace.XXXXXX)
trap 'rm -rf "$work" "$files"' EXIT
cd "$files"
head -c 3000001 /dev/urandom >from

available() { # BACKEND
    "$probe" | grep -E "^  $1 +available" >/dev/null
}

# traced BACKEND CALL INJECTION COMMAND...: with this done to these calls of each thread. strace
# counts them by thread, so with a `when` of 5 and more it is not the probe's that are hit.
traced() {
    local backend=$1 call=$2 injection=$3
    shift 3
    available "$backend" || { echo "$backend is not available here"; return 77; }
    command -v strace >/dev/null || { echo 'strace is not installed'; return 77; }
    strace -f -o "$work/trace" true || { echo 'strace may not trace here'; return 77; }
    IOENGINE_BACKEND=$backend strace -f -o "$work/trace" -e trace="$call" \
        -e inject="$call:$injection" "$@"
    grep -E '\((INJECTED|DELAYED)\)' "$work/trace" >/dev/null
}

copies() { # BACKEND CALL INJECTION
    rm -f to
    traced "$@" "$copy_file" from to 16 8192
    cmp from to
}

# A line now and then, so that the poller sleeps before each is durable.
lines() {
    local i
    for i in {1..60}; do
        echo "line $i"
        sleep 0.002
    done
}

logs() { # BACKEND CALL INJECTION
    rm -f wal
    lines | traced "$@" "$write_ahead_log" wal
    "$write_ahead_log" wal </dev/null >replayed
    for i in {1..60}; do echo "line $i"; done | cmp - replayed
}

check 'io_submit says EAGAIN (aio)' copies aio io_submit error=EAGAIN:when=5+3
check 'io_submit comes late (aio)' copies aio io_submit delay_enter=2000:when=5+5
check 'io_getevents is interrupted (aio)' logs aio io_getevents error=EINTR:when=5+2
check 'io_getevents comes late (aio)' logs aio io_getevents delay_exit=2000:when=5+3
check 'io_uring_enter says EAGAIN (uring)' copies uring io_uring_enter error=EAGAIN:when=20+3
check 'io_uring_enter says EBUSY (uring)' copies uring io_uring_enter error=EBUSY:when=20+3
check 'io_uring_enter is interrupted (uring)' logs uring io_uring_enter error=EINTR:when=20+2
check 'io_uring_enter comes late (uring)' copies uring io_uring_enter delay_exit=2000:when=20+5
finish
