// SPDX-License-Identifier: MIT
//
// The user's and the scheduler's side of the contract, and the counters.
#include "tests/sim/oracle.hpp"

#include "lib/piece.hpp"
#include "tests/sim/failure.hpp"

#include <cerrno>

namespace sim {

using ioengine::Channel;
using ioengine::IOAction;

namespace {

unsigned long long number(const Subject& subject) noexcept {
    return subject.number;
}

}  // namespace

// -- the user's side -------------------------------------------------------------------------

void Oracle::accepted(Subject& subject, bool drivers, bool silent) {
    subject.is_drivers = drivers;
    subject.is_silent = silent;
    silent_ += silent ? 1 : 0;
    registered_ += subject.buffer_index != 0 ? 1 : 0;
    subject.state = Subject::State::engine;
    subject.number = ++accepted_;
    subject.queue_number = ++accepted_in_[index(subject.queue)];
    subject.patience_seen = patience_ends_;
    subject.may_be_cancelled = subject.told_early = false;
    history_.add(Event::accepted, subject.number, static_cast<std::int64_t>(subject.asked),
                 static_cast<std::int64_t>(subject.queue));
}

void Oracle::notice(Subject& subject) {
    const std::int64_t result = subject.result;
    history_.add(Event::notice, subject.number, result);
    if (subject.state != Subject::State::engine)
        fail("a notice of request #%llu, which is not the engine's", number(subject));
    if (subject.in_kernel)
        fail("a notice of request #%llu while the kernel still has it", number(subject));
    if (subject.told_early ? result != -ETIMEDOUT : !is_right(subject, result))
        fail("request #%llu ends with %lld; the kernel's answers lead to %lld (%s)",
             number(subject), static_cast<long long>(result),
             static_cast<long long>(subject.final_result),
             subject.next == Next::again     ? "and it was to be tried again"
             : subject.next == Next::nothing ? "or rather, it gave none"
                                             : "that is final");
    contents_.settle(subject, result);
    contents_.let_go(subject);
    subject.state = Subject::State::user;
    ++noticed_;
    silent_ -= subject.is_silent ? 1 : 0;
    cancelled_ += result == -ECANCELED ? 1 : 0;
    timed_out_ += result == -ETIMEDOUT ? 1 : 0;
    if (result < 0)
        ++failed_;
    else if (ioengine::is_read(subject.asked))
        bytes_read_ += static_cast<std::uint64_t>(result);
    else if (ioengine::is_write(subject.asked))
        bytes_written_ += static_cast<std::uint64_t>(result);
}

void Oracle::told(Subject& subject) {
    history_.add(Event::told, subject.number, subject.result);
    if (subject.state != Subject::State::engine)
        fail("an early result of request #%llu, which is not the engine's", number(subject));
    if (subject.told_early)
        fail("a second early result of request #%llu", number(subject));
    // It was late when it was told, whatever has come since.
    subject.told_early = subject.result == -ETIMEDOUT && world_.now_ns() >= subject.deadline_ns;
    if (!subject.told_early && (subject.in_kernel || !is_right(subject, subject.result)))
        fail("request #%llu is told %lld, and the kernel has not said so", number(subject),
             static_cast<long long>(subject.result));
}

// What the kernel has done to the end stands.
bool Oracle::may_be_given_up(const Subject& subject, std::int64_t result) const {
    if (subject.next == Next::notice && subject.final_result != -ECANCELED)
        return false;
    return (result == -ECANCELED && subject.may_be_cancelled) ||
           (result == -ETIMEDOUT && subject.deadline_ns != 0 &&
            world_.now_ns() >= subject.deadline_ns);
}

bool Oracle::is_right(const Subject& subject, std::int64_t result) const {
    if (subject.ran_here)
        return result == subject.final_result;
    if (may_be_given_up(subject, result))
        return true;
    if (subject.refused_answer != 0) {
        // No more can be had than what was moved before: that, where it is on the file for good.
        const int error = -subject.refused_answer;
        const bool keeps_bytes = error == ENOSPC || error == EINVAL;
        return result == (keeps_bytes && subject.bytes_done != 0
                              ? static_cast<std::int64_t>(subject.bytes_done)
                              : subject.refused_answer);
    }
    switch (subject.next) {
    case Next::notice:
        return result == subject.final_result;
    case Next::either:
        return result == subject.final_result || engine_may_say(subject, result);
    case Next::again:
        return engine_may_say(subject, result);
    case Next::nothing:
        break;
    }
    if (engine_may_say(subject, result))
        return true;
    if (subject.misaligned)
        return result == -EINVAL;
    return scene_.backend == Backend::aio && subject.asked == IOAction::nop && result == 0;
}

// Errors that the engine makes itself, and what gives it the right to.
bool Oracle::engine_may_say(const Subject& subject, std::int64_t result) const {
    if (result == -ECANCELED)
        return cancelling_;
    if (subject.withdrawn && result == subject.withdrawn_after && result < 0) {
        const bool passing = result == -EAGAIN || result == -EBUSY || result == -ENOMEM;
        return !passing || patience_ends_ > subject.patience_seen;
    }
    // EBUSY is withdrawn, and so seen there; but for those who wait behind another in its slot.
    if (result == -EAGAIN || result == -ENOMEM || (result == -EBUSY && subject.in_company))
        return patience_ends_ > subject.patience_seen;
    return false;
}

// -- the scheduler ---------------------------------------------------------------------------

void Oracle::scheduled(const ioengine::Request& request) {
    // What is cancelled is not scheduled, so the counts are not known.
    if (cancelling_ || scene_.cancels_ppm != 0 || scene_.deadlines_ppm != 0)
        return;
    const std::size_t mine = index(request.queue);
    ++scheduled_in_[mine];
    passed_over_[mine] = 0;
    if (request.queue == Channel::prio) {
        const bool others_wait = waiting(Channel::read) + waiting(Channel::write) != 0;
        priority_in_row_ = others_wait ? priority_in_row_ + 1 : 0;
        const std::uint32_t burst = scene_.config.priority_burst;
        if (burst != 0 && priority_in_row_ > burst * per_slot())
            fail("%llu priority requests in a row while others wait; the bound is %u slots",
                 static_cast<unsigned long long>(priority_in_row_), burst);
        return;
    }
    priority_in_row_ = 0;
    const Channel other = request.queue == Channel::read ? Channel::write : Channel::read;
    if (waiting(other) == 0)
        return;
    const std::uint32_t budget =
        request.queue == Channel::read ? scene_.config.read_budget : scene_.config.write_budget;
    if (++passed_over_[index(other)] > budget * per_slot())
        fail("a %s waits while %llu requests of the other kind pass it; the bound is %u slots",
             other == Channel::read ? "read" : "write",
             static_cast<unsigned long long>(passed_over_[index(other)]), budget);
}

// -- counters --------------------------------------------------------------------------------

void Oracle::glance(const ioengine::Stats& stats) const {
    const auto contradicts = [](const char* what, std::uint64_t counted, std::uint64_t seen) {
        fail("%s: the engine counts %llu, there were %llu", what,
             static_cast<unsigned long long>(counted), static_cast<unsigned long long>(seen));
    };
    if (stats.accepted < accepted_)
        contradicts("accepted requests", stats.accepted, accepted_);
    if (stats.completed > noticed_ + silent_)
        contradicts("completed requests", stats.completed, noticed_);
    if (stats.completed > stats.accepted)
        contradicts("completed of accepted requests", stats.completed, stats.accepted);
    // Those that are submitted as one need one place.
    const std::uint64_t limit = scene_.config.queue_limit + per_slot() - 1;
    for (const std::uint64_t queued : {stats.queued_prio, stats.queued_read, stats.queued_write})
        if (queued > limit)
            contradicts("requests in a queue of limited length", queued, limit);
}

void Oracle::check_end(const ioengine::Stats& stats) {
    glance(stats);
    const auto must_be = [](const char* what, std::uint64_t is, std::uint64_t should_be) {
        if (is != should_be)
            fail("at the end: %s are %llu, not %llu", what, static_cast<unsigned long long>(is),
                 static_cast<unsigned long long>(should_be));
    };
    must_be("notices", noticed_, accepted_);
    must_be("accepted requests", stats.accepted, accepted_);
    must_be("completed requests", stats.completed, accepted_);
    must_be("pending requests", stats.pending, 0);
    must_be("queued requests", stats.queued_prio + stats.queued_read + stats.queued_write, 0);
    must_be("slots in use", stats.running, 0);
    must_be("failed requests", stats.failed, failed_);
    must_be("cancelled requests", stats.cancelled, cancelled_);
    must_be("late requests", stats.timed_out, timed_out_);
    must_be("bytes read", stats.bytes_read, bytes_read_);
    must_be("bytes written", stats.bytes_written, bytes_written_);
    contents_.check_all();
}

}  // namespace sim
