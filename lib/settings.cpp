// SPDX-License-Identifier: MIT
//
// Checking options and reading the environment.
#include "lib/settings.hpp"

#include "lib/workers.hpp"

#include <ioengine/merge_buffer.hpp>
#include <ioengine/probe.hpp>
#include <ioengine/workers.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ioengine {
inline namespace v0 {

namespace {

struct Range {
    const char* name;
    std::uint32_t value;
    std::uint32_t min;
    std::uint32_t max;
};

template <class E>
struct Word {
    const char* name;
    E value;
};

constexpr Word<Lending> kLendings[] = {
    {"none", Lending::none}, {"callbacks", Lending::callbacks}, {"callers", Lending::callers}};
constexpr Word<RingMode> kRings[] = {{"interrupts", RingMode::interrupts},
                                     {"sqpoll", RingMode::sqpoll},
                                     {"iopoll", RingMode::iopoll},
                                     {"iopoll_sqpoll", RingMode::iopoll_sqpoll}};

// False, and `value` stays as it is, for none of these words.
template <class E, std::size_t N>
bool parse_word(const Word<E> (&words)[N], const char* word, E& value) noexcept {
    for (const Word<E>& known : words) {
        if (std::strcmp(word, known.name) != 0)
            continue;
        value = known.value;
        return true;
    }
    return false;
}

bool check_ring_options(const Options& options, Error& error) noexcept {
    if (options.sqpoll_cpu < -1) {
        fill_error(error, ErrorCode::invalid_argument, 0, "Options::sqpoll_cpu is negative",
                   "use the number of a CPU, or -1 for any");
        return false;
    }
    if (!has_sqpoll(options.ring) && options.sqpoll_cpu >= 0) {
        fill_error(error, ErrorCode::invalid_argument, 0,
                   "Options::sqpoll_cpu is for RingMode::sqpoll and iopoll_sqpoll",
                   "set Options::ring, or leave it at -1");
        return false;
    }
    const bool is_ring = options.backend != Backend::aio && options.backend != Backend::null;
    if (is_ring || (!has_sqpoll(options.ring) && options.ring_of == nullptr))
        return true;
    fill_error(
        error, ErrorCode::invalid_argument, 0,
        "Options::ring with SQPOLL and ring_of are for io_uring, and another backend is asked "
        "for",
        "use Backend::uring or Backend::automatic, or leave both as they are");
    return false;
}

bool in_range(const Range& range, Error& error) noexcept {
    if (range.value >= range.min && range.value <= range.max)
        return true;
    fill_error(error, ErrorCode::invalid_argument, 0, "", "");
    std::snprintf(error.message, sizeof error.message, "Options::%s is %u", range.name,
                  range.value);
    std::snprintf(error.hint, sizeof error.hint, "use %u to %u", range.min, range.max);
    return false;
}

}  // namespace

void fill_error(Error& error, ErrorCode code, int sys_errno, const char* message,
                const char* hint) noexcept {
    error.code = code;
    error.sys_errno = sys_errno;
    std::snprintf(error.message, sizeof error.message, "%s", message);
    std::snprintf(error.hint, sizeof error.hint, "%s", hint);
}

Environment read_environment() noexcept {
    Environment environment;
    environment.backend = ::secure_getenv("IOENGINE_BACKEND");
    environment.log = ::secure_getenv("IOENGINE_LOG");
    environment.disable = ::secure_getenv("IOENGINE_DISABLE");
    environment.lending = ::secure_getenv("IOENGINE_LENDING");
    environment.threading = ::secure_getenv("IOENGINE_THREADING");
    environment.ring = ::secure_getenv("IOENGINE_RING");
    const char* stats = ::secure_getenv("IOENGINE_STATS");
    environment.stats_at_exit = stats != nullptr && std::strcmp(stats, "exit") == 0;
    return environment;
}

bool check_options(const Options& options, std::uint32_t header, Error& error) noexcept {
    // Before 1.0 a minor version may change any layout.
    if (header / 100 != IOENGINE_VERSION / 100 || options.struct_size != sizeof(Options)) {
        fill_error(error, ErrorCode::invalid_argument, 0,
                   "this program was built with the headers of another version of ioengine",
                   "rebuild it with the headers of the installed library");
        return false;
    }
    const Range ranges[] = {
        {"depth", options.depth, 1, 32768},
        {"queue_limit", options.queue_limit, 1, 1u << 20},
        {"event_pool", options.event_pool, 0, 1u << 22},
        {"read_budget", options.read_budget, 1, 1u << 20},
        {"write_budget", options.write_budget, 1, 1u << 20},
        {"merge_limit", options.merge_limit, 1, kMergeBytesMax},
        {"spin_us", options.spin_us, 0, 10'000},
        {"registered_buffers", options.registered_buffers, 0, kBufferPlacesMax},
        {"registered_files", options.registered_files, 0, kFilePlacesMax},
        {"sqpoll_idle_ms", options.sqpoll_idle_ms, 1, 60'000},
    };
    for (const Range& range : ranges)
        if (!in_range(range, error))
            return false;
    if (options.backend > Backend::null || options.threading > Threading::caller ||
        options.lending > Lending::callers || options.ring > RingMode::iopoll_sqpoll ||
        options.log_level > LogLevel::off) {
        fill_error(
            error, ErrorCode::invalid_argument, 0,
            "Options::backend, threading, lending, ring or log_level is no value of its enum",
            "use the enumerators of ioengine/options.hpp");
        return false;
    }
    if (options.threading != Threading::split && options.lending != Lending::callbacks) {
        fill_error(error, ErrorCode::invalid_argument, 0,
                   "Options::lending is for Threading::split",
                   "leave it at Lending::callbacks: one thread holds both roles");
        return false;
    }
    if (!check_ring_options(options, error))
        return false;
    if (options.workers != nullptr && options.sink != nullptr) {
        fill_error(error, ErrorCode::invalid_argument, 0,
                   "Options::workers and Options::sink are both set",
                   "callbacks can go to one of the two only");
        return false;
    }
    if (options.workers != nullptr && options.workers->handle() == nullptr) {
        fill_error(error, ErrorCode::invalid_argument, 0,
                   "Options::workers is a pool that was moved from",
                   "pass the pool that it was moved to");
        return false;
    }
    if (options.thread_name != nullptr && std::strlen(options.thread_name) > 7) {
        fill_error(error, ErrorCode::invalid_argument, 0,
                   "Options::thread_name is longer than 7 characters", "use a shorter one");
        return false;
    }
    return true;
}

LogLevel log_level_of(const Options& options, const Environment& environment) noexcept {
    LogLevel level = options.log_level;
    if (environment.log != nullptr)
        parse_log_level(environment.log, level);
    return level;
}

Lending lending_of(const Options& options, const Environment& environment,
                   const FeatureSet& disabled, Log& log) noexcept {
    Lending lending = options.lending;
    const bool asks = environment.lending != nullptr && lending == Lending::callbacks;
    if (asks && !parse_word(kLendings, environment.lending, lending))
        log.write(LogLevel::warning,
                  "IOENGINE_LENDING=%s is ignored: use none, callbacks or callers",
                  environment.lending);
    if (disabled.has(Feature::callback_lending))
        return Lending::none;
    if (lending == Lending::callers && disabled.has(Feature::caller_lending))
        return Lending::callbacks;
    return lending;
}

Threading threading_of(const Options& options, const Environment& environment, Log& log) noexcept {
    if (options.threading != Threading::split || environment.threading == nullptr)
        return options.threading;
    const bool is_known = std::strcmp(environment.threading, "split") == 0;
    // Nobody would drive `caller`.
    if (std::strcmp(environment.threading, "owner") == 0 && options.lending == Lending::callbacks)
        return Threading::owner;
    if (!is_known)
        log.write(LogLevel::warning,
                  "IOENGINE_THREADING=%s is ignored: use split, or owner with the default lending",
                  environment.threading);
    return Threading::split;
}

ContextConfig config_of(const Options& options, Lending lending,
                        const FeatureSet& disabled) noexcept {
    ContextConfig config;
    config.depth = options.depth;
    config.queue_limit = options.queue_limit;
    config.read_budget = options.read_budget;
    config.write_budget = options.write_budget;
    config.priority_burst = options.priority_burst;
    config.watchdog_ms = options.watchdog_ms;
    config.histograms = options.histograms;
    config.registered_buffers = options.registered_buffers;
    config.registered_files = options.registered_files;
    config.lends = lending != Lending::none;
    config.callers_lend = lending == Lending::callers;
    config.caps_reaping = !disabled.has(Feature::reap_cap);
    config.spin_us = options.spin_us;
    if (options.merge && !disabled.has(Feature::merging))
        config.merge_limit = options.merge_limit;
    config.sink = options.sink;
    config.sink_user = options.sink_user;
    if (options.workers != nullptr) {
        config.sink = abi::WorkerPool::take;
        config.sink_user = options.workers->handle();
    }
    return config;
}

ThreadSetup thread_setup_of(const Options& options) noexcept {
    ThreadSetup setup;
    setup.on_start = options.on_thread_start;
    setup.user = options.thread_user;
    if (options.thread_name != nullptr)
        std::snprintf(setup.prefix, sizeof setup.prefix, "%s", options.thread_name);
    return setup;
}

BackendWish backend_wish(const Options& options, const Environment& environment,
                         Log& log) noexcept {
    BackendWish wish{options.backend, false};
    if (options.backend != Backend::automatic || environment.backend == nullptr)
        return wish;
    for (const Backend backend :
         {Backend::automatic, Backend::uring, Backend::aio, Backend::null}) {
        if (std::strcmp(environment.backend, backend_name(backend)) == 0)
            return {backend, backend != Backend::automatic};
    }
    log.write(LogLevel::warning, "IOENGINE_BACKEND=%s is ignored: use auto, uring, aio or null",
              environment.backend);
    return wish;
}

RingWish ring_wish(const Options& options, const Environment& environment,
                   const FeatureSet& disabled, Log& log) noexcept {
    RingWish wish;
    wish.mode = options.ring;
    wish.idle_ms = options.sqpoll_idle_ms;
    wish.cpu = options.sqpoll_cpu;
    if (options.ring != RingMode::interrupts || environment.ring == nullptr)
        return wish;
    if (!parse_word(kRings, environment.ring, wish.mode))
        log.write(LogLevel::warning,
                  "IOENGINE_RING=%s is ignored: use interrupts, sqpoll, iopoll or iopoll_sqpoll",
                  environment.ring);
    // What is switched off is left out, where that would be an error: see RingWish::is_needed().
    if (has_sqpoll(wish.mode) && disabled.has(Feature::sqpoll))
        wish.mode = has_iopoll(wish.mode) ? RingMode::iopoll : RingMode::interrupts;
    wish.by_environment = wish.mode != RingMode::interrupts;
    return wish;
}

void FeatureSet::add_list(std::string_view list, Log& log) noexcept {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        const std::string_view name = list.substr(0, comma);
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
        if (name.empty())
            continue;
        bool known = false;
        for (const FeatureName& entry : kFeatureNames) {
            if (name == entry.name) {
                add(entry.feature);
                known = true;
            }
        }
        if (!known)
            log.write(LogLevel::warning, "there is no feature \"%.*s\" to disable",
                      static_cast<int>(name.size()), name.data());
    }
}

FeatureSet disabled_features(const Options& options, const Environment& environment,
                             Log& log) noexcept {
    FeatureSet disabled;
    if (options.disable != nullptr)
        disabled.add_list(options.disable, log);
    if (environment.disable != nullptr)
        disabled.add_list(environment.disable, log);
    if (options.ignore_quirks)
        disabled.add(Feature::quirks);
    if (!options.aio_ring_reap)
        disabled.add(Feature::aio_ring_reap);
    return disabled;
}

}  // namespace v0
}  // namespace ioengine
