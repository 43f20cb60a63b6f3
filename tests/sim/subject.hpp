// SPDX-License-Identifier: MIT
//
// Subject: a request of the simulated user, with its memory and with what the oracle knows of it.
#pragma once

#include "drivers/sim/random.hpp"

#include <ioengine/request.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <sys/uio.h>
#include <vector>

namespace sim {

// What the contract says must follow an answer of the kernel.
enum class Next : std::uint8_t {
    nothing,  // no answer yet
    again,    // the engine must ask the kernel again
    notice,   // the user is told `final_result`
    either    // the file may have grown since: both are right
};

struct Subject : ioengine::Request {
    // Idle in its pool, in the user's hands, or in the engine's.
    enum class State : std::uint8_t { idle, user, engine };
    static constexpr std::uint64_t kBytesMax = 8192;

    // -- what was asked; the Request itself belongs to the engine once it is accepted -----------
    ioengine::IOAction asked = ioengine::IOAction::none;
    int file = -1;
    std::uint16_t asked_flags = 0;
    std::uint64_t at = 0;     // offset
    std::uint64_t bytes = 0;  // of all segments; of the range for fallocate
    int mode = 0;
    std::uint64_t payload = 0;  // names what a write carries
    bool misaligned = false;    // must be refused with EINVAL before the kernel sees it
    bool holds_range = false;
    bool in_company = false;     // was to go as one with others: shares a slot
    void* user_of_it = nullptr;  // for the completion function

    // -- its life ------------------------------------------------------------------------------
    State state = State::idle;
    bool handed_out = false;          // to the sink, whose turn it is
    bool is_silent = false;           // without a completion function
    std::uint64_t number = 0;         // as accepted; names it in the history
    std::uint64_t queue_number = 0;   // as accepted in its channel
    bool is_drivers = false;          // the thread that drives the context has submitted it
    bool may_be_cancelled = false;    // an order covers it
    bool refused_rightly = false;     // it named what is not registered
    bool told_early = false;          // its result, and the kernel may have its buffer still
    std::uint64_t patience_seen = 0;  // how often the engine had lost patience before

    // -- its way through the kernel --------------------------------------------------------------
    bool entered = false;
    bool in_kernel = false;
    bool ran_here = false;
    bool withdrawn = false;
    int refused_answer = 0;  // of the submit call; 0: was not refused
    int withdrawn_after = 0;
    std::uint64_t token = 0;
    std::uint64_t bytes_done = 0;
    std::uint32_t retries = 0;
    Next next = Next::nothing;
    std::int64_t final_result = 0;
    std::uint64_t moved_end = 0;  // how far the kernel has changed the file

    // -- its memory ------------------------------------------------------------------------------
    unsigned char* memory = nullptr;  // kMemory bytes, aligned to 512
    std::vector<iovec> segments;
    static constexpr std::size_t kMemory = 3 * kBytesMax;

    void forget_way() noexcept;
    // The address and the length of what comes after `done` bytes, within one segment.
    iovec rest_of_segment(std::uint64_t done) const noexcept;
};

// Chooses memory for `subject.bytes` bytes: one piece, or (vectored) `pieces` of them with gaps.
// Each piece is a multiple of `granule`, and so is its address.
void lay_out(Subject& subject, std::size_t pieces, std::uint32_t granule,
             ioengine::SimRandom& random);
// The bytes that a write of this subject carries, as its `payload` says.
void fill_payload(Subject& subject) noexcept;
void fill_with(Subject& subject, unsigned char byte) noexcept;
// True if bytes [first, first + count) of the subject's memory equal `expected`.
bool memory_equals(const Subject& subject, std::uint64_t first, std::uint64_t count,
                   const unsigned char* expected) noexcept;
unsigned char byte_at(const Subject& subject, std::uint64_t position) noexcept;
// Nothing was written before, between or behind the pieces.
bool gaps_are_intact(const Subject& subject) noexcept;

// A fixed number of subjects, used again and again. Between a notice and the next use the Request
// is poisoned: whoever touches it then is found out.
class SubjectPool {
  public:
    explicit SubjectPool(std::size_t count);

    // For a new simulation: all are idle.
    void reset();
    std::size_t size() const noexcept { return subjects_.size(); }
    std::size_t idle() const noexcept { return idle_.size(); }
    // Null if none is idle.
    Subject* take() noexcept;
    void give(Subject& subject) noexcept;
    // Of all of them.
    unsigned char* memory() const noexcept { return memory_.get(); }
    std::size_t bytes() const noexcept { return subjects_.size() * Subject::kMemory; }
    Subject& at(std::size_t i) noexcept { return *subjects_[i]; }
    // Fails if an idle request was touched.
    void check_idle() const noexcept;

  private:
    std::vector<std::unique_ptr<Subject>> subjects_;
    std::unique_ptr<unsigned char, void (*)(void*)> memory_;
    std::vector<Subject*> idle_;
};

}  // namespace sim
