// SPDX-License-Identifier: MIT
//
// Goal: texts cross the ABI whole, names name every enumerator, and the log keeps to its level, its
// sink and its rate.
// Method: direct calls; the log's second is waited for, not assumed.

#include "lib/log.hpp"
#include "lib/names.hpp"
#include "lib/slot.hpp"
#include "lib/text.hpp"
#include "tests/unit/unit.hpp"

#include <chrono>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace ioengine;

namespace {

struct Entry {
    LogLevel level;
    std::string text;
};
struct Kept {
    std::vector<Entry> entries;
    static void keep(void* user, LogLevel level, const char* message) {
        static_cast<Kept*>(user)->entries.push_back({level, message});
    }
};

}  // namespace

TEST_CASE("a text holds what it was made of, moves, and is never null", "[text]") {
    Text empty;
    REQUIRE(std::string(empty.c_str()).empty());
    REQUIRE(empty.size() == 0);
    Text text = make_text("some words");
    REQUIRE(std::string(text.c_str()) == "some words");
    REQUIRE(text.size() == 10);
    const Text moved = std::move(text);
    REQUIRE(std::string(moved.c_str()) == "some words");
    REQUIRE(text.size() == 0);
    REQUIRE(std::string(text.c_str()).empty());
    REQUIRE(make_text("").size() == 0);
}

TEST_CASE("formatted pieces are appended in order", "[text]") {
    std::string to = "a";
    append_format(to, " %d %s", 7, "b");
    append_format(to, "!");
    REQUIRE(to == "a 7 b!");
}

TEST_CASE("every enumerator has a name of its own, and what is none has a question mark",
          "[names]") {
    std::set<std::string> names;
    for (unsigned i = 0; i <= static_cast<unsigned>(IOAction::nop); ++i)
        names.insert(action_name(static_cast<IOAction>(i)));
    REQUIRE(names.size() == static_cast<std::size_t>(IOAction::nop) + 1);
    REQUIRE(names.count("?") == 0);
    REQUIRE(std::string(action_name(static_cast<IOAction>(200))) == "?");

    names.clear();
    for (unsigned i = 0; i <= static_cast<unsigned>(Channel::write); ++i)
        names.insert(channel_name(static_cast<Channel>(i)));
    REQUIRE(names == std::set<std::string>{"automatic", "prio", "read", "write"});
    REQUIRE(std::string(channel_name(static_cast<Channel>(9))) == "?");

    names.clear();
    for (unsigned i = 0; i <= static_cast<unsigned>(Backend::null); ++i)
        names.insert(backend_name(static_cast<Backend>(i)));
    REQUIRE(names == std::set<std::string>{"auto", "uring", "aio", "null"});
    REQUIRE(std::string(backend_name(static_cast<Backend>(9))) == "?");

    names.clear();
    for (unsigned i = 0; i <= static_cast<unsigned>(ErrorCode::system); ++i)
        names.insert(error_code_name(static_cast<ErrorCode>(i)));
    REQUIRE(names.size() == static_cast<std::size_t>(ErrorCode::system) + 1);
    REQUIRE(std::string(error_code_name(static_cast<ErrorCode>(200))) == "?");

    names.clear();
    for (unsigned i = 0; i <= static_cast<unsigned>(SlotState::continuing); ++i) {
        const char* const name = slot_state_name(static_cast<SlotState>(i));
        REQUIRE(std::strlen(name) < sizeof(InFlight::stage));
        names.insert(name);
    }
    REQUIRE(names.size() == static_cast<std::size_t>(SlotState::continuing) + 1);
}

TEST_CASE("a log passes on what is at its level or above, and nothing when it is off", "[log]") {
    Kept kept;
    Log log(LogLevel::warning, Kept::keep, &kept);
    log.write(LogLevel::info, "too low");
    log.write(LogLevel::warning, "number %d", 7);
    log.write(LogLevel::error, "worse");
    REQUIRE(kept.entries.size() == 2);
    REQUIRE(kept.entries[0].level == LogLevel::warning);
    REQUIRE(kept.entries[0].text == "number 7");
    REQUIRE(kept.entries[1].level == LogLevel::error);

    Kept silent;
    Log off(LogLevel::off, Kept::keep, &silent);
    off.write(LogLevel::error, "nobody hears");
    off.write(LogLevel::off, "nor this");
    REQUIRE(silent.entries.empty());
}

TEST_CASE("a log without a sink or level says nothing and does no harm", "[log]") {
    Log log;
    log.write(LogLevel::error, "nobody hears");
    REQUIRE_FALSE(log.wants(LogLevel::error));
}

TEST_CASE("a log drops what is too much for a second, and says later how much that was", "[log]") {
    Kept kept;
    Log log(LogLevel::info, Kept::keep, &kept);
    constexpr std::size_t kWritten = 5000;
    for (std::size_t i = 0; i < kWritten; ++i)
        log.write(LogLevel::info, "one of many");
    // Five thousand lines may fall into two seconds, but hardly into more.
    REQUIRE(kept.entries.size() >= 20);
    REQUIRE(kept.entries.size() < kWritten / 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    log.write(LogLevel::info, "and one more");
    std::size_t passed = 0;
    std::size_t dropped = 0;
    for (const Entry& entry : kept.entries) {
        unsigned count = 0;
        if (std::sscanf(entry.text.c_str(), "%u messages were dropped", &count) == 1)
            dropped += count;
        else
            ++passed;
    }
    REQUIRE(kept.entries.back().text == "and one more");
    REQUIRE(dropped > 0);
    REQUIRE(passed + dropped == kWritten + 1);
}

TEST_CASE("a message longer than a log takes is cut", "[log]") {
    Kept kept;
    Log log(LogLevel::info, Kept::keep, &kept);
    const std::string text(2000, 'x');
    log.write(LogLevel::info, "%s", text.c_str());
    REQUIRE(kept.entries.size() == 1);
    REQUIRE(kept.entries[0].text.size() == 511);
}

TEST_CASE("log levels go by their names", "[log]") {
    const std::pair<const char*, LogLevel> names[] = {
        {"trace", LogLevel::trace},     {"debug", LogLevel::debug}, {"info", LogLevel::info},
        {"warning", LogLevel::warning}, {"error", LogLevel::error}, {"off", LogLevel::off}};
    for (const auto& [name, level] : names) {
        LogLevel parsed = LogLevel::trace;
        REQUIRE(parse_log_level(name, parsed));
        REQUIRE(parsed == level);
    }
    LogLevel untouched = LogLevel::info;
    REQUIRE_FALSE(parse_log_level("Warning", untouched));
    REQUIRE_FALSE(parse_log_level("", untouched));
    REQUIRE(untouched == LogLevel::info);
}
