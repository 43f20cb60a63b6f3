// SPDX-License-Identifier: MIT
//
// Fiber: code with a stack of its own that stops in the middle and is resumed there, so that a
// simulated thread can sleep deep inside the library. One real thread.
#pragma once

#include <cstddef>
#include <functional>
#include <ucontext.h>

namespace sim {

class Fiber {
  public:
    explicit Fiber(std::function<void()> body);
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
    ~Fiber();

    // Until it pauses, or has ended. Not from inside.
    void resume();
    // Inside: back to whoever resumed it.
    void pause();
    bool ended() const noexcept { return ended_; }

  private:
    static void enter(unsigned high, unsigned low);
    void run();

    const std::function<void()> body_;
    void* stack_ = nullptr;  // with a page in front that nobody may touch
    ucontext_t inside_{};
    ucontext_t outside_{};
    bool ended_ = false;
    // AddressSanitizer's: what it is told of the two stacks.
    void* outside_fake_ = nullptr;
    void* inside_fake_ = nullptr;
    const void* outside_bottom_ = nullptr;
    std::size_t outside_size_ = 0;
};

}  // namespace sim
