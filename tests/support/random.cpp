// SPDX-License-Identifier: MIT
//
// Implements random.hpp: seeds, patterns, digest.

#include "tests/support/random.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>

namespace test {

std::uint64_t announced_seed(const char* what) {
    std::uint64_t seed = 0;
    if (const char* asked = std::getenv("IOENGINE_TEST_SEED")) {
        seed = std::strtoull(asked, nullptr, 0);
    } else {
        std::random_device device;
        seed = (static_cast<std::uint64_t>(device()) << 32) | device();
    }
    std::printf("seed: %s used IOENGINE_TEST_SEED=%llu\n", what,
                static_cast<unsigned long long>(seed));
    return seed;
}

void fill_pattern(void* data, std::size_t bytes, std::uint64_t seed) noexcept {
    auto* out = static_cast<unsigned char*>(data);
    Random random(seed);
    for (std::size_t i = 0; i < bytes; i += 8) {
        const std::uint64_t word = random.next();
        for (std::size_t k = 0; k < 8 && i + k < bytes; ++k)
            out[i + k] = static_cast<unsigned char>(word >> (8 * k));
    }
}

bool has_pattern(const void* data, std::size_t bytes, std::uint64_t seed) noexcept {
    const auto* in = static_cast<const unsigned char*>(data);
    Random random(seed);
    for (std::size_t i = 0; i < bytes; i += 8) {
        const std::uint64_t word = random.next();
        for (std::size_t k = 0; k < 8 && i + k < bytes; ++k)
            if (in[i + k] != static_cast<unsigned char>(word >> (8 * k)))
                return false;
    }
    return true;
}

std::uint64_t digest(const void* data, std::size_t bytes, std::uint64_t so_far) noexcept {
    const auto* in = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < bytes; ++i)
        so_far = (so_far ^ in[i]) * 0x100000001b3ULL;
    return so_far;
}

}  // namespace test
