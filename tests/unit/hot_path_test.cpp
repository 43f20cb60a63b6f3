// SPDX-License-Identifier: MIT
//
// Goal: nothing on a request's way through the workers is virtual, and its kernel form is built in
// the push that takes it.
// Method: type traits over everything that the steps touch; drivers over a kernel that may not be
// called, whose slots and ring are looked at right after the push.

#include "drivers/null/null_driver.hpp"
#include "lib/config.hpp"
#include "lib/poll_step.hpp"
#include "lib/submit_step.hpp"
#include "tests/unit/unit.hpp"

#if IOENGINE_HAVE_AIO
#include "drivers/aio/aio_driver.hpp"
#include "drivers/aio/aio_kernel.hpp"
#endif
#if IOENGINE_HAVE_URING
#include "drivers/uring/polled_driver.hpp"
#include "drivers/uring/uring_driver.hpp"
#include "drivers/uring/uring_kernel.hpp"
#endif

#include <cstdint>
#include <type_traits>
#include <utility>

using namespace ioengine;

namespace {

template <class... T>
constexpr bool none_is_virtual() {
    return (!std::is_polymorphic_v<T> && ...);
}

}  // namespace

TEST_CASE("nothing that the two steps touch has virtual functions", "[hot-path][D8]") {
    STATIC_REQUIRE(none_is_virtual<Request, Slot, SlotPool<NullSlot>, SpscRing, RequestQueue,
                                   ReadyList, Nudge, EventCount, Gate, IoSharedContext, SubmitRole,
                                   PollRole, Offload, Transfer, LatencyHistogram>());
    STATIC_REQUIRE(none_is_virtual<NullDriver, NullSlot, steps::SlotFiller<NullDriver>>());
#if IOENGINE_HAVE_AIO
    STATIC_REQUIRE(none_is_virtual<LinuxAio, AioSlot, AioDriver<LinuxAio>, SlotPool<AioSlot>,
                                   steps::SlotFiller<AioDriver<LinuxAio>>>());
#endif
#if IOENGINE_HAVE_URING
    STATIC_REQUIRE(
        none_is_virtual<LinuxUring, UringSlot, UringDriver<LinuxUring>, SlotPool<UringSlot>,
                        steps::SlotFiller<UringDriver<LinuxUring>>>());
    STATIC_REQUIRE(none_is_virtual<PolledUringDriver<LinuxUring>, PolledFiles,
                                   steps::SlotFiller<PolledUringDriver<LinuxUring>>>());
#endif
}

TEST_CASE("a request's hot line is one cache line, and an event without a callback's state adds "
          "one more at most",
          "[hot-path]") {
    struct Nothing {
        void operator()(Result) const noexcept {}
    };
    STATIC_REQUIRE(sizeof(Request) == 128);
    STATIC_REQUIRE(offsetof(Request, deadline_ns) == 64);
    STATIC_REQUIRE(sizeof(IOEvent<Nothing>) <= 192);
    STATIC_REQUIRE(sizeof(IOEvent<IOCallback>) == 192);
}

#if IOENGINE_HAVE_AIO

namespace {

// Set up with room for nothing: any call through it fails.
AioDriver<LinuxAio> make_still_aio(IoSharedContext& context, std::uint32_t depth) {
    AioSetup setup;
    setup.depth = depth;
    setup.submit_counters = &context.submit_counters;
    setup.poll_counters = &context.poll_counters;
    return AioDriver<LinuxAio>(LinuxAio(), std::move(setup));
}

}  // namespace

TEST_CASE("the iocb is built inside the push, in the slot, before anything is submitted",
          "[hot-path][D7][F1]") {
    test::QuietContext rig;
    test::Requests requests;
    auto driver = make_still_aio(rig.context, 4);
    char buffer[64];
    Request& request = requests.read(4096);
    request.prepare_read(7, buffer, sizeof buffer, 8192);
    driver.push(request, 1);
    AioSlot& slot = driver.slots().at(0);
    REQUIRE(slot.request == &request);
    REQUIRE(slot.state.load() == SlotState::in_kernel);
    REQUIRE(slot.control.aio_lio_opcode == IO_CMD_PREAD);
    REQUIRE(slot.control.aio_fildes == 7);
    REQUIRE(slot.control.u.c.buf == buffer);
    REQUIRE(slot.control.u.c.nbytes == sizeof buffer);
    REQUIRE(slot.control.u.c.offset == 8192);
    REQUIRE(reinterpret_cast<std::uintptr_t>(slot.control.data) == slot.token().value);
    REQUIRE(rig.context.submit_counters.submit_calls.get() == 0);
}

TEST_CASE("each AIO slot owns its iocb: slots that are filled at once do not share one",
          "[hot-path][F1]") {
    test::QuietContext rig;
    test::Requests requests;
    constexpr std::uint32_t kDepth = 8;
    auto driver = make_still_aio(rig.context, kDepth);
    for (std::uint32_t i = 0; i < kDepth; ++i) {
        Request& request = requests.write(0);
        request.prepare_write(static_cast<int>(i), nullptr, 0, i * 512u);
        driver.push(request, 1);
    }
    REQUIRE(driver.slots().available() == 0);
    for (std::uint32_t i = 0; i < kDepth; ++i) {
        AioSlot& slot = driver.slots().at(i);
        REQUIRE(slot.control.aio_fildes == static_cast<int>(i));
        REQUIRE(slot.control.u.c.offset == static_cast<long long>(i) * 512);
        REQUIRE(slot.token().slot() == i);
    }
}

#endif  // IOENGINE_HAVE_AIO
