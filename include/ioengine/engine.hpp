// SPDX-License-Identifier: MIT
//
// The ABI: every function of the shared library that the header-only part calls. Users call these
// through IOContext; authors of bindings may call them directly.
//
// An Engine is opaque, at a fixed address, and knows no callback type. Unless a comment says
// otherwise a function may be called from any thread, returns without waiting and does not
// allocate.
#ifndef IOENGINE_ENGINE_HPP
#define IOENGINE_ENGINE_HPP

#include <ioengine/error.hpp>
#include <ioengine/export.h>
#include <ioengine/options.hpp>
#include <ioengine/probe.hpp>
#include <ioengine/request.hpp>
#include <ioengine/stats.hpp>
#include <ioengine/text.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

class Engine;

// What a thread inside wait() does beside waiting.
enum class Wait : std::uint8_t {
    alone = 0,  // runs the callbacks of what it waits for, and no others
    help,       // runs every callback whose completion it takes from the kernel
};

// How long a call of engine_run() goes on; see IOContext::run_once().
enum class Run : std::uint8_t {
    now = 0,  // what can be done now
    once,     // waits, if that is nothing
    until,    // for as long as it was told to
};

// What a call of run_once() or run_for() came to.
struct RunReport {
    // none; shutting_down: the context has been shut down and everything is done; wrong_thread;
    // would_deadlock: from a callback; forked; unsupported: another Threading; system: the ring
    // could not be bound to this thread, which is not the driver yet; another one may be.
    ErrorCode code = ErrorCode::none;
    std::uint64_t completed = 0;    // requests that came to their end; what workers have ended
                                    // since the driver's last call of any kind is among them
    std::int64_t again_in_ns = -1;  // call again after so long, whatever completion_fd() says;
                                    // negative: when it says so
};

// A time limit that never comes.
constexpr std::int64_t kForever = -1;

// A limit in nanoseconds: none is below 0, and one of thirty years or more is kForever.
template <class Rep, class Period>
constexpr std::int64_t limit_ns(std::chrono::duration<Rep, Period> limit) noexcept {
    if (!(limit > limit.zero()))
        return 0;
    if (std::chrono::duration<double>(limit).count() >= 1e9)
        return kForever;
    return std::chrono::duration_cast<std::chrono::nanoseconds>(limit).count();
}

namespace abi {

// Probes the kernel, starts the threads. Allocates; takes milliseconds. Null and *error on failure.
IOENGINE_API Engine* engine_create(const Options& options, std::uint32_t header_version,
                                   Error* error) noexcept;
// Shuts down without a deadline (waits; logs the oldest request every few seconds) and frees the
// engine. From one of its own callbacks: aborts with a message. In a forked child: frees nothing.
IOENGINE_API void engine_destroy(Engine* engine) noexcept;

IOENGINE_API Acceptance engine_submit(Engine* engine, Request& request, Channel channel) noexcept;
// Waits for a place in the queue, up to timeout_ns (kForever: without limit). Waits only for other
// requests to leave the queue, never for this one to complete.
IOENGINE_API Acceptance engine_submit_wait(Engine* engine, Request& request, Channel channel,
                                           std::int64_t timeout_ns) noexcept;

// Marks a request as one that will be submitted with others: until then nobody else can submit it,
// or wait for it. Refused: invalid_argument, forked.
IOENGINE_API Acceptance engine_gather(Engine* engine, Request& request, Channel channel) noexcept;
// They are the caller's again.
IOENGINE_API void engine_ungather(Request* const* members, std::size_t count) noexcept;
// Neighbours in a file, gathered or not, to go as one: see EventMergeBuffer. All are taken, or
// none.
IOENGINE_API Acceptance engine_submit_merged(Engine* engine, Request* const* members,
                                             std::size_t count, Channel channel) noexcept;
// The same, for a caller that cannot take them back: waits for room in the queue; what is refused
// for good ends here, on this thread, with ECANCELED, ENOMEM, EINVAL or (from a callback) EAGAIN.
IOENGINE_API void engine_finish_merged(Engine* engine, Request* const* members, std::size_t count,
                                       Channel channel) noexcept;

// A request without a callback: submits it and waits until it is done. Refused in addition to what
// engine_submit() refuses: would_deadlock, from a callback of this context.
IOENGINE_API Acceptance engine_perform(Engine* engine, Request& request, Channel channel) noexcept;
// Waits for a submitted request without a callback. none, timed_out, would_deadlock, forked, or
// invalid_argument: it has a callback, a Group counts it, or an IOMergeSubmitter has it still.
IOENGINE_API ErrorCode engine_wait(Engine* engine, Request& request, std::int64_t timeout_ns,
                                   Wait how) noexcept;

// The heart of a Group.
struct GroupCount {
    Engine* engine = nullptr;
    std::uint32_t word = 0;    // the engine's: requests that are not done, and who waits
    std::uint32_t staged = 0;  // submitted since the last start or wait
};
IOENGINE_API Acceptance group_submit(GroupCount& group, Request& request, Channel channel) noexcept;
IOENGINE_API void group_start(GroupCount& group) noexcept;
// For all of them, or for `one`, which has no callback.
IOENGINE_API ErrorCode group_wait(GroupCount& group, const Request* one, std::int64_t timeout_ns,
                                  Wait how) noexcept;
// Waits, or ends the program where that would never end. In a forked child: returns at once.
IOENGINE_API void group_finish(GroupCount& group) noexcept;
IOENGINE_API bool group_is_done(const GroupCount& group) noexcept;

// Gives up what was accepted before: see IOContext::cancel(). Allocates a few bytes.
IOENGINE_API ErrorCode engine_cancel(Engine* engine, const RequestHandle& handle) noexcept;
IOENGINE_API ErrorCode engine_cancel_file(Engine* engine, int fd) noexcept;
IOENGINE_API ErrorCode engine_cancel_all(Engine* engine) noexcept;

// Waits until all is drained, or deadline_ns from now (kForever: without limit) has passed.
IOENGINE_API ShutdownReport engine_shutdown(Engine* engine, std::int64_t deadline_ns) noexcept;

// Threading::caller: this thread drives the engine. timeout_ns counts with Run::until.
IOENGINE_API RunReport engine_run(Engine* engine, Run how, std::int64_t timeout_ns) noexcept;
// A descriptor that poll(2) finds readable when there is something to do for engine_run(), or
// -errno: see IOContext::completion_fd(). The engine's; lives as long.
IOENGINE_API int engine_completion_fd(Engine* engine) noexcept;

IOENGINE_API Stats engine_stats(const Engine* engine) noexcept;
// Names every request in flight with age and stage. Allocates.
IOENGINE_API Text engine_dump(const Engine* engine) noexcept;
// Lives as long as the engine.
IOENGINE_API const ProbeReport& engine_report(const Engine* engine) noexcept;

// The pool behind the one-call form: fixed-size blocks, aligned to 64 bytes. take() is null when
// the pool is exhausted; give() may be called on any thread.
struct EventPool;
IOENGINE_API EventPool* event_pool_create(Engine* engine, std::size_t block_size,
                                          Error* error) noexcept;
IOENGINE_API void event_pool_destroy(EventPool* pool) noexcept;
IOENGINE_API void* event_pool_take(EventPool* pool) noexcept;
IOENGINE_API void event_pool_give(EventPool* pool, void* block) noexcept;
// Counts one refusal for want of an event in the engine's stats.
IOENGINE_API void event_pool_refused(EventPool* pool) noexcept;

}  // namespace abi

namespace detail {
// Logs and counts an exception that left a callback, for the context whose callback is running.
IOENGINE_API void callback_threw(const char* what) noexcept;
}  // namespace detail

// "0.1.0", of the library that is loaded, not of the headers.
IOENGINE_API const char* version() noexcept;

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_ENGINE_HPP
