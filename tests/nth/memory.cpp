// SPDX-License-Identifier: MIT
//
// Takes the place of libc's allocator for the whole process, its shared libraries included;
// operator new comes here, too. Not in builds with a sanitizer, which bring an allocator.
#include "tests/nth/memory.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace nth {
namespace memory {

namespace {

std::atomic<std::uint64_t> g_nth{0};
std::atomic<bool> g_from_then_on{false};
std::atomic<std::uint64_t> g_seen{0};
std::atomic<std::uint64_t> g_injected{0};

}  // namespace

bool denied() {
    const std::uint64_t nth = g_nth.load(std::memory_order_relaxed);
    if (nth == 0)
        return false;
    const std::uint64_t seen = g_seen.fetch_add(1) + 1;
    if (seen != nth && !(seen > nth && g_from_then_on.load()))
        return false;
    g_injected.fetch_add(1);
    errno = ENOMEM;
    return true;
}

void arm(std::uint64_t nth, bool from_then_on) {
    g_from_then_on.store(from_then_on);
    g_seen.store(0);
    g_injected.store(0);
    g_nth.store(nth);
}

void disarm() {
    g_nth.store(0);
}

std::uint64_t injected() {
    return g_injected.load();
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
