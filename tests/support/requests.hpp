// SPDX-License-Identifier: MIT
//
// Small ways to use a context in a test: one request and its result, and holding the engine still.
#ifndef IOENGINE_TESTS_SUPPORT_REQUESTS_HPP
#define IOENGINE_TESTS_SUPPORT_REQUESTS_HPP

#include "tests/support/backends.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_file.hpp"
#include "tests/support/wait.hpp"

#include <ioengine/ioengine.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <fcntl.h>
#include <memory>
#include <utility>
#include <vector>

namespace test {

// A descriptor that is well-formed and never open: beyond what RLIMIT_NOFILE allows by default.
constexpr int kClosedFd = 1 << 24;

// The callback that keeps the result and opens a latch.
struct Keep {
    Latch done{1};
    ioengine::Result result;
    void operator()(ioengine::Result outcome) noexcept {
        result = outcome;
        done.count_down();
    }
};
using KeptEvent = ioengine::IOEvent<Keep>;

// The same with kFlagEarlyResult. Told twice, or the test ends.
struct Leased {
    Latch told{1};
    Latch released{1};
    ioengine::Result result;
    ioengine::Result at_release;
    void operator()(ioengine::IOEvent<Leased>& event) noexcept {
        if (event.notice() == ioengine::Notice::result) {
            result = event.outcome();
            told.count_down();
        } else {
            at_release = event.outcome();
            released.count_down();
        }
    }
};
using LeasedEvent = ioengine::IOEvent<Leased>;

// Submits it, prepared, and waits until it is told, at its deadline. False if it had not reached
// the kernel by then: on a machine that stands still for a while it may be late before that.
inline bool is_told_in_kernel(Context& io, LeasedEvent& event, std::chrono::milliseconds limit) {
    event.flags = ioengine::kFlagEarlyResult;
    event.expire_after(limit);
    REQUIRE(io.submit(event));
    event.callback.told.wait("waiting for an early result");
    REQUIRE(event.callback.result.error() == ETIMEDOUT);
    return io.stats().running == 1;
}

// What became of one request: refused at once, or completed.
struct Verdict {
    ioengine::ErrorCode refusal = ioengine::ErrorCode::none;
    std::int64_t result = 0;
    bool operator==(const Verdict& other) const {
        return refusal == other.refusal && result == other.result;
    }
};

inline std::ostream& operator<<(std::ostream& out, const Verdict& verdict) {
    if (verdict.refusal != ioengine::ErrorCode::none)
        return out << "refused: " << ioengine::error_code_name(verdict.refusal);
    return out << "completed: " << verdict.result;
}

// Submits what `prepare` describes and waits for its end.
template <class Prepare>
Verdict verdict_of(Context& io, Prepare&& prepare) {
    KeptEvent event;
    prepare(static_cast<ioengine::Request&>(event));
    const ioengine::Acceptance acceptance = io.submit(event, event.channel);
    if (!acceptance)
        return {acceptance.code(), 0};
    event.callback.done.wait();
    return {ioengine::ErrorCode::none, event.callback.result.raw()};
}

// The same for a request that must be accepted.
template <class Prepare>
ioengine::Result result_of(Context& io, Prepare&& prepare) {
    const Verdict verdict = verdict_of(io, std::forward<Prepare>(prepare));
    REQUIRE(verdict.refusal == ioengine::ErrorCode::none);
    return ioengine::Result(verdict.result);
}

// Waits until a quiet context has counted its last completion: that happens just after the callback
// has returned.
inline void settle(const Context& io) {
    wait_until([&io] { return io.stats().pending == 0; }, "waiting for a quiet context");
}

// Holds the poller inside a callback, and with it every notice, until it is released. Whatever is
// submitted meanwhile reaches the kernel, up to `depth` requests, and waits for its notice; the
// rest waits in the queues. Works on every backend. Only for contexts whose poller runs the
// callbacks.
class Plug {
  public:
    explicit Plug(Context& io) {
        event_.prepare_nop();
        REQUIRE(io.submit(event_));
        event_.callback.entered.wait("waiting for the poller to enter a callback");
    }
    Plug(const Plug&) = delete;
    Plug& operator=(const Plug&) = delete;
    ~Plug() {
        release();
        event_.callback.left.wait("waiting for the poller to leave a callback");
    }

    void release() {
        if (!std::exchange(released_, true))
            event_.callback.may_leave.count_down();
    }

  private:
    struct Hold {
        Latch entered{1};
        Latch may_leave{1};
        Latch left{1};
        void operator()(ioengine::Result) noexcept {
            entered.count_down();
            may_leave.wait("waiting for a test to release the poller");
            left.count_down();
        }
    };

    ioengine::IOEvent<Hold> event_;
    bool released_ = false;
};

// Requests that occupy every slot of a plugged context: reads of /dev/zero, done by the kernel at
// once, whose notices the plug holds back. Declare it before the context.
class SlotFillers {
  public:
    // Returns once the context has no free slot.
    void fill(Context& io) {
        require_two_threads();
        const std::uint32_t depth = io.stats().depth;
        for (std::uint32_t i = 0; i < depth; ++i) {
            events_.push_back(std::make_unique<KeptEvent>());
            events_.back()->prepare_read(zero_.get(), page_, sizeof(page_), 0);
            REQUIRE(io.submit(*events_.back()));
        }
        wait_until([&io] { return io.stats().free_slots == 0; }, "waiting for all slots busy");
    }
    std::size_t count() const { return events_.size(); }

  private:
    Fd zero_{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    unsigned char page_[512];
    std::vector<std::unique_ptr<KeptEvent>> events_;
};

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_REQUESTS_HPP
