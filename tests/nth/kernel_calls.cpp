// SPDX-License-Identifier: MIT
//
// The listener behind the filter. It must not need what it may be asked to deny: it allocates
// nothing, and is a thread from before the filter.
#include "tests/nth/kernel_calls.hpp"

#include "tests/nth/trigger.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace nth {

namespace kernel_calls {

namespace {

struct Call {
    long number;
    const char* name;
    int error;  // what it is known for
    bool interruptible;
};

// All that the engine does with the kernel, but for what cannot fail by the manual, or by which the
// listener itself would be held up.
constexpr Call kCalls[] = {
    {SYS_io_setup, "io_setup", EAGAIN, false},
    {SYS_io_submit, "io_submit", EAGAIN, false},
    {SYS_io_getevents, "io_getevents", EINTR, true},
    {SYS_io_pgetevents, "io_pgetevents", EINTR, true},
    {SYS_io_cancel, "io_cancel", EINVAL, false},
    {SYS_io_uring_setup, "io_uring_setup", ENOMEM, false},
    {SYS_io_uring_enter, "io_uring_enter", EAGAIN, true},
    {SYS_io_uring_register, "io_uring_register", EINVAL, false},
    {SYS_openat, "openat", EMFILE, false},
    {SYS_memfd_create, "memfd_create", EMFILE, false},
    {SYS_eventfd2, "eventfd2", EMFILE, false},
    {SYS_pipe2, "pipe2", EMFILE, false},
    {SYS_ppoll, "ppoll", ENOMEM, true},
    {SYS_mmap, "mmap", ENOMEM, false},
    {SYS_mprotect, "mprotect", ENOMEM, false},
    {SYS_madvise, "madvise", EINVAL, false},
    {SYS_clone, "clone", EAGAIN, false},
    {SYS_clone3, "clone3", EAGAIN, false},
    {SYS_fstat, "fstat", ENOMEM, false},
    {SYS_newfstatat, "newfstatat", ENOMEM, false},
    {SYS_statx, "statx", ENOMEM, false},
    {SYS_ioctl, "ioctl", ENOTTY, false},
    {SYS_fcntl, "fcntl", EINVAL, false},
    {SYS_prctl, "prctl", EINVAL, false},
    {SYS_sched_getaffinity, "sched_getaffinity", EINVAL, false},
    {SYS_uname, "uname", EFAULT, false},
    {SYS_fsync, "fsync", EIO, false},
    {SYS_fdatasync, "fdatasync", EIO, false},
    {SYS_fallocate, "fallocate", ENOSPC, false},
    {SYS_sync_file_range, "sync_file_range", EIO, false},
    {SYS_preadv2, "preadv2", EIO, false},
    {SYS_pwritev2, "pwritev2", EIO, false},
};
constexpr std::size_t kCount = std::size(kCalls);

// Nothing is promised in a world where the kernel never takes anything again: a thread that sleeps
// in it cannot be woken, not even to leave.
constexpr std::uint64_t kLastingCalls = 60;

Trigger g_trigger;
std::atomic<Failure> g_failure{Failure::once};  // set before the trigger is armed
// Of the first that failed: written by the listener, read when the script has ended.
std::atomic<long> g_first_call{-1};
std::atomic<int> g_first_error{0};
std::atomic<int> g_listener{-1};

const Call* find(long number) {
    for (const Call& call : kCalls) {
        if (call.number == number)
            return &call;
    }
    return nullptr;
}

// What this failure is for this call; 0: nothing.
int error_of(const Call& call, Failure failure) {
    switch (failure) {
    case Failure::once:
    case Failure::storm:
        return call.error;
    case Failure::interrupted:
    case Failure::signals:
        return call.interruptible ? EINTR : 0;
    case Failure::denied:
        return EPERM;
    }
    return 0;
}

// 0: let it go on.
int error_for(long number) {
    const int error = error_of(*find(number), g_failure.load());
    if (error == 0 || !g_trigger.pull())
        return 0;
    if (g_trigger.failed() == 1) {
        g_first_call.store(number);
        g_first_error.store(error);
    }
    return error;
}

void* listen(void*) {
    int listener = -1;
    while ((listener = g_listener.load()) < 0)
        ::sched_yield();
    for (;;) {
        seccomp_notif request{};
        if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0)
            continue;  // EINTR, or the caller is gone
        seccomp_notif_resp answer{};
        answer.id = request.id;
        const int error = error_for(request.data.nr);
        if (error == 0)
            answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        else
            answer.error = -error;
        ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    return nullptr;
}

sock_filter jump_if_equal(std::uint32_t value, std::size_t yes) {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, static_cast<__u8>(yes), 0);
}

}  // namespace

int watch() {
    pthread_t thread;
    if (const int error = ::pthread_create(&thread, nullptr, listen, nullptr))
        return error;
    std::array<sock_filter, kCount + 3> code{};
    std::size_t at = 0;
    code[at++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
    for (const Call& call : kCalls) {
        // To the last instruction.
        code[at] = jump_if_equal(static_cast<std::uint32_t>(call.number), kCount + 1 - at);
        ++at;
    }
    code[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    const sock_fprog program{static_cast<unsigned short>(at), code.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return errno;
    const long listener =
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener < 0)
        return errno;
    g_listener.store(static_cast<int>(listener));
    return 0;
}

void arm(std::uint64_t nth, Failure failure) {
    const bool lasts = failure != Failure::once && failure != Failure::interrupted;
    g_failure.store(failure);
    g_trigger.arm(nth, lasts ? nth + kLastingCalls - 1 : nth);
}

void disarm() {
    g_trigger.disarm();
}

std::uint64_t injected() {
    return g_trigger.failed();
}

long first_call() {
    return g_first_call.load();
}

int first_error() {
    return g_first_error.load();
}

const char* call_name(long number, char (&storage)[24]) {
    if (const Call* const call = find(number))
        return call->name;
    std::snprintf(storage, sizeof storage, "call %ld", number);
    return storage;
}

}  // namespace kernel_calls
}  // namespace nth
