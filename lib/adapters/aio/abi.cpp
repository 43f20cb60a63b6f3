// SPDX-License-Identifier: MIT
//
// The functions of libaio.so.1, with their versions. An io_context_t is a Handle here: it is never
// freed, only used again, so that a stale one is told from a live one.
#include "lib/adapters/aio/queue.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <libaio.h>
#include <memory>
#include <mutex>
#include <new>
#include <pthread.h>
#include <thread>

namespace {

using ioengine_aio::Queue;

// The kernel's io_context_t points to its ring, and programs look for its magic number there to
// fetch events by themselves (fio with userspace_reap, libaio itself). Here they find none.
struct Handle {
    std::uint32_t no_ring[16] = {};
    std::atomic<std::uint32_t> users{0};  // threads inside, and kLive while it may be entered
    std::unique_ptr<Queue> queue;
    std::uint32_t generation = 0;  // of the process that has set it up
    Handle* next = nullptr;        // free ones
    static constexpr std::uint32_t kLive = 1u << 31;
};

std::mutex g_mutex;  // the free ones
Handle* g_free = nullptr;

// How many forks lie between this process and the first. What an ancestor has set up is no context
// here, as in the kernel: EINVAL, and nothing of it is touched. relaxed: a child changes it while
// it has one thread.
std::atomic<std::uint32_t> g_generation{0};
[[maybe_unused]] const int kWatchesForks =
    ::pthread_atfork([] { g_mutex.lock(); }, [] { g_mutex.unlock(); },
                     [] {
                         g_generation.fetch_add(1, std::memory_order_relaxed);
                         g_mutex.unlock();
                     });

// Read after `users`, or by whoever has set it up.
bool is_ours(const Handle& handle) noexcept {
    return handle.generation == g_generation.load(std::memory_order_relaxed);
}

Handle* take_handle() noexcept {
    const std::lock_guard<std::mutex> lock(g_mutex);
    if (g_free == nullptr)
        return new (std::nothrow) Handle;
    Handle* const handle = g_free;
    g_free = handle->next;
    return handle;
}

void give_handle(Handle& handle) noexcept {
    const std::lock_guard<std::mutex> lock(g_mutex);
    handle.next = g_free;
    g_free = &handle;
}

// For one call.
class Entered {
  public:
    explicit Entered(io_context_t context) noexcept : handle_(reinterpret_cast<Handle*>(context)) {
        if (handle_ == nullptr)
            return;
        // acquire: pairs with io_setup()'s release. The last one out is seen by io_destroy().
        live_ = (handle_->users.fetch_add(1, std::memory_order_acquire) & Handle::kLive) != 0 &&
                is_ours(*handle_);
    }
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;
    ~Entered() {
        if (handle_ != nullptr)
            handle_->users.fetch_sub(1, std::memory_order_release);
    }
    explicit operator bool() const noexcept { return live_; }
    Queue& queue() const noexcept { return *handle_->queue; }

  private:
    Handle* const handle_;
    bool live_ = false;
};

int setup(int events, io_context_t* context) noexcept {
    if (context == nullptr)
        return -EFAULT;
    if (*context != nullptr || events <= 0)
        return -EINVAL;
    std::unique_ptr<Queue> queue;
    if (const int error = Queue::create(static_cast<unsigned>(events), queue))
        return error;
    Handle* const handle = take_handle();
    if (handle == nullptr)
        return -ENOMEM;
    handle->queue = std::move(queue);
    handle->generation = g_generation.load(std::memory_order_relaxed);
    handle->users.fetch_or(Handle::kLive, std::memory_order_release);
    *context = reinterpret_cast<io_context_t>(handle);
    return 0;
}

int destroy(io_context_t context) noexcept {
    auto* const handle = reinterpret_cast<Handle*>(context);
    if (handle == nullptr || !is_ours(*handle))
        return -EINVAL;
    // acq_rel: of several that destroy it one sees it live.
    if ((handle->users.fetch_and(~Handle::kLive, std::memory_order_acq_rel) & Handle::kLive) == 0)
        return -EINVAL;
    handle->queue->close();
    // Whoever waited has been called; whoever submits is in the kernel for a moment. acquire: pairs
    // with the release of ~Entered().
    while (handle->users.load(std::memory_order_acquire) != 0)
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    handle->queue.reset();
    give_handle(*handle);
    return 0;
}

int get_events(io_context_t context, long least, long most, io_event* events, const timespec* limit,
               const sigset_t* mask) noexcept {
    const Entered entered(context);
    return entered ? entered.queue().get_events(least, most, events, limit, mask) : -EINVAL;
}

int cancel(io_context_t context, iocb* control) noexcept {
    if (control == nullptr)
        return -EFAULT;
    const Entered entered(context);
    return entered ? entered.queue().cancel(*control) : -EINVAL;
}

}  // namespace

// NOLINTBEGIN(readability-identifier-naming)
extern "C" {
#define IOENGINE_EXPORTED __attribute__((visibility("default")))

IOENGINE_EXPORTED int io_setup(int maxevents, io_context_t* ctxp) {
    return setup(maxevents, ctxp);
}

IOENGINE_EXPORTED int io_destroy(io_context_t ctx) {
    return destroy(ctx);
}

IOENGINE_EXPORTED int io_submit(io_context_t ctx, long nr, struct iocb* ios[]) {
    const Entered entered(ctx);
    return entered ? entered.queue().submit(nr, ios) : -EINVAL;
}

IOENGINE_EXPORTED int io_pgetevents(io_context_t ctx, long min_nr, long nr, struct io_event* events,
                                    struct timespec* timeout, sigset_t* sigmask) {
    return get_events(ctx, min_nr, nr, events, timeout, sigmask);
}

IOENGINE_EXPORTED int ioengine_aio_getevents(io_context_t ctx, long min_nr, long nr,
                                             struct io_event* events, struct timespec* timeout) {
    return get_events(ctx, min_nr, nr, events, timeout, nullptr);
}

// The first version, of 2001, waited for one at least.
IOENGINE_EXPORTED int ioengine_aio_getevents_0_1(io_context_t ctx, long nr, struct io_event* events,
                                                 const struct timespec* timeout) {
    return get_events(ctx, 1, nr, events, timeout, nullptr);
}

IOENGINE_EXPORTED int ioengine_aio_cancel(io_context_t ctx, struct iocb* control,
                                          struct io_event* event) {
    static_cast<void>(event);  // it comes by io_getevents(), as since Linux 3.10
    return cancel(ctx, control);
}

IOENGINE_EXPORTED int ioengine_aio_cancel_0_1(io_context_t ctx, struct iocb* control) {
    return cancel(ctx, control);
}

IOENGINE_EXPORTED int io_queue_init(int maxevents, io_context_t* ctxp) {
    if (ctxp == nullptr)
        return -EFAULT;
    *ctxp = nullptr;
    return setup(maxevents, ctxp);
}

IOENGINE_EXPORTED int io_queue_release(io_context_t ctx) {
    return destroy(ctx);
}

// Calls back for what is there. The program keeps its callback where an iocb has its data.
IOENGINE_EXPORTED int io_queue_run(io_context_t ctx) {
    static timespec now = {0, 0};
    for (;;) {
        io_event event;
        const int got = get_events(ctx, 0, 1, &event, &now, nullptr);
        if (got != 1)
            return got;
        const auto callback = reinterpret_cast<io_callback_t>(event.data);
        callback(ctx, event.obj, static_cast<long>(event.res), static_cast<long>(event.res2));
    }
}

IOENGINE_EXPORTED int ioengine_aio_queue_wait(io_context_t ctx, struct timespec* timeout) {
    return get_events(ctx, 0, 0, nullptr, timeout, nullptr);
}

IOENGINE_EXPORTED int ioengine_aio_queue_wait_0_1(io_context_t ctx,
                                                  const struct timespec* timeout) {
    return get_events(ctx, 0, 0, nullptr, timeout, nullptr);
}
}
// NOLINTEND(readability-identifier-naming)

// Two versions of a name need names of their own here.
__asm__(".symver ioengine_aio_getevents, io_getevents@@LIBAIO_0.4");
__asm__(".symver ioengine_aio_getevents_0_1, io_getevents@LIBAIO_0.1");
__asm__(".symver ioengine_aio_cancel, io_cancel@@LIBAIO_0.4");
__asm__(".symver ioengine_aio_cancel_0_1, io_cancel@LIBAIO_0.1");
__asm__(".symver ioengine_aio_queue_wait, io_queue_wait@@LIBAIO_0.4");
__asm__(".symver ioengine_aio_queue_wait_0_1, io_queue_wait@LIBAIO_0.1");
