// SPDX-License-Identifier: MIT
//
// Slot and SlotPool: the places for requests that are with the kernel, and who may touch them when.
//
//                  push                submit               reap
//        free ------------> filled -------------> in_kernel -------> completed
//         ^ ^                  |                     |  ^             |   |
//         | +--- stash <-------+---- refused --------+  |             |   |
//         |                                             +- continuing <---+   (short, or to retry)
//         +------------------------- free list <----------------------+
//
//   state       who may touch the slot   next
//   free        submit role takes it     filled
//   filled      submit role              in_kernel, free
//   in_kernel   submit role until its    completed; free, or (merged requests) continuing, if the
//               call, then the kernel    submit call refused it
//   completed   poll role                free, continuing
//   continuing  submit role, once popped in_kernel, before any new work; free, if it is given up
//
// `state` is also what orders the two roles for C++: the way through the kernel is no
// synchronisation the language knows. The submit role stores in_kernel (release) before the system
// call, because the completion may be reaped before that call returns; the poll role loads it
// (acquire) after reaping. Through that edge the poll role sees the slot and the request.
//
// The free list has one producer, the poll role. What the submit call refuses goes back through a
// stash that only the submit role sees. The model is tests/models/slots.pml.
#pragma once

#include "lib/asked.hpp"
#include "lib/check.hpp"
#include "lib/counters.hpp"
#include "lib/piece.hpp"
#include "lib/prefetch.hpp"
#include "lib/spsc_ring.hpp"
#include "lib/stamp.hpp"

#include <ioengine/merge_buffer.hpp>
#include <ioengine/request.hpp>
#include <ioengine/stats.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

namespace ioengine {
inline namespace v0 {

enum class SlotState : std::uint32_t { free, filled, in_kernel, completed, continuing };
const char* slot_state_name(SlotState state) noexcept;

// What travels through the kernel as user data: a slot and its generation.
struct Token {
    std::uint64_t value = 0;

    static constexpr Token of(std::uint32_t slot, std::uint32_t generation) noexcept {
        return {(std::uint64_t{generation} << 32) | slot};
    }
    constexpr std::uint32_t slot() const noexcept { return static_cast<std::uint32_t>(value); }
    constexpr std::uint32_t generation() const noexcept {
        return static_cast<std::uint32_t>(value >> 32);
    }
};

// What a slot says of its request to those who may not touch the request. Relaxed atomics, made
// consistent by the generation as in a sequence lock, see SlotPool::describe(); but length and
// members may change under one generation, while requests join.
struct SlotLabel {
    std::atomic<std::uint64_t> offset{0};
    std::atomic<std::uint64_t> length{0};
    std::atomic<std::uint64_t> since_ns{0};
    std::atomic<std::int32_t> fd{-1};
    std::atomic<std::uint16_t> members{1};
    std::atomic<IOAction> action{IOAction::none};
    std::atomic<Channel> channel{Channel::automatic};

    // The submit role's alone: what it goes by when requests are given up.
    bool cancel_sent = false;          // the kernel has been asked
    bool tells_early = false;          // the poll role is to hear of its deadline, and has not
    std::uint32_t generation = 0;      // of the request, or the newest of several
    const Request* request = nullptr;  // to compare with; the slot's own may be gone
    std::uint64_t deadline_ns = 0;     // 0: none
    std::uint64_t due_ns = 0;          // when a put-off retry may go
};

// The part of a slot that no kernel interface cares about. Drivers derive theirs from it. The first
// line goes back and forth between the roles; the label is on a line of the submit role's own.
struct alignas(64) Slot {
    std::atomic<SlotState> state{SlotState::free};  // orders the roles, see above
    std::atomic<std::uint32_t> generation{0};  // submit role writes; describe() reads: seq lock
    std::uint32_t index = 0;                   // constant
    std::uint16_t retries = 0;                 // of the piece in flight; whoever holds the slot
    std::uint16_t members = 1;                 // merged requests not finished, from `request` on
    // Is it to be given up? The submit role says so whoever holds the slot. release: pairs with
    // the poll role's acquire; who misses it lets the slot go on to the submit role.
    std::atomic<Asked> asked{Asked::nothing};
    bool told = false;           // poll role's: the result has been told early, see lib/lease.hpp
    Request* request = nullptr;  // whoever holds the slot
    Transfer transfer;           // progress of the request; whoever holds the slot
    alignas(64) SlotLabel label;

    Token token() const noexcept {
        return Token::of(index, generation.load(std::memory_order_relaxed));
    }
};

static_assert(sizeof(Slot) == 128, "one line for what both roles touch, one for the label");

template <class S>
concept SlotType = std::is_base_of_v<Slot, S> && std::is_default_constructible_v<S>;

template <SlotType S>
class SlotPool {
  public:
    // Requests are merged into one slot up to `merge_limit` bytes; 0: never.
    explicit SlotPool(std::uint32_t depth, std::uint32_t merge_limit = 0)
        : depth_(depth), merge_limit_(merge_limit), slots_(new S[depth]),
          windows_(new iovec[std::size_t{depth} * Transfer::kWindow]), free_(depth),
          continuations_(depth), late_(4 * std::size_t{depth}) {
        stash_.reserve(depth);
        put_off_.reserve(depth);
        for (std::uint32_t i = 0; i < depth; ++i) {
            slots_[i].index = i;
            slots_[i].transfer.window = &windows_[std::size_t{i} * Transfer::kWindow];
            free_.push(i);
        }
    }

    // -- submit role -------------------------------------------------------------------------

    // Slots that take() will find.
    std::size_t available() const noexcept { return stash_.size() + free_.size(); }
    // Likewise, or fewer; but 0 only if there is none. Cheaper.
    std::size_t available_at_least() noexcept { return stash_.size() + free_.seen(); }

    // free -> filled. There must be an available slot.
    [[gnu::always_inline]] S& take(Request& request, std::uint64_t now) noexcept {
        std::uint32_t index = 0;
        if (!stash_.empty()) {
            index = stash_.back();
            stash_.pop_back();
        } else {
            check(free_.pop(index), "a slot is free when one is taken");
        }
        S& slot = slots_[index];
        debug_check(slot.state.load(std::memory_order_relaxed) == SlotState::free,
                    "a taken slot was free");
        taken_.add(1);
        begin(slot, request);
        describe_as(slot, request, now);
        if (merge_limit_ != 0)
            open(slot);
        slot.state.store(SlotState::filled, std::memory_order_release);  // pairs with describe()
        return slot;
    }
    // May this one join the slot that was taken last? Goes by what was noted of that: the slot says
    // in_kernel, so its request is no longer this role's to look at.
    bool may_append(const Request& request) const noexcept {
        if (request.offset != open_.end || open_.end == kSealed)
            return false;
        return can_be_merged(request) && request.followers == 0 && request.fd == open_.fd &&
               request.action == open_.action && request.queue == open_.queue &&
               request.flags == open_.flags && request.io_priority == open_.io_priority &&
               open_.members < kMergeMax && open_.bytes + request.length <= merge_limit_;
    }
    // It joins; the slot is to be handed over again.
    S& append(Request& request) noexcept {
        S& slot = *open_.slot;
        slot.transfer.add(*slot.request, request);
        open_.last->merged = &request;
        open_.last = &request;
        open_.end += request.length;
        open_.bytes += request.length;
        slot.members = ++open_.members;
        slot.label.members.store(open_.members, std::memory_order_relaxed);
        slot.label.length.store(open_.bytes, std::memory_order_relaxed);
        slot.label.generation = stamp::generation_of(request);
        return slot;
    }
    // Nothing joins the slots that were taken: before the system call.
    void seal() noexcept { open_.end = kSealed; }
    // filled -> in_kernel, before the system call.
    void hand_over(S& slot) noexcept {
        // [model: slot-1] release: pairs with reclaim().
        slot.state.store(SlotState::in_kernel, std::memory_order_release);
    }
    // filled or in_kernel, and the kernel never had it -> free.
    void give_back(S& slot) noexcept {
        slot.request = nullptr;
        slot.state.store(SlotState::free, std::memory_order_relaxed);  // stays with this role
        returned_.add(1);
        stash_.push_back(slot.index);  // [model: slot-6]
    }
    // A slot to be submitted again; null if there is none. continuing -> filled.
    S* next_continuation() noexcept {
        std::uint32_t index = 0;
        if (!continuations_.pop(index))  // [model: slot-5]
            return nullptr;
        S& slot = slots_[index];
        // A repeated completion of the piece before must not pass for one of the piece to come.
        slot.generation.store(slot.generation.load(std::memory_order_relaxed) + 1,
                              std::memory_order_relaxed);
        label_again(slot);
        slot.state.store(SlotState::filled, std::memory_order_relaxed);
        return &slot;
    }
    bool has_continuation() const noexcept { return continuations_.size() != 0; }
    // filled, or in_kernel and the kernel never had it -> continuing: a retry that waits for its
    // time, or merged requests that go on one by one; on a list of the submit role's own.
    void put_off(S& slot, std::uint64_t due_ns) noexcept {
        slot.label.due_ns = due_ns;
        slot.state.store(SlotState::continuing, std::memory_order_relaxed);  // for describe()
        put_off_.push_back(slot.index);
    }
    // The one that was due first, if its time has come; else null. continuing -> filled.
    S* next_put_off(std::uint64_t now) noexcept {
        const auto first = first_put_off();
        if (first == put_off_.end() || slots_[*first].label.due_ns > now)
            return nullptr;
        S& slot = slots_[*first];
        *first = put_off_.back();
        put_off_.pop_back();
        label_again(slot);
        slot.state.store(SlotState::filled, std::memory_order_relaxed);
        return &slot;
    }
    bool has_put_off() const noexcept { return !put_off_.empty(); }
    // When the next of them is due. There must be one.
    std::uint64_t next_due_ns() noexcept { return slots_[*first_put_off()].label.due_ns; }

    // Its request is to be given up; one that was put off comes back at once.
    void ask(S& slot, Asked what) noexcept {
        slot.label.due_ns = 0;
        slot.asked.store(what, std::memory_order_release);  // pairs with the poll role's look
    }
    // The kernel has it, and its deadline has passed: for the poll role. At most three times
    // between two looks at the list: it may have been completed and taken again twice meanwhile.
    void note_late(S& slot) noexcept {
        ask(slot, Asked::late);
        late_.push(slot.index);
    }

    // -- poll role ---------------------------------------------------------------------------

    // reclaim() will follow soon.
    void expect(Token token) const noexcept {
        if (token.slot() < depth_)
            prefetch_to_write(&slots_[token.slot()]);
    }
    // in_kernel -> completed. Null for a completion of no living request.
    S* reclaim(Token token) noexcept {
        if (token.slot() >= depth_)
            return nullptr;
        S& slot = slots_[token.slot()];
        // [model: slot-2] acquire: pairs with hand_over(). The generation is looked at second: only
        // while the state says in_kernel does it stand still.
        if (slot.state.load(std::memory_order_acquire) != SlotState::in_kernel ||
            slot.generation.load(std::memory_order_relaxed) != token.generation())
            return nullptr;  // [model: slot-7]
        slot.state.store(SlotState::completed, std::memory_order_relaxed);
        return &slot;
    }
    // completed -> free.
    void release(S& slot) noexcept {
        debug_check(slot.state.load(std::memory_order_relaxed) == SlotState::completed,
                    "a released slot was completed");
        slot.request = nullptr;
        slot.state.store(SlotState::free, std::memory_order_relaxed);
        free_.push(slot.index);  // [model: slot-3] its release hands the slot over
        released_.add(1);
    }
    // completed -> continuing.
    void carry_on(S& slot) noexcept {
        debug_check(slot.state.load(std::memory_order_relaxed) == SlotState::completed,
                    "a continued slot was completed");
        slot.state.store(SlotState::continuing, std::memory_order_relaxed);
        continuations_.push(slot.index);  // [model: slot-4] its release hands the slot over
    }

    // One that was late when the submit role looked; perhaps another request's by now. Null: none.
    S* next_late() noexcept {
        std::uint32_t index = 0;
        return late_.pop(index) ? &slots_[index] : nullptr;
    }
    bool has_late() const noexcept { return late_.size() != 0; }

    // -- any thread --------------------------------------------------------------------------

    std::uint32_t depth() const noexcept { return depth_; }
    // True if the poll role has freed slots that nobody has taken; perhaps true while one is taken.
    bool any_released() const noexcept { return free_.size() != 0; }

    // Exact when quiet. What was given back is read first, so that the difference is never below 0.
    std::uint32_t in_use() const noexcept {
        const std::uint64_t back = released_.get() + returned_.get();
        std::atomic_thread_fence(std::memory_order_acquire);
        const std::uint64_t taken = taken_.get();
        // Slots that went round between the two looks count twice.
        return taken < back
                   ? 0
                   : static_cast<std::uint32_t>(std::min<std::uint64_t>(taken - back, depth_));
    }
    // For the leaving rule, on the poll role: all that it reclaimed it has released, so what is out
    // is with the submit role or the kernel, and shows as not free.
    bool all_free() const noexcept {
        for (std::uint32_t i = 0; i < depth_; ++i)
            // acquire: pairs with the stores above; a free slot is seen with what freed it.
            if (slots_[i].state.load(std::memory_order_acquire) != SlotState::free)
                return false;
        return true;
    }

    // Describes slot i if it holds a request and does not change under the reader's eyes.
    bool describe(std::uint32_t i, std::uint64_t now, InFlight& out) const noexcept {
        const S& slot = slots_[i];
        const std::uint32_t before = slot.generation.load(std::memory_order_acquire);
        const SlotState state = slot.state.load(std::memory_order_acquire);
        if (state == SlotState::free)
            return false;
        const std::uint64_t since = slot.label.since_ns.load(std::memory_order_relaxed);
        out.action = slot.label.action.load(std::memory_order_relaxed);
        out.channel = slot.label.channel.load(std::memory_order_relaxed);
        out.fd = slot.label.fd.load(std::memory_order_relaxed);
        out.offset = slot.label.offset.load(std::memory_order_relaxed);
        out.length = slot.label.length.load(std::memory_order_relaxed);
        out.merged = slot.label.members.load(std::memory_order_relaxed);
        out.age_ns = now > since ? now - since : 0;
        copy_stage(out, slot_state_name(state));
        std::atomic_thread_fence(std::memory_order_acquire);  // pairs with describe_as()'s fence
        return slot.generation.load(std::memory_order_relaxed) == before;
    }

    // The slots themselves, for the role that holds them and for drivers that cancel.
    S& at(std::uint32_t i) noexcept { return slots_[i]; }

  private:
    // Few at a time, if any: a scan is cheaper than keeping order.
    std::vector<std::uint32_t>::iterator first_put_off() noexcept {
        return std::min_element(put_off_.begin(), put_off_.end(),
                                [this](std::uint32_t a, std::uint32_t b) {
                                    return slots_[a].label.due_ns < slots_[b].label.due_ns;
                                });
    }
    static void copy_stage(InFlight& out, const char* name) noexcept {
        std::size_t i = 0;
        for (; name[i] != '\0' && i + 1 < sizeof(out.stage); ++i)
            out.stage[i] = name[i];
        out.stage[i] = '\0';
    }
    // As many as come with the first go as one, if they lie side by side; else one at a time.
    static void begin(S& slot, Request& first) noexcept {
        slot.request = &first;
        slot.retries = 0;
        slot.members = 1;
        // relaxed, both: hand_over() is yet to come.
        slot.asked.store(Asked::nothing, std::memory_order_relaxed);
        slot.told = false;
        slot.transfer.begin(first);
        if (first.followers != 0)
            begin_several(slot, first);
    }
    [[gnu::noinline]] static void begin_several(S& slot, Request& first) noexcept {
        slot.members = static_cast<std::uint16_t>(first.followers + 1);
        std::uint64_t end = first.offset + first.length;
        Request* last = &first;
        for (; first.followers != 0; --first.followers) {
            last = last->merged;
            if (last->offset != end) {
                slot.transfer.begin(first);
                first.followers = 0;
                return;
            }
            end += last->length;
            slot.transfer.add(first, *last);
        }
    }
    // Others may join a slot that was just taken. Without a limit it is sealed from the beginning.
    [[gnu::noinline]] void open(S& slot) noexcept {
        Request& request = *slot.request;
        if (slot.members != 1 || !can_be_merged(request)) {
            seal();
            return;
        }
        open_ = {&slot,
                 &request,
                 request.offset + request.length,
                 request.length,
                 request.fd,
                 1,
                 request.flags,
                 request.io_priority,
                 request.action,
                 request.queue};
    }
    // Some of those that were merged are done.
    static void label_again(S& slot) noexcept {
        if (slot.label.members.load(std::memory_order_relaxed) == slot.members)
            return;
        slot.label.offset.store(slot.request->offset, std::memory_order_relaxed);
        slot.label.length.store(bytes_ahead(slot), std::memory_order_relaxed);
        slot.label.members.store(slot.members, std::memory_order_relaxed);
        slot.label.request = slot.request;
    }
    // As in the request; of several their sum.
    static std::uint64_t bytes_ahead(const S& slot) noexcept {
        return slot.members == 1 ? slot.request->length : bytes_of_several(slot);
    }
    [[gnu::noinline]] static std::uint64_t bytes_of_several(const S& slot) noexcept {
        std::uint64_t bytes = 0;
        const Request* request = slot.request;
        for (unsigned left = slot.members; left != 0; --left, request = request->merged)
            bytes += request->length;
        return bytes;
    }
    static void describe_as(S& slot, const Request& request, std::uint64_t now) noexcept {
        slot.generation.store(slot.generation.load(std::memory_order_relaxed) + 1,
                              std::memory_order_relaxed);
        // A reader that sees any label below sees the new generation too.
        std::atomic_thread_fence(std::memory_order_release);
        slot.label.offset.store(request.offset, std::memory_order_relaxed);
        slot.label.length.store(bytes_ahead(slot), std::memory_order_relaxed);
        slot.label.members.store(slot.members, std::memory_order_relaxed);
        slot.label.since_ns.store(now, std::memory_order_relaxed);
        slot.label.fd.store(request.fd, std::memory_order_relaxed);
        slot.label.action.store(request.action, std::memory_order_relaxed);
        slot.label.channel.store(request.queue, std::memory_order_relaxed);
        slot.label.cancel_sent = false;
        slot.label.tells_early = (request.flags & kFlagEarlyResult) != 0;
        slot.label.generation = stamp::generation_of(request);
        slot.label.request = &request;
        slot.label.deadline_ns = stamp::deadline_of(request);
    }

    static constexpr std::uint64_t kSealed = UINT64_MAX;  // beyond the end of any transfer

    // constant after construction
    const std::uint32_t depth_;
    const std::uint32_t merge_limit_;
    const std::unique_ptr<S[]> slots_;
    const std::unique_ptr<iovec[]> windows_;

    // poll role -> submit role
    SpscRing free_;
    SpscRing continuations_;

    // submit role -> poll role
    SpscRing late_;

    // submit role
    alignas(64) std::vector<std::uint32_t> stash_;
    std::vector<std::uint32_t> put_off_;
    RoleCounter taken_;
    RoleCounter returned_;
    // The slot that was taken last, and what joins it has to be like.
    struct Open {
        S* slot = nullptr;
        Request* last = nullptr;      // of its members
        std::uint64_t end = kSealed;  // where the next one has to begin
        std::uint64_t bytes = 0;
        std::int32_t fd = -1;
        std::uint16_t members = 0;
        std::uint16_t flags = 0;
        std::uint16_t io_priority = 0;
        IOAction action = IOAction::none;
        Channel queue = Channel::automatic;
    } open_;

    // poll role
    alignas(64) RoleCounter released_;
};

}  // namespace v0
}  // namespace ioengine
