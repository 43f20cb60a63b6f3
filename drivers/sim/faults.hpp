// SPDX-License-Identifier: MIT
//
// The fault model of the simulated kernel: what it may do wrong, how often, and what it has done.
//
//   set-up              is refused with ENOSYS, EPERM, ENOMEM, EMFILE (io_uring) or EAGAIN (AIO);
//                       is refused with EINVAL for a flag that is too new; the question for
//                       opcodes is denied
//   the submit call     answers EAGAIN once, or for a while (a storm); EBUSY (io_uring); EINTR;
//                       takes only a part; meets a bad entry first in the batch, or further in;
//                       is denied for a while, with an errno that does not pass (seccomp)
//   a completion        says EIO, ENODATA (a bad sector), ENOSPC, ENODEV, EOPNOTSUPP, ECANCELED,
//                       EFAULT; is short; is zero; is a positive NVMe status, more than was asked
//   order and time      an operation overtakes older ones, is delayed, is stalled for seconds,
//                       never completes unless cancelled; more complete at one moment than the
//                       completion ring, or one reaping call, can hold
//   the process         has no memory for a queue, and never a helper thread; has its waits
//                       interrupted by signals, or woken for nothing; ends a thread that has
//                       submitted, and io_uring cancels what of that thread's no device has; is
//                       killed, which is looked at from the files; forks, and the child tries
//                       what it may not
//   beyond the measure  passing EAGAINs or EINTRs in completions, also many in a row; an AIO
//                       context with less room than was asked for; completions that spill over; a
//                       completion of a request long finished
//
// What it never does, because no kernel does: lose a completion for good, give two for one
// operation while its slot waits for it, complete with success what was not done, touch a buffer
// after the completion, or change bytes outside an operation's range. A failed write may leave any
// prefix of its bytes on the file, a failed read any bytes in its buffer.
//
// Each kind has a probability of its own, in a millionth per opportunity; rules make the n-th call
// fail. Once calm() was called nothing is injected any more.
#pragma once

#include "drivers/sim/random.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ioengine {
inline namespace v0 {

enum class Fault : std::uint8_t {
    // set-up
    setup_enosys,
    setup_eperm,
    setup_einval,
    setup_enomem,
    setup_emfile,
    setup_eagain,
    probe_denied,
    // the submit call
    eagain_once,
    eagain_storm,
    ebusy,
    eintr,
    partial,
    bad_head,
    bad_middle,
    enter_denied,
    // a completion
    eio,
    enodata,
    enospc,
    enodev,
    eopnotsupp,
    ecanceled,
    efault,
    short_transfer,
    zero,
    nvme_status,
    // order and time
    reordered,
    delayed,
    stalled,
    never,
    burst,
    // the process
    allocation_fails,
    thread_fails,
    interrupted_wait,
    submitter_exits,
    killed,
    forked,
    // beyond the measure
    passing_error,
    context_full,
    spilled,
    stale,
};
constexpr std::size_t kFaultKinds = 40;
static_assert(static_cast<std::size_t>(Fault::stale) + 1 == kFaultKinds);

constexpr std::size_t index_of(Fault fault) noexcept {
    return static_cast<std::size_t>(fault);
}

struct FaultName {
    const char* group;
    const char* name;
};
const FaultName& name_of(Fault fault) noexcept;

enum class SimCall : std::uint8_t { submit, wait, operation };
constexpr std::size_t kSimCalls = 3;

// "The 3rd submit call answers EAGAIN." Counted from 1, over the whole life of the world.
struct FaultRule {
    SimCall call = SimCall::submit;
    std::uint64_t nth = 1;
    bool from_then_on = false;
    Fault fault = Fault::eagain_once;
    // What the kind needs: the errno of a bad entry or a denied call, how many entries a partial
    // call takes, how many bytes a short transfer moves.
    std::int64_t value = 0;
};

struct FaultPlan {
    std::array<std::uint32_t, kFaultKinds> ppm{};
    std::vector<FaultRule> rules;

    std::uint32_t& operator[](Fault fault) noexcept { return ppm[index_of(fault)]; }
    std::uint32_t operator[](Fault fault) const noexcept { return ppm[index_of(fault)]; }

    // About half of the kinds switched off, the others rare, frequent or in between.
    static FaultPlan drawn(SimRandom& random);
};

// What was injected, by kind.
struct FaultCounts {
    std::array<std::uint64_t, kFaultKinds> injected{};

    std::uint64_t of(Fault fault) const noexcept { return injected[index_of(fault)]; }
    void add(const FaultCounts& other) noexcept;
};

// What a completion will be, beside what the file says. Drawn when the operation begins.
struct Fate {
    enum class Kind : std::uint8_t { natural, error, short_transfer, zero, nvme_status };

    Kind kind = Kind::natural;
    Fault fault = Fault::eio;    // unless natural
    std::int64_t value = 0;      // error: -errno; short: bytes moved at most; status: the status
    std::uint64_t torn_max = 0;  // error: bytes of a write that reach the file nevertheless
};

// What of an operation the choice of a fate depends on.
struct FateInput {
    std::uint32_t place = 0;   // the same for all tries of a request, and few others: its slot
    bool is_repeated = false;  // will be tried again after a passing error
    bool transfers = false;    // reads or writes
    bool writes = false;
    bool allocates = false;
    std::uint64_t bytes = 0;
    std::uint32_t granule = 1;  // short transfers are multiples of it, nearly always
};

class SimFaults {
  public:
    SimFaults(const FaultPlan& plan, std::uint64_t seed);

    // One attempt to set up a ring, or an AIO context: 0 or -errno.
    int setup_answer(bool is_ring);
    // One submit call: 0, or the -errno that it answers as a whole.
    int submit_answer(std::uint64_t now_ns, bool has_ebusy);
    // How many of `entries` (at least 1) the call takes.
    std::uint64_t entries_taken(std::uint64_t entries);
    // AIO: 0, or the -errno for one entry.
    int entry_answer();
    bool denied(std::uint64_t now_ns) const noexcept { return now_ns < denied_until_ns_; }

    // Counts one operation that begins: its rule, or null.
    const FaultRule* operation_rule() noexcept { return rule_for(SimCall::operation); }
    // `rule` may be null, or one of another kind.
    Fate fate_of(const FateInput& operation, const FaultRule* rule);
    bool strikes(Fault fault) noexcept { return !calm_ && random_.chance(plan_[fault]); }
    // One wait for completions: true if a signal, or nothing at all, will end it.
    bool interrupts_wait();

    void note(Fault fault) noexcept { ++counts_.injected[index_of(fault)]; }
    const FaultCounts& counts() const noexcept { return counts_; }
    // How often a rule had its call.
    std::uint64_t rules_obeyed() const noexcept { return rules_obeyed_; }
    SimRandom& random() noexcept { return random_; }

    void calm() noexcept {
        calm_ = true;
        storm_until_ns_ = denied_until_ns_ = 0;
        interruptions_left_ = 0;
    }
    bool is_calm() const noexcept { return calm_; }

  private:
    const FaultRule* rule_for(SimCall call) noexcept;
    int obey_submit_rule(const FaultRule& rule);
    bool applies(Fault fault, const FateInput& operation) const noexcept;
    Fate make_fate(Fault fault, const FateInput& operation, std::int64_t value);

    const FaultPlan plan_;
    std::uint32_t completion_ppm_ = 0;  // of all completion faults together
    SimRandom random_;
    FaultCounts counts_;
    std::array<std::uint64_t, kSimCalls> calls_{};
    std::uint64_t rules_obeyed_ = 0;
    bool calm_ = false;

    std::uint64_t storm_until_ns_ = 0;
    int storm_errno_ = 0;
    std::uint32_t windows_left_ = 8;  // storms and denials, or a plan with many has nothing else
    std::uint64_t denied_until_ns_ = 0;
    int denied_errno_ = 0;
    std::uint32_t passing_place_ = 0;  // hears passing errors a few times in a row
    std::uint32_t passing_left_ = 0;
    std::uint32_t interruptions_left_ = 0;  // EINTR comes a few times in a row
    std::uint64_t partial_rule_ = 0;        // entries that a rule lets the next call take
    int entry_rule_ = 0;                    // -errno that a rule gives to the next entry
    std::uint64_t entry_rule_skips_ = 0;    // entries before it
};

}  // namespace v0
}  // namespace ioengine
