// SPDX-License-Identifier: MIT
//
// Where messages go. The only source that knows spdlog: it costs seconds to compile, and its
// default logger belongs to the host program, so a private one is used.
#include "lib/log.hpp"

#include "lib/clock.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>

namespace ioengine {
inline namespace v0 {

namespace {

// Made at the first message that goes to stderr; null if that failed for want of memory. Never
// destroyed: a context in static storage may log after our statics are gone.
spdlog::logger* stderr_logger() noexcept {
    static spdlog::logger* const logger = []() -> spdlog::logger* {
        try {
            auto made = std::make_unique<spdlog::logger>(
                "ioengine", std::make_shared<spdlog::sinks::stderr_sink_mt>());
            made->set_pattern("%n: %l: %v");
            made->set_level(spdlog::level::trace);
            return made.release();
        } catch (...) {
            return nullptr;
        }
    }();
    return logger;
}

}  // namespace

bool Log::admit(std::uint32_t& dropped_before) noexcept {
    dropped_before = 0;
    const std::uint64_t now = coarse_now_ns() / 1'000'000'000u;
    std::uint64_t second = second_.load(std::memory_order_relaxed);
    if (second != now && second_.compare_exchange_strong(second, now, std::memory_order_relaxed)) {
        written_.store(0, std::memory_order_relaxed);
        dropped_before = dropped_.exchange(0, std::memory_order_relaxed);
    }
    if (written_.fetch_add(1, std::memory_order_relaxed) < kPerSecondMax)
        return true;
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return false;
}

void Log::emit(LogLevel level, const char* message) noexcept {
    if (sink_ != nullptr) {
        sink_(sink_user_, level, message);
        return;
    }
    if (spdlog::logger* logger = stderr_logger())
        logger->log(static_cast<spdlog::level::level_enum>(level),
                    spdlog::string_view_t(message, std::strlen(message)));
}

void Log::write(LogLevel level, const char* format, ...) noexcept {
    if (!wants(level))
        return;
    std::uint32_t dropped_before = 0;
    if (!admit(dropped_before))
        return;
    char message[512];
    if (dropped_before != 0) {
        std::snprintf(message, sizeof message, "%u messages were dropped by the rate limit",
                      dropped_before);
        emit(LogLevel::warning, message);
    }
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    emit(level, message);
}

static_assert(static_cast<int>(LogLevel::trace) == SPDLOG_LEVEL_TRACE &&
                  static_cast<int>(LogLevel::warning) == SPDLOG_LEVEL_WARN &&
                  static_cast<int>(LogLevel::error) == SPDLOG_LEVEL_ERROR,
              "our levels are numbered as spdlog's");

bool parse_log_level(const char* text, LogLevel& level) noexcept {
    static constexpr const char* kNames[] = {"trace", "debug", "info", "warning", "error", "off"};
    static constexpr LogLevel kLevels[] = {LogLevel::trace,   LogLevel::debug, LogLevel::info,
                                           LogLevel::warning, LogLevel::error, LogLevel::off};
    for (std::size_t i = 0; i < std::size(kNames); ++i) {
        if (std::strcmp(text, kNames[i]) == 0) {
            level = kLevels[i];
            return true;
        }
    }
    return false;
}

}  // namespace v0
}  // namespace ioengine
