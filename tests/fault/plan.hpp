// SPDX-License-Identifier: MIT
//
// FaultPlan: what the kernel beneath a driver shall do wrong, and what was done.
//
// The layer sits between a driver and the real kernel (faulty_aio.hpp, faulty_uring.hpp). Its
// faults are real as far as they can be: a short transfer is one that really moves fewer bytes, a
// completion with an error is that of an operation that touched nothing, what is held back or
// repeated is a true completion. Rules count what they match from the moment they are given:
// nth(3) is the third submit call, or request, or wait, from then on.
//
// One plan serves one context. Every method may be called from any thread, at any time.
#ifndef IOENGINE_TESTS_FAULT_PLAN_HPP
#define IOENGINE_TESTS_FAULT_PLAN_HPP

#include "tests/support/random.hpp"

#include <ioengine/options.hpp>
#include <ioengine/request.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace test {

// Which of those that a rule matches, counted from 1.
struct Which {
    std::uint64_t first = 1;
    std::uint64_t last = UINT64_MAX;
    bool has(std::uint64_t n) const { return n >= first && n <= last; }
};
constexpr Which nth(std::uint64_t n) {
    return {n, n};
}
constexpr Which first(std::uint64_t count) {
    return {1, count};
}
constexpr Which every() {
    return {};
}

// One entry on its way into the kernel.
struct Entry {
    enum class Kind { request, nudge, leave, cancel, wake };
    Kind kind = Kind::request;
    std::uint64_t token = 0;
    ioengine::IOAction action = ioengine::IOAction::none;
    int fd = -1;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;  // bytes, or vectors

    bool is_request() const { return kind == Kind::request; }
};
using EntryFilter = std::function<bool(const Entry&)>;

inline bool is_request(const Entry& entry) {
    return entry.is_request();
}
inline bool is_signal(const Entry& entry) {
    return !entry.is_request();
}
inline bool is_nudge(const Entry& entry) {
    return entry.kind == Entry::Kind::nudge;
}
inline bool is_leave(const Entry& entry) {
    return entry.kind == Entry::Kind::leave;
}
inline EntryFilter at_offset(std::uint64_t offset) {
    return [offset](const Entry& entry) { return entry.is_request() && entry.offset == offset; };
}
inline EntryFilter is(ioengine::IOAction action) {
    return [action](const Entry& entry) { return entry.is_request() && entry.action == action; };
}

// What happens to one entry once the kernel takes it.
struct Fate {
    enum class Kind { natural, refused, failed, shortened, lengthened };
    Kind kind = Kind::natural;
    int error = 0;            // refused, failed
    std::uint64_t bytes = 0;  // shortened: at most so many; lengthened: so many more in the result
    bool held = false;        // its completion is kept back until release()
    bool repeated = false;    // its completion comes twice at once
    bool copied = false;      // a copy of its completion is kept for replay()
};

struct RawEvent {
    std::uint64_t token = 0;
    std::int64_t result = 0;
};

class FaultPlan {
  public:
    FaultPlan() = default;
    FaultPlan(const FaultPlan&) = delete;
    FaultPlan& operator=(const FaultPlan&) = delete;

    // -- the shape of the context ------------------------------------------------------------

    std::uint32_t sq_entries = 0;  // 0: as the engine would
    std::uint32_t cq_entries = 0;
    bool submit_all = true;
    bool aio_ring_reap = true;
    bool tables = true;  // io_uring: of registered buffers and files
    // io_uring, one thread, IOPOLL asked for: the plan of the second ring; null: there is none.
    // That ring is an ordinary one, on which every file can be "polled": no device here could be.
    FaultPlan* polled = nullptr;

    // -- rules -------------------------------------------------------------------------------

    // The submit call answers `error` and takes nothing. Counts the calls whose first entry
    // `first_entry` matches.
    void fail_submit(Which calls, int error, EntryFilter first_entry = is_request);
    // The submit call takes at most `entries` entries.
    void limit_submit(Which calls, std::size_t entries);
    // The kernel refuses these entries by themselves: at the call on AIO, and on io_uring in the
    // completion, with the call stopping behind it.
    void refuse(Which entries, int error, EntryFilter which = is_request);
    // Completes with `error`; no byte is moved.
    void fail(Which entries, int error, EntryFilter which = is_request);
    // Moves at most `bytes`.
    void shorten(Which entries, std::uint64_t bytes, EntryFilter which = is_request);
    // Moves all, and says that it moved `bytes` more.
    void lengthen(Which entries, std::uint64_t bytes, EntryFilter which = is_request);
    // Keeps completions back until release().
    void hold(Which entries, EntryFilter which = is_request);
    // Gives completions twice, one right behind the other.
    void repeat(Which entries, EntryFilter which = is_request);
    // Keeps a copy of each completion, which replay() gives.
    void copy(Which entries, EntryFilter which = is_request);
    // The call that fills or clears places of registered buffers or files answers `error`; or takes
    // at most `places`.
    void fail_update(Which calls, int error);
    void limit_update(Which calls, std::size_t places);
    // The wait answers `error`; 0: nothing has come, and no reason.
    void fail_wait(Which waits, int error);
    // From now on completions come in any order, some of them late.
    void shuffle(std::uint64_t seed);
    // No rule holds any more; what is held back stays so.
    void calm();

    // -- while it runs -----------------------------------------------------------------------

    void release();
    // Gives every copy once more. Those of requests that are over are stale.
    void replay();
    std::size_t held() const;

    // -- what happened -----------------------------------------------------------------------

    std::uint64_t submit_calls() const;
    std::uint64_t updates() const;
    std::uint64_t waits() const;
    // Faults that were injected, all of them or those whose description begins so.
    std::uint64_t injected(const std::string& prefix = "") const;
    // Entries of requests as the kernel took them, in order.
    std::vector<Entry> taken() const;
    // Completions of this kind given to the driver.
    std::uint64_t given(Entry::Kind kind) const;
    // Requests that the kernel had when its context was destroyed; -1 while it was not.
    std::int64_t in_kernel_when_destroyed() const;
    // What was injected and what the engine logged, for messages.
    std::string text() const;
    // Messages of the engine that contain this.
    std::uint64_t logged(const std::string& part) const;

    // -- for the layer -----------------------------------------------------------------------

    struct CallAnswer {
        int error = 0;
        std::size_t entries = SIZE_MAX;
    };
    CallAnswer answer_submit(const Entry& first_entry);
    CallAnswer answer_update();
    // The fate of an entry; the same as often as it is asked, until took().
    Fate fate_of(const Entry& entry);
    void took(const Entry& entry);
    // It did not after all.
    void gave_back(const Entry& entry);
    // The entry was refused, or taken back: its fate is drawn anew if it comes again.
    void forget(std::uint64_t token);
    void arrived(const RawEvent& event);
    // The next completion for the driver; false if there is none.
    bool give(RawEvent& event);
    // One look: a release() between two would be missed, and the kernel wakes nobody for it.
    enum class Outlook {
        none,   // only the kernel can bring something
        kept,   // something may come that the kernel will not wake anybody for
        ready,  // there is a completion to give
    };
    Outlook outlook() const;
    // 0: really wait; > 0: -errno; < 0: return without an event.
    int answer_wait();
    void destroyed();
    // Options::log of the context.
    static void keep_message(void* plan, ioengine::LogLevel level, const char* message);

  private:
    enum class Act { refuse, fail, shorten, lengthen, hold, repeat, copy };
    struct EntryRule {
        Act act;
        Which which;
        EntryFilter filter;
        int error;
        std::uint64_t bytes;
        std::uint64_t seen = 0;
    };
    struct CallRule {
        Which which;
        EntryFilter filter;
        int error;
        std::size_t entries;
        std::uint64_t seen = 0;
    };
    struct WaitRule {
        Which which;
        int error;
        std::uint64_t seen = 0;
    };

    void add(Act act, Which which, EntryFilter filter, int error, std::uint64_t bytes);
    void note(const std::string& what, std::uint64_t token);

    mutable std::mutex mutex_;  // everything below
    std::vector<EntryRule> entry_rules_;
    std::vector<CallRule> call_rules_;
    std::vector<CallRule> update_rules_;
    std::vector<WaitRule> wait_rules_;
    std::map<std::uint64_t, Fate> fates_;  // of entries that were looked at and not completed
    std::set<std::uint64_t> in_kernel_;    // tokens of requests
    std::deque<RawEvent> ready_;
    std::vector<RawEvent> held_;
    std::vector<RawEvent> copies_;
    bool shuffled_ = false;
    Random random_{0};
    std::uint64_t submit_calls_ = 0;
    std::uint64_t waits_ = 0;
    std::uint64_t updates_ = 0;
    std::vector<std::string> log_;
    std::vector<std::string> messages_;  // the engine's
    std::vector<Entry> taken_;
    std::map<Entry::Kind, std::uint64_t> given_;
    std::int64_t in_kernel_when_destroyed_ = -1;
};

// What a token stands for.
Entry::Kind kind_of(std::uint64_t token);

}  // namespace test

#endif  // IOENGINE_TESTS_FAULT_PLAN_HPP
