// SPDX-License-Identifier: MIT
//
// UringWire: io_uring by hand, for the contenders "raw" and "strict".
#ifndef TOOLS_BENCH_URING_WIRE_HPP
#define TOOLS_BENCH_URING_WIRE_HPP

#include "tools/bench/failure.hpp"
#include "tools/bench/target.hpp"
#include "tools/bench/wire.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <liburing.h>
#include <string>
#include <sys/uio.h>

namespace bench {

class UringWire {
  public:
    UringWire(const Workload& workload, Setup setup) : fd_(workload.target.fd()) {
        open_ring(workload.options.depth, setup);
        if (setup == Setup::one_thread)
            register_all(workload);
    }
    UringWire(const UringWire&) = delete;
    UringWire& operator=(const UringWire&) = delete;
    ~UringWire() { io_uring_queue_exit(&ring_); }

    std::string note() const { return note_; }

    void queue(Lane& lane) noexcept {
        io_uring_sqe* sqe = next_sqe();
        const std::uint32_t bytes = lane.stream->block_bytes();
        if (buffers_registered_) {
            if (lane.write)
                io_uring_prep_write_fixed(sqe, fd_, lane.buffer, bytes, lane.offset, 0);
            else
                io_uring_prep_read_fixed(sqe, fd_, lane.buffer, bytes, lane.offset, 0);
        } else {
            if (lane.write)
                io_uring_prep_write(sqe, fd_, lane.buffer, bytes, lane.offset);
            else
                io_uring_prep_read(sqe, fd_, lane.buffer, bytes, lane.offset);
        }
        io_uring_sqe_set_flags(sqe, sqe_flags_);
        io_uring_sqe_set_data(sqe, &lane);
    }

    void queue_exit() noexcept {
        io_uring_sqe* sqe = next_sqe();
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data(sqe, nullptr);
    }

    void submit() noexcept {
        while (io_uring_sq_ready(&ring_) > 0)
            require_passing(io_uring_submit(&ring_), "io_uring_submit");
    }

    void submit_and_wait() noexcept {
        require_passing(io_uring_submit_and_wait(&ring_, 1), "io_uring_submit_and_wait");
    }

    void wait() noexcept {
        io_uring_cqe* cqe = nullptr;
        require_passing(io_uring_wait_cqe(&ring_, &cqe), "io_uring_wait_cqe");
    }

    unsigned ready() noexcept { return io_uring_cq_ready(&ring_); }

    template <std::invocable<Lane*, std::int64_t> Take>
    void reap(Take&& take, unsigned at_most) noexcept {
        unsigned head = 0;
        unsigned count = 0;
        io_uring_cqe* cqe = nullptr;
        io_uring_for_each_cqe(&ring_, head, cqe) {
            if (count == at_most)
                break;
            ++count;
            take(static_cast<Lane*>(io_uring_cqe_get_data(cqe)), std::int64_t{cqe->res});
        }
        io_uring_cq_advance(&ring_, count);
    }

  private:
    struct Flags {
        unsigned bits;
        const char* name;
    };

    // The best first; a kernel that does not know one answers EINVAL.
    void open_ring(std::uint32_t depth, Setup setup) {
        constexpr std::array<Flags, 3> kBest = {
            {{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
              "SINGLE_ISSUER, DEFER_TASKRUN"},
             {IORING_SETUP_COOP_TASKRUN, "COOP_TASKRUN"},
             {0, "no flags"}}};
        int error = -EINVAL;
        for (const Flags& flags : kBest) {
            if (setup == Setup::two_threads && flags.bits != 0)
                continue;
            io_uring_params params{};
            params.flags = flags.bits;
            error = io_uring_queue_init_params(depth, &ring_, &params);
            note_ = flags.name;
            if (error != -EINVAL)
                break;
        }
        if (error != 0)
            throw Failure(kExitUnavailable,
                          "io_uring_setup for a hand-written loop failed: " + errno_text(-error) +
                              "; try --backend aio or a lower --depth");
    }

    void register_all(const Workload& workload) {
        if (io_uring_register_files(&ring_, &fd_, 1) == 0) {
            fd_ = 0;  // from here on an index
            sqe_flags_ = IOSQE_FIXED_FILE;
            note_ += ", registered file";
        }
        const iovec all{workload.arena.data(), workload.arena.size()};
        // Refused above 1 GiB, and where memory may not be locked.
        if (io_uring_register_buffers(&ring_, &all, 1) == 0) {
            buffers_registered_ = true;
            note_ += ", registered buffers";
        }
        if (io_uring_register_ring_fd(&ring_) == 1)
            note_ += ", registered ring";
    }

    io_uring_sqe* next_sqe() noexcept {
        io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
        if (sqe == nullptr) [[unlikely]]
            die("the submission ring is full, though it holds every lane; report this as a bug");
        return sqe;
    }

    // EAGAIN and EBUSY pass once completions have been reaped; EINTR passes by itself.
    static void require_passing(int result, const char* call) noexcept {
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) [[unlikely]]
            die(std::string(call) + " of a hand-written loop failed: " + errno_text(-result));
    }

    io_uring ring_{};
    int fd_;
    unsigned sqe_flags_ = 0;
    bool buffers_registered_ = false;
    std::string note_;
};

static_assert(Wire<UringWire>);

}  // namespace bench

#endif  // TOOLS_BENCH_URING_WIRE_HPP
