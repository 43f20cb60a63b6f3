// SPDX-License-Identifier: MIT
//
// The kernel's side of the contract: what it is given, and what its answers lead to.
#include "tests/sim/oracle.hpp"

#include "drivers/request_flags.hpp"
#include "lib/short_io.hpp"
#include "tests/sim/failure.hpp"

#include <algorithm>
#include <cerrno>

namespace sim {

using ioengine::IOAction;
using ioengine::SimFile;
using ioengine::SimOperation;

namespace {

unsigned long long number(const Subject& subject) noexcept {
    return subject.number;
}

// What the kernel is asked to do for an action; vectors are told apart by a flag.
IOAction plain(IOAction action) noexcept {
    return action == IOAction::readv    ? IOAction::read
           : action == IOAction::writev ? IOAction::write
                                        : action;
}

}  // namespace

void Oracle::submit_called(std::int64_t count, int answer, std::uint64_t reaped) {
    last_submit_answer_ = answer;
    if (reaped != vain_reaped_)
        vain_calls_ = 0;
    vain_reaped_ = reaped;
    if (answer > 0)
        vain_calls_ = 0;
    else if (answer == -EAGAIN || answer == -EBUSY || answer == -ENOMEM || answer == 0)
        ++vain_calls_;
    else if (answer != -EINTR && (count == 1 || scene_.backend == Backend::uring))
        vain_calls_ = 0;  // refused, and nothing is left over
    // The engine loses patience at the call after the last one, or, if completions were taken
    // between that call and its look at them, by its count one later than by ours; or later still:
    // calls that were to make room for a cancellation are none of its attempts. What it withdraws
    // then says that it begins anew.
    if (vain_calls_ >= attempts_max_)
        ++patience_ends_;
}

void Oracle::entered(Subject& subject, const SimOperation& operation) {
    history_.add(Event::entered, subject.number, static_cast<std::int64_t>(operation.offset),
                 static_cast<std::int64_t>(operation.size));
    if (subject.state != Subject::State::engine)
        fail("the kernel is given request #%llu, which is over", number(subject));
    if (subject.in_kernel)
        fail("the kernel is given request #%llu a second time", number(subject));
    if (subject.misaligned)
        fail("request #%llu is misaligned and got to the kernel", number(subject));
    if (subject.entered && subject.next == Next::notice)
        fail("request #%llu is tried again though its result is final", number(subject));
    note_order(subject, operation.polled);
    check_piece(subject, operation);
    subject.entered = subject.in_kernel = true;
    subject.withdrawn = false;
    subject.token = operation.token;
}

// First in, first out within a channel, of one thread and to one ring, up to here. What one ring
// could not take goes to the other behind those that are there.
void Oracle::note_order(Subject& subject, bool polled) {
    if (subject.entered || (subject.withdrawn && !polled))
        return;
    EnteredIn& entered_in = entered_in_[polled ? 1 : 0];
    std::uint64_t& last = entered_in[subject.is_drivers ? 1 : 0][index(subject.queue)];
    // Of those that were to go as one, a bad one in their midst makes the rest wait for each other.
    if (subject.queue_number <= last && !subject.in_company)
        fail("request #%llu overtook another one of its channel on the way to the kernel",
             number(subject));
    last = std::max(last, subject.queue_number);
}

void Oracle::check_piece(const Subject& subject, const SimOperation& operation) {
    if (operation.action != plain(subject.asked))
        fail("request #%llu: the kernel is asked for another operation", number(subject));
    if (subject.asked == IOAction::nop)
        return;
    if (operation.fd != subject.file)
        fail("request #%llu: the kernel is given another descriptor", number(subject));
    if (ioengine::is_flush(subject.asked))
        return;
    if (operation.offset != subject.at + subject.bytes_done)
        fail("request #%llu: %llu of %llu bytes at offset %llu are done, it goes on at %llu",
             number(subject), static_cast<unsigned long long>(subject.bytes_done),
             static_cast<unsigned long long>(subject.bytes),
             static_cast<unsigned long long>(subject.at),
             static_cast<unsigned long long>(operation.offset));
    if (!ioengine::moves_bytes(subject.asked)) {
        if (operation.size != subject.bytes ||
            (subject.asked == IOAction::fallocate && operation.mode != subject.mode))
            fail("request #%llu: another range or mode", number(subject));
        return;
    }
    if (operation.polled && operation.rw_flags != 0)
        fail("request #%llu must not be polled", number(subject));
    if (operation.polled && subject.retries != 0 && !subject.in_company)
        fail("request #%llu is tried again, and polled again", number(subject));
    if (operation.rw_flags != ioengine::rwf_of(subject.asked_flags))
        fail("request #%llu: flags %x are not what was asked for", number(subject),
             static_cast<unsigned>(operation.rw_flags));
    if (ioengine::is_vectored(subject.asked)) {
        check_vectors(subject, operation);
        return;
    }
    const iovec rest = subject.rest_of_segment(subject.bytes_done);
    if (operation.size != rest.iov_len || (rest.iov_len != 0 && operation.data != rest.iov_base))
        fail("request #%llu: %llu bytes are left, the kernel is given %llu, or other memory",
             number(subject), static_cast<unsigned long long>(rest.iov_len),
             static_cast<unsigned long long>(operation.size));
}

// The vectors must name the bytes that are left, in order; all of them, or as many as fit into the
// slot's window when the request goes on.
void Oracle::check_vectors(const Subject& subject, const SimOperation& operation) {
    if (!operation.vectored)
        fail("request #%llu: vectors given as a plain buffer", number(subject));
    const auto* vectors = static_cast<const iovec*>(operation.data);
    std::uint64_t position = subject.bytes_done;
    for (std::uint64_t i = 0; i < operation.size; ++i) {
        if (vectors[i].iov_len == 0)
            continue;
        const iovec rest = subject.rest_of_segment(position);
        if (vectors[i].iov_base != rest.iov_base || vectors[i].iov_len != rest.iov_len)
            fail("request #%llu: vector %llu does not go on at byte %llu", number(subject),
                 static_cast<unsigned long long>(i), static_cast<unsigned long long>(position));
        position += vectors[i].iov_len;
    }
    const bool window_full =
        subject.bytes_done != 0 && operation.size == ioengine::Transfer::kWindow;
    if (position != subject.bytes && !window_full)
        fail("request #%llu: vectors for %llu of %llu bytes", number(subject),
             static_cast<unsigned long long>(position),
             static_cast<unsigned long long>(subject.bytes));
}

void Oracle::answered(Subject& subject, const SimOperation& operation, std::int64_t result) {
    history_.add(Event::answered, subject.number, result);
    subject.in_kernel = false;
    if (operation.bytes_moved != 0)
        subject.moved_end = std::max(subject.moved_end, operation.offset + operation.bytes_moved);
    judge(subject, result);
}

void Oracle::end_with(Subject& subject, std::int64_t result) noexcept {
    subject.next = Next::notice;
    subject.final_result = result;
}

// The contract's table of results; see the promises "whole transfers", "retries" and "honest
// flush".
void Oracle::judge(Subject& subject, std::int64_t answer) {
    const bool reads = ioengine::is_read(subject.asked);
    const bool writes = ioengine::is_write(subject.asked);
    const bool appends = (subject.asked_flags & ioengine::kFlagAppend) != 0;
    const auto done = static_cast<std::int64_t>(subject.bytes_done);
    if (answer < 0) {
        const int error = static_cast<int>(-answer);
        const bool passes =
            !ioengine::is_flush(subject.asked) &&
            (error == EINTR ||
             (error == EAGAIN && (subject.asked_flags & ioengine::kFlagNowait) == 0) ||
             (error == ECANCELED && (reads || (writes && !appends))));
        if (passes && subject.retries < ioengine::kPieceRetriesMax) {
            ++subject.retries;
            subject.next = Next::again;
            return;
        }
        const bool keeps_bytes =
            error == ENOSPC || error == EDQUOT || error == EFBIG || error == EINVAL;
        end_with(subject, keeps_bytes && done != 0 ? done : answer);
        return;
    }
    const std::uint64_t left = reads || writes ? subject.bytes - subject.bytes_done : 0;
    const auto bytes = static_cast<std::uint64_t>(answer);
    if (bytes > left) {
        end_with(subject, -EIO);
        return;
    }
    subject.bytes_done += bytes;
    subject.retries = 0;
    end_with(subject, static_cast<std::int64_t>(subject.bytes_done));
    constexpr unsigned kOnce =
        ioengine::kFlagNowait | ioengine::kFlagAtomic | ioengine::kFlagAppend;
    if (bytes == left || bytes == 0 || (subject.asked_flags & kOnce) != 0)
        return;
    const SimFile& file = *world_.files.find(subject.file);
    if (file.kind == SimFile::Kind::stream)
        return;
    const bool at_end = reads && file.kind == SimFile::Kind::regular &&
                        subject.at + subject.bytes_done >= file.end();
    subject.next = at_end ? Next::either : Next::again;
}

void Oracle::refused(Subject& subject, int answer) {
    history_.add(Event::refused_by_kernel, subject.number, answer);
    if (subject.state != Subject::State::engine || subject.in_kernel)
        fail("the submit call is given request #%llu, which it must not be", number(subject));
    subject.refused_answer = answer;
}

void Oracle::withdrawn(Subject& subject) {
    history_.add(Event::withdrawn, subject.number);
    if (subject.state != Subject::State::engine || subject.in_kernel)
        fail("request #%llu is withdrawn from where it is not", number(subject));
    subject.withdrawn = true;
    subject.withdrawn_after = last_submit_answer_;
    vain_calls_ = 0;
}

void Oracle::ran_here(Subject& subject, std::int64_t result) {
    history_.add(Event::ran_here, subject.number, result);
    if (subject.state != Subject::State::engine || subject.entered)
        fail("request #%llu is done by a blocking call out of turn", number(subject));
    subject.ran_here = true;
    subject.final_result = result;
}

}  // namespace sim
