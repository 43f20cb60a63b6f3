// SPDX-License-Identifier: MIT
//
// The scheduler: which waiting requests go to the kernel next, within the free slots.
//
//   1. priority requests first
//   2. reads and writes take turns: up to read_budget reads, then up to write_budget writes, as
//      long as both wait; an empty class gives its turn away
//   3. with priority_burst = n, after n priority requests in a row one waiting read or write goes
//
// Bounds, as numbers of requests handed to the kernel before the oldest one of a class, when all
// classes always have work: a write waits for at most read_budget reads, a read for at most
// write_budget writes; each of those for at most priority_burst priority requests, or for ever if
// that is 0. Within a class it is first in, first out per submitting thread, because whoever holds
// the submit role is the only consumer.
//
// Each request is built into its slot in the push that takes it: there is no list in between. With
// merging, neighbours share a slot, see lib/merging.hpp; budgets and bounds count slots then.
#pragma once

#include "lib/shared_context.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace ioengine {
inline namespace v0 {

// Takes requests from the scheduler and builds the kernel's form of each at once. A driver's slots,
// or, to look at the order alone, a plain vector.
inline void push_into(std::vector<Request*>& list, Request& request) {
    list.push_back(&request);
}

template <class S>
requires requires(S& slots, Request& request) {
    slots.push(request);
}
void push_into(S& slots, Request& request) noexcept {
    slots.push(request);
}

template <class S>
concept SlotCollection = requires(S& slots, Request& request) {
    push_into(slots, request);
};

namespace scheduling {

// Places that requests may share say so by append(): false if this one needs a place of its own.
template <class S>
bool append_to(S& slots, Request& request) noexcept {
    if constexpr (requires { slots.append(request); })
        return slots.append(request);
    else
        return false;
}

// Into `max` places at most.
template <SlotCollection S>
std::size_t move_from(RequestQueue& queue, std::size_t max, S& slots) {
    std::size_t moved = 0;
    while (Request* const request = queue.front()) {
        if (append_to(slots, *request)) {
            queue.take();
            continue;
        }
        if (moved == max)
            break;
        queue.take();
        push_into(slots, *request);
        ++moved;
    }
    return moved;
}

inline void next_turn(IoSharedContext& context) noexcept {
    Turns& turns = context.turns;
    turns.reads = !turns.reads;
    turns.left = turns.reads ? context.config.read_budget : context.config.write_budget;
}

// From the class whose turn it is, or the other one if that is empty.
template <SlotCollection S>
std::size_t take_turn(IoSharedContext& context, std::size_t max, S& slots) {
    Turns& turns = context.turns;
    for (int tries = 0; tries < 2; ++tries) {
        RequestQueue& queue = turns.reads ? context.read : context.write;
        const std::size_t n = move_from(queue, std::min<std::size_t>(max, turns.left), slots);
        if (n != 0) {
            turns.left -= static_cast<std::uint32_t>(n);
            if (turns.left == 0)
                next_turn(context);
            return n;
        }
        next_turn(context);
    }
    return 0;
}

}  // namespace scheduling

// Moves requests from the context's queues into `slots`, as long as they need no more than `quota`
// places; returns how many they needed. Submit role.
template <SlotCollection S>
std::size_t poll_request_from_queues(IoSharedContext& context, std::size_t quota, S& slots) {
    Turns& turns = context.turns;
    const std::size_t burst = context.config.priority_burst;
    std::size_t moved = 0;
    while (moved < quota) {
        const std::size_t room = quota - moved;
        const bool others_turn = burst != 0 && turns.priority_run >= burst;
        if (!others_turn) {
            const std::size_t max =
                burst == 0 ? room : std::min<std::size_t>(room, burst - turns.priority_run);
            const std::size_t n = scheduling::move_from(context.prio, max, slots);
            if (burst != 0)
                turns.priority_run += static_cast<std::uint32_t>(n);
            moved += n;
            if (n != 0)
                continue;
        }
        const std::size_t n = scheduling::take_turn(context, others_turn ? 1 : room, slots);
        moved += n;
        turns.priority_run = 0;
        if (n == 0 && !others_turn)
            break;
    }
    return moved;
}

}  // namespace v0
}  // namespace ioengine
