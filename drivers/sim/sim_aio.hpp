// SPDX-License-Identifier: MIT
//
// SimAio: the simulated kernel behind the calls of Linux AIO. Takes the place of LinuxAio in
// AioDriver.
//
// As io_submit(2) does, it takes a prefix of the list; an error is the answer only for the first
// iocb, else it shows in the next call (fs/aio.c). A bad descriptor or opcode is found at submit.
#pragma once

#include "drivers/sim/world.hpp"
#include "lib/short_io.hpp"

#include <ioengine/request.hpp>

#include <libaio.h>

#include <cstdint>

namespace ioengine {
inline namespace v0 {

class SimAio {
  public:
    // A context with room for `events` completions, taken or not.
    SimAio(SimWorld& world, std::uint32_t events) noexcept : world_(&world), events_(events) {}

    int submit(long count, iocb** list) noexcept;
    // If nobody can sleep, the caller sees to it that this would not have to wait. If nothing is
    // there, a signal came, or the limit has passed.
    int wait(long max, io_event* events, std::int64_t limit_ns) noexcept;
    int peek(long max, io_event* events) noexcept;
    unsigned completions_ready() const noexcept { return static_cast<unsigned>(world_->ready()); }
    bool reaps_from_ring() const noexcept { return true; }
    int cancel(iocb& control) noexcept;
    void destroy() noexcept { world_->destroy(); }

    FileShape shape_of(int fd) const noexcept;
    int alignment_refusal(const Request& request) const noexcept;
    bool is_stream(const Request& request) const noexcept;
    bool is_direct(const Request& request) const noexcept;
    std::int64_t run_here(const Request& request) noexcept { return world_->run_here(request); }

  private:
    int submit_prefix(long count, iocb** list);
    // `operation` is null for an unknown opcode.
    int entry_answer(const iocb& control, const SimOperation* operation, bool at_head);
    int refuse(const iocb& control, int answer);
    int take(long max, io_event* events);

    SimWorld* world_;
    std::uint32_t events_;
    // The entry that was found bad further in; it is still bad when it has come to the head.
    std::uint64_t bad_token_ = 0;
    int bad_answer_ = 0;
};

}  // namespace v0
}  // namespace ioengine
