// SPDX-License-Identifier: MIT
//
// Telling the story.
#include "tests/sim/failure.hpp"

#include <cinttypes>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <unistd.h>

namespace sim {

namespace {

constexpr std::size_t kEventsShown = 60;

Story& story() noexcept {
    static Story instance;
    return instance;
}

[[noreturn]] void finish() noexcept {
    const Story& now = story();
    if (now.history != nullptr) {
        std::printf("the last events:\n");
        now.history->print_last(kEventsShown);
    }
    if (now.replays)
        std::printf("replay: ioengine-sim --backend %s --seed %" PRIu64 " --seeds 1%s\n",
                    now.backend, now.seed, now.less);
    std::fflush(stdout);
    ::_exit(1);
}

// printf(3) is not safe in a handler; the process is lost anyway, and the story usually comes out.
void on_crash(int signal) {
    std::signal(signal, SIG_DFL);
    std::printf("FAILED: seed %" PRIu64 " on %s: signal %d\n", story().seed, story().backend,
                signal);
    finish();
}

}  // namespace

void set_story(const Story& now) noexcept {
    story() = now;
}

void fail(const char* format, ...) noexcept {
    std::printf("FAILED: seed %" PRIu64 " on %s: ", story().seed, story().backend);
    va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::printf("\n");
    finish();
}

void tell_story_on_crash() noexcept {
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
        std::signal(signal, on_crash);
}

}  // namespace sim
