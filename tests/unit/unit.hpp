// SPDX-License-Identifier: MIT
//
// What unit tests share: a shared context without an engine around it, and plain requests for it.
#ifndef IOENGINE_TESTS_UNIT_UNIT_HPP
#define IOENGINE_TESTS_UNIT_UNIT_HPP

#include "lib/shared_context.hpp"
#include "tests/support/support.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace test {

// A context that nobody serves: what is pushed stays until the test takes it.
struct QuietContext {
    explicit QuietContext(const ioengine::ContextConfig& config = {}) : context(config, log) {}

    ioengine::Log log;
    ioengine::IoSharedContext context;
};

// Requests at fixed addresses, numbered by their offset.
class Requests {
  public:
    ioengine::Request& make(ioengine::IOAction action, std::uint64_t number) {
        ioengine::Request& request = all_.emplace_back();
        request.complete = [](ioengine::Request*) noexcept {};
        request.action = action;
        request.fd = 0;
        request.offset = number;
        return request;
    }
    ioengine::Request& read(std::uint64_t number) { return make(ioengine::IOAction::read, number); }
    ioengine::Request& write(std::uint64_t number) {
        return make(ioengine::IOAction::write, number);
    }

  private:
    std::deque<ioengine::Request> all_;
};

// One letter per request: P, R or W for the channel it was queued in.
inline std::string channels_of(const std::vector<ioengine::Request*>& requests) {
    std::string letters;
    for (const ioengine::Request* request : requests)
        letters += request->queue == ioengine::Channel::prio   ? 'P'
                   : request->queue == ioengine::Channel::read ? 'R'
                                                               : 'W';
    return letters;
}

}  // namespace test

#endif  // IOENGINE_TESTS_UNIT_UNIT_HPP
