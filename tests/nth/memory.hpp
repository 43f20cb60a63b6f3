// SPDX-License-Identifier: MIT
//
// memory: makes the n-th allocation of this process fail, whoever asks for it.
#ifndef IOENGINE_TESTS_NTH_MEMORY_HPP
#define IOENGINE_TESTS_NTH_MEMORY_HPP

#include <cstdint>

namespace nth {
namespace memory {

// From now on: the n-th, and as many as this together with it.
void arm(std::uint64_t nth, std::uint64_t count);
void disarm();
// How many were denied since arm().
std::uint64_t injected();

}  // namespace memory
}  // namespace nth

#endif  // IOENGINE_TESTS_NTH_MEMORY_HPP
