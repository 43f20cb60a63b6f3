// SPDX-License-Identifier: MIT
//
// Giving up: what the submit role does about orders to cancel, and about deadlines that have
// passed. Part of submit_step().
//
//   where the request is          what happens
//   queued, or set aside          it ends here: ECANCELED or ETIMEDOUT
//   in the kernel                 the slot says `asked`, and the kernel is asked to give it up,
//                                 which it may not do; the completion decides
//   completed, not yet looked at  the poll role sees `asked`, or does not: then it stands, or comes
//   waits to go on                back here and ends here
//   on a helper thread, or done   nothing: it ends by itself
//
// So a request has one end, whichever of the two comes first, and it comes from whoever holds it.
// Several that were merged are given up together, if all are meant; one of them is not, its real
// result stands.
#pragma once

#include "lib/driver.hpp"
#include "lib/lease.hpp"
#include "lib/shared_context.hpp"
#include "lib/stamp.hpp"

#include <algorithm>
#include <cstdint>

namespace ioengine {
inline namespace v0 {
namespace steps {

// What has not reached the kernel and `matches` ends with `result`. True if there was any.
template <class Role, class Matches>
bool end_unsent(IoSharedContext& context, Role& role, std::int64_t result, Matches&& matches) {
    const auto end = [&](Request& request) {
        request.result = result;
        context.ready.push(request);
        role.published = true;
    };
    bool left_queue = context.prio.remove_if(matches, end);
    left_queue |= context.read.remove_if(matches, end);
    left_queue |= context.write.remove_if(matches, end);
    if (left_queue)
        context.space.notify_urgent();
    return role.set_aside.remove_if(matches, end) != 0 || left_queue;
}

// Asks for a slot's request. Once the kernel could not be asked for one, it is not tried with the
// others: the next step does, see ask_on().
template <Driver D, class Role>
void ask_for(Role& role, D& driver, typename D::Slot& slot, Asked what) {
    // relaxed: only this role says it. A deadline counts for more: it may be told early.
    if (slot.asked.load(std::memory_order_relaxed) < what)
        driver.slots().ask(slot, what);
    // acquire: pairs with the poll role's stores. One that it holds it sees to, or sends back.
    if (slot.label.cancel_sent ||
        slot.state.load(std::memory_order_acquire) != SlotState::in_kernel)
        return;
    slot.label.cancel_sent = !role.asks_on && driver.cancel(slot);
    role.asks_on |= !slot.label.cancel_sent;
}

template <Driver D, class Role>
void carry_out(IoSharedContext& context, Role& role, D& driver, const CancelBatch& orders) {
    end_unsent(context, role, result_of(Asked::cancelled), [&orders](const Request& request) {
        return orders.covers({&request, request.fd, request.queue, stamp::generation_of(request)});
    });
    for (std::uint32_t i = 0; i < driver.slots().depth(); ++i) {
        auto& slot = driver.slots().at(i);
        if (slot.state.load(std::memory_order_acquire) == SlotState::free)  // see ask_for()
            continue;
        // relaxed: the label is this role's.
        const SlotLabel& label = slot.label;
        const bool is_one = label.members.load(std::memory_order_relaxed) == 1;
        if (orders.covers({is_one ? label.request : nullptr,
                           label.fd.load(std::memory_order_relaxed),
                           label.channel.load(std::memory_order_relaxed), label.generation}))
            ask_for(role, driver, slot, Asked::cancelled);
    }
}

// True if there was any.
template <Driver D, class Role>
bool carry_out_orders(IoSharedContext& context, Role& role, D& driver) {
    CancelOrder* const orders = context.cancel_orders.take_all();
    if (orders != nullptr)
        carry_out(context, role, driver, CancelBatch(orders));
    return orders != nullptr;
}

// A ring that takes nothing any more is left alone until it has taken something: or cancellations
// would fill it in every step, and what is to be refused would find no room.
template <class Role>
bool must_ask(const Role& role) noexcept {
    return !role.is_broken && (role.asks_on || (role.asks_again && role.attempts == 0));
}

// For the slots that the kernel could not be asked for; or for all that it was. What is asked of an
// entry that the kernel does not have, or by one that is withdrawn, comes to nothing: it is asked
// again once a submit call has taken everything.
template <Driver D, class Role>
void ask_on(Role& role, D& driver) {
    const bool again = role.asks_again && role.attempts == 0;
    role.asks_on = false;
    if (again)
        role.asks_again = false;
    for (std::uint32_t i = 0; i < driver.slots().depth(); ++i) {
        auto& slot = driver.slots().at(i);
        const Asked asked = slot.asked.load(std::memory_order_relaxed);  // this role's word
        if (asked == Asked::nothing ||
            slot.state.load(std::memory_order_acquire) == SlotState::free)  // see ask_for()
            continue;
        if (again)
            slot.label.cancel_sent = false;
        ask_for(role, driver, slot, asked);
    }
}

// A slot whose deadline has passed. False: look again soon. `all_taken`: by the kernel, of what was
// pushed before.
template <Driver D, class Role>
bool time_out(Role& role, D& driver, typename D::Slot& slot, bool all_taken) {
    ask_for(role, driver, slot, Asked::timed_out);
    if (!slot.label.tells_early)
        return true;
    if (!all_taken)
        return false;
    slot.label.tells_early = false;
    driver.slots().note_late(slot);
    role.published = true;
    return true;
}

// Requests that are late, if there can be any. True if one was found.
template <Driver D, class Role>
bool time_out_late_ones(IoSharedContext& context, Role& role, D& driver) {
    constexpr std::uint64_t kSoonNs = 1'000'000;
    const std::uint64_t nearest = context.deadlines.nearest();
    if (nearest == Deadlines::kNever)
        return false;
    const std::uint64_t now = context.clock_ns();
    if (now < nearest)
        return false;
    context.deadlines.forget();
    const bool all_taken = role.attempts == 0 && driver.all_taken();
    std::uint64_t next = Deadlines::kNever;
    bool found = end_unsent(context, role, result_of(Asked::timed_out),
                            [&next, now](const Request& request) {
                                const std::uint64_t deadline_ns = stamp::deadline_of(request);
                                if (deadline_ns > now)
                                    next = std::min(next, deadline_ns);
                                return deadline_ns != 0 && deadline_ns <= now;
                            });
    for (std::uint32_t i = 0; i < driver.slots().depth(); ++i) {
        auto& slot = driver.slots().at(i);
        const std::uint64_t deadline_ns = slot.label.deadline_ns;
        if (deadline_ns == 0 ||
            slot.state.load(std::memory_order_acquire) == SlotState::free)  // see ask_for()
            continue;
        if (deadline_ns > now) {
            next = std::min(next, deadline_ns);
            continue;
        }
        found = true;
        if (!time_out(role, driver, slot, all_taken))
            next = std::min(next, now + kSoonNs);
    }
    context.deadlines.note(next);
    return found;
}

// True if there was anything to give up.
template <Driver D, class Role>
bool give_up_some(IoSharedContext& context, Role& role, D& driver) {
    if (must_ask(role))
        ask_on(role, driver);
    const bool ordered = context.cancel_orders.any() && carry_out_orders(context, role, driver);
    const bool found = time_out_late_ones(context, role, driver) || ordered;
    role.asks_again |= found && role.attempts != 0;
    return found;
}

}  // namespace steps
}  // namespace v0
}  // namespace ioengine
