// SPDX-License-Identifier: MIT
//
// memory: makes the n-th allocation of this process fail, whoever asks for it.
#ifndef IOENGINE_TESTS_NTH_MEMORY_HPP
#define IOENGINE_TESTS_NTH_MEMORY_HPP

#include <cstdint>

namespace nth {
namespace memory {

// From now on: the n-th, or all from the n-th on.
void arm(std::uint64_t nth, bool from_then_on);
void disarm();
// How many were denied since arm().
std::uint64_t injected();

}  // namespace memory
}  // namespace nth

#endif  // IOENGINE_TESTS_NTH_MEMORY_HPP
