// SPDX-License-Identifier: MIT
//
// Goal: options are accepted within their ranges and refused beyond with a hint; the environment
// adds what it may and nothing else.
// Method: each limit and its neighbours; environments made by hand and by setenv(3).

#include "lib/names.hpp"
#include "lib/settings.hpp"
#include "tests/unit/unit.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using namespace ioengine;

namespace {

bool passes(const Options& options) {
    Error error;
    const bool passed = check_options(options, IOENGINE_VERSION, error);
    REQUIRE((error.code == ErrorCode::none) == passed);
    if (!passed)
        REQUIRE(error.hint[0] != '\0');
    return passed;
}

struct Limits {
    std::uint32_t Options::*option;
    const char* name;
    std::uint32_t min;
    std::uint32_t max;
};
constexpr Limits kLimits[] = {
    {&Options::depth, "depth", 1, 32768},
    {&Options::queue_limit, "queue_limit", 1, 1u << 20},
    {&Options::event_pool, "event_pool", 0, 1u << 22},
    {&Options::read_budget, "read_budget", 1, 1u << 20},
    {&Options::write_budget, "write_budget", 1, 1u << 20},
    {&Options::merge_limit, "merge_limit", 1, 1u << 30},
    {&Options::spin_us, "spin_us", 0, 10'000},
    {&Options::registered_buffers, "registered_buffers", 0, 16384},
    {&Options::registered_files, "registered_files", 0, 32768},
    {&Options::sqpoll_idle_ms, "sqpoll_idle_ms", 1, 60'000},
};

// What a log was told, most recent last.
struct Messages {
    std::vector<std::string> texts;
    static void keep(void* user, LogLevel, const char* message) {
        static_cast<Messages*>(user)->texts.emplace_back(message);
    }
    Log log{LogLevel::warning, keep, this};
};

class EnvironmentVariable {
  public:
    EnvironmentVariable(const char* name, const char* value) : name_(name) {
        REQUIRE(::setenv(name, value, 1) == 0);
    }
    ~EnvironmentVariable() { ::unsetenv(name_); }

  private:
    const char* name_;
};

}  // namespace

TEST_CASE("the default options are right", "[settings]") {
    REQUIRE(passes(Options()));
}

TEST_CASE("defect 9: each number passes at its limits and is refused beyond, never cut",
          "[settings][A4][defect-9]") {
    for (const Limits& limits : kLimits) {
        INFO(limits.name);
        Options options;
        options.*limits.option = limits.min;
        REQUIRE(passes(options));
        options.*limits.option = limits.max;
        REQUIRE(passes(options));
        REQUIRE(options.*limits.option == limits.max);
        for (const std::uint32_t wrong :
             {limits.min - 1, limits.max + 1, UINT32_MAX, 65536u * 2048u}) {
            if (wrong >= limits.min && wrong <= limits.max)
                continue;
            options.*limits.option = wrong;
            Error error;
            REQUIRE_FALSE(check_options(options, IOENGINE_VERSION, error));
            REQUIRE(error.code == ErrorCode::invalid_argument);
            REQUIRE(std::string(error.message).find(limits.name) != std::string::npos);
            REQUIRE(std::string(error.message).find(std::to_string(wrong)) != std::string::npos);
            REQUIRE(std::string(error.hint).find(std::to_string(limits.max)) != std::string::npos);
        }
    }
}

TEST_CASE("headers of another minor version are refused, of another patch are not", "[settings]") {
    Error error;
    REQUIRE(check_options(Options(), IOENGINE_VERSION + 1, error));
    REQUIRE_FALSE(check_options(Options(), IOENGINE_VERSION + 100, error));
    REQUIRE_FALSE(check_options(Options(), IOENGINE_VERSION + 10'000, error));
    Options options;
    options.struct_size -= 8;
    REQUIRE_FALSE(passes(options));
}

TEST_CASE("the environment's lending replaces the default, and nothing else", "[settings]") {
    Options options;
    Environment environment;
    Log log;
    REQUIRE(lending_of(options, environment, {}, log) == Lending::callbacks);
    environment.lending = "callers";
    REQUIRE(lending_of(options, environment, {}, log) == Lending::callers);
    options.lending = Lending::none;
    REQUIRE(lending_of(options, environment, {}, log) == Lending::none);
    options.lending = Lending::callbacks;
    environment.lending = "everything";
    REQUIRE(lending_of(options, environment, {}, log) == Lending::callbacks);
    FeatureSet disabled;
    disabled.add(Feature::caller_lending);
    options.lending = Lending::callers;
    REQUIRE(lending_of(options, environment, disabled, log) == Lending::callbacks);
    disabled.add(Feature::callback_lending);
    REQUIRE(lending_of(options, environment, disabled, log) == Lending::none);
}

TEST_CASE("the environment's ring replaces the default, and needs nothing", "[settings][G7]") {
    Options options;
    Environment environment;
    FeatureSet disabled;
    Messages messages;
    REQUIRE(ring_wish(options, environment, {}, messages.log).mode == RingMode::interrupts);
    REQUIRE_FALSE(ring_wish(options, environment, {}, messages.log).is_needed());
    environment.ring = "sqpoll";
    const RingWish tried = ring_wish(options, environment, {}, messages.log);
    REQUIRE(tried.mode == RingMode::sqpoll);
    REQUIRE(tried.by_environment);
    REQUIRE_FALSE(tried.is_needed());
    REQUIRE(tried.idle_ms == options.sqpoll_idle_ms);
    disabled.add(Feature::sqpoll);
    REQUIRE(ring_wish(options, environment, disabled, messages.log).mode == RingMode::interrupts);
    options.ring = RingMode::sqpoll;
    const RingWish asked = ring_wish(options, environment, disabled, messages.log);
    REQUIRE(asked.mode == RingMode::sqpoll);
    REQUIRE_FALSE(asked.by_environment);
    REQUIRE(asked.is_needed());
    REQUIRE(messages.texts.empty());
    options.ring = RingMode::interrupts;
    environment.ring = "iopoll_sqpoll";  // of which one half is switched off
    REQUIRE(ring_wish(options, environment, disabled, messages.log).mode == RingMode::iopoll);
    const RingWish both = ring_wish(options, environment, {}, messages.log);
    REQUIRE(both.mode == RingMode::iopoll_sqpoll);
    REQUIRE_FALSE(both.is_needed());
    environment.ring = nullptr;
    options.ring = RingMode::iopoll;
    REQUIRE_FALSE(ring_wish(options, environment, {}, messages.log).is_needed());
    options.ring = RingMode::iopoll_sqpoll;
    REQUIRE(ring_wish(options, environment, {}, messages.log).is_needed());
    options.ring = RingMode::interrupts;
    environment.ring = "both";
    REQUIRE(ring_wish(options, environment, {}, messages.log).mode == RingMode::interrupts);
    REQUIRE(messages.texts.size() == 1);
    RingWish attached;
    attached.attach_fd = 3;
    REQUIRE(attached.is_needed());
}

TEST_CASE("a ring mode is for io_uring, and a CPU for a thread of the kernel's", "[settings][G7]") {
    Options options;
    options.ring = RingMode::sqpoll;
    options.sqpoll_cpu = 3;
    for (const Backend backend : {Backend::automatic, Backend::uring}) {
        options.backend = backend;
        REQUIRE(passes(options));
    }
    for (const Backend backend : {Backend::aio, Backend::null}) {
        options.backend = backend;
        REQUIRE_FALSE(passes(options));
    }
    options.backend = Backend::automatic;
    options.sqpoll_cpu = -2;
    REQUIRE_FALSE(passes(options));
    options.sqpoll_cpu = 0;
    options.ring = RingMode::interrupts;
    REQUIRE_FALSE(passes(options));
    options.sqpoll_cpu = -1;
    options.ring = static_cast<RingMode>(4);
    REQUIRE_FALSE(passes(options));
    // Polling is a wish, SQPOLL a need.
    options.ring = RingMode::iopoll;
    for (const Backend backend :
         {Backend::automatic, Backend::uring, Backend::aio, Backend::null}) {
        options.backend = backend;
        REQUIRE(passes(options));
    }
    options.ring = RingMode::iopoll_sqpoll;
    options.backend = Backend::aio;
    REQUIRE_FALSE(passes(options));
    options.backend = Backend::uring;
    options.sqpoll_cpu = 1;
    REQUIRE(passes(options));
    options.ring = RingMode::iopoll;
    REQUIRE_FALSE(passes(options));
}

TEST_CASE("values beyond an enum, two takers of callbacks, a long thread name are refused",
          "[settings]") {
    Options options;
    options.backend = static_cast<Backend>(4);
    REQUIRE_FALSE(passes(options));
    options = Options();
    options.threading = static_cast<Threading>(3);
    REQUIRE_FALSE(passes(options));
    options = Options();
    options.lending = static_cast<Lending>(3);
    REQUIRE_FALSE(passes(options));
    options = Options();
    options.log_level = static_cast<LogLevel>(7);
    REQUIRE_FALSE(passes(options));
    options = Options();
    options.thread_name = "7 bytes";
    REQUIRE(passes(options));
    options.thread_name = "8 bytes!";
    REQUIRE_FALSE(passes(options));

    auto workers = IOWorkers::create(1);
    REQUIRE(workers.has_value());
    options = Options();
    options.workers = &*workers;
    REQUIRE(passes(options));
    options.sink = [](void*, Delivery) {};
    REQUIRE_FALSE(passes(options));
    options.sink = nullptr;
    const IOWorkers taken = std::move(*workers);
    REQUIRE_FALSE(passes(options));
}

TEST_CASE("the context's configuration is what the options say", "[settings]") {
    Options options;
    options.depth = 7;
    options.queue_limit = 8;
    options.read_budget = 9;
    options.write_budget = 10;
    options.priority_burst = 11;
    options.watchdog_ms = 12;
    options.histograms = true;
    options.merge_limit = 13;
    options.spin_us = 14;
    REQUIRE(config_of(options, options.lending, {}).merge_limit == 0);
    options.merge = true;
    const ContextConfig config = config_of(options, options.lending, {});
    REQUIRE(config.depth == 7);
    REQUIRE(config.queue_limit == 8);
    REQUIRE(config.read_budget == 9);
    REQUIRE(config.write_budget == 10);
    REQUIRE(config.priority_burst == 11);
    REQUIRE(config.watchdog_ms == 12);
    REQUIRE(config.histograms);
    REQUIRE(config.merge_limit == 13);
    REQUIRE(config.spin_us == 14);
    REQUIRE(config.caps_reaping);
    REQUIRE(config.sink == nullptr);
    FeatureSet disabled;
    disabled.add(Feature::merging);
    disabled.add(Feature::reap_cap);
    REQUIRE(config_of(options, options.lending, disabled).merge_limit == 0);
    REQUIRE_FALSE(config_of(options, options.lending, disabled).caps_reaping);
    options.thread_name = "abc";
    REQUIRE(std::string(thread_setup_of(options).prefix) == "abc");
    REQUIRE(std::string(thread_setup_of(Options()).prefix) == "ioe");
}

TEST_CASE("the environment is read by name, and statistics only on the word exit", "[settings]") {
    {
        const EnvironmentVariable backend("IOENGINE_BACKEND", "aio");
        const EnvironmentVariable log("IOENGINE_LOG", "info");
        const EnvironmentVariable disable("IOENGINE_DISABLE", "quirks");
        const EnvironmentVariable stats("IOENGINE_STATS", "exit");
        const Environment environment = read_environment();
        REQUIRE(std::string(environment.backend) == "aio");
        REQUIRE(std::string(environment.log) == "info");
        REQUIRE(std::string(environment.disable) == "quirks");
        REQUIRE(environment.stats_at_exit);
    }
    const EnvironmentVariable stats("IOENGINE_STATS", "yes");
    const Environment environment = read_environment();
    REQUIRE(environment.backend == nullptr);
    REQUIRE_FALSE(environment.stats_at_exit);
}

TEST_CASE("IOENGINE_BACKEND replaces automatic only", "[settings][A2]") {
    Messages messages;
    Environment environment;
    environment.backend = "aio";
    BackendWish wish = backend_wish(Options(), environment, messages.log);
    REQUIRE(wish.backend == Backend::aio);
    REQUIRE(wish.by_environment);
    Options options;
    options.backend = Backend::uring;
    wish = backend_wish(options, environment, messages.log);
    REQUIRE(wish.backend == Backend::uring);
    REQUIRE_FALSE(wish.by_environment);
    environment.backend = "auto";
    wish = backend_wish(Options(), environment, messages.log);
    REQUIRE(wish.backend == Backend::automatic);
    REQUIRE_FALSE(wish.by_environment);
    REQUIRE(messages.texts.empty());
}

TEST_CASE("an unknown backend in the environment is ignored, with a message that names it",
          "[settings]") {
    Messages messages;
    Environment environment;
    environment.backend = "kqueue";
    REQUIRE(backend_wish(Options(), environment, messages.log).backend == Backend::automatic);
    REQUIRE(messages.texts.size() == 1);
    REQUIRE(messages.texts[0].find("kqueue") != std::string::npos);
}

TEST_CASE("every backend goes by its own name in the environment", "[settings]") {
    Messages messages;
    for (const Backend backend : {Backend::uring, Backend::aio, Backend::null}) {
        Environment environment;
        environment.backend = backend_name(backend);
        REQUIRE(backend_wish(Options(), environment, messages.log).backend == backend);
    }
    REQUIRE(messages.texts.empty());
}

TEST_CASE("IOENGINE_LOG overrides the level if it is one", "[settings]") {
    Options options;
    options.log_level = LogLevel::error;
    Environment environment;
    REQUIRE(log_level_of(options, environment) == LogLevel::error);
    environment.log = "trace";
    REQUIRE(log_level_of(options, environment) == LogLevel::trace);
    environment.log = "loud";
    REQUIRE(log_level_of(options, environment) == LogLevel::error);
}

TEST_CASE("every feature can be disabled by name, by option and by environment alike",
          "[settings]") {
    Messages messages;
    for (const FeatureName& entry : kFeatureNames) {
        INFO(entry.name);
        Options options;
        options.disable = entry.name;
        REQUIRE(disabled_features(options, {}, messages.log).has(entry.feature));
        Environment environment;
        environment.disable = entry.name;
        const FeatureSet set = disabled_features(Options(), environment, messages.log);
        for (const FeatureName& other : kFeatureNames)
            REQUIRE(set.has(other.feature) == (other.feature == entry.feature));
    }
    REQUIRE(messages.texts.empty());
}

TEST_CASE("a list of features is split at commas; unknown names are named in a message",
          "[settings]") {
    Messages messages;
    FeatureSet set;
    set.add_list(",uring,,quirks,warp_drive,", messages.log);
    REQUIRE(set.has(Feature::uring));
    REQUIRE(set.has(Feature::quirks));
    REQUIRE_FALSE(set.has(Feature::aio));
    REQUIRE(messages.texts.size() == 1);
    REQUIRE(messages.texts[0].find("warp_drive") != std::string::npos);
    set.add_list("aio", messages.log);
    REQUIRE(set.has(Feature::aio));
    REQUIRE(messages.texts.size() == 1);
}

TEST_CASE("ignore_quirks and aio_ring_reap are features by another name", "[settings]") {
    Messages messages;
    Options options;
    REQUIRE_FALSE(disabled_features(options, {}, messages.log).has(Feature::quirks));
    options.ignore_quirks = true;
    options.aio_ring_reap = false;
    const FeatureSet set = disabled_features(options, {}, messages.log);
    REQUIRE(set.has(Feature::quirks));
    REQUIRE(set.has(Feature::aio_ring_reap));
}

TEST_CASE("an error's texts are cut to their room and still end", "[settings]") {
    Error error;
    const std::string text(1000, 'x');
    fill_error(error, ErrorCode::system, 5, text.c_str(), text.c_str());
    REQUIRE(error.sys_errno == 5);
    REQUIRE(std::string(error.message).size() == sizeof(error.message) - 1);
    REQUIRE(std::string(error.hint).size() == sizeof(error.hint) - 1);
}
