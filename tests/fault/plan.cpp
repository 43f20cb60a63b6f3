// SPDX-License-Identifier: MIT
//
// The rules of a FaultPlan, applied.
#include "tests/fault/plan.hpp"

#include "lib/driver.hpp"

#include <cstring>
#include <utility>

namespace test {

namespace {

std::string errno_text(int error) {
    return error == 0 ? "nothing" : std::strerror(error);
}

}  // namespace

Entry::Kind kind_of(std::uint64_t token) {
    switch (static_cast<ioengine::Signal>(ioengine::Token{token}.slot())) {
    case ioengine::Signal::nudge:
        return Entry::Kind::nudge;
    case ioengine::Signal::leave:
        return Entry::Kind::leave;
    case ioengine::Signal::cancel:
        return Entry::Kind::cancel;
    case ioengine::Signal::wake:
        return Entry::Kind::wake;
    }
    return Entry::Kind::request;
}

// -- rules -----------------------------------------------------------------------------------

void FaultPlan::add(Act act, Which which, EntryFilter filter, int error, std::uint64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    entry_rules_.push_back({act, which, std::move(filter), error, bytes});
}

void FaultPlan::fail_submit(Which calls, int error, EntryFilter first_entry) {
    const std::lock_guard<std::mutex> lock(mutex_);
    call_rules_.push_back({calls, std::move(first_entry), error, SIZE_MAX});
}
void FaultPlan::limit_submit(Which calls, std::size_t entries) {
    const std::lock_guard<std::mutex> lock(mutex_);
    call_rules_.push_back({calls, [](const Entry&) { return true; }, 0, entries});
}
void FaultPlan::refuse(Which entries, int error, EntryFilter which) {
    add(Act::refuse, entries, std::move(which), error, 0);
}
void FaultPlan::fail(Which entries, int error, EntryFilter which) {
    add(Act::fail, entries, std::move(which), error, 0);
}
void FaultPlan::shorten(Which entries, std::uint64_t bytes, EntryFilter which) {
    add(Act::shorten, entries, std::move(which), 0, bytes);
}
void FaultPlan::lengthen(Which entries, std::uint64_t bytes, EntryFilter which) {
    add(Act::lengthen, entries, std::move(which), 0, bytes);
}
void FaultPlan::hold(Which entries, EntryFilter which) {
    add(Act::hold, entries, std::move(which), 0, 0);
}
void FaultPlan::repeat(Which entries, EntryFilter which) {
    add(Act::repeat, entries, std::move(which), 0, 0);
}
void FaultPlan::copy(Which entries, EntryFilter which) {
    add(Act::copy, entries, std::move(which), 0, 0);
}
void FaultPlan::fail_update(Which calls, int error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    update_rules_.push_back({calls, nullptr, error, SIZE_MAX});
}
void FaultPlan::limit_update(Which calls, std::size_t places) {
    const std::lock_guard<std::mutex> lock(mutex_);
    update_rules_.push_back({calls, nullptr, 0, places});
}
void FaultPlan::fail_wait(Which waits, int error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    wait_rules_.push_back({waits, error});
}
void FaultPlan::shuffle(std::uint64_t seed) {
    const std::lock_guard<std::mutex> lock(mutex_);
    shuffled_ = true;
    random_ = Random(seed);
}
void FaultPlan::calm() {
    const std::lock_guard<std::mutex> lock(mutex_);
    entry_rules_.clear();
    call_rules_.clear();
    update_rules_.clear();
    wait_rules_.clear();
    shuffled_ = false;
}

// -- while it runs ---------------------------------------------------------------------------

void FaultPlan::release() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [token, fate] : fates_)
        fate.held = false;
    ready_.insert(ready_.end(), held_.begin(), held_.end());
    held_.clear();
}
void FaultPlan::replay() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const RawEvent& event : copies_) {
        note("replayed", event.token);
        ready_.push_back(event);
    }
    copies_.clear();
}
std::size_t FaultPlan::held() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return held_.size();
}

// -- what happened ---------------------------------------------------------------------------

std::uint64_t FaultPlan::submit_calls() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return submit_calls_;
}
std::uint64_t FaultPlan::updates() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return updates_;
}
std::uint64_t FaultPlan::waits() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return waits_;
}
std::uint64_t FaultPlan::injected(const std::string& prefix) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::uint64_t count = 0;
    for (const std::string& line : log_)
        count += line.compare(0, prefix.size(), prefix) == 0;
    return count;
}
std::vector<Entry> FaultPlan::taken() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return taken_;
}
std::uint64_t FaultPlan::given(Entry::Kind kind) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = given_.find(kind);
    return found == given_.end() ? 0 : found->second;
}
std::int64_t FaultPlan::in_kernel_when_destroyed() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return in_kernel_when_destroyed_;
}
std::string FaultPlan::text() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::string all = std::to_string(log_.size()) + " faults were injected";
    const std::size_t shown = 40;
    for (std::size_t i = log_.size() > shown ? log_.size() - shown : 0; i < log_.size(); ++i)
        all += "\n  " + log_[i];
    for (const std::string& message : messages_)
        all += "\n  the engine: " + message;
    return all;
}
std::uint64_t FaultPlan::logged(const std::string& part) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::uint64_t count = 0;
    for (const std::string& message : messages_)
        count += message.find(part) != std::string::npos;
    return count;
}
void FaultPlan::keep_message(void* plan, ioengine::LogLevel, const char* message) {
    FaultPlan& self = *static_cast<FaultPlan*>(plan);
    const std::lock_guard<std::mutex> lock(self.mutex_);
    self.messages_.emplace_back(message);
}
void FaultPlan::note(const std::string& what, std::uint64_t token) {
    log_.push_back(what + " [" + std::to_string(ioengine::Token{token}.slot()) + "." +
                   std::to_string(ioengine::Token{token}.generation()) + "]");
}

// -- for the layer ---------------------------------------------------------------------------

FaultPlan::CallAnswer FaultPlan::answer_update() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++updates_;
    CallAnswer answer;
    for (CallRule& rule : update_rules_) {
        if (!rule.which.has(++rule.seen))
            continue;
        if (rule.error != 0 && answer.error == 0) {
            answer.error = rule.error;
            note("update call failed: " + errno_text(rule.error), 0);
        } else if (rule.error == 0 && rule.entries < answer.entries) {
            answer.entries = rule.entries;
            note("update call limited", 0);
        }
    }
    return answer;
}

FaultPlan::CallAnswer FaultPlan::answer_submit(const Entry& first_entry) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++submit_calls_;
    CallAnswer answer;
    for (CallRule& rule : call_rules_) {
        if (!rule.filter(first_entry) || !rule.which.has(++rule.seen))
            continue;
        if (rule.error != 0 && answer.error == 0) {
            answer.error = rule.error;
            note("submit call failed: " + errno_text(rule.error), first_entry.token);
        } else if (rule.error == 0 && rule.entries < answer.entries) {
            answer.entries = rule.entries;
            note("submit call limited", first_entry.token);
        }
    }
    return answer;
}

Fate FaultPlan::fate_of(const Entry& entry) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = fates_.find(entry.token);
    if (known != fates_.end())
        return known->second;
    Fate fate;
    const auto become = [&](Fate::Kind kind, const EntryRule& rule, const char* what) {
        if (fate.kind != Fate::Kind::natural)
            return;
        fate.kind = kind;
        fate.error = rule.error;
        fate.bytes = rule.bytes;
        note(std::string(what) + (rule.error != 0 ? ": " + errno_text(rule.error) : ""),
             entry.token);
    };
    for (EntryRule& rule : entry_rules_) {
        if (!rule.filter(entry) || !rule.which.has(++rule.seen))
            continue;
        switch (rule.act) {
        case Act::refuse:
            become(Fate::Kind::refused, rule, "refused");
            break;
        case Act::fail:
            become(Fate::Kind::failed, rule, "failed");
            break;
        case Act::shorten:
            become(Fate::Kind::shortened, rule, "shortened");
            break;
        case Act::lengthen:
            become(Fate::Kind::lengthened, rule, "lengthened");
            break;
        case Act::hold:
            fate.held = true;
            note("held", entry.token);
            break;
        case Act::repeat:
            fate.repeated = true;
            note("repeated", entry.token);
            break;
        case Act::copy:
            fate.copied = true;
            break;
        }
    }
    fates_.emplace(entry.token, fate);
    return fate;
}

void FaultPlan::took(const Entry& entry) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!entry.is_request())
        return;
    taken_.push_back(entry);
    in_kernel_.insert(entry.token);
}

void FaultPlan::gave_back(const Entry& entry) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!entry.is_request())
        return;
    in_kernel_.erase(entry.token);
    for (std::size_t i = taken_.size(); i-- > 0;)
        if (taken_[i].token == entry.token) {
            taken_.erase(taken_.begin() + static_cast<std::ptrdiff_t>(i));
            return;
        }
}

void FaultPlan::forget(std::uint64_t token) {
    const std::lock_guard<std::mutex> lock(mutex_);
    fates_.erase(token);
}

void FaultPlan::arrived(const RawEvent& event) {
    const std::lock_guard<std::mutex> lock(mutex_);
    in_kernel_.erase(event.token);
    RawEvent changed = event;
    const auto found = fates_.find(event.token);
    const Fate fate = found != fates_.end() ? found->second : Fate();
    if (found != fates_.end())
        fates_.erase(found);
    if (fate.kind == Fate::Kind::failed || fate.kind == Fate::Kind::refused)
        changed.result = -fate.error;
    else if (fate.kind == Fate::Kind::lengthened && event.result >= 0)
        changed.result += static_cast<std::int64_t>(fate.bytes);
    if (fate.copied)
        copies_.push_back(changed);
    if (fate.held) {
        held_.push_back(changed);
        return;
    }
    ready_.push_back(changed);
    if (fate.repeated)
        ready_.push_back(changed);
}

bool FaultPlan::give(RawEvent& event) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ready_.empty())
        return false;
    std::size_t at = 0;
    if (shuffled_) {
        // Some come late: the driver hears of nothing for a moment, and asks again.
        if (random_.below(4) == 0)
            return false;
        at = random_.below(ready_.size());
    }
    event = ready_[at];
    ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(at));
    ++given_[kind_of(event.token)];
    return true;
}

FaultPlan::Outlook FaultPlan::outlook() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!ready_.empty())
        return Outlook::ready;
    return held_.empty() && copies_.empty() ? Outlook::none : Outlook::kept;
}

int FaultPlan::answer_wait() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++waits_;
    for (WaitRule& rule : wait_rules_) {
        if (!rule.which.has(++rule.seen))
            continue;
        note("wait failed: " + errno_text(rule.error), 0);
        return rule.error == 0 ? -1 : rule.error;
    }
    return 0;
}

void FaultPlan::destroyed() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (in_kernel_when_destroyed_ < 0)
        in_kernel_when_destroyed_ = static_cast<std::int64_t>(in_kernel_.size());
}

}  // namespace test
