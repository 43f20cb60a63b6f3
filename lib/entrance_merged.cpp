// SPDX-License-Identifier: MIT
//
// The way in of requests that go as one. See lib/merging.hpp.
#include "lib/entrance.hpp"
#include "lib/request_state.hpp"
#include "lib/validate.hpp"
#include "lib/wait_word.hpp"

#include <ioengine/merge_buffer.hpp>

#include <bitset>

namespace ioengine {
inline namespace v0 {

// Each is well formed, and they lie side by side and are alike.
Acceptance Entrance::check_merged(Request* const* members, std::size_t count,
                                  Channel channel) noexcept {
    const Request& first = *members[0];
    std::uint64_t end = first.offset;
    for (std::size_t i = 0; i < count; ++i) {
        const Request& request = *members[i];
        const Acceptance checked = check(request, channel);
        if (!checked)
            return checked;
        if (!can_be_merged(request) || !are_alike(first, request) ||
            first.channel != request.channel || request.offset != end)
            return refuse({ErrorCode::invalid_argument,
                           "these requests cannot go as one; see EventMergeBuffer"});
        end += request.length;
    }
    return end - first.offset > kMergeBytesMax ? refuse_too_many() : Acceptance();
}

Acceptance Entrance::refuse_too_many() noexcept {
    return refuse({ErrorCode::invalid_argument,
                   "more requests, or bytes, than can go as one; see EventMergeBuffer"});
}

Acceptance Entrance::submit_merged(Request* const* members, std::size_t count,
                                   Channel channel) noexcept {
    if (count > kMergeMax)
        return refuse_too_many();
    std::bitset<kMergeMax> gathered;
    for (std::size_t i = 0; i < count; ++i) {
        if (!request_state::is_gathered(*members[i]))
            continue;
        gathered.set(i);
        request_state::set_idle(*members[i]);
    }
    const Acceptance acceptance = count == 0   ? Acceptance()
                                  : count == 1 ? submit(*members[0], channel)
                                               : submit_as_one(members, count, channel);
    for (std::size_t i = 0; !acceptance && i < count; ++i)
        if (gathered[i])
            request_state::set_gathered(*members[i]);
    return acceptance;
}

Acceptance Entrance::gather(Request& request, Channel channel) noexcept {
    const Acceptance checked = check(request, channel);
    if (checked)
        request_state::set_gathered(request);
    return checked;
}

Acceptance Entrance::submit_as_one(Request* const* members, std::size_t count,
                                   Channel channel) noexcept {
    const Acceptance checked = check_merged(members, count, channel);
    if (!checked)
        return checked;
    Request& first = *members[0];
    for (std::size_t i = 0; i < count; ++i) {
        Request& request = *members[i];
        request.merged = i + 1 < count ? members[i + 1] : nullptr;
        if (request.complete != nullptr) {
            request_state::set_submitted(request);
        } else {
            request_state::set_counted(request, request.word);
            WaitWord(request.word).count_up();
        }
    }
    first.followers = static_cast<std::uint16_t>(count - 1);
    const Acceptance acceptance =
        context_.push(first, channel == Channel::automatic ? first.channel : channel);
    if (acceptance)
        return acceptance;
    first.followers = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (members[i]->complete == nullptr)
            WaitWord(members[i]->word).take_back();
        request_state::set_idle(*members[i]);
    }
    return refuse(acceptance);
}

}  // namespace v0
}  // namespace ioengine
