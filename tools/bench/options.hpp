// SPDX-License-Identifier: MIT
//
// BenchOptions: what the command line of ioengine-bench asks for.
#ifndef TOOLS_BENCH_OPTIONS_HPP
#define TOOLS_BENCH_OPTIONS_HPP

#include "tools/bench/walk.hpp"

#include <ioengine/options.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace bench {

// Who submits the next request: the callback of the last one, on the engine's thread; the same on a
// producer's thread inside wait(); or a producer that the callback wakes.
enum class Mode : std::uint8_t { chain, wait, wake };

struct BenchOptions {
    std::string target;
    std::optional<std::uint64_t> size_bytes;
    Rw rw = Rw::randread;
    std::uint32_t block_bytes = 4096;
    std::uint32_t depth = 32;
    std::uint32_t producers = 1;
    Mode mode = Mode::chain;
    ioengine::Backend backend = ioengine::Backend::automatic;
    ioengine::Threading threading = ioengine::Threading::split;
    ioengine::Lending lending = ioengine::Lending::callbacks;
    ioengine::RingMode ring = ioengine::RingMode::interrupts;
    bool merge = false;
    std::uint32_t spin_us = 0;
    bool fixed = false;          // registered file and buffers
    double seconds = 5;          // of each contender; meaningless if requests is not 0
    std::uint64_t requests = 0;  // of each contender
    bool verify = false;
    bool compare_raw = false;
    bool compare_fio = false;
    bool compare_strict = false;
    bool json = false;
    std::string plot;  // a picture to write; empty: none

    // Threads of the bench's own that submit.
    bool has_producers() const noexcept { return mode != Mode::chain; }
    bool compares() const noexcept { return compare_raw || compare_fio || compare_strict; }
};

// Empty if there is nothing to run because help was asked for and printed. Throws Failure with
// kExitUsage if the command line makes no sense.
std::optional<BenchOptions> parse_options(int argc, char** argv);

const char* rw_name(Rw rw) noexcept;
const char* mode_name(Mode mode) noexcept;
const char* threading_name(ioengine::Threading threading) noexcept;
const char* ring_name(ioengine::RingMode ring) noexcept;
const char* lending_name(ioengine::Lending lending) noexcept;

}  // namespace bench

#endif  // TOOLS_BENCH_OPTIONS_HPP
