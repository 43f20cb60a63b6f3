// SPDX-License-Identifier: MIT
//
// Takes the place of libc's allocator for the whole process, its shared libraries included;
// operator new comes here, too. Not in builds with a sanitizer, which bring an allocator.
#include "tests/nth/memory.hpp"

#include "tests/nth/trigger.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace nth {
namespace memory {

namespace {

Trigger g_trigger;

}  // namespace

// One allocation: is there no memory for it?
bool denied() {
    if (!g_trigger.pull())
        return false;
    errno = ENOMEM;
    return true;
}

void arm(std::uint64_t nth, std::uint64_t count) {
    g_trigger.arm(nth, count > UINT64_MAX - nth ? UINT64_MAX : nth + count - 1);
}

void disarm() {
    g_trigger.disarm();
}

std::uint64_t injected() {
    return g_trigger.failed();
}

}  // namespace memory
}  // namespace nth

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

[[gnu::visibility("default")]] void* malloc(std::size_t size) noexcept {
    return nth::memory::denied() ? nullptr : __libc_malloc(size);
}
[[gnu::visibility("default")]] void* calloc(std::size_t count, std::size_t size) noexcept {
    return nth::memory::denied() ? nullptr : __libc_calloc(count, size);
}
[[gnu::visibility("default")]] void* realloc(void* old, std::size_t size) noexcept {
    return nth::memory::denied() ? nullptr : __libc_realloc(old, size);
}
[[gnu::visibility("default")]] void* memalign(std::size_t alignment, std::size_t size) noexcept {
    return nth::memory::denied() ? nullptr : __libc_memalign(alignment, size);
}
[[gnu::visibility("default")]] void* aligned_alloc(std::size_t alignment,
                                                   std::size_t size) noexcept {
    return nth::memory::denied() ? nullptr : __libc_memalign(alignment, size);
}
[[gnu::visibility("default")]] int posix_memalign(void** out, std::size_t alignment,
                                                  std::size_t size) noexcept {
    void* const made = nth::memory::denied() ? nullptr : __libc_memalign(alignment, size);
    if (made == nullptr)
        return ENOMEM;
    *out = made;
    return 0;
}
}
