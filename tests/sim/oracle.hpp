// SPDX-License-Identifier: MIT
//
// Oracle: the contract, checked from outside. It sees what the user asks, what the kernel answers
// and what the user is told, and knows from the contract alone what must follow what:
//
//   one notice for each accepted request, none for a refused one, none while the kernel has it
//   each piece given to the kernel is what is left of its request, in place and length
//   each result is the one that the kernel's answers lead to, or an error that has a cause
//   first in, first out within a channel, up to the kernel; nobody starves beyond the bound
//   counters agree with what happened
#pragma once

#include "tests/sim/contents.hpp"
#include "tests/sim/history.hpp"
#include "tests/sim/scene.hpp"
#include "tests/sim/subject.hpp"

#include <ioengine/merge_buffer.hpp>
#include <ioengine/stats.hpp>

#include <array>
#include <cstdint>
#include <vector>

namespace sim {

class Oracle {
  public:
    // attempts_max: the engine fails requests after as many submit calls in vain.
    Oracle(const Scene& scene, ioengine::SimWorld& world, Contents& contents, History& history,
           std::uint32_t attempts_max)
        : scene_(scene), world_(world), contents_(contents), history_(history),
          attempts_max_(attempts_max) {}

    // -- the user's side ---------------------------------------------------------------------

    // drivers: of the thread that drives the context. silent: it has no completion function, so
    // whoever waits for it says when it is done.
    void accepted(Subject& subject, bool drivers, bool silent = false);
    // The completion function was entered. Frees the subject's range.
    void notice(Subject& subject);
    // It was entered with the result, and the buffer is not back: kFlagEarlyResult.
    void told(Subject& subject);
    // The user gives an order; none of those that it covers was accepted later.
    void ordered(Subject& subject) noexcept { subject.may_be_cancelled = true; }

    // -- the scheduler -----------------------------------------------------------------------

    void scheduled(const ioengine::Request& request);

    // -- the kernel's side -------------------------------------------------------------------

    // `reaped`: completions that the engine has taken so far.
    void submit_called(std::int64_t count, int answer, std::uint64_t reaped);
    void entered(Subject& subject, const ioengine::SimOperation& operation);
    void answered(Subject& subject, const ioengine::SimOperation& operation, std::int64_t result);
    void refused(Subject& subject, int answer);
    void withdrawn(Subject& subject);
    // The same for requests that were merged: see oracle_merged.cpp.
    using Members = std::vector<Subject*>;
    void entered_as_one(const Members& members, const ioengine::SimOperation& operation);
    void answered_as_one(const Members& members, const ioengine::SimOperation& operation,
                         std::int64_t result);
    void refused_as_one(const Members& members, int answer);
    void withdrawn_as_one(const Members& members);
    void ran_here(Subject& subject, std::int64_t result);

    // -- the course of things ----------------------------------------------------------------

    void cancelling() noexcept { cancelling_ = true; }
    // Fails if the counters contradict what was seen.
    void glance(const ioengine::Stats& stats) const;
    // Everything is over. Fails if anything is left.
    void check_end(const ioengine::Stats& stats);

    std::uint64_t accepted_count() const noexcept { return accepted_; }
    std::uint64_t noticed_count() const noexcept { return noticed_; }
    std::uint64_t outstanding() const noexcept { return accepted_ - noticed_; }
    std::uint64_t failed_count() const noexcept { return failed_; }
    // That name registered buffers or files.
    std::uint64_t registered_count() const noexcept { return registered_; }
    // The channel's queue is not at its limit.
    bool room(ioengine::Channel channel) const noexcept {
        return waiting(channel) < scene_.config.queue_limit && !cancelling_;
    }

  private:
    static constexpr std::size_t kChannels = 4;  // by Channel's value; `automatic` is not used
    static std::size_t index(ioengine::Channel channel) noexcept {
        return static_cast<std::size_t>(channel);
    }

    // A slot may hold so many requests; bounds count slots.
    std::uint64_t per_slot() const noexcept {
        return scene_.config.merge_limit != 0 || scene_.merges_ppm != 0 ? ioengine::kMergeMax : 1;
    }
    // Exact unless requests are cancelled, which the scheduler does not see.
    std::uint64_t waiting(ioengine::Channel channel) const noexcept {
        return accepted_in_[index(channel)] - scheduled_in_[index(channel)];
    }
    void note_order(Subject& subject, bool polled = false);
    void check_piece(const Subject& subject, const ioengine::SimOperation& operation);
    void check_vectors(const Subject& subject, const ioengine::SimOperation& operation);
    void judge(Subject& subject, std::int64_t answer);
    void end_with(Subject& subject, std::int64_t result) noexcept;
    bool is_right(const Subject& subject, std::int64_t result) const;
    // Of a request that was cancelled, or is late.
    bool may_be_given_up(const Subject& subject, std::int64_t result) const;
    bool engine_may_say(const Subject& subject, std::int64_t result) const;

    const Scene& scene_;
    ioengine::SimWorld& world_;
    Contents& contents_;
    History& history_;
    const std::uint32_t attempts_max_;

    std::uint64_t accepted_ = 0;
    std::uint64_t noticed_ = 0;
    std::uint64_t failed_ = 0;
    std::uint64_t registered_ = 0;
    std::uint64_t cancelled_ = 0;
    std::uint64_t timed_out_ = 0;
    std::uint64_t silent_ = 0;  // of the outstanding ones
    std::uint64_t bytes_read_ = 0;
    std::uint64_t bytes_written_ = 0;
    bool cancelling_ = false;

    // Submit calls in vain, in a row, and how often there were too many of them.
    std::uint32_t vain_calls_ = 0;
    std::uint64_t vain_reaped_ = 0;
    std::uint64_t patience_ends_ = 0;
    int last_submit_answer_ = 0;

    std::array<std::uint64_t, kChannels> accepted_in_{};
    std::array<std::uint64_t, kChannels> scheduled_in_{};
    // The ring whose transfers are polled, and the ordinary one, each of two threads: the others,
    // and the one that drives.
    using EnteredIn = std::array<std::array<std::uint64_t, kChannels>, 2>;
    std::array<EnteredIn, 2> entered_in_{};
    // Others scheduled while the oldest of this channel waited.
    std::array<std::uint64_t, kChannels> passed_over_{};
    std::uint64_t priority_in_row_ = 0;
};

}  // namespace sim
