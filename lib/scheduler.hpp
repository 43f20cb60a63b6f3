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

// Takes the front of the queue if it can share the place of the request before it.
template <class S>
bool append_front(RequestQueue& queue, Request& request, S& slots) noexcept {
    if constexpr (requires { slots.append(request); }) {
        if (!slots.may_append(request))
            return false;
        queue.take();
        slots.append(request);
        return true;
    } else {
        return false;
    }
}

struct Moved {
    std::size_t places = 0;
    std::size_t requests = 0;
};

// Into `max` places at most.
template <SlotCollection S>
Moved move_from(RequestQueue& queue, std::size_t max, S& slots) {
    Moved moved;
    while (Request* const request = queue.front()) {
        if (!append_front(queue, *request, slots)) {
            if (moved.places == max)
                break;
            queue.take();
            push_into(slots, *request);
            ++moved.places;
        }
        ++moved.requests;
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
Moved take_turn(IoSharedContext& context, std::size_t max, S& slots) {
    Turns& turns = context.turns;
    for (int tries = 0; tries < 2; ++tries) {
        RequestQueue& queue = turns.reads ? context.read : context.write;
        const Moved moved = move_from(queue, std::min<std::size_t>(max, turns.left), slots);
        if (moved.requests != 0) {
            turns.left -= static_cast<std::uint32_t>(moved.places);
            if (turns.left == 0)
                next_turn(context);
            return moved;
        }
        next_turn(context);
    }
    return {};
}

}  // namespace scheduling

// Moves requests from the context's queues into `slots`, as long as they need no more than `quota`
// places; returns how many requests. Submit role.
template <SlotCollection S>
std::size_t poll_request_from_queues(IoSharedContext& context, std::size_t quota, S& slots) {
    using scheduling::Moved;
    Turns& turns = context.turns;
    const std::size_t burst = context.config.priority_burst;
    Moved all;
    const auto add = [&all](const Moved& moved) {
        all.places += moved.places;
        all.requests += moved.requests;
    };
    while (all.places < quota) {
        const std::size_t room = quota - all.places;
        const bool others_turn = burst != 0 && turns.priority_run >= burst;
        if (!others_turn && context.prio.waiting() != 0) {
            const std::size_t max =
                burst == 0 ? room : std::min<std::size_t>(room, burst - turns.priority_run);
            const Moved moved = scheduling::move_from(context.prio, max, slots);
            if (burst != 0)
                turns.priority_run += static_cast<std::uint32_t>(moved.places);
            add(moved);
            if (moved.requests != 0)
                continue;
        }
        Moved moved;
        if (context.read.waiting() + context.write.waiting() != 0)
            moved = scheduling::take_turn(context, others_turn ? 1 : room, slots);
        add(moved);
        turns.priority_run = 0;
        if (moved.requests == 0 && !others_turn)
            break;
    }
    return all.requests;
}

}  // namespace v0
}  // namespace ioengine
