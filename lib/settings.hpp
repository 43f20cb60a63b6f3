// SPDX-License-Identifier: MIT
//
// Settings: Options, checked, with what the environment adds.
#pragma once

#include "lib/features.hpp"
#include "lib/log.hpp"
#include "lib/shared_context.hpp"
#include "lib/thread.hpp"

#include <ioengine/error.hpp>
#include <ioengine/options.hpp>

namespace ioengine {
inline namespace v0 {

// The environment's part. Empty in setuid programs: secure_getenv(3).
struct Environment {
    const char* backend = nullptr;    // IOENGINE_BACKEND
    const char* log = nullptr;        // IOENGINE_LOG
    const char* disable = nullptr;    // IOENGINE_DISABLE
    const char* lending = nullptr;    // IOENGINE_LENDING
    const char* threading = nullptr;  // IOENGINE_THREADING
    const char* ring = nullptr;       // IOENGINE_RING
    bool stats_at_exit = false;       // IOENGINE_STATS=exit
};
Environment read_environment() noexcept;

// Fills `error` and returns false if an option is out of its range or contradicts another. `header`
// is IOENGINE_VERSION of the caller's headers.
bool check_options(const Options& options, std::uint32_t header, Error& error) noexcept;

LogLevel log_level_of(const Options& options, const Environment& environment) noexcept;
// What the options ask for, or in place of `callbacks` the environment; less what is disabled.
Lending lending_of(const Options& options, const Environment& environment,
                   const FeatureSet& disabled, Log& log) noexcept;
// What the options ask for, or in place of `split` the environment.
Threading threading_of(const Options& options, const Environment& environment, Log& log) noexcept;
ContextConfig config_of(const Options& options, Lending lending,
                        const FeatureSet& disabled) noexcept;
ThreadSetup thread_setup_of(const Options& options) noexcept;

// Which backend is asked for, and by whom. An unknown name in the environment is logged and
// ignored.
struct BackendWish {
    Backend backend = Backend::automatic;
    bool by_environment = false;
    bool needs_ring = false;  // `automatic` must not go to AIO: Options::ring or ring_of
};
BackendWish backend_wish(const Options& options, const Environment& environment, Log& log) noexcept;

// The two halves of a ring mode.
constexpr bool has_sqpoll(RingMode mode) noexcept {
    return mode == RingMode::sqpoll || mode == RingMode::iopoll_sqpoll;
}
constexpr bool has_iopoll(RingMode mode) noexcept {
    return mode == RingMode::iopoll || mode == RingMode::iopoll_sqpoll;
}

// How io_uring is to serve, and by whom that is asked.
struct RingWish {
    RingMode mode = RingMode::interrupts;
    bool by_environment = false;  // then AIO ignores it
    std::uint32_t idle_ms = 0;
    std::int32_t cpu = -1;
    int attach_fd = -1;  // the other context's ring; -1: none
    RingMode attach_mode = RingMode::interrupts;

    // IOPOLL never is: no file has to be polled.
    bool is_needed() const noexcept {
        return attach_fd >= 0 || (has_sqpoll(mode) && !by_environment);
    }
};
RingWish ring_wish(const Options& options, const Environment& environment,
                   const FeatureSet& disabled, Log& log) noexcept;
FeatureSet disabled_features(const Options& options, const Environment& environment,
                             Log& log) noexcept;

// Copies into an error, cutting what is too long.
void fill_error(Error& error, ErrorCode code, int sys_errno, const char* message,
                const char* hint) noexcept;

}  // namespace v0
}  // namespace ioengine
