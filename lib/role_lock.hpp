// SPDX-License-Identifier: MIT
//
// RoleLock: one role, held by one thread at a time, for a step. Nobody waits for it: who is refused
// leaves a note, and goes away; the holder finds the note when it releases the role, and sees to it
// that the role's work is looked at once more.
//
//   refused                              holder
//   publish work                         ... looks for work, finds none ...
//   try_take(): held -> noted            release() tells of the note: look again, or wake
//
// Why no work is lost: refusal and release are read-modify-writes of one word. A note that comes
// first is returned by the release, whose acquire brings the published work; if the release comes
// first, the role is free and try_take() takes it. The model is tests/models/lending.pml.
#pragma once

#include <atomic>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

class RoleLock {
  public:
    // True: the caller holds the role until release(). False: it has left a note.
    bool try_take() noexcept {
        State seen = State::free;
        for (;;) {
            // [model: role-1] acquire: pairs with release(); the role's own data come with it.
            if (seen == State::free) {
                if (word_.compare_exchange_weak(seen, State::held, std::memory_order_acquire,
                                                std::memory_order_relaxed))
                    return true;
                // [model: role-2] release: what the caller published comes with the note. Also if
                // there is one already: it may have been left before.
            } else if (word_.compare_exchange_weak(seen, State::noted, std::memory_order_release,
                                                   std::memory_order_relaxed)) {
                return false;
            }
        }
    }

    // True if somebody was refused meanwhile.
    bool release() noexcept {
        return word_.exchange(State::free, std::memory_order_acq_rel) ==
               State::noted;  // [model: role-3]
    }

  private:
    enum class State : std::uint8_t { free, held, noted };
    std::atomic<State> word_{State::free};
};

}  // namespace v0
}  // namespace ioengine
