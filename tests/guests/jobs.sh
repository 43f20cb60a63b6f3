# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# shellcheck disable=SC2034  # init reads `launcher`
#
# What the guests do, by the names in guests.txt. Sourced by init; `suite` is there.
#
# An emulated processor is some thirty times as slow as a real one, and all of it is to take half an
# hour on two processors, so:
#  - what starts ten thousand threads (75 s for each backend) runs on the host alone;
#  - what moves more than 2 GiB (four tests, 15 s each) runs once, in 6.1, the oldest;
#  - tests/engine, which looks at the process more than at the kernel, runs with two threads, in 6.1,
#    6.12 and 6.12-uring-off; SQPOLL in 6.1 and 6.12;
#  - 6.1-rt and uring_denied run with two threads alone: each differs from a guest that has run both
#    in one thing, which both ways meet alike. In nvme_poll one thread polls, in both ring modes.
# Everything else is whole.

NO_GIBIBYTES='~*2 GiB*'
NO_THREADS='~*ten thousand threads*'

with_engine() {
    suite split test-engine "$NO_THREADS"
}
one_thread() {
    suite owner test-conformance "$NO_GIBIBYTES"
    suite caller test-conformance "$NO_GIBIBYTES"
}
with_engine_and_sqpoll() {
    with_engine
    suite sqpoll test-conformance "$NO_GIBIBYTES"
}
engine_and_gibibytes() {
    suite split test-conformance
    one_thread
    with_engine_and_sqpoll
}

split_alone() {
    suite split test-conformance "$NO_GIBIBYTES"
}
ways() {
    split_alone
    one_thread
}
ways_with_engine() {
    ways
    with_engine_and_sqpoll
}

# /disk lies on an NVMe device with poll queues.
nvme_poll() {
    export IOENGINE_TEST_POLLED=/dev/disk/scratch IOENGINE_TEST_NOT_POLLED=/dev/disk/plain
    suite split test-guests '[polled]'
    split_alone
    suite iopoll test-conformance "$NO_GIBIBYTES"
    suite both test-conformance "$NO_GIBIBYTES"
}

# What asks for io_uring by name would be skipped: it has run elsewhere.
without_uring() {
    export IOENGINE_TEST_URING_OFF=1
    suite split test-guests '[uring-off]'
    suite split test-conformance "~[uring]$NO_GIBIBYTES"
}
uring_off() {
    cat /proc/sys/kernel/io_uring_disabled
    without_uring
    suite split test-engine "~[uring]$NO_THREADS"
    suite owner test-guests '[uring-off]'
    suite owner test-conformance "~[uring]$NO_GIBIBYTES"
}
uring_denied() {
    launcher=/tests/deny-uring
    without_uring
}

aio_exhausted() {
    echo 128 >/proc/sys/fs/aio-max-nr
    export IOENGINE_TEST_AIO_EXHAUSTED=1
    suite split test-guests '[aio-exhausted]'
    suite owner test-guests '[aio-exhausted]'
}

faults() {
    for module in dm_mod dm_flakey dm_delay loop fuse sd_mod; do load $module; done
    load null_blk nr_devices=0
    mount -t configfs none /sys/kernel/config
    mount -t tmpfs none /sys/fs/cgroup
    mkdir /sys/fs/cgroup/blkio
    mount -t cgroup -o blkio none /sys/fs/cgroup/blkio
    export IOENGINE_TEST_FAULT_FS=/tests/fault-fs IOENGINE_TEST_SCRATCH=/dev/disk/scratch
    suite split test-guests '[device]'
    suite owner test-guests '[device]'
    suite split test-devices
    suite owner test-devices
}
