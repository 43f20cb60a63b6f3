// SPDX-License-Identifier: MIT
//
// FaultyUring: io_uring, with the faults of a plan.
//
// The layer knows the entries that the driver has filled and the kernel has not consumed. A part of
// them is submitted by taking all out of the ring, putting the part back, and the rest after it.
#ifndef IOENGINE_TESTS_FAULT_FAULTY_URING_HPP
#define IOENGINE_TESTS_FAULT_FAULTY_URING_HPP

#include "drivers/uring/uring_kernel.hpp"
#include "tests/fault/plan.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <sys/uio.h>
#include <utility>
#include <vector>

namespace test {

class FaultyUring : public ioengine::LinuxUring {
  public:
    FaultyUring(ioengine::LinuxUring kernel, FaultPlan& plan)
        : LinuxUring(std::move(kernel)), plan_(&plan) {}
    FaultyUring(FaultyUring&&) = default;

    io_uring_sqe* next_sqe() noexcept {
        io_uring_sqe* const sqe = LinuxUring::next_sqe();
        if (sqe != nullptr)
            filled_.push_back(sqe);
        return sqe;
    }
    // Who wants to sleep is woken at once: completions may be held back here.
    int submit(unsigned completions) noexcept;
    template <class F>
    void withdraw(F&& taken) noexcept {
        for (const io_uring_sqe* sqe : filled_)
            plan_->forget(sqe->user_data);
        filled_.clear();
        LinuxUring::withdraw(taken);
    }

    int update_table(ioengine::TableKind kind, std::uint32_t first,
                     const ioengine::TableItem* items, std::uint32_t count) noexcept;

    int peek(unsigned max, ioengine::UringEvent* events) noexcept;
    int wait(std::int64_t limit_ns) noexcept;
    bool has_news() noexcept {
        return LinuxUring::has_news() || plan_->outlook() == FaultPlan::Outlook::ready;
    }
    void destroy() noexcept;

  private:
    static Entry entry_of(const io_uring_sqe& sqe) noexcept;
    void change(io_uring_sqe& sqe, const Fate& fate);
    // Leaves the first `count` entries in the ring and returns the others.
    std::vector<io_uring_sqe> set_aside(std::size_t count) noexcept;
    void put_back(const std::vector<io_uring_sqe>& entries) noexcept;
    // Takes what the kernel has, without waiting.
    void fetch() noexcept;

    FaultPlan* plan_;
    bool destroyed_ = false;
    std::deque<io_uring_sqe*> filled_;                 // submit role's
    std::map<std::uint64_t, std::vector<iovec>> cut_;  // submit role's: by slot, while in use
};

}  // namespace test

#endif  // IOENGINE_TESTS_FAULT_FAULTY_URING_HPP
