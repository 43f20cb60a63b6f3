// SPDX-License-Identifier: MIT
//
// Entrance: the way in. A request is looked at, marked as the engine's, and put into its queue; one
// that is refused is the caller's again, as it was.
#pragma once

#include "lib/fork_guard.hpp"
#include "lib/shared_context.hpp"

#include <ioengine/engine.hpp>

#include <cstddef>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

class Entrance {
  public:
    explicit Entrance(IoSharedContext& context) noexcept : context_(context) {}

    // False: there was no memory.
    bool valid() const noexcept { return fork_guard_.valid(); }
    // Is this process a fork of the one that made the context? It is refused everything.
    bool in_child() const noexcept { return fork_guard_.in_child(); }

    Acceptance submit(Request& request, Channel channel) noexcept;
    // A request of a group, or one that is waited for by itself. `staged`: counts it if it was
    // pushed quietly; null: the submitter is woken for it.
    Acceptance submit_counted(Request& request, Channel channel, std::uint32_t& countdown,
                              std::uint32_t* staged) noexcept;

    // -- neighbours that go as one, see lib/merging.hpp; in entrance_merged.cpp ---------------
    // All are taken, or none.
    Acceptance submit_merged(Request* const* members, std::size_t count, Channel channel) noexcept;
    // Marks it as one of those to come.
    Acceptance gather(Request& request, Channel channel) noexcept;

    // Counts it.
    [[gnu::cold]] Acceptance refuse(Acceptance refusal) noexcept;

  private:
    // none: the request is well formed, and this process may submit it. Counts a refusal.
    Acceptance check(const Request& request, Channel channel) noexcept;
    // The registered buffer and file that it names are its own until its result is known.
    Acceptance hold_registered(const Request& request) noexcept;
    Acceptance refuse_held(const Request& request, Acceptance refusal) noexcept;
    Acceptance check_merged(Request* const* members, std::size_t count, Channel channel) noexcept;
    Acceptance submit_as_one(Request* const* members, std::size_t count, Channel channel) noexcept;
    Acceptance refuse_too_many() noexcept;

    ForkGuard fork_guard_;
    IoSharedContext& context_;
};

}  // namespace v0
}  // namespace ioengine
