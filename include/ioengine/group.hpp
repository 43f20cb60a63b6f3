// SPDX-License-Identifier: MIT
//
// Group: many requests at once, then wait for all of them.
//
//     ioengine::Group group(io);
//     for (auto& page : pages)
//         if (!group.read(fd, page.bytes, page.offset)) ...
//     group.wait();
//     if (!group.outcome().ok()) ...
//
// The thread that waits hands its requests to the kernel and takes their results from it by itself:
// no other thread has to wake up (Lending::callbacks; with Lending::none the engine's threads do
// it). So nothing may begin before wait() or start().
//
// For one thread at a time. Its requests' callbacks may add more to it, on whatever thread they
// run; two callbacks of one context may run at the same time: on a thread that waits, and on the
// poller or among workers.
#ifndef IOENGINE_GROUP_HPP
#define IOENGINE_GROUP_HPP

#include <ioengine/context.hpp>
#include <ioengine/engine.hpp>
#include <ioengine/request.hpp>

#include <chrono>
#include <cstdint>
#include <new>

namespace ioengine {
inline namespace v0 {

class Group {
  public:
    // The context must outlive the group.
    template <class C>
    explicit Group(IOContext<C>& io) noexcept : pool_(io.event_pool()) {
        count_.engine = io.engine();
    }
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;
    // Waits. Inside a callback of the context, with requests not done: ends the program.
    ~Group() {
        if (!abi::group_is_done(count_))
            abi::group_finish(count_);
        forget();
    }

    // -- requests ----------------------------------------------------------------------------

    // A request of the caller's. Its callback, if it has one, runs before wait() returns: on the
    // waiting thread, or on the poller's (with Options::workers or sink: there).
    // Refused: as IOContext::submit().
    Acceptance submit(Request& request, Channel channel = Channel::automatic) noexcept {
        return abi::group_submit(count_, request, channel);
    }

    // Requests from the context's pool, without a callback. Buffers are borrowed until wait() has
    // returned. `result`, if given, is set by then. An exhausted pool is queue_full.
    Acceptance read(int fd, Bytes buffer, std::uint64_t offset, Result* result = nullptr) noexcept {
        return pooled(result, [&](Request& request) {
            request.prepare_read(fd, buffer.data(), buffer.size(), offset);
        });
    }
    Acceptance write(int fd, ConstBytes buffer, std::uint64_t offset,
                     Result* result = nullptr) noexcept {
        return pooled(result, [&](Request& request) {
            request.prepare_write(fd, buffer.data(), buffer.size(), offset);
        });
    }
    Acceptance fsync(int fd, Result* result = nullptr) noexcept {
        return pooled(result, [&](Request& request) { request.prepare_fsync(fd); });
    }
    Acceptance fdatasync(int fd, Result* result = nullptr) noexcept {
        return pooled(result, [&](Request& request) { request.prepare_fdatasync(fd); });
    }
    // Any other request: `prepare` gets the Request& to describe, and may set channel and flags.
    template <class Prepare>
    Acceptance call(Prepare&& prepare, Result* result = nullptr) noexcept {
        return pooled(result, prepare);
    }

    // Lets the engine begin while this thread does something else. Without it the requests may
    // begin as late as in wait().
    void start() noexcept { abi::group_start(count_); }

    // -- waiting -----------------------------------------------------------------------------

    // Until all are done. would_deadlock inside a callback of the context (or of the pool of
    // workers that runs them), and nothing is waited for; forked in a child process.
    ErrorCode wait(Wait how = Wait::alone) noexcept { return wait_ns(kForever, how); }
    // The same with a limit: timed_out when it is reached, and the requests go on. On io_uring the
    // submitter's thread hands them over, so that none interrupts this thread later.
    template <class Rep, class Period>
    ErrorCode wait_for(std::chrono::duration<Rep, Period> limit, Wait how = Wait::alone) noexcept {
        return wait_ns(limit_ns(limit), how);
    }
    // For one of the caller's own requests, without a callback, while the others go on: to keep a
    // window of requests in flight. invalid_argument for a request with a callback, or of somebody
    // else's. On io_uring the submitter's thread hands over what was staged, as in wait_for().
    ErrorCode wait(const Request& request, Wait how = Wait::alone) noexcept {
        return abi::group_wait(count_, &request, kForever, how);
    }
    // True if nothing is left to wait for. Never waits.
    bool done() const noexcept { return abi::group_is_done(count_); }

    // Of the requests from the pool that the last successful wait() waited for: all their bytes, or
    // the error of the first one submitted that failed.
    Result outcome() const noexcept { return outcome_; }
    // How many of these failed.
    std::uint64_t failed() const noexcept { return failed_; }

  private:
    struct Pooled : Request {
        Result* result = nullptr;
        Pooled* before = nullptr;  // submitted before it
    };
    static_assert(sizeof(Pooled) <= 192, "fits the smallest block of a context's pool");

    template <class Prepare>
    Acceptance pooled(Result* result, Prepare&& prepare) noexcept {
        void* block = abi::event_pool_take(pool_);
        if (block == nullptr) {
            abi::event_pool_refused(pool_);
            return Acceptance(ErrorCode::queue_full,
                              "all one-call events are in use; wait() first, raise "
                              "Options::event_pool, or submit events of your own");
        }
        auto* request = new (block) Pooled();
        request->result = result;
        prepare(static_cast<Request&>(*request));
        const Acceptance acceptance = abi::group_submit(count_, *request, request->channel);
        if (!acceptance) {
            request->~Pooled();
            abi::event_pool_give(pool_, block);
            return acceptance;
        }
        // Callbacks on other threads may add, too: a stack. While one of them runs, nobody
        // collects.
        request->before = __atomic_load_n(&newest_, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(&newest_, &request->before, request, true,
                                            __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            continue;
        return acceptance;
    }

    ErrorCode wait_ns(std::int64_t limit_ns, Wait how) noexcept {
        const ErrorCode code = abi::group_wait(count_, nullptr, limit_ns, how);
        if (code == ErrorCode::none)
            collect();
        return code;
    }

    void collect() noexcept {
        std::int64_t bytes = 0;
        int error = 0;
        failed_ = 0;
        // acquire: pairs with pooled(). The newest first, so that the last error seen is the first.
        const Pooled* request = __atomic_load_n(&newest_, __ATOMIC_ACQUIRE);
        for (; request != nullptr; request = request->before) {
            const Result result = request->outcome();
            if (request->result != nullptr)
                *request->result = result;
            bytes += static_cast<std::int64_t>(result.bytes());
            if (result.ok())
                continue;
            ++failed_;
            error = result.error();
        }
        outcome_ = Result(error != 0 ? -static_cast<std::int64_t>(error) : bytes);
        forget();
    }
    void forget() noexcept {
        while (newest_ != nullptr) {
            Pooled* const request = newest_;
            newest_ = request->before;
            request->~Pooled();
            abi::event_pool_give(pool_, request);
        }
    }

    abi::GroupCount count_;
    abi::EventPool* const pool_;
    Pooled* newest_ = nullptr;
    Result outcome_;
    std::uint64_t failed_ = 0;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_GROUP_HPP
