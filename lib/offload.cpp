// SPDX-License-Identifier: MIT
//
// The helper thread's loop, and the system calls it makes.
#include "lib/offload.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace ioengine {
inline namespace v0 {

std::int64_t run_blocking(const Request& request) noexcept {
    const auto offset = static_cast<off_t>(request.offset);
    const auto length = static_cast<off_t>(request.length);
    int rc = 0;
    switch (request.action) {
    case IOAction::fsync:
        rc = ::fsync(request.fd);
        break;
    case IOAction::fdatasync:
        rc = ::fdatasync(request.fd);
        break;
    case IOAction::fallocate:
        rc = ::fallocate(request.fd, request.args.mode, offset, length);
        break;
    case IOAction::sync_file_range:
        rc =
            ::sync_file_range(request.fd, offset, length, static_cast<unsigned>(request.args.mode));
        break;
    default:
        return -EOPNOTSUPP;
    }
    return rc == 0 ? 0 : -errno;
}

bool Offload::post(Request& request) noexcept {
    if (!thread_.joinable() && !thread_.start([this] { run(); }, setup_, ThreadRole::offload))
        return false;
    work_.push(request);
    news_.notify_work();
    return true;
}

void Offload::stop() noexcept {
    if (!thread_.joinable())
        return;
    stopping_.store(true, std::memory_order_release);
    news_.notify_urgent();
    thread_.join();
}

void Offload::run() noexcept {
    for (;;) {
        const std::uint32_t seen = news_.prepare();
        RequestChain requests = work_.take_all();
        if (requests.empty()) {
            if (stopping_.load(std::memory_order_acquire))
                return;
            news_.park(seen, EventCount::Wants::anything);
            continue;
        }
        while (!requests.empty()) {
            Request& request = requests.pop();
            request.result = run_blocking(request);
            context_.ready.push(request);
            context_.request_nudge();
        }
    }
}

}  // namespace v0
}  // namespace ioengine
