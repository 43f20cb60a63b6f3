// SPDX-License-Identifier: MIT
//
// Implements child.hpp: fork, collect the output, wait; seccomp filters through libseccomp.

#include "tests/support/child.hpp"

#include "tests/support/wait.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if IOENGINE_TESTS_HAVE_SECCOMP
#include <seccomp.h>
#endif

namespace test {
namespace {

// Catch2 installs handlers that would report the parent's test case as failed.
void restore_default_signals() {
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM, SIGINT, SIGALRM})
        ::signal(number, SIG_DFL);
}

[[noreturn]] void live_as_child(const std::function<int()>& body, int output_fd) {
    restore_default_signals();
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::dup2(output_fd, STDOUT_FILENO);
    ::dup2(output_fd, STDERR_FILENO);
    ::close(output_fd);
    ::alarm(static_cast<unsigned>(kSafetyBound.count()));
    int status = 3;
    try {
        status = body();
    } catch (const std::exception& thrown) {
        std::fprintf(stderr, "the child threw: %s\n", thrown.what());
    } catch (...) {
        std::fprintf(stderr, "the child threw something, perhaps a failed REQUIRE\n");
    }
    std::fflush(nullptr);
    leave_child(status);
}

std::string read_all(int fd) {
    std::string text;
    char chunk[4096];
    for (;;) {
        const ssize_t bytes = ::read(fd, chunk, sizeof(chunk));
        if (bytes > 0)
            text.append(chunk, static_cast<std::size_t>(bytes));
        else if (bytes == 0 || errno != EINTR)
            return text;
    }
}

}  // namespace

ChildOutcome run_child(const std::function<int()>& body) {
    int ends[2];
    if (::pipe(ends) != 0)
        throw std::runtime_error("pipe failed");
    std::fflush(nullptr);  // else the child prints it a second time
    const pid_t child = ::fork();
    if (child < 0)
        throw std::runtime_error("fork failed");
    if (child == 0) {
        ::close(ends[0]);
        live_as_child(body, ends[1]);
    }
    ::close(ends[1]);
    ChildOutcome outcome;
    outcome.output = read_all(ends[0]);
    ::close(ends[0]);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status))
        outcome.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status))
        outcome.signal = WTERMSIG(status);
    return outcome;
}

void leave_child(int status) {
#if IOENGINE_TESTS_COVERAGE
    std::exit(status);  // what was counted is written by the end of the process
#endif
    ::_exit(status);
}

void fail_child(const char* what, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: not true in the child: %s\n", file, line, what);
    std::fflush(nullptr);
    ::_exit(1);
}

#if IOENGINE_TESTS_HAVE_SECCOMP

bool can_deny() {
    static const bool works =
        run_child([] {
            deny({{"getpriority", EXDEV}});
            errno = 0;
            return ::getpriority(PRIO_PROCESS, 0) == -1 && errno == EXDEV ? 0 : 2;
        }).exit_code == 0;
    return works;
}

void deny(const std::vector<DeniedCall>& calls) {
    const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
    CHILD_CHECK(filter != nullptr);
    for (const DeniedCall& call : calls) {
        const int number = ::seccomp_syscall_resolve_name(call.name);
        CHILD_CHECK(number != __NR_SCMP_ERROR);
        const auto action = SCMP_ACT_ERRNO(static_cast<std::uint32_t>(call.error));
        const scmp_arg_cmp match{static_cast<unsigned>(call.argument < 0 ? 0 : call.argument),
                                 call.or_more ? SCMP_CMP_GE : SCMP_CMP_EQ, call.value, 0};
        CHILD_CHECK(::seccomp_rule_add_array(filter, action, number, call.argument < 0 ? 0 : 1,
                                             &match) == 0);
    }
    CHILD_CHECK(::seccomp_load(filter) == 0);
    ::seccomp_release(filter);
}

#else

bool can_deny() {
    return false;
}

void deny(const std::vector<DeniedCall>&) {
    fail_child("built with libseccomp", __FILE__, __LINE__);
}

#endif

}  // namespace test
