// SPDX-License-Identifier: MIT
#include "lib/entrance.hpp"

#include "lib/lease.hpp"
#include "lib/request_state.hpp"
#include "lib/validate.hpp"
#include "lib/wait_word.hpp"

namespace ioengine {
inline namespace v0 {

Acceptance Entrance::refuse(Acceptance refusal) noexcept {
    if (refusal.code() == ErrorCode::queue_full)
        context_.shared_counters.refused_full.add(1);
    else
        context_.shared_counters.refused_other.add(1);
    return refusal;
}

Acceptance Entrance::hold_registered(const Request& request) noexcept {
    if (request.buffer_index == 0)
        return {};
    const Acceptance held = context_.registered.take(request, context_.drives_here());
    return held ? held : refuse(held);
}

Acceptance Entrance::refuse_held(const Request& request, Acceptance refusal) noexcept {
    if (request.buffer_index != 0)
        context_.registered.untake(request, context_.drives_here());
    return refuse(refusal);
}

Acceptance Entrance::check(const Request& request, Channel channel) noexcept {
    if (fork_guard_.in_child())
        return {ErrorCode::forked, "this process is a fork of the one that made the context; "
                                   "create a context of its own"};
    const Acceptance well_formed = validate(request);
    if (!well_formed)
        return refuse(well_formed);
    if (channel > Channel::write)
        return refuse({ErrorCode::invalid_argument, "channel is no value of its enum"});
    if (context_.lease_watch.forbids(request))
        return refuse({ErrorCode::invalid_argument,
                       "its buffer is still another request's, which was told its result early; "
                       "wait until that is released"});
    return {};
}

Acceptance Entrance::submit(Request& request, Channel channel) noexcept {
    if (request.complete == nullptr)
        return submit_counted(request, channel, request.word, nullptr);
    const Acceptance checked = check(request, channel);
    if (!checked)
        return checked;
    const Acceptance held = hold_registered(request);
    if (!held)
        return held;
    request_state::set_submitted(request);
    if (lease::is_wanted(request))
        lease::begin(request);
    const Acceptance acceptance =
        context_.push(request, channel == Channel::automatic ? request.channel : channel);
    if (!acceptance) {
        request_state::set_idle(request);
        return refuse_held(request, acceptance);
    }
    return acceptance;
}

Acceptance Entrance::submit_counted(Request& request, Channel channel, std::uint32_t& countdown,
                                    std::uint32_t* staged) noexcept {
    const Acceptance checked = check(request, channel);
    if (!checked)
        return checked;
    const Acceptance held = hold_registered(request);
    if (!held)
        return held;
    request_state::set_counted(request, countdown);
    if (lease::is_wanted(request))
        lease::begin(request);
    WaitWord word(countdown);
    word.count_up();
    // Quietly only if the caller will come and hand it over. From a callback: whoever runs it does,
    // or is told that it must wake somebody.
    const bool quiet = staged != nullptr && context_.config.lends && !context_.in_callback();
    using Push = IoSharedContext::Push;
    const Acceptance acceptance =
        context_.push(request, channel == Channel::automatic ? request.channel : channel,
                      quiet ? Push::quiet : Push::wakes);
    if (!acceptance) {
        word.take_back();
        request_state::set_idle(request);
        return refuse_held(request, acceptance);
    }
    if (quiet)
        ++*staged;
    return acceptance;
}

}  // namespace v0
}  // namespace ioengine
