// SPDX-License-Identifier: MIT
#include "lib/adapters/aio/queue.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <linux/futex.h>
#include <new>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace ioengine_aio {

namespace {

std::int64_t now_ns() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// kForever for none, and for more than anybody waits. More nanoseconds than a second has are none
// of our business, nor the kernel's (timespec64_to_ktime() in fs/aio.c).
std::int64_t nanoseconds_of(const timespec* limit) noexcept {
    constexpr std::int64_t kSecond = 1'000'000'000;
    constexpr std::int64_t kSecondsMax = 1'000'000'000;
    if (limit == nullptr || limit->tv_sec >= kSecondsMax || limit->tv_nsec >= kSecondsMax * kSecond)
        return ioengine::kForever;
    if (limit->tv_sec < 0)
        return 0;
    return std::max<std::int64_t>(limit->tv_sec * kSecond + limit->tv_nsec, 0);
}

// What io_submit(2) says where the engine says no.
int errno_of(const ioengine::Acceptance& refusal) noexcept {
    switch (refusal.code()) {
    case ioengine::ErrorCode::queue_full:
        return EAGAIN;
    case ioengine::ErrorCode::no_memory:
        return ENOMEM;
    default:
        return EINVAL;
    }
}

int errno_of(const ioengine::Error& refusal) noexcept {
    return refusal.sys_errno != 0 ? refusal.sys_errno : ENOMEM;
}

}  // namespace

void Finish::operator()(ioengine::Result result) const noexcept {
    operation->home->finish(*operation, result.raw());
}

int Queue::create(unsigned operations, std::unique_ptr<Queue>& made) noexcept {
    constexpr unsigned kDepthMax = 32768;
    constexpr unsigned kQueueMax = 1048576;
    if (operations > kQueueMax)
        return -EAGAIN;  // beyond fs.aio-max-nr as well
    ioengine::Options options;
    options.depth = std::min(operations, kDepthMax);
    options.queue_limit = operations;
    options.event_pool = 1;
    // As the kernel does: whoever submits hands it over.
    options.lending = ioengine::Lending::callers;
    options.thread_name = "ioa";
    auto engine = ioengine::IOContext<>::create(options);
    if (!engine)
        return -errno_of(engine.error());
    std::unique_ptr<Operation[]> all(new (std::nothrow) Operation[operations]);
    if (all == nullptr)
        return -ENOMEM;
    made.reset(new (std::nothrow) Queue(*std::move(engine), std::move(all), operations));
    return made != nullptr ? 0 : -ENOMEM;
}

Queue::Queue(ioengine::IOContext<> engine, std::unique_ptr<Operation[]> operations,
             unsigned count) noexcept
    : operations_(std::move(operations)), capacity_(count), engine_(std::move(engine)),
      poll_thread_(*this), group_(engine_) {
    for (unsigned i = count; i-- > 0;) {
        operations_[i].home = this;
        operations_[i].next_in_line = free_;
        free_ = &operations_[i];
    }
}

Queue::~Queue() {
    poll_thread_.stop();
    static_cast<void>(group_.wait());
}

// -- submitting ------------------------------------------------------------------------------

Operation* Queue::take_free() noexcept {
    const std::lock_guard<std::mutex> lock(free_mutex_);
    Operation* const operation = free_;
    if (operation != nullptr)
        free_ = operation->next_in_line;
    return operation;
}

void Queue::give_free(Operation* first, Operation* last) noexcept {
    const std::lock_guard<std::mutex> lock(free_mutex_);
    last->next_in_line = free_;
    free_ = first;
}

int Queue::submit(long count, iocb** list) noexcept {
    if (count < 0)
        return -EINVAL;
    const std::lock_guard<std::mutex> lock(submit_mutex_);
    long taken = 0;
    int error = 0;
    for (; taken < count; ++taken) {
        if (list[taken] == nullptr) {
            error = -EFAULT;
            break;
        }
        Operation* const operation = take_free();
        if (operation == nullptr) {
            error = -EAGAIN;
            break;
        }
        error = prepare(*operation, *list[taken]);
        if (error == 0)
            error = start(*operation);
        if (error == 0)
            continue;
        if (operation->result_fd >= 0)
            ::close(std::exchange(operation->result_fd, -1));
        give_free(operation, operation);
        break;
    }
    if (taken != 0)
        group_.start();
    return taken != 0 ? static_cast<int>(taken) : error;
}

int Queue::start(Operation& operation) noexcept {
    if (is_poll(operation))
        return poll_thread_.add(operation);
    const ioengine::Acceptance acceptance = group_.submit(operation);
    return acceptance ? 0 : -errno_of(acceptance);
}

int Queue::cancel(iocb& control) noexcept {
    // A transfer goes on, as in the kernel; its event comes.
    return poll_thread_.cancel(control) ? -EINPROGRESS : -EINVAL;
}

// -- what is done ----------------------------------------------------------------------------

void Queue::finish(Operation& operation, std::int64_t result) noexcept {
    operation.result = result;
    operation.next_in_line = nullptr;
    // Not the operation's any more once it is in the line.
    const int result_fd = std::exchange(operation.result_fd, -1);
    bool enough = false;
    {
        const std::lock_guard<std::mutex> lock(done_mutex_);
        (last_done_ != nullptr ? last_done_->next_in_line : first_done_) = &operation;
        last_done_ = &operation;
        ++done_;
        enough = sleepers_ != 0 && done_ >= wanted_;
        if (enough)
            call_sleepers();
    }
    if (enough)
        wake();
    if (result_fd >= 0) {
        static_cast<void>(::eventfd_write(result_fd, 1));
        ::close(result_fd);
    }
}

void Queue::call_sleepers() noexcept {
    __atomic_fetch_add(&epoch_, 1, __ATOMIC_RELAXED);
    for (const Listener* listener = listeners_; listener != nullptr; listener = listener->next)
        static_cast<void>(::eventfd_write(listener->bell, 1));
}

void Queue::wake() noexcept {
    ::syscall(SYS_futex, &epoch_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

long Queue::fetch(long most, io_event* events) noexcept {
    Operation* first = nullptr;
    Operation* last = nullptr;
    long count = 0;
    {
        const std::lock_guard<std::mutex> lock(done_mutex_);
        first = first_done_;
        for (; count < most && first_done_ != nullptr; ++count) {
            last = first_done_;
            first_done_ = last->next_in_line;
        }
        if (first_done_ == nullptr)
            last_done_ = nullptr;
        done_ -= static_cast<unsigned>(count);
    }
    if (count == 0)
        return 0;
    Operation* operation = first;
    for (long i = 0; i < count; ++i, operation = operation->next_in_line) {
        events[i].data = operation->data;
        events[i].obj = operation->control;
        events[i].res = static_cast<unsigned long>(operation->result);
        events[i].res2 = 0;
    }
    give_free(first, last);
    return count;
}

int Queue::get_events(long least, long most, io_event* events, const timespec* limit,
                      const sigset_t* mask) noexcept {
    if (least < 0 || most < 0 || least > most)
        return -EINVAL;
    if (most > 0 && events == nullptr)
        return -EFAULT;
    const std::int64_t limit_ns = nanoseconds_of(limit);
    const bool limited = limit_ns != ioengine::kForever;
    long got = fetch(most, events);
    if (got >= least || limit_ns == 0)
        return static_cast<int>(got);
    const std::int64_t begun = limited ? now_ns() : 0;
    for (;;) {
        const std::int64_t left = limited ? limit_ns - (now_ns() - begun) : -1;
        if (limited && left <= 0)
            return static_cast<int>(got);
        const int error =
            sleep(static_cast<unsigned>(std::min<long>(least - got, INT_MAX)), left, mask);
        got += fetch(most - got, events + got);
        if (got >= least)
            return static_cast<int>(got);
        if (error != 0)
            return got != 0 ? static_cast<int>(got) : error;
    }
}

int Queue::sleep(unsigned wanted, std::int64_t limit_ns, const sigset_t* mask) noexcept {
    Listener listener;
    if (mask != nullptr && (listener.bell = ::eventfd(0, EFD_CLOEXEC)) < 0)
        return -ENOMEM;
    std::uint32_t seen = 0;
    {
        const std::lock_guard<std::mutex> lock(done_mutex_);
        wanted = std::min(wanted, capacity_);  // more cannot be done at once
        if (closed_ || done_ >= wanted) {
            if (mask != nullptr)
                ::close(listener.bell);
            return closed_ ? -EINVAL : 0;
        }
        wanted_ = sleepers_ == 0 ? wanted : std::min(wanted, wanted_);
        ++sleepers_;
        if (mask != nullptr)
            listener.next = std::exchange(listeners_, &listener);
        seen = __atomic_load_n(&epoch_, __ATOMIC_RELAXED);
    }
    const timespec left{static_cast<time_t>(limit_ns / 1'000'000'000),
                        static_cast<long>(limit_ns % 1'000'000'000)};
    const timespec* const limit = limit_ns < 0 ? nullptr : &left;
    pollfd bell{listener.bell, POLLIN, 0};
    const bool interrupted = mask == nullptr ? ::syscall(SYS_futex, &epoch_, FUTEX_WAIT_PRIVATE,
                                                         seen, limit, nullptr, 0) != 0 &&
                                                   errno == EINTR
                                             : ::ppoll(&bell, 1, limit, mask) < 0 && errno == EINTR;
    const std::lock_guard<std::mutex> lock(done_mutex_);
    --sleepers_;
    if (mask != nullptr) {
        Listener** link = &listeners_;
        while (*link != &listener)
            link = &(*link)->next;
        *link = listener.next;
        ::close(listener.bell);
    }
    return interrupted ? -EINTR : 0;
}

void Queue::close() noexcept {
    const std::lock_guard<std::mutex> lock(done_mutex_);
    closed_ = true;
    call_sleepers();
    wake();
}

}  // namespace ioengine_aio
