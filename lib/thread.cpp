// SPDX-License-Identifier: MIT
//
// Starting engine threads.
#include "lib/thread.hpp"

#include "lib/check.hpp"

#include <csignal>
#include <cstdio>
#include <exception>

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
    case ThreadRole::owner:
        return "owner";
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

// The new thread inherits the mask, so no signal can reach it before it would block them. Those
// that a thread brings upon itself are not blocked: a handler of the host's, that writes a crash
// report, would not be called (the kernel takes the default action then), and seccomp's SIGSYS
// neither.
bool create_with_signals_blocked(pthread_t& thread, void* (*body)(void*), void* argument) noexcept {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT})
        ::sigdelset(&all, own);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool created = ::pthread_create(&thread, nullptr, body, argument) == 0;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return created;
}

struct Borrowed {
    const std::function<void()>& body;
    std::exception_ptr thrown;
};

void* run_errand(void* argument) noexcept {
    auto& errand = *static_cast<Borrowed*>(argument);
    try {
        errand.body();
    } catch (...) {
        errand.thrown = std::current_exception();
    }
    return nullptr;
}

}  // namespace

bool Thread::start(std::function<void()> body, const ThreadSetup& setup, ThreadRole role) noexcept {
    check(!joinable_, "a thread is started once");
    std::unique_ptr<Start> start(new (std::nothrow) Start{std::move(body), setup, role});
    if (start == nullptr)
        return false;
    joinable_ = create_with_signals_blocked(thread_, enter, start.get());
    if (joinable_)
        static_cast<void>(start.release());  // the thread's now
    return joinable_;
}

void Thread::join() noexcept {
    if (joinable_)
        ::pthread_join(thread_, nullptr);
    joinable_ = false;
}

void run_elsewhere(const std::function<void()>& body) {
    Borrowed errand{body, nullptr};
    pthread_t thread{};
    if (!create_with_signals_blocked(thread, run_errand, &errand)) {
        body();
        return;
    }
    ::pthread_join(thread, nullptr);
    if (errand.thrown != nullptr)
        std::rethrow_exception(errand.thrown);
}

}  // namespace v0
}  // namespace ioengine
