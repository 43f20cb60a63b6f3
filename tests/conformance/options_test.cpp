// SPDX-License-Identifier: MIT
//
// Goal: every option is checked, never silently changed, and what is refused says what to do.
// Method: one wrong value at a time in otherwise good options, on each backend; then the borders.

#include "tests/support/support.hpp"

#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

using namespace ioengine;

namespace {

struct Wrong {
    std::string name;
    std::function<void(Options&)> spoil;
};

void require_refusal(const Options& options) {
    const auto made = test::Context::create(options);
    REQUIRE_FALSE(made);
    REQUIRE(made.error().code == ErrorCode::invalid_argument);
    REQUIRE(std::strlen(made.error().message) > 0);
    REQUIRE(std::strlen(made.error().hint) > 0);
}

}  // namespace

TEST_EVERY_BACKEND("an option out of range is refused with a hint", "[options][A4]") {
    auto workers = IOWorkers::create(1);
    REQUIRE(workers);
    const std::vector<Wrong> wrongs = {
        {"depth 0", [](Options& o) { o.depth = 0; }},
        {"depth 32769", [](Options& o) { o.depth = 32769; }},
        {"depth that is 1 in 16 bits", [](Options& o) { o.depth = 65537; }},
        {"depth of all bits", [](Options& o) { o.depth = ~0u; }},
        {"queue_limit 0", [](Options& o) { o.queue_limit = 0; }},
        {"queue_limit 1048577", [](Options& o) { o.queue_limit = 1048577; }},
        {"read_budget 0", [](Options& o) { o.read_budget = 0; }},
        {"write_budget 0", [](Options& o) { o.write_budget = 0; }},
        {"unknown backend", [](Options& o) { o.backend = static_cast<Backend>(99); }},
        {"unknown threading", [](Options& o) { o.threading = static_cast<Threading>(9); }},
        {"unknown lending", [](Options& o) { o.lending = static_cast<Lending>(9); }},
        {"thread name of 9 letters", [](Options& o) { o.thread_name = "ninechars"; }},
        {"struct_size 0", [](Options& o) { o.struct_size = 0; }},
        {"struct_size of another version", [](Options& o) { o.struct_size -= 8; }},
        {"event_pool beyond its limit", [](Options& o) { o.event_pool = ~0u; }},
        {"unknown log level", [](Options& o) { o.log_level = static_cast<LogLevel>(77); }},
        {"workers and sink",
         [&](Options& o) {
             o.workers = &*workers;
             o.sink = [](void*, Delivery delivery) { delivery.run(); };
         }},
    };
    for (const Wrong& wrong : wrongs) {
        INFO(wrong.name);
        Options options;
        options.backend = backend;
        wrong.spoil(options);
        require_refusal(options);
    }
}

TEST_EVERY_BACKEND("the smallest context works", "[options][A4]") {
    Options options;
    options.depth = 1;
    options.queue_limit = 1;
    options.event_pool = 1;
    options.read_budget = 1;
    options.write_budget = 1;
    auto io = test::make_context(backend, options);
    REQUIRE(io.stats().depth == 1);
    for (int i = 0; i < 50; ++i) {
        test::Latch done(1);
        test::wait_until([&] { return bool(io.nop([&](Result) { done.count_down(); })); },
                         "waiting for the only event");
        done.wait();
    }
    REQUIRE(io.shutdown().completed == 50);
}

TEST_EVERY_BACKEND("the largest depth is granted in full or refused with a hint",
                   "[options][A4][defect-9]") {
    Options options;
    options.backend = backend;
    options.depth = 32768;
    auto made = test::Context::create(options);
    if (!made) {
        INFO(made.error().message << "; " << made.error().hint);
        REQUIRE(made.error().code != ErrorCode::invalid_argument);
        REQUIRE(made.error().sys_errno != 0);
        REQUIRE(std::strlen(made.error().hint) > 0);
        SKIP_TEST(std::string("this machine does not allow it: ") + made.error().message);
    }
    REQUIRE(made->stats().depth == 32768);
    REQUIRE(made->stats().free_slots == 32768);
    REQUIRE(test::result_of(*made, [](Request& r) { r.prepare_nop(); }).raw() == 0);
}

TEST_EVERY_BACKEND("odd depths are kept exactly", "[options][A4][A7]") {
    for (const std::uint32_t depth : {3u, 5u, 100u, 1023u}) {
        auto io = test::make_context(backend, depth);
        REQUIRE(io.stats().depth == depth);
        REQUIRE(io.stats().free_slots == depth);
    }
}

TEST_EVERY_BACKEND("the pool of one-call events has the size that was asked for", "[options]") {
    Options options;
    options.event_pool = 7;
    test::Latch done(7);
    auto io = test::make_context(backend, options);
    {
        test::Plug plug(io);
        for (int i = 0; i < 7; ++i)
            REQUIRE(io.nop([&](Result) { done.count_down(); }));
        const Acceptance eighth = io.nop([](Result) {});
        REQUIRE(eighth.code() == ErrorCode::queue_full);
        REQUIRE(std::string(eighth.detail()).find("event_pool") != std::string::npos);
        REQUIRE(io.stats().refused_full == 1);
    }
    done.wait();
    REQUIRE(io.shutdown().clean);
}

TEST_CASE("a header of another version is refused", "[options][A1]") {
    Options options;
    options.backend = Backend::null;
    Error error;
    for (const std::uint32_t version : {0u, IOENGINE_VERSION + 10000u, IOENGINE_VERSION + 100u}) {
        Engine* engine = abi::engine_create(options, version, &error);
        REQUIRE(engine == nullptr);
        REQUIRE(error.code == ErrorCode::invalid_argument);
        REQUIRE(std::strlen(error.hint) > 0);
    }
}
