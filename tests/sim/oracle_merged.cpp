// SPDX-License-Identifier: MIT
//
// The kernel's side of the contract for requests that were merged: what it is given and answers,
// request by request. An answer that is not the whole of it is nobody's result: each request that
// it does not cover must be asked again, and hears what it would have heard alone.
#include "tests/sim/oracle.hpp"

#include "lib/short_io.hpp"
#include "tests/sim/failure.hpp"

#include <algorithm>
#include <cerrno>

namespace sim {

using ioengine::SimOperation;

namespace {

std::uint64_t bytes_of(const Oracle::Members& members) noexcept {
    std::uint64_t bytes = 0;
    for (const Subject* const subject : members)
        bytes += subject->bytes;
    return bytes;
}

// It was with the kernel, or on the way there, and must be asked again.
void ask_again(Subject& subject) noexcept {
    subject.in_kernel = false;
    subject.in_company = true;
    subject.next = Next::again;
}

}  // namespace

void Oracle::entered_as_one(const Members& members, const SimOperation& operation) {
    if (!operation.vectored || operation.size != members.size())
        fail("%zu requests are merged into %llu vectors", members.size(),
             static_cast<unsigned long long>(operation.size));
    if (scene_.merges_ppm == 0 && bytes_of(members) > scene_.config.merge_limit)
        fail("%zu requests of %llu bytes are merged; the limit is %u", members.size(),
             static_cast<unsigned long long>(bytes_of(members)), scene_.config.merge_limit);
    const auto* const vectors = static_cast<const iovec*>(operation.data);
    SimOperation part = operation;
    part.vectored = false;
    for (std::size_t i = 0; i < members.size(); ++i) {
        constexpr unsigned kAlone =
            ioengine::kFlagNowait | ioengine::kFlagAtomic | ioengine::kFlagAppend;
        if ((members[i]->asked_flags & kAlone) != 0 || ioengine::is_vectored(members[i]->asked))
            fail("request #%llu must not be merged",
                 static_cast<unsigned long long>(members[i]->number));
        part.data = vectors[i].iov_base;
        part.size = vectors[i].iov_len;
        entered(*members[i], part);
        part.offset += part.size;
    }
}

void Oracle::answered_as_one(const Members& members, const SimOperation& operation,
                             std::int64_t result) {
    const std::uint64_t moved_end = operation.offset + operation.bytes_moved;
    for (Subject* const subject : members) {
        history_.add(Event::answered, subject->number, result);
        ask_again(*subject);
        if (operation.bytes_moved != 0 && subject->at < moved_end)
            subject->moved_end =
                std::max(subject->moved_end, std::min(moved_end, subject->at + subject->bytes));
    }
    if (result < 0) {
        const bool passes = result == -EINTR || result == -EAGAIN || result == -ECANCELED;
        for (Subject* const subject : members) {
            const bool again = passes && subject->retries < ioengine::kPieceRetriesMax;
            subject->retries = again ? subject->retries + 1 : 0;
        }
        return;
    }
    auto left = static_cast<std::uint64_t>(result);
    if (left > bytes_of(members))  // the device talks nonsense
        left = 0;
    for (Subject* const subject : members) {
        subject->retries = 0;
        const std::uint64_t part = std::min(left, subject->bytes);
        left -= part;
        if (part != 0)
            judge(*subject, static_cast<std::int64_t>(part));
    }
}

void Oracle::refused_as_one(const Members& members, int answer) {
    for (Subject* const subject : members) {
        history_.add(Event::refused_by_kernel, subject->number, answer);
        if (subject->state != Subject::State::engine || subject->in_kernel)
            fail("the submit call is given request #%llu, which it must not be",
                 static_cast<unsigned long long>(subject->number));
        note_order(*subject);
        subject->entered = true;
        ask_again(*subject);
        subject->retries = 0;
    }
}

void Oracle::withdrawn_as_one(const Members& members) {
    for (Subject* const subject : members) {
        withdrawn(*subject);
        note_order(*subject);
        subject->entered = true;
        ask_again(*subject);
        subject->retries = 0;
    }
}

}  // namespace sim
