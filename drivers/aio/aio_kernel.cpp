// SPDX-License-Identifier: MIT
//
// The AIO system calls, and the completion ring that the kernel shares with the process.
//
// An AIO context handle is the address of a ring in the process's memory (fs/aio.c, struct
// aio_ring). The layout is not a documented ABI, but it has not changed since 2.6 and carries a
// magic number and a feature word to check. Reading completions from it saves a system call. Only
// one thread at a time may: the poll role. The kernel takes `head` from the ring under its own lock
// whenever io_getevents(2) is called, so the two ways mix.
#include "drivers/aio/aio_kernel.hpp"

#include <cerrno>
#include <sys/syscall.h>
#include <unistd.h>

namespace ioengine {
inline namespace v0 {

namespace {

struct AioRing {
    unsigned id;
    unsigned entries;
    unsigned head;
    unsigned tail;
    unsigned magic;
    unsigned compat_features;
    unsigned incompat_features;
    unsigned header_length;
};
static_assert(sizeof(AioRing) == 32, "the header is followed by the events at once");

constexpr unsigned kMagic = 0xa10a10a1;  // AIO_RING_MAGIC, fs/aio.c
constexpr unsigned kCompat = 1;          // AIO_RING_COMPAT_FEATURES
constexpr unsigned kIncompat = 0;        // AIO_RING_INCOMPAT_FEATURES

AioRing* ring_of(io_context_t context) noexcept {
    return reinterpret_cast<AioRing*>(context);
}

bool layout_is_known(io_context_t context) noexcept {
    const AioRing& ring = *ring_of(context);
    return ring.magic == kMagic && ring.compat_features == kCompat &&
           ring.incompat_features == kIncompat && ring.header_length == sizeof(AioRing) &&
           ring.entries != 0;
}

int or_errno(long rc) noexcept {
    return rc >= 0 ? static_cast<int>(rc) : -errno;
}

}  // namespace

int LinuxAio::setup(unsigned events, bool ring_reap) noexcept {
    context_ = nullptr;
    const int rc = or_errno(::syscall(SYS_io_setup, events, &context_));
    if (rc == 0)
        ring_reap_ = ring_reap && layout_is_known(context_);
    return rc;
}

int LinuxAio::submit(long count, iocb** list) noexcept {
    return or_errno(::syscall(SYS_io_submit, context_, count, list));
}

int LinuxAio::wait(long max, io_event* events, std::int64_t limit_ns) noexcept {
    timespec limit{static_cast<time_t>(limit_ns / 1'000'000'000),
                   static_cast<long>(limit_ns % 1'000'000'000)};
    return or_errno(
        ::syscall(SYS_io_getevents, context_, 1L, max, events, limit_ns < 0 ? nullptr : &limit));
}

int LinuxAio::peek(long max, io_event* events) noexcept {
    if (!ring_reap_) {
        timespec none{0, 0};
        return or_errno(::syscall(SYS_io_getevents, context_, 0L, max, events, &none));
    }
    AioRing& ring = *ring_of(context_);
    const auto* entries = reinterpret_cast<const io_event*>(&ring + 1);
    unsigned head = __atomic_load_n(&ring.head, __ATOMIC_RELAXED);  // only this role writes it
    const unsigned tail = __atomic_load_n(&ring.tail, __ATOMIC_ACQUIRE);  // the kernel's release
    int taken = 0;
    while (head != tail && taken < max) {
        events[taken++] = entries[head];
        head = head + 1 == ring.entries ? 0 : head + 1;
    }
    if (taken != 0)
        __atomic_store_n(&ring.head, head, __ATOMIC_RELEASE);  // the kernel may fill them again
    return taken;
}

unsigned LinuxAio::completions_ready() const noexcept {
    if (!ring_reap_)
        return 0;
    const AioRing& ring = *ring_of(context_);
    const unsigned head = __atomic_load_n(&ring.head, __ATOMIC_RELAXED);
    const unsigned tail = __atomic_load_n(&ring.tail, __ATOMIC_RELAXED);
    return tail >= head ? tail - head : ring.entries - head + tail;
}

int LinuxAio::cancel(iocb& control) noexcept {
    io_event unused;
    return or_errno(::syscall(SYS_io_cancel, context_, &control, &unused));
}

void LinuxAio::destroy() noexcept {
    if (context_ != nullptr)
        ::syscall(SYS_io_destroy, context_);
    context_ = nullptr;
}

}  // namespace v0
}  // namespace ioengine
