// SPDX-License-Identifier: MIT
//
// IOMergeSubmitter: hands over neighbours in a file as one.
//
//     ioengine::IOMergeSubmitter writes(io, fd, ioengine::IOAction::write, 128 * 1024);
//     for (auto& block : blocks)
//         if (!writes.add(block.event)) ...      // a gap hands over what came before it
//     writes.flush();
//
// Nothing is copied and nothing allocated: the kernel gets one vectored transfer. Each request is
// answered for itself, with its own bytes or its own error, also where the transfer was short or
// failed in the middle. To have the engine look for neighbours by itself: Options::merge.
//
// For files and block devices: on a stream or a socket neighbours are not what they are on a file.
// Like a Group it is for one thread at a time.
#ifndef IOENGINE_MERGE_HPP
#define IOENGINE_MERGE_HPP

#include <ioengine/context.hpp>
#include <ioengine/engine.hpp>
#include <ioengine/merge_buffer.hpp>
#include <ioengine/request.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {

class IOMergeSubmitter {
  public:
    // For reads or writes of one file, up to `limit` bytes (and kMergeMax requests) in one. The
    // context must outlive it.
    template <class C>
    IOMergeSubmitter(IOContext<C>& io, int fd, IOAction action, std::uint64_t limit,
                     Channel channel = Channel::automatic) noexcept
        : engine_(io.engine()), fd_(fd), action_(action), channel_(channel), buffer_(limit) {}
    IOMergeSubmitter(const IOMergeSubmitter&) = delete;
    IOMergeSubmitter& operator=(const IOMergeSubmitter&) = delete;
    // Hands over what is left; waits for room in the queue if it must. Where that is refused for
    // good, the requests end here, their callbacks run on this thread: with ECANCELED (the context
    // shuts down), EAGAIN (the queue is full, and this is a callback of the context), ENOMEM, or
    // EINVAL (a request was changed meanwhile). In a forked child: nothing happens.
    ~IOMergeSubmitter() {
        if (!buffer_.empty())
            abi::engine_finish_merged(engine_, buffer_.begin(), buffer_.count(), channel_);
    }

    // Takes a request and keeps it until flush(), or until one comes that does not lie right behind
    // it, or the limit is reached. One that cannot be merged (see can_be_merged()), or is larger
    // than the limit, goes alone, after those before it. The request, and its buffer, belong to
    // this object from here on, and to the engine once it is handed over; wait() for it before that
    // is invalid_argument. Refused: invalid_argument for another file or action, or a request that
    // is malformed or in use; what flush() says, if that had to come first; as IOContext::submit(),
    // if it goes alone. Then this request is the caller's as before.
    Acceptance add(Request& request) noexcept {
        if (request.fd != fd_ || request.action != action_)
            return {ErrorCode::invalid_argument,
                    "this IOMergeSubmitter is for another file or action; submit it to the "
                    "context, or make one for it"};
        // First, because one that is in use may be gone after flush().
        const Acceptance gathered = abi::engine_gather(engine_, request, channel_);
        if (!gathered)
            return gathered;
        if (!buffer_.takes(request)) {
            const Acceptance flushed = flush();
            if (!flushed || !buffer_.takes(request)) {
                Request* const alone = &request;
                abi::engine_ungather(&alone, 1);
                return flushed ? abi::engine_submit(engine_, request, channel_) : flushed;
            }
        }
        buffer_.add(request);
        if (buffer_.full())
            (void)flush();  // what it cannot hand over now it keeps
        return {};
    }

    // Hands over what was added. Refused (queue_full, no_memory, shutting_down, forked;
    // invalid_argument if a request was changed meanwhile): it keeps them all; flush again, or
    // take_back().
    Acceptance flush() noexcept { return flush(fd_); }
    // The same, for another file than they were prepared for. Only what this call hands over goes
    // there: what it is refused stays for the other file.
    Acceptance flush(int fd) noexcept {
        if (buffer_.empty())
            return {};
        // A callback of the last of them may end this object while the call returns.
        EventMergeBuffer taken = buffer_;
        buffer_.clear();
        set_file(taken, fd);
        const Acceptance acceptance =
            abi::engine_submit_merged(engine_, taken.begin(), taken.count(), channel_);
        if (acceptance)
            return acceptance;
        set_file(taken, fd_);
        buffer_ = taken;
        return acceptance;
    }

    // What was added and not handed over.
    const EventMergeBuffer& buffer() const noexcept { return buffer_; }
    // Gives that back: the requests are the caller's again.
    void take_back() noexcept {
        abi::engine_ungather(buffer_.begin(), buffer_.count());
        buffer_.clear();
    }

  private:
    static void set_file(const EventMergeBuffer& requests, int fd) noexcept {
        for (Request* request : requests)
            request->fd = fd;
    }

    Engine* const engine_;
    const int fd_;
    const IOAction action_;
    const Channel channel_;
    EventMergeBuffer buffer_;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_MERGE_HPP
