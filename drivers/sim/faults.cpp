// SPDX-License-Identifier: MIT
//
// Drawing faults, and obeying rules.
#include "drivers/sim/faults.hpp"

#include <algorithm>
#include <cerrno>

namespace ioengine {
inline namespace v0 {

namespace {

constexpr std::array<FaultName, kFaultKinds> kNames{{
    {"set-up", "ENOSYS"},
    {"set-up", "EPERM"},
    {"set-up", "EINVAL for a flag"},
    {"set-up", "ENOMEM"},
    {"set-up", "EMFILE"},
    {"set-up", "io_setup EAGAIN"},
    {"set-up", "opcode probe denied"},
    {"submit", "EAGAIN once"},
    {"submit", "EAGAIN storm"},
    {"submit", "EBUSY"},
    {"submit", "EINTR"},
    {"submit", "partial k of n"},
    {"submit", "bad entry at head"},
    {"submit", "bad entry in the middle"},
    {"submit", "enter denied"},
    {"completion", "EIO"},
    {"completion", "ENODATA"},
    {"completion", "ENOSPC"},
    {"completion", "ENODEV"},
    {"completion", "EOPNOTSUPP"},
    {"completion", "ECANCELED"},
    {"completion", "EFAULT"},
    {"completion", "short"},
    {"completion", "zero"},
    {"completion", "positive NVMe status"},
    {"order and time", "reordered"},
    {"order and time", "delayed"},
    {"order and time", "stalled"},
    {"order and time", "never"},
    {"order and time", "burst beyond the CQ"},
    {"process", "allocation fails"},
    {"process", "helper thread fails"},
    {"process", "signals interrupt waits"},
    {"process", "submitting thread exits"},
    {"process", "kill -9"},
    {"process", "fork"},
    {"beyond", "EAGAIN or EINTR completion"},
    {"beyond", "AIO context full"},
    {"beyond", "completion spilled over"},
    {"beyond", "stale completion"},
}};

// Completion faults, in the order in which a draw goes through them.
constexpr Fault kCompletionFaults[] = {Fault::eio,         Fault::enodata,        Fault::enospc,
                                       Fault::enodev,      Fault::eopnotsupp,     Fault::ecanceled,
                                       Fault::efault,      Fault::short_transfer, Fault::zero,
                                       Fault::nvme_status, Fault::passing_error};

// Invalid field, capacity exceeded, unrecovered read error, access denied; each with Do Not Retry
// (NVM Express base specification, status field).
constexpr std::int64_t kNvmeStatus[] = {0x4002, 0x4081, 0x4281, 0x4286};

int errno_of(Fault fault) noexcept {
    switch (fault) {
    case Fault::eio:
        return EIO;
    case Fault::enodata:
        return ENODATA;
    case Fault::enospc:
        return ENOSPC;
    case Fault::enodev:
        return ENODEV;
    case Fault::eopnotsupp:
        return EOPNOTSUPP;
    case Fault::ecanceled:
        return ECANCELED;
    case Fault::efault:
        return EFAULT;
    default:
        return EIO;
    }
}

// How long storms and denials last: short ones, and some beyond the engine's patience of 10 s.
std::uint64_t drawn_duration_ns(SimRandom& random) noexcept {
    constexpr std::uint64_t kLongest[] = {300'000,    300'000,    3'000'000,
                                          50'000'000, 50'000'000, 15'000'000'000};
    return random.below(random.pick(kLongest));
}

}  // namespace

const FaultName& name_of(Fault fault) noexcept {
    return kNames[index_of(fault)];
}

void FaultCounts::add(const FaultCounts& other) noexcept {
    for (std::size_t i = 0; i < kFaultKinds; ++i)
        injected[i] += other.injected[i];
}

FaultPlan FaultPlan::drawn(SimRandom& random) {
    constexpr std::uint32_t kOrdinary[] = {300, 1'000, 3'000, 10'000, 30'000, 60'000};
    // These last, or hold on to a slot, so they are rarer.
    constexpr std::uint32_t kLasting[] = {100, 300, 1'000, 4'000};
    // These cost a millisecond of the test's.
    constexpr std::uint32_t kCostly[] = {5, 20, 50};
    // A context is set up once.
    constexpr std::uint32_t kOnce[] = {40'000, 150'000};
    FaultPlan plan;
    for (std::size_t i = 0; i < kFaultKinds; ++i) {
        const bool off = random.chance(450'000);
        switch (static_cast<Fault>(i)) {
        case Fault::setup_enosys:
        case Fault::setup_eperm:
        case Fault::setup_einval:
        case Fault::setup_enomem:
        case Fault::setup_emfile:
        case Fault::setup_eagain:
        case Fault::probe_denied:
            plan.ppm[i] = random.pick(kOnce);
            break;
        case Fault::forked:
            plan.ppm[i] = random.pick(kCostly);
            break;
        case Fault::killed:
        case Fault::eagain_storm:
        case Fault::enter_denied:
        case Fault::stalled:
        case Fault::never:
            plan.ppm[i] = random.pick(kLasting);
            break;
        default:
            plan.ppm[i] = random.pick(kOrdinary);
            break;
        }
        if (off || static_cast<Fault>(i) == Fault::thread_fails)
            plan.ppm[i] = 0;
    }
    return plan;
}

SimFaults::SimFaults(const FaultPlan& plan, std::uint64_t seed) : plan_(plan), random_(seed) {
    for (const Fault fault : kCompletionFaults)
        completion_ppm_ += plan_[fault];
}

// -- set-up ------------------------------------------------------------------------------------

int SimFaults::setup_answer(bool is_ring) {
    struct Answer {
        Fault fault;
        int error;
        bool of_rings;
        bool of_contexts;
    };
    constexpr Answer kAnswers[] = {{Fault::setup_enosys, ENOSYS, true, true},
                                   {Fault::setup_eperm, EPERM, true, true},
                                   {Fault::setup_enomem, ENOMEM, true, true},
                                   {Fault::setup_emfile, EMFILE, true, false},
                                   {Fault::setup_eagain, EAGAIN, false, true}};
    for (const Answer& answer : kAnswers) {
        if (!(is_ring ? answer.of_rings : answer.of_contexts) || !strikes(answer.fault))
            continue;
        note(answer.fault);
        return -answer.error;
    }
    return 0;
}

// -- the submit call -------------------------------------------------------------------------

int SimFaults::submit_answer(std::uint64_t now_ns, bool has_ebusy) {
    if (const FaultRule* rule = rule_for(SimCall::submit))
        if (const int answer = obey_submit_rule(*rule))
            return answer;
    if (calm_)
        return 0;
    if (now_ns < denied_until_ns_) {
        note(Fault::enter_denied);
        return -denied_errno_;
    }
    if (now_ns < storm_until_ns_) {
        note(Fault::eagain_storm);
        return -storm_errno_;
    }
    if (windows_left_ != 0 && strikes(Fault::enter_denied)) {
        --windows_left_;
        constexpr int kDenials[] = {EPERM, ENOSYS, EACCES};
        denied_errno_ = random_.pick(kDenials);
        denied_until_ns_ = now_ns + 1 + drawn_duration_ns(random_);
        note(Fault::enter_denied);
        return -denied_errno_;
    }
    if (windows_left_ != 0 && strikes(Fault::eagain_storm)) {
        --windows_left_;
        storm_errno_ = random_.chance(800'000) ? EAGAIN : ENOMEM;
        storm_until_ns_ = now_ns + 1 + drawn_duration_ns(random_);
        note(Fault::eagain_storm);
        return -storm_errno_;
    }
    if (interruptions_left_ != 0 || strikes(Fault::eintr)) {
        interruptions_left_ = interruptions_left_ != 0
                                  ? interruptions_left_ - 1
                                  : static_cast<std::uint32_t>(random_.below(4));
        note(Fault::eintr);
        return -EINTR;
    }
    if (strikes(Fault::eagain_once)) {
        note(Fault::eagain_once);
        return -EAGAIN;
    }
    if (has_ebusy && strikes(Fault::ebusy)) {
        note(Fault::ebusy);
        return -EBUSY;
    }
    return 0;
}

int SimFaults::obey_submit_rule(const FaultRule& rule) {
    switch (rule.fault) {
    case Fault::partial:
        partial_rule_ = static_cast<std::uint64_t>(std::max<std::int64_t>(rule.value, 1));
        return 0;
    case Fault::bad_head:
    case Fault::bad_middle:
        entry_rule_ = rule.value != 0 ? static_cast<int>(-rule.value) : -EINVAL;
        entry_rule_skips_ = rule.fault == Fault::bad_head ? 0 : 1;
        return 0;
    case Fault::enter_denied:
        note(rule.fault);
        return rule.value != 0 ? static_cast<int>(-rule.value) : -EPERM;
    case Fault::ebusy:
        note(rule.fault);
        return -EBUSY;
    case Fault::eintr:
        note(rule.fault);
        return -EINTR;
    default:
        note(rule.fault);
        return -EAGAIN;
    }
}

std::uint64_t SimFaults::entries_taken(std::uint64_t entries) {
    std::uint64_t taken = entries;
    if (partial_rule_ != 0)
        taken = std::min(entries, partial_rule_);
    else if (entries > 1 && strikes(Fault::partial))
        taken = random_.between(1, entries - 1);
    partial_rule_ = 0;
    if (taken < entries)
        note(Fault::partial);
    return taken;
}

int SimFaults::entry_answer() {
    if (entry_rule_ != 0) {
        if (entry_rule_skips_ != 0) {
            --entry_rule_skips_;
            return 0;
        }
        const int answer = entry_rule_;
        entry_rule_ = 0;
        return answer;
    }
    if (calm_)
        return 0;
    // Two kinds, because a plan may have either; which one it was is seen from where it stood.
    if (!strikes(Fault::bad_head) && !strikes(Fault::bad_middle))
        return 0;
    constexpr int kErrors[] = {EINVAL, EFAULT, EBADF, EOPNOTSUPP};
    return -random_.pick(kErrors);
}

bool SimFaults::interrupts_wait() {
    const bool interrupts = rule_for(SimCall::wait) != nullptr || strikes(Fault::interrupted_wait);
    if (interrupts)
        note(Fault::interrupted_wait);
    return interrupts;
}

const FaultRule* SimFaults::rule_for(SimCall call) noexcept {
    const std::uint64_t number = ++calls_[static_cast<std::size_t>(call)];
    if (calm_)
        return nullptr;
    for (const FaultRule& rule : plan_.rules) {
        if (rule.call != call)
            continue;
        if (rule.nth == number || (rule.from_then_on && rule.nth < number)) {
            ++rules_obeyed_;
            return &rule;
        }
    }
    return nullptr;
}

// -- completions -----------------------------------------------------------------------------

Fate SimFaults::fate_of(const FateInput& operation, const FaultRule* rule) {
    if (rule != nullptr && applies(rule->fault, operation))
        return make_fate(rule->fault, operation, rule->value);
    if (calm_ || completion_ppm_ == 0)
        return {};
    if (passing_left_ != 0 && operation.place == passing_place_) {
        --passing_left_;
        return make_fate(Fault::passing_error, operation, EAGAIN);
    }
    std::uint64_t drawn = random_.below(1'000'000);
    if (drawn >= completion_ppm_)
        return {};
    for (const Fault fault : kCompletionFaults) {
        if (drawn < plan_[fault])
            return applies(fault, operation) ? make_fate(fault, operation, 0) : Fate{};
        drawn -= plan_[fault];
    }
    return {};
}

bool SimFaults::applies(Fault fault, const FateInput& operation) const noexcept {
    switch (fault) {
    case Fault::enospc:
        return operation.writes || operation.allocates;
    case Fault::efault:
    case Fault::zero:
        return operation.transfers && operation.bytes != 0;
    case Fault::short_transfer:
        return operation.transfers && operation.bytes > operation.granule;
    case Fault::nvme_status:
        // In a longer transfer it cannot be told from a number of bytes.
        return operation.bytes < kNvmeStatus[0];
    default:
        return index_of(fault) >= index_of(Fault::eio) &&
               (index_of(fault) <= index_of(Fault::nvme_status) || fault == Fault::passing_error);
    }
}

Fate SimFaults::make_fate(Fault fault, const FateInput& operation, std::int64_t value) {
    Fate fate;
    fate.fault = fault;
    switch (fault) {
    case Fault::short_transfer: {
        fate.kind = Fate::Kind::short_transfer;
        const std::uint64_t granules = (operation.bytes - 1) / operation.granule;
        fate.value = static_cast<std::int64_t>(random_.between(1, granules) * operation.granule);
        // A direct transfer may end in the middle of a block: the rest cannot be asked for.
        if (operation.granule > 1 && random_.chance(50'000))
            fate.value -= static_cast<std::int64_t>(random_.between(1, operation.granule - 1));
        if (value != 0)
            fate.value = value;
        return fate;
    }
    case Fault::zero:
        fate.kind = Fate::Kind::zero;
        return fate;
    case Fault::nvme_status: {
        fate.kind = Fate::Kind::nvme_status;
        fate.value = value != 0 ? value : random_.pick(kNvmeStatus);
        return fate;
    }
    case Fault::passing_error:
        fate.value = random_.coin() ? -EAGAIN : -EINTR;
        // One run at a time; one whose request has ended otherwise gives way some day.
        if (operation.is_repeated && (passing_left_ == 0 || random_.chance(50'000))) {
            passing_place_ = operation.place;
            passing_left_ = random_.pick({0u, 0u, 0u, 2u, 9u, 80u});
        }
        break;
    default:
        fate.value = -errno_of(fault);
        fate.torn_max = operation.writes && random_.coin() ? random_.below(operation.bytes + 1) : 0;
        break;
    }
    fate.kind = Fate::Kind::error;
    if (value != 0)
        fate.value = -value;
    return fate;
}

}  // namespace v0
}  // namespace ioengine
