// SPDX-License-Identifier: MIT
//
// Merging: requests that lie side by side in a file go to the kernel as one.
//
//   requests    [0, 4K) [4K, 8K) [8K, 9K)     each with a buffer and a callback of its own
//   their slot  [0, 9K)                       one vectored transfer; nothing is copied
//
// They find each other in two ways. With Options::merge the submit role adds to the slot that it
// took last, until that is handed over: SlotPool::append(). By IOMergeSubmitter they come through
// the queue as one: the first says how many follow it.
//
// Each member is answered for itself. If the kernel has done it all, each has all its bytes. A
// passing error (EAGAIN) has it all tried again. After anything else the group is broken up: the
// members that the bytes cover are done, and the others go to the kernel one at a time, in the slot
// that they have and before any new work. So each hears what it would have heard alone: one over a
// bad sector fails, and only that one; one over the end of the file is short. (But for nonsense:
// more bytes than were asked for is EIO, and among several a few too many look like the next
// one's.)
#pragma once

#include "lib/piece.hpp"
#include "lib/short_io.hpp"
#include "lib/slot.hpp"

#include <ioengine/merge_buffer.hpp>
#include <ioengine/request.hpp>

#include <cerrno>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

static_assert(kMergeMax <= Transfer::kWindow, "a vector for every member");

// Calls f(request) for each that comes through the queue as one. f may hand it to somebody else.
template <class F>
void for_each_member(Request& first, F&& f) {
    Request* request = &first;
    for (unsigned left = first.followers;; --left) {
        Request* const next = left != 0 ? request->merged : nullptr;
        request->followers = 0;
        f(*request);
        if (next == nullptr)
            return;
        request = next;
    }
}

// The next member goes on alone; false if there is none. The one before is the caller's to finish.
inline bool next_member(Slot& slot) noexcept {
    if (slot.members == 1)
        return false;
    --slot.members;
    slot.request = slot.request->merged;
    slot.retries = 0;
    slot.transfer.begin(*slot.request);
    return true;
}

namespace merging {

// All at once, with `error`, or, if that is 0, with all their bytes.
template <class Finish>
void finish_all(Slot& slot, std::int64_t error, Finish& finish) noexcept {
    for (bool more = true; more;) {
        Request& member = *slot.request;
        more = next_member(slot);
        finish(member, error != 0 ? error : static_cast<std::int64_t>(member.length));
    }
}

}  // namespace merging

// What a completion means for a slot of several: `done` if all of them are finished.
// `finish(request, result)` is called for each that is. Poll role.
template <class ShapeOf, class Finish>
[[gnu::noinline]] Verdict settle_members(Slot& slot, std::int64_t result, bool cancelling,
                                         ShapeOf& shape_of, Finish& finish) noexcept {
    const auto judge = [&](std::int64_t value) {
        return short_io(*slot.request, slot.transfer, slot.retries, value, cancelling, shape_of);
    };
    const auto one = [&](const Judgement& judgement) {
        if (judgement.verdict != Verdict::done)
            return judgement.verdict;
        Request& member = *slot.request;
        const bool more = next_member(slot);
        finish(member, judgement.result);
        return more ? Verdict::carry_on : Verdict::done;
    };
    const Judgement judgement = judge(result);
    if (!slot.transfer.is_merged())
        return one(judgement);
    if (judgement.verdict == Verdict::retry)
        return Verdict::retry;

    const bool whole = slot.transfer.bytes_left() == 0 && judgement.result >= 0;
    if (whole || (cancelling && judgement.result < 0)) {
        merging::finish_all(slot, whole ? 0 : -ECANCELED, finish);
        return Verdict::done;
    }
    // Broken up. What is covered is less than all of it.
    std::uint64_t covered = slot.transfer.bytes_done();
    slot.retries = 0;
    slot.transfer.begin(*slot.request);
    while (covered >= slot.request->length) {
        Request& member = *slot.request;
        covered -= member.length;
        next_member(slot);
        finish(member, static_cast<std::int64_t>(member.length));
    }
    return covered == 0 ? Verdict::carry_on : one(judge(static_cast<std::int64_t>(covered)));
}

// The kernel did not take a slot, with -errno: what was merged goes on one at a time, unless `all`
// are to hear of it; otherwise the member whose turn it is is finished. True if the slot goes on.
// Submit role.
template <class Finish>
bool refuse(Slot& slot, std::int64_t error, bool all, Finish&& finish) noexcept {
    if (slot.transfer.is_merged()) {
        slot.retries = 0;
        slot.transfer.begin(*slot.request);
        if (!all)
            return true;
    }
    for (;;) {
        Request& member = *slot.request;
        slot.retries = kPieceRetriesMax;
        const Judgement judgement = short_io(member, slot.transfer, slot.retries, error, true,
                                             [](int) { return FileShape{}; });
        const bool more = next_member(slot);
        finish(member, judgement.result);
        if (!more || !all)
            return more;
    }
}

}  // namespace v0
}  // namespace ioengine
