// SPDX-License-Identifier: MIT
#include "lib/adapters/aio/poll_thread.hpp"

#include "lib/adapters/aio/queue.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>
#include <sys/eventfd.h>
#include <unistd.h>

namespace ioengine_aio {

namespace {

template <class T>
void make_room(std::vector<T>& list, std::size_t count) {
    if (list.capacity() < count)
        list.reserve(2 * count);
}

}  // namespace

PollThread::~PollThread() {
    if (bell_ >= 0)
        ::close(bell_);
}

int PollThread::add(Operation& operation) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::size_t count = waiting_.size() + 1;
    try {
        // Each may hold all of them, so that nothing has to be allocated later.
        make_room(cancelled_, cancelled_.size() + count);
        make_room(room_for_fds_, count + 1);
        make_room(room_for_whose_, count);
        waiting_.push_back(&operation);
    } catch (const std::bad_alloc&) {
        return -ENOMEM;
    }
    if (!running_) {
        if (const int error = launch()) {
            waiting_.pop_back();
            return error;
        }
    }
    ring();
    return 0;
}

int PollThread::launch() noexcept {
    if (bell_ < 0)
        bell_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell_ < 0)
        return -EAGAIN;
    // The program's signals are not for this thread.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    running_ = ::pthread_create(&thread_, nullptr, enter, this) == 0;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return running_ ? 0 : -EAGAIN;
}

bool PollThread::cancel(const iocb& control) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                    [&](const Operation* one) { return one->control == &control; });
    if (found == waiting_.end())
        return false;
    cancelled_.push_back(*found);
    waiting_.erase(found);
    ring();
    return true;
}

void PollThread::stop() noexcept {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!running_)
            return;
        stopping_ = true;
        ring();
    }
    ::pthread_join(thread_, nullptr);
    running_ = false;
}

void PollThread::ring() const noexcept {
    static_cast<void>(::eventfd_write(bell_, 1));
}

void* PollThread::enter(void* self) noexcept {
    static_cast<PollThread*>(self)->run();
    return nullptr;
}

void PollThread::run() noexcept {
    std::vector<pollfd> fds;
    std::vector<Operation*> whose;
    for (;;) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (stopping_) {
                // All were to be told 0; their queue goes, and nobody fetches that.
                for (Operation* operation : waiting_)
                    queue_.finish(*operation, 0);
                for (Operation* operation : cancelled_)
                    queue_.finish(*operation, 0);
                return;
            }
            if (fds.capacity() <= waiting_.size())
                fds.swap(room_for_fds_);
            if (whose.capacity() < waiting_.size())
                whose.swap(room_for_whose_);
            whose = waiting_;
            fds.clear();
            fds.push_back({bell_, POLLIN, 0});
            for (const Operation* operation : whose)
                fds.push_back({operation->poll_fd, operation->poll_events, 0});
        }
        ::poll(fds.data(), fds.size(), -1);
        eventfd_t rings = 0;
        static_cast<void>(::eventfd_read(bell_, &rings));
        finish_some(fds, whose);
    }
}

void PollThread::finish_some(const std::vector<pollfd>& looked_at,
                             const std::vector<Operation*>& whose) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (Operation* operation : cancelled_)
        queue_.finish(*operation, 0);
    cancelled_.clear();
    for (std::size_t i = 0; i < whose.size(); ++i) {
        const short events = looked_at[i + 1].revents;
        const auto found = std::find(waiting_.begin(), waiting_.end(), whose[i]);
        if (events == 0 || found == waiting_.end())
            continue;
        waiting_.erase(found);
        queue_.finish(*whose[i], events);
    }
}

}  // namespace ioengine_aio
