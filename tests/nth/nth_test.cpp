// SPDX-License-Identifier: MIT
//
// Goal: no single failure beneath the library, and none that lasts, makes it break its contract,
// crash, hang, or leak: every outcome is one of a few that a caller can deal with.
// Method: short programs over the shared library, on each backend and threading, each run in a
// process of its own. In the first run the first system call fails, in the second the second one,
// and so on until a run passes untouched; then the same from the n-th on; then the same with
// allocations. What the kernel does wrong once work is in it: tests/fault, and the simulation.
//
// IOENGINE_TEST_NTH=all: every n; otherwise every kStride-th, beginning somewhere else for each
// script. IOENGINE_TEST_NTH_SCRIPT=words: the scripts whose names contain them.
// IOENGINE_TEST_NTH_ONLY="script|backend|threading|failure|n" test-nth "[only]": that one
// run, in this process.

#include "tests/nth/kernel_calls.hpp"
#include "tests/nth/memory.hpp"
#include "tests/nth/scripts.hpp"
#include "tests/nth/stage.hpp"
#include "tests/support/in_each_threading.hpp"
#include "tests/support/support.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::uint64_t kStride = 23;
constexpr std::size_t kAtOnce = 8;  // most runs sleep most of the time

// One way to fail.
struct Way {
    const char* name;
    void (*arm)(std::uint64_t nth);
    std::uint64_t (*injected)();
    // May a request end with this error?
    bool (*excuses)(int error);
    bool of_kernel;
};

template <nth::Failure failure>
void arm_calls(std::uint64_t n) {
    nth::kernel_calls::arm(n, failure);
}
template <std::uint64_t count>
void arm_memory(std::uint64_t n) {
    nth::memory::arm(n, count);
}
bool is_want_of_memory(int error) {
    return error == ENOMEM;
}
// Of a flush, or another call that a helper thread makes for a backend that lacks it.
bool is_of_a_call_made_for_it(int error) {
    return error == EIO || error == ENOSPC;
}

constexpr Way kWays[] = {
    {"call once", arm_calls<nth::Failure::once>, nth::kernel_calls::injected,
     is_of_a_call_made_for_it, true},
    {"call interrupted", arm_calls<nth::Failure::interrupted>, nth::kernel_calls::injected,
     [](int) { return false; }, true},
    {"calls interrupted for a while", arm_calls<nth::Failure::signals>, nth::kernel_calls::injected,
     [](int) { return false; }, true},
    {"calls for a while", arm_calls<nth::Failure::storm>, nth::kernel_calls::injected,
     is_of_a_call_made_for_it, true},
    {"calls denied", arm_calls<nth::Failure::denied>, nth::kernel_calls::injected,
     [](int error) { return error == EPERM || error == ECANCELED; }, true},
    {"allocation once", arm_memory<1>, nth::memory::injected, is_want_of_memory, false},
    {"allocations for a while", arm_memory<5>, nth::memory::injected, is_want_of_memory, false},
    {"allocations", arm_memory<UINT64_MAX>, nth::memory::injected, is_want_of_memory, false},
};

// One script, somewhere, that fails in one way: a run for each n.
struct Case {
    const nth::Script* script;
    Backend backend;
    Threading threading;
    const Way* way;

    std::string name() const {
        return std::string(script->name) + "|" + backend_name(backend) + "|" +
               test::name_of(threading) + "|" + way->name + "|";
    }
};

// Files and a report for one process at a time.
struct Place {
    Place() : source(nth::kOps * nth::kBlock), scratch(nth::kOps * nth::kBlock) {
        void* const shared = ::mmap(nullptr, sizeof(nth::Report), PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        REQUIRE(shared != MAP_FAILED);
        report = new (shared) nth::Report{};
        std::vector<unsigned char> block(nth::kBlock);
        for (std::size_t i = 0; i < nth::kOps; ++i) {
            nth::pattern(block.data(), i);
            source.put(block.data(), block.size(), i * nth::kBlock);
        }
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { ::munmap(report, sizeof *report); }
    nth::Stage::Files files() const {
        return {source.fd(), source.direct_fd(), scratch.fd(), scratch.direct_fd()};
    }

    test::TempFile source;
    test::TempFile scratch;
    nth::Report* report;
    pid_t child = 0;  // 0: idle
    Case played{};
    std::uint64_t n = 0;
};

std::size_t entries_of(const char* directory) {
    DIR* const dir = ::opendir(directory);
    std::size_t count = 0;
    while (dir != nullptr && ::readdir(dir) != nullptr)
        ++count;
    if (dir != nullptr)
        ::closedir(dir);
    return count;
}

void play(Place& place) {
    const Way& way = *place.played.way;
    nth::Report& report = *place.report;
    report = nth::Report{};
    if (way.of_kernel) {
        if (const int error = nth::kernel_calls::watch()) {
            std::snprintf(report.violation, sizeof report.violation, "cannot watch the calls: %s",
                          std::strerror(error));
            return;
        }
    }
    // Whatever is made once per process is made before.
    nth::Stage stage(place.played.backend, place.played.threading, place.files(), report);
    const std::size_t fds = entries_of("/proc/self/fd");
    const std::uint64_t threads = test::thread_count();
    way.arm(place.n);
    place.played.script->play(stage);
    nth::kernel_calls::disarm();
    nth::memory::disarm();
    report.injected = way.injected();
    if (way.of_kernel && report.injected != 0) {
        char storage[24];
        std::snprintf(report.failed_call, sizeof report.failed_call, "%s",
                      nth::kernel_calls::call_name(nth::kernel_calls::first_call(), storage));
        report.failed_error = nth::kernel_calls::first_error();
    }
    stage.judge(report.injected != 0 ? way.excuses : [](int) { return false; });
    stage.require(entries_of("/proc/self/fd") == fds, "no descriptor is left open");
    stage.require(test::thread_count() == threads, "no thread is left");
    if (report.injected == 0)
        stage.require(report.create_refused == 0 && report.failed == 0 &&
                          (report.refused == 0 || stage.refusals_are_natural()),
                      "without a failure everything succeeds");
}

// What a caller sees of it.
std::string outcome_of(const nth::Report& report) {
    if (report.create_refused != 0)
        return report.accepted == 0 ? "no context" : "one context of several refused";
    if (report.refused != 0)
        return "requests refused: " + std::string(error_code_name(report.refused_code));
    if (report.failed != 0)
        return "requests failed: " + std::string(::strerrorname_np(report.request_error));
    return "nothing to be seen";
}

class Runs {
  public:
    Runs() {
        for (auto& place : places_)
            place = std::make_unique<Place>();
    }

    // Each place plays one case after the other.
    void run(const std::vector<Case>& cases) {
        const char* const asked = std::getenv("IOENGINE_TEST_NTH");
        const bool all = asked != nullptr && std::strcmp(asked, "all") == 0;
        stride_ = all ? 1 : kStride;
        for (std::size_t next = 0, running = 0; next < cases.size() || running != 0;) {
            for (auto& place : places_) {
                if (place->child != 0 || next == cases.size())
                    continue;
                place->played = cases[next];
                place->n = 1 + (all ? 0 : ++next_begin_ % kStride);
                start(*place);
                ++next;
                ++running;
            }
            running -= finish_one() ? 1 : 0;
        }
    }
    std::uint64_t runs() const { return runs_; }
    std::uint64_t touched() const { return touched_; }
    const std::map<std::string, std::uint64_t>& outcomes() const { return outcomes_; }

  private:
    static void start(Place& place) {
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            play(place);
            test::leave_child(0);
        }
        place.child = child;
    }
    // True if nothing has failed in it: its case is done.
    bool finish_one() {
        int status = 0;
        const pid_t child = ::waitpid(-1, &status, 0);
        for (auto& place : places_) {
            if (place->child != child)
                continue;
            judge(*place, status);
            place->child = 0;
            if (place->report->injected == 0)
                return true;
            place->n += stride_;
            start(*place);
            return false;
        }
        FAIL("a child that nobody started");
        return true;
    }
    void judge(const Place& place, int status) {
        const nth::Report& report = *place.report;
        std::string wrong = report.violation;
        if (WIFSIGNALED(status))
            wrong = "ended by " + std::string(::strsignal(WTERMSIG(status)));
        else if (WEXITSTATUS(status) != 0)
            wrong = "ended with " + std::to_string(WEXITSTATUS(status));
        INFO("failed first: " << report.failed_call << ", " << std::strerror(report.failed_error));
        INFO("again: IOENGINE_TEST_NTH_ONLY=\"" << place.played.name() << place.n
                                                << "\" test-nth [only]");
        CHECK(wrong == "");
        ++runs_;
        touched_ += report.injected != 0;
        ++outcomes_[outcome_of(report)];
    }

    std::array<std::unique_ptr<Place>, kAtOnce> places_;
    std::uint64_t stride_ = 1;
    std::uint64_t next_begin_ = 0;
    std::uint64_t runs_ = 0;
    std::uint64_t touched_ = 0;
    std::map<std::string, std::uint64_t> outcomes_;
};

std::vector<Case> cases_of(Backend backend, Threading threading, const Way& way) {
    const char* const wanted = std::getenv("IOENGINE_TEST_NTH_SCRIPT");
    std::vector<Case> cases;
    for (const nth::Script* script = nth::kScripts; script->name != nullptr; ++script)
        if (script->plays_on(threading) &&
            (wanted == nullptr || std::strstr(script->name, wanted) != nullptr))
            cases.push_back({script, backend, threading, &way});
    return cases;
}

void play_one(const std::string& asked) {
    for (const Backend backend : test::kKernelBackends)
        for (const Threading threading : test::kThreadings)
            for (const Way& way : kWays)
                for (const Case& played : cases_of(backend, threading, way)) {
                    const std::string name = played.name();
                    if (asked.compare(0, name.size(), name) != 0)
                        continue;
                    Place place;
                    place.played = played;
                    place.n = std::strtoull(asked.c_str() + name.size(), nullptr, 10);
                    play(place);
                    std::printf("%s\n%s of %llu: %s\n", asked.c_str(), place.report->failed_call,
                                static_cast<unsigned long long>(place.report->injected),
                                outcome_of(*place.report).c_str());
                    REQUIRE(std::string(place.report->violation) == "");
                    return;
                }
    FAIL("IOENGINE_TEST_NTH_ONLY names no run: script|backend|threading|failure|n");
}

void run_all(Backend backend, Threading threading) {
    for (const Way& way : kWays) {
        Runs runs;
        runs.run(cases_of(backend, threading, way));
        std::printf("%s, %s, %s: %llu runs, %llu of them touched\n", backend_name(backend),
                    test::name_of(threading), way.name,
                    static_cast<unsigned long long>(runs.runs()),
                    static_cast<unsigned long long>(runs.touched()));
        for (const auto& [outcome, count] : runs.outcomes())
            std::printf("  %8llu  %s\n", static_cast<unsigned long long>(count), outcome.c_str());
        std::fflush(stdout);
        CHECK(runs.touched() > 0);
    }
}

}  // namespace

TEST_EACH_BACKEND("whatever fails under two threads is refused, or done, once each",
                  "[nth][split]") {
    run_all(backend, Threading::split);
}

TEST_EACH_BACKEND("whatever fails under one thread of the engine's is refused, or done, once each",
                  "[nth][owner]") {
    run_all(backend, Threading::owner);
}

TEST_EACH_BACKEND("whatever fails under a thread of the host's is refused, or done, once each",
                  "[nth][caller]") {
    run_all(backend, Threading::caller);
}

TEST_CASE("the run that IOENGINE_TEST_NTH_ONLY names", "[.][only]") {
    const char* const asked = std::getenv("IOENGINE_TEST_NTH_ONLY");
    if (asked == nullptr)
        SKIP_TEST("IOENGINE_TEST_NTH_ONLY is not set");
    play_one(asked);
}
