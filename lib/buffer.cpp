// SPDX-License-Identifier: MIT
//
// AlignedBuffer's memory.
#include <ioengine/buffer.hpp>

#include <cstdlib>
#include <cstring>

namespace ioengine {
inline namespace v0 {
namespace abi {

void* aligned_allocate(std::size_t size, std::size_t alignment) noexcept {
    void* memory = nullptr;
    if (::posix_memalign(&memory, alignment, size) != 0)
        return nullptr;
    std::memset(memory, 0, size);
    return memory;
}

void aligned_release(void* data) noexcept {
    std::free(data);
}

}  // namespace abi
}  // namespace v0
}  // namespace ioengine
