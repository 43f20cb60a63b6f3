// SPDX-License-Identifier: MIT
//
// Starting engine threads.
#include "lib/thread.hpp"

#include "lib/check.hpp"

#include <csignal>
#include <cstdio>

namespace ioengine {
inline namespace v0 {

namespace {

struct Start {
    std::function<void()> body;
    ThreadSetup setup;
    ThreadRole role;
};

const char* role_name(ThreadRole role) noexcept {
    switch (role) {
    case ThreadRole::submitter:
        return "submit";
    case ThreadRole::poller:
        return "poll";
    case ThreadRole::worker:
        return "work";
    case ThreadRole::offload:
        return "offload";
    }
    return "";
}

void* enter(void* argument) noexcept {
    const std::unique_ptr<Start> start(static_cast<Start*>(argument));
    char name[16];  // pthread_setname_np(3): 15 characters
    std::snprintf(name, sizeof name, "%s-%s", start->setup.prefix, role_name(start->role));
    ::pthread_setname_np(::pthread_self(), name);
    if (start->setup.on_start != nullptr)
        start->setup.on_start(start->setup.user, start->role);
    start->body();
    return nullptr;
}

}  // namespace

bool Thread::start(std::function<void()> body, const ThreadSetup& setup, ThreadRole role) noexcept {
    check(!joinable_, "a thread is started once");
    std::unique_ptr<Start> start(new (std::nothrow) Start{std::move(body), setup, role});
    if (start == nullptr)
        return false;
    // The new thread inherits the mask, so no signal can reach it before it would block them.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    joinable_ = ::pthread_create(&thread_, nullptr, enter, start.get()) == 0;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (joinable_)
        static_cast<void>(start.release());  // the thread's now
    return joinable_;
}

void Thread::join() noexcept {
    if (joinable_)
        ::pthread_join(thread_, nullptr);
    joinable_ = false;
}

}  // namespace v0
}  // namespace ioengine
