// SPDX-License-Identifier: MIT
//
// LiveLine: one line on the terminal that says how far the run is. Nothing where stderr is not a
// terminal.
#ifndef TOOLS_BENCH_LIVE_LINE_HPP
#define TOOLS_BENCH_LIVE_LINE_HPP

#include "tools/bench/measurement.hpp"

#include <cstdint>
#include <string>

namespace bench {

class LiveLine {
  public:
    static constexpr std::uint64_t kPeriodNs = 200'000'000;

    explicit LiveLine(std::uint32_t block_bytes);
    LiveLine(const LiveLine&) = delete;
    LiveLine& operator=(const LiveLine&) = delete;
    ~LiveLine() { clear(); }

    bool shown() const noexcept { return shown_; }
    // Which of several repetitions the next lines are about.
    void repetition(unsigned number, unsigned of) noexcept {
        number_ = number;
        of_ = of;
    }
    void show(const std::string& name, std::uint64_t completed, std::uint64_t elapsed_ns,
              const Slice& slice);
    // For steps without a count.
    void say(const std::string& text);
    void clear();

  private:
    const double block_bytes_;
    const bool shown_;
    unsigned number_ = 1;
    unsigned of_ = 1;
};

}  // namespace bench

#endif  // TOOLS_BENCH_LIVE_LINE_HPP
