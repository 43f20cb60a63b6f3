// SPDX-License-Identifier: MIT
//
// AioWire: Linux AIO by hand, for the contenders "raw" and "strict".
#ifndef TOOLS_BENCH_AIO_WIRE_HPP
#define TOOLS_BENCH_AIO_WIRE_HPP

#include "tools/bench/failure.hpp"
#include "tools/bench/target.hpp"
#include "tools/bench/wire.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <libaio.h>
#include <sched.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace bench {

class AioWire {
  public:
    // Both set-ups are the same: AIO has no flags and nothing to register.
    AioWire(const Workload& workload, Setup)
        : fd_(workload.target.fd()), null_fd_(open("/dev/null", O_RDONLY | O_CLOEXEC)),
          iocbs_(workload.options.depth), pending_(workload.options.depth + 1) {
        const int error = io_setup(static_cast<int>(workload.options.depth) + 1, &context_);
        if (error != 0) {
            close(null_fd_);
            throw Failure(kExitUnavailable,
                          "io_setup for a hand-written loop failed: " + errno_text(-error) +
                              "; lower --depth or raise the sysctl fs.aio-max-nr");
        }
        find_ring();
    }
    AioWire(const AioWire&) = delete;
    AioWire& operator=(const AioWire&) = delete;
    ~AioWire() {
        io_destroy(context_);
        close(null_fd_);
    }

    std::string note() const {
        return ring_ != nullptr ? "user-space reaping" : "no user-space reaping: unknown layout";
    }

    void queue(Lane& lane) noexcept {
        iocb& request = iocbs_[lane.index];
        const std::uint32_t bytes = lane.stream->block_bytes();
        const auto offset = static_cast<long long>(lane.offset);
        if (lane.write)
            io_prep_pwrite(&request, fd_, lane.buffer, bytes, offset);
        else
            io_prep_pread(&request, fd_, lane.buffer, bytes, offset);
        request.data = &lane;
        pending_[pending_count_++] = &request;
    }

    // A read of no bytes: AIO has no operation that does nothing.
    void queue_exit() noexcept {
        io_prep_pread(&exit_, null_fd_, nullptr, 0, 0);
        exit_.data = nullptr;
        pending_[pending_count_++] = &exit_;
    }

    void submit() noexcept {
        std::size_t done = 0;
        while (done < pending_count_) {
            const int taken = io_submit(context_, static_cast<long>(pending_count_ - done),
                                        pending_.data() + done);
            if (taken >= 0)
                done += static_cast<std::size_t>(taken);
            else if (taken == -EAGAIN)
                sched_yield();
            else if (taken != -EINTR) [[unlikely]]
                die("io_submit of a hand-written loop failed: " + errno_text(-taken));
        }
        pending_count_ = 0;
    }

    void submit_and_wait() noexcept {
        submit();
        wait();
    }

    void wait() noexcept {
        if (ready() > 0)
            return;
        const int count = io_getevents(context_, 1, kBatch, events_.data(), nullptr);
        if (count < 0 && count != -EINTR) [[unlikely]]
            die("io_getevents of a hand-written loop failed: " + errno_text(-count));
        fetched_ = count > 0 ? static_cast<unsigned>(count) : 0;
        taken_ = 0;
    }

    unsigned ready() noexcept {
        unsigned count = fetched_ - taken_;
        if (ring_ != nullptr) {
            const unsigned head = ring_->head;
            const unsigned tail = tail_of_ring();
            count += tail >= head ? tail - head : tail + ring_->count - head;
        }
        return count;
    }

    template <std::invocable<Lane*, std::int64_t> Take>
    void reap(Take&& take, unsigned at_most) noexcept {
        for (; taken_ < fetched_ && at_most > 0; --at_most)
            pass_on(events_[taken_++], take);
        if (ring_ == nullptr)
            return;
        unsigned head = ring_->head;
        const unsigned tail = tail_of_ring();
        for (; head != tail && at_most > 0; --at_most) {
            pass_on(ring_events_[head], take);
            head = head + 1 == ring_->count ? 0 : head + 1;
        }
        // release: the kernel may reuse the entries once it sees the new head.
        std::atomic_ref(ring_->head).store(head, std::memory_order_release);
    }

  private:
    static constexpr long kBatch = 256;

    // What the kernel maps at the address that io_setup returns (struct aio_ring in fs/aio.c).
    struct Ring {
        unsigned id;
        unsigned count;
        unsigned head;  // written by whoever reaps
        unsigned tail;  // written by the kernel
        unsigned magic;
        unsigned compat_features;
        unsigned incompat_features;
        unsigned header_bytes;
    };

    void find_ring() noexcept {
        constexpr unsigned kMagic = 0xa10a10a1;
        auto* ring = reinterpret_cast<Ring*>(context_);
        if (ring->magic != kMagic || ring->incompat_features != 0 ||
            ring->header_bytes != sizeof(Ring))
            return;
        ring_ = ring;
        ring_events_ = reinterpret_cast<const io_event*>(ring + 1);
    }

    // acquire: the entries before the tail are complete.
    unsigned tail_of_ring() noexcept {
        return std::atomic_ref(ring_->tail).load(std::memory_order_acquire);
    }

    template <class Take>
    static void pass_on(const io_event& event, Take& take) noexcept {
        take(static_cast<Lane*>(event.data), static_cast<std::int64_t>(event.res));
    }

    // Constant after construction.
    io_context_t context_ = nullptr;
    const int fd_;
    const int null_fd_;
    Ring* ring_ = nullptr;  // null: the layout is not the known one
    const io_event* ring_events_ = nullptr;
    // The submitting end's.
    alignas(64) std::vector<iocb> iocbs_;  // by the index of their lane
    std::vector<iocb*> pending_;
    std::size_t pending_count_ = 0;
    iocb exit_{};
    // The reaping end's.
    alignas(64) std::array<io_event, kBatch> events_{};
    unsigned fetched_ = 0;
    unsigned taken_ = 0;  // of these
};

static_assert(Wire<AioWire>);

}  // namespace bench

#endif  // TOOLS_BENCH_AIO_WIRE_HPP
