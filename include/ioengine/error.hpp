// SPDX-License-Identifier: MIT
//
// How set-up calls and submissions say no: ErrorCode, Error, Expected<T>, Acceptance.
//
// Nothing here throws. An Error carries the operating system's errno where there is one, a message
// that says what happened and a hint that says what to do about it.
#ifndef IOENGINE_ERROR_HPP
#define IOENGINE_ERROR_HPP

#include <ioengine/export.h>
#include <ioengine/request.hpp>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

namespace ioengine {
inline namespace v0 {

enum class ErrorCode : std::uint8_t {
    none = 0,
    invalid_argument,  // the caller's request or option makes no sense; nothing was done
    queue_full,        // the channel's queue, or the pool of one-call events, is at its limit
    shutting_down,     // shutdown() has begun; no new work is taken
    no_memory,         // an allocation failed; nothing was done
    would_deadlock,    // a waiting call from a callback of the same context
    timed_out,         // a waiting call reached its time limit
    forked,            // this process is a fork of the one that made the context
    unsupported,       // this kernel, container or build cannot do it
    system,            // a system call failed; see sys_errno
    wrong_thread,      // another thread drives this context: see Threading::caller
};

// A short lower-case name such as "queue_full". Never null, static storage.
IOENGINE_API const char* error_code_name(ErrorCode code) noexcept;

// Why a set-up call failed. Plain data, copied by value; both texts are NUL-terminated.
struct Error {
    ErrorCode code = ErrorCode::none;
    int sys_errno = 0;       // errno of the failing system call, 0 if there was none
    char message[248] = {};  // what happened
    char hint[248] = {};     // what to do about it; may be empty
};

// A T, or the Error that says why there is none. Like std::expected, for C++17.
//
// value() on an error, or error() on a value, ends the program: it is a bug in the caller.
template <class T>
class [[nodiscard]] Expected {
    static_assert(!std::is_reference<T>::value, "Expected<T> holds a value");

  public:
    Expected(T value) noexcept : has_value_(true) { new (&value_) T(std::move(value)); }
    Expected(const Error& error) noexcept : has_value_(false) { new (&error_) Error(error); }

    Expected(Expected&& other) noexcept : has_value_(other.has_value_) { take(std::move(other)); }
    Expected& operator=(Expected&& other) noexcept {
        if (this != &other) {
            clear();
            has_value_ = other.has_value_;
            take(std::move(other));
        }
        return *this;
    }
    Expected(const Expected&) = delete;
    Expected& operator=(const Expected&) = delete;
    ~Expected() { clear(); }

    explicit operator bool() const noexcept { return has_value_; }
    bool has_value() const noexcept { return has_value_; }

    T& value() & noexcept { return require(has_value_), value_; }
    const T& value() const& noexcept { return require(has_value_), value_; }
    T&& value() && noexcept { return require(has_value_), std::move(value_); }
    T& operator*() & noexcept { return value(); }
    const T& operator*() const& noexcept { return value(); }
    T&& operator*() && noexcept { return std::move(*this).value(); }
    T* operator->() noexcept { return &value(); }
    const T* operator->() const noexcept { return &value(); }

    const Error& error() const noexcept { return require(!has_value_), error_; }

  private:
    static void require(bool held) noexcept {
        if (!held)
            std::abort();
    }
    void take(Expected&& other) noexcept {
        if (has_value_)
            new (&value_) T(std::move(other.value_));
        else
            new (&error_) Error(other.error_);
    }
    void clear() noexcept {
        if (has_value_)
            value_.~T();
    }

    bool has_value_;
    union {
        T value_;
        Error error_;
    };
};

// The answer to a submission. True: the request was accepted and will complete exactly once.
// False: it was refused, the caller still owns request, buffer and closure, and no callback comes.
class [[nodiscard]] Acceptance {
  public:
    constexpr Acceptance() noexcept = default;
    constexpr Acceptance(ErrorCode code, const char* detail) noexcept
        : detail_(detail), code_(code) {}
    constexpr explicit Acceptance(const RequestHandle& accepted) noexcept
        : request_(accepted.request), generation_(accepted.generation), channel_(accepted.channel) {
    }

    constexpr explicit operator bool() const noexcept { return code_ == ErrorCode::none; }
    constexpr bool accepted() const noexcept { return code_ == ErrorCode::none; }
    constexpr ErrorCode code() const noexcept { return code_; }
    // What was wrong and what to do, in words. Never null, static storage; empty when accepted.
    constexpr const char* detail() const noexcept { return accepted() ? "" : detail_; }
    // For IOContext::cancel(). Names nothing if the request was refused.
    constexpr RequestHandle handle() const noexcept {
        return accepted() ? RequestHandle{request_, generation_, channel_} : RequestHandle();
    }

  private:
    union {
        const Request* request_ = nullptr;  // accepted
        const char* detail_;                // refused
    };
    std::uint32_t generation_ = 0;
    ErrorCode code_ = ErrorCode::none;
    Channel channel_ = Channel::automatic;
};

static_assert(sizeof(Acceptance) == 16, "returned in registers");

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_ERROR_HPP
