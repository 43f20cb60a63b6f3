// SPDX-License-Identifier: MIT
//
// ForkGuard: tells a process that it is the child of the one that made the context.
//
// After fork(2) the child has the context's memory but none of its threads. A page that the kernel
// empties in children (madvise(2), MADV_WIPEONFORK, Linux 4.14) says so for the price of a load.
#pragma once

#include <sys/mman.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

namespace ioengine {
inline namespace v0 {

class ForkGuard {
  public:
    ForkGuard() noexcept {
        void* page =
            ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return;
        // Without it the guard always says "parent", which is how things were before it existed.
        ::madvise(page, kPage, MADV_WIPEONFORK);
        ours_ = static_cast<volatile int*>(page);
        *ours_ = 1;
    }
    ~ForkGuard() {
        if (ours_ != nullptr)
            ::munmap(const_cast<int*>(ours_), kPage);
    }
    ForkGuard(const ForkGuard&) = delete;
    ForkGuard& operator=(const ForkGuard&) = delete;

    bool valid() const noexcept { return ours_ != nullptr; }
    bool in_child() const noexcept { return *ours_ == 0; }

  private:
    static constexpr unsigned kPage = 4096;
    volatile int* ours_ = nullptr;
};

}  // namespace v0
}  // namespace ioengine
