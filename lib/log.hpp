// SPDX-License-Identifier: MIT
//
// Log: one context's messages, to the host's sink or to stderr, never more than a few per second.
#pragma once

#include <ioengine/options.hpp>

#include <atomic>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

class Log {
  public:
    Log() noexcept = default;
    Log(LogLevel level, void (*sink)(void*, LogLevel, const char*), void* sink_user) noexcept
        : sink_(sink), sink_user_(sink_user), level_(level) {}

    bool wants(LogLevel level) const noexcept { return level >= level_ && level != LogLevel::off; }
    // printf-style. Any thread. Drops messages above the rate limit and says later how many.
    [[gnu::format(printf, 3, 4)]] void write(LogLevel level, const char* format, ...) noexcept;

  private:
    static constexpr std::uint32_t kPerSecondMax = 20;

    bool admit(std::uint32_t& dropped_before) noexcept;
    void emit(LogLevel level, const char* message) noexcept;

    // constant after construction
    void (*sink_)(void*, LogLevel, const char*) = nullptr;
    void* sink_user_ = nullptr;
    LogLevel level_ = LogLevel::off;

    // shared; relaxed, since a message too many or too few in a second harms nobody
    std::atomic<std::uint64_t> second_{0};
    std::atomic<std::uint32_t> written_{0};
    std::atomic<std::uint32_t> dropped_{0};
};

// "trace".."off" to a level; false if it is none of them.
bool parse_log_level(const char* text, LogLevel& level) noexcept;

}  // namespace v0
}  // namespace ioengine
