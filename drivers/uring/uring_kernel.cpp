// SPDX-License-Identifier: MIT
//
// The calls to liburing.
#include "drivers/uring/uring_kernel.hpp"

#include "drivers/uring/uring_flags.hpp"
#include "lib/clock.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <new>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

namespace ioengine {
inline namespace v0 {

namespace {

// A ring's memory counts against RLIMIT_MEMLOCK, unless the user has CAP_IPC_LOCK, on Linux 5.1 to
// 5.11 and again since 6.14 (io_create_region() in io_uring/memmap.c), until a worker of the kernel
// has taken the ring apart, some milliseconds after it was closed (io_ring_exit_work()).
constexpr std::uint64_t kTakenApartNs = 500'000'000;
constexpr timespec kMoment{0, 2'000'000};
constexpr unsigned kMomentsMax = 250;

// When this process closed a ring last; 0: never. A hint that publishes nothing: relaxed.
std::atomic<std::uint64_t> g_closed_ns{0};

// With one thread, completions need no interrupt: they wait until it asks, or sleeps, and
// TASKRUN_FLAG says that they do, so that peek() enters the kernel for them only then. A ring of a
// single issuer belongs to the thread that enables it.
unsigned flags_of_one_thread(const UringRingSetup& ring) noexcept {
    unsigned flags = 0;
    if (ring.single_issuer)
        flags |= IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED;
    if (ring.sqpoll)
        return flags;  // the others are about interrupting the submitter, and EINVAL with SQPOLL
    if (ring.single_issuer && ring.defer_taskrun)
        flags |= IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    else if (ring.coop_taskrun)
        flags |= IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    return flags;
}

}  // namespace

int LinuxUring::make_ring(UringRingSetup& ring) noexcept {
    std::unique_ptr<Ring> made(new (std::nothrow) Ring());
    if (made == nullptr)
        return -ENOMEM;
    // Where submissions come from two threads, one of which takes the completions, the flags that
    // tie a ring to one thread (SINGLE_ISSUER, DEFER_TASKRUN) are out, and so is COOP_TASKRUN: with
    // it completions wait until the submitter, who may be asleep, next enters the kernel.
    io_uring_params params{};
    params.flags = IORING_SETUP_CLAMP;
    if (ring.one_thread)
        params.flags |= flags_of_one_thread(ring);
    if (ring.iopoll)  // Linux 5.1; goes with all of these, io_uring_create() in io_uring.c
        params.flags |= IORING_SETUP_IOPOLL;
    if (ring.submit_all)
        params.flags |= IORING_SETUP_SUBMIT_ALL;
    if (ring.sized_cq) {
        params.flags |= IORING_SETUP_CQSIZE;
        params.cq_entries = ring.cq_entries;
    }
    if (ring.sqpoll) {
        params.flags |= IORING_SETUP_SQPOLL;
        params.sq_thread_idle = ring.sqpoll_idle_ms;
        if (ring.sqpoll_cpu >= 0) {
            params.flags |= IORING_SETUP_SQ_AFF;
            params.sq_thread_cpu = static_cast<std::uint32_t>(ring.sqpoll_cpu);
        }
    }
    if (ring.attach_fd >= 0) {
        params.flags |= IORING_SETUP_ATTACH_WQ;
        params.wq_fd = static_cast<std::uint32_t>(ring.attach_fd);
    }
    const int rc = ::io_uring_queue_init_params(ring.sq_entries, &made->ring, &params);
    if (rc != 0)
        return rc;
    // Before Linux 5.11 such a ring serves registered files only.
    if (ring.sqpoll && (params.features & IORING_FEAT_SQPOLL_NONFIXED) == 0) {
        ::io_uring_queue_exit(&made->ring);
        return -EOPNOTSUPP;
    }
    if (!ring.ext_arg)  // liburing, too, goes by this
        made->ring.features &= ~IORING_FEAT_EXT_ARG;
    ring.sq_entries = params.sq_entries;
    ring.cq_entries = params.cq_entries;
    ring_ = std::move(made);
    disabled_ = (params.flags & IORING_SETUP_R_DISABLED) != 0;
    sqpoll_ = ring.sqpoll;
    wants_fd_ = ring.ring_fd;
    shown_ = 0;
    return 0;
}

// An error says that the kernel's thread could not be woken. If it lives, it has what was shown:
// whatever the error, waking it is tried again. If it is gone (EOWNERDEAD, since Linux 5.12), what
// it has not taken stays with us.
int LinuxUring::show(unsigned completions) noexcept {
    io_uring& ring = ring_->ring;
    if (disabled_) {  // that thread takes nothing of it, and does not say so
        thread_is_gone_ = true;
        return -EBADFD;
    }
    const unsigned entries = ring.sq.sqe_tail - shown_;
    const int rc = completions == 0 ? ::io_uring_submit(&ring)
                                    : ::io_uring_submit_and_wait(&ring, completions);
    if (rc >= 0) {
        shown_ = ring.sq.sqe_tail;
        return static_cast<int>(entries);
    }
    thread_is_gone_ = rc == -EOWNERDEAD;
    return thread_is_gone_ || rc == -EINTR ? rc : -EAGAIN;
}

bool LinuxUring::takes_ring_fd() const noexcept {
    io_uring& ring = ring_->ring;
    return ::io_uring_register_ring_fd(&ring) == 1 && ::io_uring_unregister_ring_fd(&ring) == 1;
}

bool LinuxUring::has_native_workers() const noexcept {
    return (ring_->ring.features & IORING_FEAT_NATIVE_WORKERS) != 0;
}

bool LinuxUring::can_enable() noexcept {
    io_uring ring;
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED;
    if (::io_uring_queue_init_params(2, &ring, &params) != 0)
        return false;
    const int rc = ::io_uring_register(static_cast<unsigned>(ring.ring_fd),
                                       IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    ::io_uring_queue_exit(&ring);
    return rc == 0;
}

// io_uring_enable_rings() is declared but not exported by liburing 2.3.
int LinuxUring::bind() noexcept {
    io_uring& ring = ring_->ring;
    if (disabled_) {
        const int rc = ::io_uring_register(static_cast<unsigned>(ring.ring_fd),
                                           IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
        if (rc < 0)
            return rc;
        disabled_ = false;
    }
    // Without it things go on as they are.
    if (wants_fd_)
        static_cast<void>(::io_uring_register_ring_fd(&ring));
    return 0;
}

int LinuxUring::completion_fd() noexcept {
    if (done_fd_ >= 0)
        return done_fd_;
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    const int rc = ::io_uring_register_eventfd(&ring_->ring, fd);
    if (rc < 0) {
        ::close(fd);
        return rc;
    }
    return done_fd_ = fd;
}

void LinuxUring::remind() noexcept {
    static_cast<void>(::eventfd_write(done_fd_, 1));
}

// By the thread that has registered it: the registration would keep the ring alive.
void LinuxUring::unbind() noexcept {
    if (ring_ != nullptr)
        static_cast<void>(::io_uring_unregister_ring_fd(&ring_->ring));
}

bool LinuxUring::awaits_memory(const UringRingSetup& ring) noexcept {
    rlimit limit{};
    const std::uint64_t bytes = std::uint64_t{ring.sq_entries} * sizeof(io_uring_sqe) +
                                std::uint64_t{ring.cq_entries} * sizeof(io_uring_cqe);
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && bytes > limit.rlim_cur)
        return false;  // it would not fit in an empty account
    const std::uint64_t closed_ns = g_closed_ns.load(std::memory_order_relaxed);
    if (closed_ns == 0 || now_ns() - closed_ns > kTakenApartNs || memory_awaited_ == kMomentsMax)
        return false;
    ++memory_awaited_;
    ::nanosleep(&kMoment, nullptr);
    return true;
}

UringOpcodes LinuxUring::opcodes() noexcept {
    io_uring_probe* const probe = ::io_uring_get_probe_ring(&ring_->ring);
    const auto has = [&](int opcode) {
        return probe != nullptr && ::io_uring_opcode_supported(probe, opcode) != 0;
    };
    const UringOpcodes found{has(IORING_OP_FALLOCATE), has(IORING_OP_SYNC_FILE_RANGE),
                             has(IORING_OP_ASYNC_CANCEL)};
    if (probe != nullptr)
        ::io_uring_free_probe(probe);
    return found;
}

// By io_uring_register(2) itself: io_uring_register_files_sparse(3) raises the process's limit on
// open files where it is in the way (liburing 2.3).
int LinuxUring::make_table(TableKind kind, std::uint32_t places, bool sparse) noexcept {
    const auto ring = static_cast<unsigned>(ring_->ring.ring_fd);
    const bool buffers = kind == TableKind::buffers;
    io_uring_rsrc_register table{};
    table.nr = places;
    if (sparse) {
        table.flags = IORING_RSRC_REGISTER_SPARSE;
        return ::io_uring_register(ring,
                                   buffers ? IORING_REGISTER_BUFFERS2 : IORING_REGISTER_FILES2,
                                   &table, sizeof table);
    }
    if (buffers) {
        const std::unique_ptr<iovec[]> nothing(new (std::nothrow) iovec[places]());
        if (nothing == nullptr)
            return -ENOMEM;
        table.data = reinterpret_cast<std::uintptr_t>(nothing.get());
        return ::io_uring_register(ring, IORING_REGISTER_BUFFERS2, &table, sizeof table);
    }
    const std::unique_ptr<int[]> nothing(new (std::nothrow) int[places]);
    if (nothing == nullptr)
        return -ENOMEM;
    std::fill(nothing.get(), nothing.get() + places, -1);
    return ::io_uring_register(ring, IORING_REGISTER_FILES, nothing.get(), places);
}

int LinuxUring::update_table(TableKind kind, std::uint32_t first, const TableItem* items,
                             std::uint32_t count) noexcept {
    constexpr std::uint32_t kAtOnce = 64;
    const auto ring = static_cast<unsigned>(ring_->ring.ring_fd);
    std::uint32_t filled = 0;
    while (filled < count) {
        const std::uint32_t part = std::min(count - filled, kAtOnce);
        int rc = 0;
        if (kind == TableKind::buffers) {
            iovec vectors[kAtOnce];
            for (std::uint32_t i = 0; i < part; ++i)
                vectors[i] = {items[filled + i].data,
                              static_cast<std::size_t>(items[filled + i].size)};
            io_uring_rsrc_update2 change{};
            change.offset = first + filled;
            change.data = reinterpret_cast<std::uintptr_t>(vectors);
            change.nr = part;
            rc = ::io_uring_register(ring, IORING_REGISTER_BUFFERS_UPDATE, &change, sizeof change);
        } else {
            int files[kAtOnce];
            for (std::uint32_t i = 0; i < part; ++i)
                files[i] = items[filled + i].fd;
            io_uring_files_update change{};
            change.offset = first + filled;
            change.fds = reinterpret_cast<std::uintptr_t>(files);
            rc = ::io_uring_register(ring, IORING_REGISTER_FILES_UPDATE, &change, part);
        }
        if (rc < 0)
            return filled != 0 ? static_cast<int>(filled) : rc;
        filled += static_cast<std::uint32_t>(rc);
        if (static_cast<std::uint32_t>(rc) < part)
            break;
    }
    return static_cast<int>(filled);
}

int LinuxUring::peek(unsigned max, UringEvent* events) noexcept {
    io_uring& ring = ring_->ring;
    if (done_fd_ >= 0) {  // [model: one-7] before the look: what is done afterwards says so again
        eventfd_t said = 0;
        static_cast<void>(::eventfd_read(done_fd_, &said));
    }
    constexpr unsigned kAtOnce = 64;
    io_uring_cqe* cqes[kAtOnce];
    // Enters the kernel by itself when completions have spilled over and the ring is empty.
    const unsigned count = ::io_uring_peek_batch_cqe(&ring, cqes, max < kAtOnce ? max : kAtOnce);
    for (unsigned i = 0; i < count; ++i) {
        events[i].user_data = cqes[i]->user_data;
        events[i].result = cqes[i]->res;
    }
    ::io_uring_cq_advance(&ring, count);
    // That call was refused: what there is has been said already, and will not be again.
    constexpr unsigned kHasMore = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;
    if (done_fd_ >= 0 && count == 0 && (IO_URING_READ_ONCE(*ring.sq.kflags) & kHasMore) != 0)
        remind();
    return static_cast<int>(count);
}

int LinuxUring::wait(std::int64_t limit_ns) noexcept {
    io_uring_cqe* cqe = nullptr;
    if (limit_ns < 0)
        return ::io_uring_wait_cqe(&ring_->ring, &cqe);
    if (!limits_waits()) {
        // liburing would submit a timeout, whose completion peek() would take for one of ours. Only
        // DEFER_TASKRUN, which is younger, keeps completions back from poll(2).
        const timespec poll_limit{limit_ns / 1'000'000'000, limit_ns % 1'000'000'000};
        pollfd ring_fd{ring_->ring.ring_fd, POLLIN, 0};
        return ::ppoll(&ring_fd, 1, &poll_limit, nullptr) < 0 ? -errno : 0;
    }
    __kernel_timespec limit{limit_ns / 1'000'000'000, limit_ns % 1'000'000'000};
    const int rc = ::io_uring_wait_cqe_timeout(&ring_->ring, &cqe, &limit);
    return rc == -ETIME ? 0 : rc;  // a limit that was reached is no error
}

bool LinuxUring::overflowed() noexcept {
    return (IO_URING_READ_ONCE(*ring_->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
}

void LinuxUring::destroy() noexcept {
    if (ring_ == nullptr)
        return;
    // Before as well: another thread may find no memory in between.
    g_closed_ns.store(now_ns(), std::memory_order_relaxed);
    ::io_uring_queue_exit(&ring_->ring);
    g_closed_ns.store(now_ns(), std::memory_order_relaxed);
    ring_.reset();
}

}  // namespace v0
}  // namespace ioengine
