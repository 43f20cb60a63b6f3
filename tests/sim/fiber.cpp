// SPDX-License-Identifier: MIT
//
// Switching stacks.
#include "tests/sim/fiber.hpp"

#include "tests/sim/failure.hpp"
#include "tests/support/sanitizer.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <sys/mman.h>
#include <utility>

#if defined(IOENGINE_TESTS_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

namespace sim {

namespace {

constexpr std::size_t kStack = 1 << 20;  // a seam in a seam in a callback, unoptimized
constexpr std::size_t kGuard = 4096;

// See sanitizer/common_interface_defs.h: before and after each switch.
void leaving([[maybe_unused]] void** own_fake, [[maybe_unused]] const void* bottom,
             [[maybe_unused]] std::size_t size) {
#if defined(IOENGINE_TESTS_ASAN)
    __sanitizer_start_switch_fiber(own_fake, bottom, size);
#endif
}
void arrived([[maybe_unused]] void* own_fake, [[maybe_unused]] const void** from_bottom,
             [[maybe_unused]] std::size_t* from_size) {
#if defined(IOENGINE_TESTS_ASAN)
    __sanitizer_finish_switch_fiber(own_fake, from_bottom, from_size);
#endif
}

}  // namespace

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)) {
    stack_ = ::mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack_ == MAP_FAILED)
        fail("no memory for a stack: %s", std::strerror(errno));
    static_cast<void>(::mprotect(stack_, kGuard, PROT_NONE));
    ::getcontext(&inside_);
    inside_.uc_stack.ss_sp = static_cast<char*>(stack_) + kGuard;
    inside_.uc_stack.ss_size = kStack;
    inside_.uc_link = nullptr;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    ::makecontext(&inside_, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
                  static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
}

Fiber::~Fiber() {
    ::munmap(stack_, kGuard + kStack);
}

void Fiber::resume() {
    leaving(&outside_fake_, inside_.uc_stack.ss_sp, kStack);
    ::swapcontext(&outside_, &inside_);
    arrived(outside_fake_, nullptr, nullptr);
}

void Fiber::pause() {
    leaving(&inside_fake_, outside_bottom_, outside_size_);
    ::swapcontext(&inside_, &outside_);
    arrived(inside_fake_, &outside_bottom_, &outside_size_);
}

void Fiber::enter(unsigned high, unsigned low) {
    reinterpret_cast<Fiber*>(std::uintptr_t{high} << 32 | low)->run();
}

void Fiber::run() {
    arrived(nullptr, &outside_bottom_, &outside_size_);
    body_();
    ended_ = true;
    leaving(nullptr, outside_bottom_, outside_size_);
    ::swapcontext(&inside_, &outside_);
}

}  // namespace sim
