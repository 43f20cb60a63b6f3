// SPDX-License-Identifier: MIT
//
// Contender: something that can carry the load; ours, a hand-written loop, or fio.
#ifndef TOOLS_BENCH_CONTENDER_HPP
#define TOOLS_BENCH_CONTENDER_HPP

#include "tools/bench/measurement.hpp"

#include <string>

namespace bench {

class LiveLine;

struct Identity {
    std::string name;
    std::string backend;
    std::string threading;
    std::string lending;
    std::string ring = "default";
    std::string note;  // flags in force, what could not be had
};

class Contender {
  public:
    Contender() = default;
    Contender(const Contender&) = delete;
    Contender& operator=(const Contender&) = delete;
    virtual ~Contender() = default;

    // Complete once run() has returned for the first time.
    virtual const Identity& identity() const noexcept = 0;
    // Sets up, carries the load for one slice, takes everything down. Throws Failure.
    virtual Measurement run(const Slice& slice, LiveLine& live) = 0;
};

}  // namespace bench

#endif  // TOOLS_BENCH_CONTENDER_HPP
