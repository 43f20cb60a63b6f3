// SPDX-License-Identifier: MIT
//
// FaultyAio: Linux AIO, with the faults of a plan.
//
// An iocb is changed in place right before the kernel takes it, and put back if the kernel did not:
// the driver fills it anew for every piece, so a change outlives nothing.
#ifndef IOENGINE_TESTS_FAULT_FAULTY_AIO_HPP
#define IOENGINE_TESTS_FAULT_FAULTY_AIO_HPP

#include "drivers/aio/aio_kernel.hpp"
#include "tests/fault/plan.hpp"

#include <cstdint>
#include <map>
#include <sys/uio.h>
#include <utility>
#include <vector>

namespace test {

class FaultyAio : public ioengine::LinuxAio {
  public:
    FaultyAio(ioengine::LinuxAio kernel, FaultPlan& plan)
        : LinuxAio(std::move(kernel)), plan_(&plan), nowhere_(ioengine::SignalFile::open()) {}
    FaultyAio(FaultyAio&&) = default;

    int submit(long count, iocb** list) noexcept;
    int wait(long max, io_event* events, std::int64_t limit_ns) noexcept;
    int peek(long max, io_event* events) noexcept;
    void destroy() noexcept;

  private:
    static Entry entry_of(const iocb& control) noexcept;
    void change(iocb& control, const Fate& fate);
    int give(long max, io_event* events) noexcept;
    // Takes what the kernel has, without waiting.
    void fetch() noexcept;

    FaultPlan* plan_;
    ioengine::SignalFile nowhere_;
    bool destroyed_ = false;
    std::map<const iocb*, std::vector<iovec>> cut_;  // submit role's: shortened vectors
};

}  // namespace test

#endif  // IOENGINE_TESTS_FAULT_FAULTY_AIO_HPP
