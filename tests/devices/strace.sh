#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The library as it is installed, under strace(1), which makes system calls fail or come late:
# strace.sh COPY-FILE PROBE. Whatever happens to a call, the copy is the original, byte for byte.
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
copy_file=$(realpath "$1")
probe=$(realpath "$2")
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

# copies BACKEND CALL INJECTION: with this done to these calls of every thread.
copies() {
    available "$1" || { echo "$1 is not available here"; return 77; }
    command -v strace >/dev/null || { echo 'strace is not installed'; return 77; }
    strace -f -o "$work/trace" true || { echo 'strace may not trace here'; return 77; }
    rm -f to
    # The probe's calls come first; a failure there is the choice's business, not this test's.
    IOENGINE_BACKEND=$1 strace -f -o "$work/trace" -e trace="$2" -e inject="$2:$3" \
        "$copy_file" from to 16 8192
    grep -F '(INJECTED)' "$work/trace" >/dev/null || grep -F '(DELAYED)' "$work/trace" >/dev/null
    cmp from to
}

check 'io_submit says EAGAIN (aio)' copies aio io_submit error=EAGAIN:when=4+3
check 'io_submit comes late (aio)' copies aio io_submit delay_enter=2000:when=4+5
check 'io_getevents is interrupted (aio)' copies aio io_getevents error=EINTR:when=2+2
check 'io_getevents comes late (aio)' copies aio io_getevents delay_exit=2000:when=1+3
check 'io_uring_enter says EAGAIN (uring)' copies uring io_uring_enter error=EAGAIN:when=20+3
check 'io_uring_enter says EBUSY (uring)' copies uring io_uring_enter error=EBUSY:when=20+3
check 'io_uring_enter is interrupted (uring)' copies uring io_uring_enter error=EINTR:when=20+2
check 'io_uring_enter comes late (uring)' copies uring io_uring_enter delay_exit=2000:when=1+5
finish
