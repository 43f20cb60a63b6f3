// SPDX-License-Identifier: MIT
//
// Goal: what a context says about itself is true: stats, dump, watchdog, log, histograms, report.
// Method: bring a context into a known state, with a plug or an unanswered pipe, and compare.

#include "tests/support/support.hpp"

#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;

namespace {

struct LogKeeper {
    struct Line {
        LogLevel level;
        std::string text;
    };
    static void take(void* self, LogLevel level, const char* text) {
        auto* keeper = static_cast<LogKeeper*>(self);
        const std::lock_guard<std::mutex> lock(keeper->mutex);
        keeper->lines.push_back({level, text});
    }
    std::size_t count(const std::string& part) {
        const std::lock_guard<std::mutex> lock(mutex);
        std::size_t found = 0;
        for (const Line& line : lines)
            found += line.text.find(part) != std::string::npos;
        return found;
    }
    std::mutex mutex;
    std::vector<Line> lines;
};

bool contains(const Text& text, const std::string& part) {
    return std::string(text.c_str()).find(part) != std::string::npos;
}

}  // namespace

TEST_EACH_BACKEND("the counters add up to what was done", "[visibility][stats][H16]") {
    test::TempFile file(1 << 20);
    char buffer[1000] = {};
    auto io = test::make_context(backend);
    for (std::uint64_t i = 0; i < 10; ++i) {
        REQUIRE(test::result_of(io, [&](Request& r) {
                    r.prepare_write(file.fd(), buffer, 1000, i * 1000);
                }).ok());
        REQUIRE(test::result_of(io, [&](Request& r) {
                    r.prepare_read(file.fd(), buffer, 500, i * 1000);
                }).ok());
        REQUIRE_FALSE(test::result_of(io, [&](Request& r) {
                          r.prepare_read(test::kClosedFd, buffer, 500, 0);
                      }).ok());
    }
    test::settle(io);
    const Stats stats = io.stats();
    REQUIRE(stats.struct_size == sizeof(Stats));
    REQUIRE(stats.accepted == 30);
    REQUIRE(stats.completed == 30);
    REQUIRE(stats.failed == 10);
    REQUIRE(stats.bytes_written == 10000);
    REQUIRE(stats.bytes_read == 5000);
    REQUIRE(stats.refused_full == 0);
    REQUIRE(stats.refused_other == 0);
    REQUIRE(stats.reaped >= 20);
    REQUIRE(stats.submit_calls >= 1);
    REQUIRE(stats.stale_completions == 0);
    REQUIRE(stats.callbacks_threw == 0);
    REQUIRE(io.nop([](Result) {}));
    REQUIRE(io.shutdown().clean);
    REQUIRE(io.stats().completed == 31);
}

TEST_EVERY_BACKEND("dump names the requests in flight and the queues", "[visibility][dump]") {
    test::SlotFillers fillers;
    test::KeptEvent waiting;
    test::TempFile file(64);
    char byte;
    waiting.prepare_write(file.fd(), &byte, 1, 12345);
    auto io = test::make_context(backend, 2);
    REQUIRE(std::string(io.dump().c_str()).find(backend_name(backend)) != std::string::npos);
    test::Plug plug(io);
    fillers.fill(io);
    REQUIRE(io.submit(waiting));
    const Text text = io.dump();
    INFO(text.c_str());
    REQUIRE(text.size() == std::strlen(text.c_str()));
    REQUIRE(contains(text, "read"));
    REQUIRE(contains(text, "512"));  // the length of the fillers
}

TEST_EACH_BACKEND("dump names file, offset and length of a stuck read", "[visibility][dump]") {
    test::Pipe pipe;
    char in[777];
    test::KeptEvent event;
    event.prepare_read(pipe.read_end(), in, sizeof(in), 4242);
    auto io = test::make_context(backend);
    test::PipeEnder ender(pipe);
    REQUIRE(io.submit(event));
    test::wait_until([&] { return io.stats().running == 1; }, "waiting for the read to start");
    const Text text = io.dump();
    INFO(text.c_str());
    REQUIRE(contains(text, "read"));
    REQUIRE(contains(text, std::to_string(pipe.read_end())));
    REQUIRE(contains(text, "4242"));
    REQUIRE(contains(text, "777"));
}

TEST_EVERY_BACKEND("the watchdog logs each overdue request once", "[visibility][watchdog]") {
    LogKeeper log;
    Options options;
    options.depth = 3;
    options.watchdog_ms = 20;
    options.log = &LogKeeper::take;
    options.log_user = &log;
    test::SlotFillers fillers;
    auto io = test::make_context(backend, options);
    test::Plug plug(io);
    fillers.fill(io);
    test::wait_until([&] { return io.stats().watchdog_reports == 3; }, "waiting for the watchdog");
    std::this_thread::sleep_for(200ms);
    REQUIRE(io.stats().watchdog_reports == 3);
    REQUIRE(log.count("overdue") == 3);
    REQUIRE(log.count("read") == 3);
}

TEST_CASE("the watchdog sees what a callback submitted after a long time / uring",
          "[visibility][watchdog][lending]") {
    if (!test::probe_of(Backend::uring).available)
        SKIP_TEST("io_uring is not available here");
    test::TempFile file(4096);
    test::Pipe pipe;
    Options options;
    options.backend = Backend::uring;
    options.watchdog_ms = 20;
    auto io = test::make_context(Backend::uring, options);
    test::PipeEnder ender(pipe);
    char page[8] = {};
    char in[8] = {};
    test::Latch done(1);
    const auto finish = [&done](Result) { done.count_down(); };
    // While the callback sleeps no slot is in use, and the submitter has nothing to watch.
    REQUIRE(io.read(file.fd(), page, 0, [&](Result) {
        std::this_thread::sleep_for(100ms);
        if (!io.read(pipe.read_end(), in, 0, finish))
            done.count_down();
    }));
    test::wait_until([&] { return io.stats().watchdog_reports == 1; }, "waiting for the watchdog");
    pipe.feed("late", 4);
    done.wait();
    REQUIRE(io.shutdown().clean);
}

TEST_EVERY_BACKEND("the watchdog is silent when nothing is overdue", "[visibility][watchdog]") {
    Options options;
    options.watchdog_ms = 60000;
    auto io = test::make_context(backend, options);
    for (int i = 0; i < 100; ++i)
        REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    REQUIRE(io.stats().watchdog_reports == 0);
}

TEST_EVERY_BACKEND("the log sink gets what its level asks for", "[visibility][log]") {
    LogKeeper loud;
    Options options;
    options.log = &LogKeeper::take;
    options.log_user = &loud;
    options.log_level = LogLevel::trace;
    {
        auto io = test::make_context(backend, options);
        REQUIRE(io.nop([](Result) { throw 1; }));
        REQUIRE(io.shutdown().clean);
    }
    REQUIRE(loud.lines.size() > 0);
    LogKeeper silent;
    options.log_user = &silent;
    options.log_level = LogLevel::off;
    {
        auto io = test::make_context(backend, options);
        REQUIRE(io.nop([](Result) { throw 1; }));
        REQUIRE(io.shutdown().clean);
    }
    REQUIRE(silent.lines.empty());
}

TEST_EVERY_BACKEND("histograms count every request, in order", "[visibility][histograms]") {
    Options options;
    options.histograms = true;
    auto io = test::make_context(backend, options);
    for (int i = 0; i < 500; ++i)
        REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    test::settle(io);
    const LatencySummary latency = io.stats().latency;
    REQUIRE(latency.samples == 500);
    REQUIRE(latency.p50_ns > 0);
    REQUIRE(latency.p50_ns <= latency.p90_ns);
    REQUIRE(latency.p90_ns <= latency.p99_ns);
    REQUIRE(latency.p99_ns <= latency.p999_ns);
    REQUIRE(latency.p999_ns <= latency.p9999_ns);
    REQUIRE(latency.max_ns > 0);

    auto plain = test::make_context(backend);
    REQUIRE(test::result_of(plain, [](Request& r) { r.prepare_nop(); }).ok());
    REQUIRE(plain.stats().latency.samples == 0);
}

TEST_EVERY_BACKEND("a slow callback shows in the stats", "[visibility][stats]") {
    auto io = test::make_context(backend);
    REQUIRE(io.nop([](Result) { std::this_thread::sleep_for(60ms); }));
    REQUIRE(io.shutdown().clean);
    const Stats stats = io.stats();
    REQUIRE(stats.slow_deliveries >= 1);
    REQUIRE(stats.longest_delivery_ns >= 30'000'000);  // a coarse clock
}

TEST_EVERY_BACKEND("the report says what was asked for, what is in force and why",
                   "[visibility][report][H15]") {
    auto io = test::make_context(backend);
    const ProbeReport& report = io.report();
    REQUIRE(report.struct_size == sizeof(ProbeReport));
    REQUIRE(report.asked == backend);
    REQUIRE_FALSE(report.asked_by_environment);
    REQUIRE(report.backend == backend);
    REQUIRE(std::strlen(report.reason) > 0);
    REQUIRE(std::strlen(report.kernel) > 0);
    REQUIRE(report.feature_count <= ProbeReport::kFeaturesMax);
    for (std::uint32_t i = 0; i < report.feature_count; ++i) {
        const FeatureProbe& feature = report.features[i];
        INFO(feature.name);
        REQUIRE(std::strlen(feature.name) > 0);
        REQUIRE((feature.available || !feature.in_force));
    }
}

TEST_CASE("the probe report can be read by people and by programs", "[visibility][report]") {
    const ProbeReport& report = test::probe_report();
    const Text text = to_text(report);
    REQUIRE(contains(text, "io_uring"));
    const Text json = to_json(report);
    INFO(json.c_str());
    for (const char* key : {"\"backend\"", "\"reason\"", "\"backends\"", "\"uring\"", "\"aio\"",
                            "\"available\"", "\"errno\"", "\"hint\"", "\"features\"", "\"quirks\""})
        REQUIRE(contains(json, key));
}
