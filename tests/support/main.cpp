// SPDX-License-Identifier: MIT
//
// The main function of every test binary: runs Catch2 and writes down what became of each case.
//
// With IOENGINE_TEST_RESULTS=FILE one line per test case is appended to FILE:
//     pass|fail|skip <TAB> binary <TAB> test name <TAB> reason
// Three things differ from plain Catch2. A skipped case counts as skipped, not as passed. A case
// that checked nothing counts as failed. A binary of which every case was skipped exits with 77,
// which meson shows as SKIP.

#define CATCH_CONFIG_RUNNER
#include "tests/support/catch.hpp"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace {

struct Outcome {
    std::string binary;
    std::string skip_reason;  // of the running case; empty: not skipped
    int cases_skipped = 0;
    int cases_run = 0;
    int cases_without_checks = 0;
};

Outcome& outcome() {
    static Outcome instance;
    return instance;
}

std::string on_one_line(std::string text) {
    for (char& c : text)
        if (c == '\n' || c == '\t' || c == '\r')
            c = ' ';
    return text;
}

// One write(2) in append mode, so that binaries which run at the same time do not mix their lines.
void append_line(const char* status, const std::string& name, const std::string& reason) {
    const char* path = std::getenv("IOENGINE_TEST_RESULTS");
    if (path == nullptr || *path == '\0')
        return;
    const std::string line = std::string(status) + '\t' + outcome().binary + '\t' +
                             on_one_line(name) + '\t' + on_one_line(reason) + '\n';
    const int fd = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const bool written =
        fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    if (fd >= 0)
        ::close(fd);
    if (!written) {
        std::fprintf(stderr, "cannot append to IOENGINE_TEST_RESULTS=%s\n", path);
        std::_Exit(3);
    }
}

#if IOENGINE_CATCH_MAJOR == 3
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

struct ResultsListener : ListenerBase {
    using ListenerBase::ListenerBase;

    void testCaseStarting(Catch::TestCaseInfo const& info) override {
        outcome().skip_reason.clear();
        ListenerBase::testCaseStarting(info);
    }

    void testCaseEnded(Catch::TestCaseStats const& stats) override {
        ListenerBase::testCaseEnded(stats);
#if IOENGINE_CATCH_MAJOR == 3
        const std::string name = stats.testInfo->name;
#else
        const std::string name = stats.testInfo.name;
#endif
        Outcome& now = outcome();
        if (stats.totals.assertions.failed > 0) {
            ++now.cases_run;
            append_line("fail", name, "a check failed; see the log");
        } else if (!now.skip_reason.empty()) {
            ++now.cases_skipped;
            append_line("skip", name, now.skip_reason);
        } else if (stats.totals.assertions.total() == 0) {
            ++now.cases_run;
            ++now.cases_without_checks;
            std::printf("failed: \"%s\" ended without a single check\n", name.c_str());
            append_line("fail", name, "ended without a single check");
        } else {
            ++now.cases_run;
            append_line("pass", name, "");
        }
        now.skip_reason.clear();
    }
};

}  // namespace

CATCH_REGISTER_LISTENER(ResultsListener)

namespace test {

void skip_test(const std::string& reason) {
    Outcome& now = outcome();
    now.skip_reason = reason.empty() ? "no reason given" : reason;
#if IOENGINE_CATCH_MAJOR == 3
    std::printf("skipped: %s\n", now.skip_reason.c_str());
    SKIP(now.skip_reason);
#else
    const std::string name = Catch::getResultCapture().getCurrentTestName();
    std::printf("skipped: \"%s\": %s\n", name.c_str(), now.skip_reason.c_str());
    // Catch2 2 throws this after it has recorded a failed REQUIRE. Thrown without a record it ends
    // the case without a failure, and the listener above writes it down as skipped.
    throw Catch::TestFailureException();
#endif
}

}  // namespace test

int main(int argc, char** argv) {
    const std::string path = argc > 0 ? argv[0] : "unknown";
    outcome().binary = path.substr(path.find_last_of('/') + 1);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what is lost in a crash is what one would need

    const int failed = Catch::Session().run(argc, argv);
    const Outcome& all = outcome();
    if (all.cases_skipped > 0)
        std::printf("%s: %d of %d test cases were skipped\n", all.binary.c_str(), all.cases_skipped,
                    all.cases_skipped + all.cases_run);
    if (failed != 0)
        return failed;
    if (all.cases_without_checks > 0)
        return 1;
    return all.cases_skipped > 0 && all.cases_run == 0 ? 77 : 0;
}
