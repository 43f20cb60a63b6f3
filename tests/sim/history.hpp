// SPDX-License-Identifier: MIT
//
// History: what happened in a simulation, as a digest of everything and the last events in words.
#pragma once

#include "drivers/sim/world.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace sim {

enum class Event : std::uint8_t {
    // the user
    accepted,
    refused,
    notice,
    told,
    ordered,
    waits_for_space,
    registered,
    unregistered,
    // the engine's threads
    submit_step,
    submitter_parks,
    submitter_wakes,
    submitter_leaves,
    poll_step,
    poller_sleeps,
    poller_wakes,
    poller_naps,
    poller_stands_by,
    poller_stands_up,
    poller_leaves,
    handed_to_sink,
    // the one thread that drives
    driver_sleeps,
    driver_naps,
    driver_polls,
    driver_ran,
    driver_waited,
    driver_leaves,
    // threads that wait
    wait_begins,
    wait_step,
    wait_ends,
    // the kernel
    submit_call,
    wait_call,
    entered,
    answered,
    refused_by_kernel,
    withdrawn,
    ran_here,
    stale,
    submitter_exits,
    forked,
    // the course of things
    time_passes,
    gate_closes,
    draining,
    cancelling,
    calm,
    over,
};

class History {
  public:
    // `verbose` prints every event at once.
    void begin(const ioengine::SimWorld& world, bool verbose) noexcept;

    void add(Event event, std::uint64_t a = 0, std::int64_t b = 0, std::int64_t c = 0) noexcept;

    std::uint64_t digest() const noexcept { return digest_; }
    // The last events, the oldest first, a line each.
    void print_last(std::size_t count) const noexcept;

  private:
    struct Entry {
        std::uint64_t now_ns;
        std::uint64_t a;
        std::int64_t b;
        std::int64_t c;
        Event event;
    };
    static constexpr std::size_t kKept = 512;

    static void print(std::uint64_t number, const Entry& entry) noexcept;

    const ioengine::SimWorld* world_ = nullptr;
    bool verbose_ = false;
    std::uint64_t digest_ = 0;
    std::uint64_t count_ = 0;
    std::array<Entry, kKept> entries_{};
};

}  // namespace sim
