// SPDX-License-Identifier: MIT
//
// The words for enumerators, as they appear in logs, dumps, JSON and command lines.
#include "lib/names.hpp"

#include "lib/slot.hpp"

namespace ioengine {
inline namespace v0 {

const char* action_name(IOAction action) noexcept {
    switch (action) {
    case IOAction::none:
        return "none";
    case IOAction::read:
        return "read";
    case IOAction::write:
        return "write";
    case IOAction::readv:
        return "readv";
    case IOAction::writev:
        return "writev";
    case IOAction::fsync:
        return "fsync";
    case IOAction::fdatasync:
        return "fdatasync";
    case IOAction::fallocate:
        return "fallocate";
    case IOAction::sync_file_range:
        return "sync_file_range";
    case IOAction::nop:
        return "nop";
    }
    return "?";
}

const char* channel_name(Channel channel) noexcept {
    switch (channel) {
    case Channel::automatic:
        return "automatic";
    case Channel::prio:
        return "prio";
    case Channel::read:
        return "read";
    case Channel::write:
        return "write";
    }
    return "?";
}

const char* backend_name(Backend backend) noexcept {
    switch (backend) {
    case Backend::automatic:
        return "auto";
    case Backend::uring:
        return "uring";
    case Backend::aio:
        return "aio";
    case Backend::null:
        return "null";
    }
    return "?";
}

const char* slot_state_name(SlotState state) noexcept {
    switch (state) {
    case SlotState::free:
        return "free";
    case SlotState::filled:
        return "filled";
    case SlotState::in_kernel:
        return "in_kernel";
    case SlotState::completed:
        return "completed";
    case SlotState::continuing:
        return "continuing";
    }
    return "?";
}

const char* error_code_name(ErrorCode code) noexcept {
    switch (code) {
    case ErrorCode::none:
        return "none";
    case ErrorCode::invalid_argument:
        return "invalid_argument";
    case ErrorCode::queue_full:
        return "queue_full";
    case ErrorCode::shutting_down:
        return "shutting_down";
    case ErrorCode::no_memory:
        return "no_memory";
    case ErrorCode::wrong_thread:
        return "wrong_thread";
    case ErrorCode::would_deadlock:
        return "would_deadlock";
    case ErrorCode::timed_out:
        return "timed_out";
    case ErrorCode::forked:
        return "forked";
    case ErrorCode::unsupported:
        return "unsupported";
    case ErrorCode::system:
        return "system";
    }
    return "?";
}

}  // namespace v0
}  // namespace ioengine
