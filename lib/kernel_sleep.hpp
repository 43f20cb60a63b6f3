// SPDX-License-Identifier: MIT
//
// KernelSleep: what a thread with the poll role does when there is nothing to do: it looks for a
// completion a little longer, if Options::spin_us says so, and sleeps in the kernel until one
// comes.
#pragma once

#include "lib/clock.hpp"
#include "lib/driver.hpp"
#include "lib/pause.hpp"
#include "lib/submit_step.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>

namespace ioengine {
inline namespace v0 {

template <Driver D>
class KernelSleep {
  public:
    KernelSleep(IoSharedContext& context, D& driver) noexcept
        : context_(context), driver_(driver) {}

    // With the poll role, after may_sleep(): whatever would end the sleep ends the spinning, too,
    // since it all comes as completions. The kernel's answer: 0 or -errno.
    int operator()(std::int64_t limit_ns) const noexcept {
        if (!may_spin())
            return driver_.wait(limit_ns);
        const std::int64_t spin = std::int64_t{context_.config.spin_us} * 1'000;
        if (limit_ns >= 0 && limit_ns <= spin) {
            look_for_completion(limit_ns);
            return 0;  // late, or something is there
        }
        if (look_for_completion(spin))
            return 0;
        return driver_.wait(limit_ns < 0 ? limit_ns : limit_ns - spin);
    }

    // One line per answer of the waiting system call. Returns the failures in a row.
    std::uint32_t after(int rc, std::uint32_t failures) const noexcept {
        switch (-rc) {
        case 0:
        case EINTR:  // look again
            return 0;
        case EAGAIN:
        case EBUSY:
        case ENOMEM:  // the kernel is short of something: it passes
            break;
        default:
            if (failures == 0)
                context_.log.write(LogLevel::error, "waiting for completions failed: %s",
                                   std::strerror(-rc));
            break;
        }
        nap(backoff_ns(failures));
        return failures + 1;
    }

    // While the kernel is short of something.
    void nap(std::int64_t nap_ns) const noexcept {
        if (context_.config.nap != nullptr) {
            context_.config.nap(context_.config.clock_user, nap_ns);
            return;
        }
        const timespec nap{static_cast<time_t>(nap_ns / 1'000'000'000),
                           static_cast<long>(nap_ns % 1'000'000'000)};
        ::nanosleep(&nap, nullptr);
    }

  private:
    // As long as few are in flight: with many the next one is not far, or the device is slow.
    bool may_spin() const noexcept {
        constexpr std::uint32_t kInFlightMax = 2;
        const std::uint32_t in_flight = driver_.slots().in_use();
        return context_.config.spin_us != 0 && driver_.sees_completions() && in_flight != 0 &&
               in_flight <= kInFlightMax;
    }

    bool look_for_completion(std::int64_t limit_ns) const noexcept {
        constexpr int kLooksPerClock = 16;
        const std::uint64_t end = now_ns() + static_cast<std::uint64_t>(limit_ns);
        do {
            for (int i = 0; i < kLooksPerClock; ++i) {
                if (driver_.completions_ready() != 0)
                    return true;
                pause_cpu();
            }
        } while (now_ns() < end);
        return false;
    }

    IoSharedContext& context_;
    D& driver_;
};

}  // namespace v0
}  // namespace ioengine
