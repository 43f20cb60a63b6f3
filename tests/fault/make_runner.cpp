// SPDX-License-Identifier: MIT
//
// make_runner() for this binary: drivers over the fault layer, in the threads that are asked for.
#include "tests/fault/faulty_context.hpp"
#include "tests/fault/make_driver.hpp"

#include "lib/make_threads.hpp"

#if IOENGINE_HAVE_AIO
#include "drivers/aio/aio_backend.hpp"
#endif
#if IOENGINE_HAVE_URING
#include "drivers/uring/uring_backend.hpp"
#include "drivers/uring/uring_probe.hpp"
#endif

#include <utility>

namespace test {

namespace {

// Of the context that is being made.
FaultPlan* g_plan = nullptr;

template <class D>
std::unique_ptr<ioengine::Runner> threads_for(const ioengine::RunnerSetup& setup,
                                              std::unique_ptr<D> driver, int rc,
                                              ioengine::Error& error) {
    if (driver != nullptr)
        return ioengine::make_threads(setup, std::move(driver));
    ioengine::fill_error(error, ioengine::ErrorCode::system, -rc, "the kernel refused the set-up",
                         "see errno");
    return nullptr;
}

}  // namespace

#if IOENGINE_HAVE_AIO
std::unique_ptr<FaultyAioDriver> make_aio_driver(ioengine::IoSharedContext& context,
                                                 FaultPlan& plan, int* error) {
    ioengine::AioSetup setup;
    setup.depth = context.config.depth;
    setup.bell_fd = context.bell.fd();
    setup.merge_limit = context.config.merge_limit;
    setup.signal_file = ioengine::SignalFile::open();
    setup.submit_counters = &context.submit_counters;
    setup.poll_counters = &context.poll_counters;
    ioengine::LinuxAio kernel;
    *error = kernel.setup(FaultyAioDriver::events_for(setup.depth), plan.aio_ring_reap);
    if (*error < 0)
        return nullptr;
    return std::make_unique<FaultyAioDriver>(FaultyAio(std::move(kernel), plan), std::move(setup));
}
#endif

#if IOENGINE_HAVE_URING
// A ring of the plan's, and what its driver is to know.
static int make_ring(ioengine::IoSharedContext& context, const FaultPlan& plan,
                     const ioengine::RingWish& wish, ioengine::LinuxUring& kernel,
                     ioengine::UringSetup& setup) {
    setup.depth = context.config.depth;
    setup.bell_fd = context.bell.fd();
    setup.merge_limit = context.config.merge_limit;
    setup.signal_file = ioengine::SignalFile::open();
    setup.submit_counters = &context.submit_counters;
    setup.poll_counters = &context.poll_counters;
    ioengine::UringRingSetup ring;
    ring.sq_entries =
        plan.sq_entries != 0 ? plan.sq_entries : FaultyUringDriver::sq_entries_for(setup.depth);
    ring.cq_entries =
        plan.cq_entries != 0 ? plan.cq_entries : FaultyUringDriver::cq_entries_for(setup.depth);
    ring.submit_all = plan.submit_all;
    ring.one_thread = setup.bell_fd >= 0;
    ring.sqpoll = setup.sqpoll = ioengine::has_sqpoll(wish.mode);
    ring.sqpoll_idle_ms = wish.idle_ms;
    ring.defer_taskrun = ring.coop_taskrun = !ring.sqpoll;
    const int error = ioengine::set_up_ring(kernel, ring);
    if (error < 0)
        return error;
    setup.registered = &context.registered;
    int none = 0;
    if (plan.tables) {
        setup.buffer_places = ioengine::make_table(kernel, ioengine::TableKind::buffers,
                                                   context.config.registered_buffers, &none);
        setup.file_places = ioengine::make_table(kernel, ioengine::TableKind::files,
                                                 context.config.registered_files, &none);
    }
    return 0;
}

static std::unique_ptr<FaultyUringDriver> make_uring_driver(ioengine::IoSharedContext& context,
                                                            FaultPlan& plan,
                                                            const ioengine::RingWish& wish,
                                                            int* error) {
    ioengine::UringSetup setup;
    ioengine::LinuxUring kernel;
    *error = make_ring(context, plan, wish, kernel, setup);
    if (*error < 0)
        return nullptr;
    return std::make_unique<FaultyUringDriver>(FaultyUring(std::move(kernel), plan),
                                               std::move(setup));
}

static std::unique_ptr<ioengine::Runner>
make_polled_runner(const ioengine::RunnerSetup& setup, FaultPlan& plan, ioengine::Error& error) {
    ioengine::IoSharedContext& context = *setup.context;
    ioengine::UringSetup ordinary_setup;
    ioengine::UringSetup polled_setup;
    ioengine::LinuxUring ordinary;
    ioengine::LinuxUring polled;
    int rc = make_ring(context, plan, setup.ring, ordinary, ordinary_setup);
    if (rc == 0)
        rc = make_ring(context, *plan.polled, setup.ring, polled, polled_setup);
    if (rc < 0) {
        ioengine::fill_error(error, ioengine::ErrorCode::system, -rc, "no rings", "see errno");
        return nullptr;
    }
    auto driver = std::make_unique<FaultyPolledDriver>(
        FaultyUring(std::move(ordinary), plan), std::move(ordinary_setup),
        FaultyUring(std::move(polled), *plan.polled),
        ioengine::PolledSetup{polled_setup.sqpoll, plan.polled->tables, &context.log});
    return std::make_unique<ioengine::OneThreadRunner<FaultyPolledDriver>>(setup,
                                                                           std::move(driver));
}

std::unique_ptr<FaultyUringDriver> make_uring_driver(ioengine::IoSharedContext& context,
                                                     FaultPlan& plan, int* error) {
    return make_uring_driver(context, plan, {}, error);
}
#endif

ioengine::Expected<Context> try_faulty(ioengine::Backend backend, FaultPlan& plan,
                                       ioengine::Options options) {
    options.backend = backend;
    options.log = FaultPlan::keep_message;
    options.log_user = &plan;
    g_plan = &plan;
    auto made = Context::create(options);
    g_plan = nullptr;
    return made;
}

Context make_faulty(ioengine::Backend backend, FaultPlan& plan, ioengine::Options options) {
    const bool driven = is_to_be_driven(options);
    if (driven)
        options.threading = ioengine::Threading::caller;
    auto made = try_faulty(backend, plan, options);
    if (!made)
        FAIL("create(" << ioengine::backend_name(backend) << "): " << made.error().message);
    if (driven)
        drive(made->engine());
    return *std::move(made);
}

Context make_faulty(ioengine::Backend backend, FaultPlan& plan, std::uint32_t depth) {
    ioengine::Options options;
    options.depth = depth;
    return make_faulty(backend, plan, options);
}

}  // namespace test

namespace ioengine {
inline namespace v0 {

std::unique_ptr<Runner> make_runner(const RunnerSetup& setup, ProbeReport& report, Error& error) {
    report.backend = setup.wish.backend;
    int rc = 0;
#if IOENGINE_HAVE_AIO
    if (setup.wish.backend == Backend::aio && test::g_plan != nullptr) {
        auto driver = test::make_aio_driver(*setup.context, *test::g_plan, &rc);
        return test::threads_for(setup, std::move(driver), rc, error);
    }
#endif
#if IOENGINE_HAVE_URING
    if (setup.wish.backend == Backend::uring && test::g_plan != nullptr) {
        const bool polls = has_iopoll(setup.ring.mode) && setup.threading != Threading::split;
        if (polls && test::g_plan->polled != nullptr)
            return test::make_polled_runner(setup, *test::g_plan, error);
        auto driver = test::make_uring_driver(*setup.context, *test::g_plan, setup.ring, &rc);
        return test::threads_for(setup, std::move(driver), rc, error);
    }
#endif
    static_cast<void>(rc);
    fill_error(error, ErrorCode::unsupported, 0, "no such backend beneath a fault plan", "");
    return nullptr;
}

void probe_backends(const BackendWish&, const FeatureSet& disabled, ProbeReport& report) {
#if IOENGINE_HAVE_URING
    probe_uring(disabled, false, report);
#endif
#if IOENGINE_HAVE_AIO
    probe_aio(disabled, report);
#endif
    static_cast<void>(disabled);
    static_cast<void>(report);
}

}  // namespace v0
}  // namespace ioengine
