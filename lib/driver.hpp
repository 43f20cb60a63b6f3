// SPDX-License-Identifier: MIT
//
// Driver: what the steps ask of a backend. Drivers have no loops over time and no threads: submit()
// and reap() never wait, wait() does and only runners call it.
//
// Each member says which role may call it. Every driver is a template over its kernel, the thin set
// of calls behind which tests put a fault layer or a simulation.
#pragma once

#include "lib/engine_stats.hpp"
#include "lib/registered.hpp"
#include "lib/short_io.hpp"
#include "lib/slot.hpp"

#include <concepts>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

// The engine's own messages through the kernel, in places of their own beside the slots.
enum class Signal : std::uint32_t {
    nudge = 0xFFFF'FFFFu,   // wakes the poller, see lib/nudge.hpp
    leave = 0xFFFF'FFFEu,   // the exit signal: a zero-length read
    cancel = 0xFFFF'FFFDu,  // the answer to a cancellation; says nothing about the cancelled
    wake = 0xFFFF'FFFCu,    // the bell rang, see lib/bell.hpp
};
constexpr Token token_of(Signal signal) noexcept {
    return Token::of(static_cast<std::uint32_t>(signal), 0);
}

// A completion as the kernel gave it: >= 0 bytes, < 0 is -errno.
struct Completion {
    Token token;
    std::int64_t result = 0;
};

// Where a request is to be done.
enum class Route : std::uint8_t {
    kernel,   // by this backend
    offload,  // by a system call on a helper thread: the backend lacks it
    done,     // nowhere: it is a no-op
};

// What became of one submit().
struct Handed {
    std::uint32_t count = 0;  // taken by the kernel
    int error = 0;            // 0: nothing is left over; else why the rest must be tried again
    int broken = 0;  // errno by which the whole interface failed; all that was pushed is refused
    bool nudge_refused = false;  // the kernel would not take our own messages: they are owed
    bool leave_refused = false;
    bool cancel_refused = false;
    bool wake_refused = false;
};

// Told of each slot that the kernel refused, with -errno.
template <class F, class S>
concept RefuseFunction = std::invocable<F&, S&, std::int64_t>;

template <class D>
concept Driver = requires(D& driver, Request& request, typename D::Slot& slot, Completion* out,
                          void (*refuse)(typename D::Slot&, std::int64_t), const TableItem* items) {
    requires SlotType<typename D::Slot>;
    { driver.slots() }
    noexcept->std::same_as<SlotPool<typename D::Slot>&>;
    // submit role: where it goes, or -errno as an answer that both backends give alike.
    { driver.route(request) }
    noexcept->std::same_as<Route>;
    { driver.refusal(request) }
    noexcept->std::same_as<int>;
    // any thread: what Route::offload asks for, by a blocking system call.
    { driver.run_here(request) }
    noexcept->std::same_as<std::int64_t>;
    // submit role: may handing it over hold up the calling thread for as long as somebody else
    // pleases? Only a thread that has nothing else to do may do it then.
    { driver.may_block(request) }
    noexcept->std::same_as<bool>;
    // submit role: may it hold it up for as long as a device takes?
    { driver.may_wait(request) }
    noexcept->std::same_as<bool>;
    // submit role: how many pushes there is room for before the next submit().
    { driver.room() }
    noexcept->std::same_as<std::size_t>;
    // submit role: request -> slot -> iocb or SQE, in one go. There must be a free slot and room.
    driver.push(request, std::uint64_t{});
    // submit role: request joins the slot that was pushed last; slots().may_append() said it may.
    driver.append(request);
    // submit role: the next piece of a slot that continues.
    driver.push_again(slot);
    // submit role: all that was pushed -> kernel, errno by errno. Seals the slots.
    { driver.submit(refuse) }
    noexcept->std::same_as<Handed>;
    // where one thread holds both roles: if it can, the next submit() that hands over something
    // also sleeps, as wait() does without a limit.
    { driver.can_sleep_in_submit() }
    noexcept->std::same_as<bool>;
    driver.sleep_in_next_submit();
    // submit role: what was pushed and not handed over is refused with this -errno. True if
    // cancellations were among it.
    { driver.abandon(refuse, std::int64_t{}) }
    noexcept->std::same_as<bool>;
    // submit role: queues one of the engine's own messages; false if there is no room now.
    { driver.push_signal(Signal::nudge) }
    noexcept->std::same_as<bool>;
    // submit role: has the kernel taken everything that submit() says it has handed over?
    { driver.all_taken() }
    noexcept->std::same_as<bool>;
    // submit role: asks the kernel to give this slot's request up, which it may not do. False if
    // it could not be asked now.
    { driver.cancel(slot) }
    noexcept->std::same_as<bool>;
    // poll role: what is there, without waiting.
    { driver.reap(out, std::uint32_t{}) }
    noexcept->std::same_as<std::uint32_t>;
    // poll role: how many reap() would find now; 0 if that is not known without a system call.
    { driver.completions_ready() }
    noexcept->std::same_as<std::uint32_t>;
    // any thread: does completions_ready() know?
    { driver.sees_completions() }
    noexcept->std::same_as<bool>;
    // poll role: sleeps until reap() has something, or limit_ns have passed (negative: without
    // limit); 0 or -errno.
    { driver.wait(std::int64_t{}) }
    noexcept->std::same_as<int>;
    // any thread: does wait() know limits?
    { driver.limits_waits() }
    noexcept->std::same_as<bool>;
    // any thread: does a completion interrupt the thread that submitted, whatever it does then?
    { driver.interrupts_submitter() }
    noexcept->std::same_as<bool>;
    // poll role.
    { driver.shape_of(0) }
    noexcept->std::same_as<FileShape>;
    // where one thread holds both roles: the first and the last thing that this thread does. 0 or
    // -errno.
    { driver.bind() }
    noexcept->std::same_as<int>;
    driver.unbind();
    // any thread: a descriptor that poll(2) finds readable when wait() would not sleep, or -errno.
    // Only where one thread holds both roles.
    { driver.completion_fd() }
    noexcept->std::same_as<int>;
    // both roles: from now on, until the next reap(), that descriptor is readable.
    driver.remind();
    // both roles, on one thread: is something in the kernel that comes to its end only when this
    // thread looks for it, by reap() or wait()? That descriptor does not tell of it.
    { driver.polls() }
    noexcept->std::same_as<bool>;
    // the kernel's table of registered buffers or files: its places, 0 if there is none.
    { driver.table_places(TableKind::files) }
    noexcept->std::same_as<std::uint32_t>;
    // where the kernel listens, Runner::visit(): fills places, or clears them; how many, or -errno.
    { driver.update_table(TableKind::files, 0u, items, 1u) }
    noexcept->std::same_as<int>;
    // after both roles have ended.
    driver.close();
};

}  // namespace v0
}  // namespace ioengine
