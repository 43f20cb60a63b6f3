// SPDX-License-Identifier: MIT
//
// Drivers over the fault layer, set up as the backends' own rooms do it.
#ifndef IOENGINE_TESTS_FAULT_MAKE_DRIVER_HPP
#define IOENGINE_TESTS_FAULT_MAKE_DRIVER_HPP

#include "lib/config.hpp"
#include "lib/shared_context.hpp"
#include "tests/fault/plan.hpp"

#if IOENGINE_HAVE_AIO
#include "drivers/aio/aio_driver.hpp"
#include "tests/fault/faulty_aio.hpp"
#endif
#if IOENGINE_HAVE_URING
#include "drivers/uring/polled_driver.hpp"
#include "drivers/uring/uring_driver.hpp"
#include "tests/fault/faulty_uring.hpp"
#endif

#include <memory>

namespace test {

// Each is null if the kernel refuses the set-up; *error is -errno then.

#if IOENGINE_HAVE_AIO
using FaultyAioDriver = ioengine::AioDriver<FaultyAio>;
std::unique_ptr<FaultyAioDriver> make_aio_driver(ioengine::IoSharedContext& context,
                                                 FaultPlan& plan, int* error);
#endif
#if IOENGINE_HAVE_URING
using FaultyUringDriver = ioengine::UringDriver<FaultyUring>;
using FaultyPolledDriver = ioengine::PolledUringDriver<FaultyUring>;
std::unique_ptr<FaultyUringDriver> make_uring_driver(ioengine::IoSharedContext& context,
                                                     FaultPlan& plan, int* error);
#endif

}  // namespace test

#endif  // IOENGINE_TESTS_FAULT_MAKE_DRIVER_HPP
