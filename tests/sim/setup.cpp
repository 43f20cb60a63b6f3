// SPDX-License-Identifier: MIT
//
// The kernels that are asked, and what must come of it.
#include "tests/sim/setup.hpp"

#include "drivers/choice/choice.hpp"
#include "lib/config.hpp"
#include "lib/reporting.hpp"
#include "tests/sim/failure.hpp"

#if IOENGINE_HAVE_AIO
#include "drivers/aio/aio_probe.hpp"
#include "drivers/sim/sim_aio.hpp"
#endif
#if IOENGINE_HAVE_URING
#include "drivers/sim/sim_uring.hpp"
#include "drivers/uring/uring_probe.hpp"
#endif

#include <bit>
#include <cerrno>
#include <utility>

namespace sim {

namespace {

using ioengine::Error;
using ioengine::Fault;
using ioengine::FaultCounts;
using ioengine::FaultPlan;
using ioengine::FeatureSet;
using ioengine::ProbeReport;
using ioengine::SimWorld;

// A probe waits for what it has submitted: what would never come, or not for long, is not for it.
FaultPlan for_probes(FaultPlan plan) {
    for (const Fault fault :
         {Fault::never, Fault::stalled, Fault::burst, Fault::stale, Fault::spilled})
        plan[fault] = 0;
    return plan;
}

// Moves the clock until something has completed, since nobody else does.
void wait_for_completion(SimWorld& world) {
    while (!world.has_completion()) {
        if (world.next_due_ns() == SimWorld::kNever)
            fail("a probe waits for what it has not submitted");
        world.advance_to(world.next_due_ns());
    }
}

int open_scratch(SimWorld& world) {
    ioengine::SimFile file;
    file.capacity = 4096;
    return world.files.add(std::move(file));
}

#if IOENGINE_HAVE_URING
class Ring : public ioengine::SimUring {
  public:
    // `too_large` counts what a smaller ring mends.
    Ring(SimWorld& world, const Scene& scene, std::uint64_t& too_large)
        : SimUring(world, {}), at_(&world), scene_(&scene), too_large_(&too_large) {}

    int make_ring(ioengine::UringRingSetup& ring) {
        ioengine::SimFaults& faults = at_->faults();
        const bool defers = ring.one_thread && ring.single_issuer && ring.defer_taskrun;
        if ((ring.submit_all && !scene_->knows_submit_all) ||
            (ring.sized_cq && !scene_->knows_sized_cq) ||
            (ring.one_thread && ring.single_issuer && !scene_->knows_single_issuer) ||
            (defers && !scene_->knows_defer_taskrun) ||
            (ring.one_thread && ring.coop_taskrun && !defers && !scene_->knows_coop_taskrun)) {
            faults.note(Fault::setup_einval);
            return -EINVAL;
        }
        if (ring.sq_entries > scene_->ring_entries_max) {
            faults.note(Fault::setup_enomem);
            ++*too_large_;
            return -ENOMEM;
        }
        if (const int answer = faults.setup_answer(true))
            return answer;
        ring.sq_entries = std::bit_ceil(ring.sq_entries);
        ring.cq_entries = ring.sized_cq ? std::bit_ceil(ring.cq_entries) : 2 * ring.sq_entries;
        ioengine::SimRingShape shape;
        shape.sq_entries = ring.sq_entries;
        shape.submit_all = ring.submit_all;
        static_cast<SimUring&>(*this) = SimUring(*at_, shape);
        return 0;
    }
    bool awaits_memory(const ioengine::UringRingSetup&) {
        return ++memory_awaited_ < 3 && at_->faults().random().coin();
    }
    ioengine::UringOpcodes opcodes() {
        if (!at_->faults().strikes(Fault::probe_denied))
            return {scene_->has_fallocate, scene_->has_sync_file_range, true};
        at_->faults().note(Fault::probe_denied);
        return {};
    }
    bool can_enable() {
        if (!scene_->enables_rings)
            at_->faults().note(Fault::probe_denied);
        return scene_->enables_rings;
    }
    int open_scratch() { return sim::open_scratch(*at_); }
    void close_scratch(int) {}
    int wait(std::int64_t limit_ns) {
        wait_for_completion(*at_);
        return SimUring::wait(limit_ns);
    }

  private:
    SimWorld* at_;
    const Scene* scene_;
    std::uint64_t* too_large_;
    unsigned memory_awaited_ = 0;
};
#endif

#if IOENGINE_HAVE_AIO
class Context : public ioengine::SimAio {
  public:
    Context(SimWorld& world, const Scene& scene) : SimAio(world, 0), at_(&world), scene_(&scene) {}

    int setup(unsigned events, bool /*ring_reap*/) {
        if (const int answer = at_->faults().setup_answer(false))
            return answer;
        static_cast<SimAio&>(*this) = SimAio(*at_, events);
        return 0;
    }
    int open_scratch() { return scene_->native_fsync ? sim::open_scratch(*at_) : -ENOSYS; }
    void close_scratch(int) {}
    int wait(long max, io_event* events, std::int64_t limit_ns) {
        wait_for_completion(*at_);
        return SimAio::wait(max, events, limit_ns);
    }

  private:
    SimWorld* at_;
    const Scene* scene_;
};
#endif

class Setup {
  public:
    explicit Setup(Scene& scene)
        : scene_(scene), plan_(for_probes(scene.faults)), rings_(scene.kernel, plan_, scene.seed),
          contexts_(scene.kernel, plan_, ~scene.seed) {
        for (SimWorld* world : {&rings_, &contexts_})
            world->files.open_signal(kSignalFd);
    }

    SetupOutcome run() {
        // As the table of quirks has it.
        const char* const release = scene_.kernel_has_defect ? "5.12.0" : "6.18.0";
        const ioengine::Candidates candidates{this, release, probe, make};
        ProbeReport report;
        Error error;
        const bool made = ioengine::choose_and_make({scene_.wish, false}, FeatureSet(), candidates,
                                                    report, error);
        check(made, report, error);
        if (made)
            scene_.backend =
                report.backend == ioengine::Backend::aio ? Backend::aio : Backend::uring;
        SetupOutcome outcome{made, rings_.faults().counts()};
        outcome.faults.add(contexts_.faults().counts());
        return outcome;
    }

  private:
    static constexpr int kSignalFd = 3;

    static void probe(void* self, ioengine::Backend backend, bool, ProbeReport& report) {
        auto& setup = *static_cast<Setup*>(self);
        if (backend == ioengine::Backend::uring)
            setup.probe_rings(report);
        else
            setup.probe_contexts(report);
    }
    static bool make(void* self, ioengine::Backend backend, ProbeReport& report, Error& error) {
        auto& setup = *static_cast<Setup*>(self);
        return backend == ioengine::Backend::uring ? setup.make_ring(report, error)
                                                   : setup.make_context(report, error);
    }

#if IOENGINE_HAVE_URING
    void probe_rings(ProbeReport& report) {
        report.uring = {};
        Ring ring(rings_, scene_, too_large_);
        ioengine::probe_ring(ring, {8, 16, true, true}, FeatureSet(), report);
    }
    bool make_ring(ProbeReport& report, Error& error) {
        Ring ring(rings_, scene_, too_large_);
        const std::uint32_t entries = scene_.config.depth + 2;
        ioengine::UringRingSetup shape{entries, 2 * entries, true, true};
        shape.one_thread = scene_.threading != ioengine::Threading::split;
        shape.sqpoll = scene_.ring.sqpoll;
        // As ring_setup_for() and make_uring_runner() do.
        if (shape.sqpoll)
            shape.defer_taskrun = shape.coop_taskrun = false;
        if (shape.one_thread && !ring.can_enable())
            shape.single_issuer = shape.defer_taskrun = false;
        const bool asks_for_issuer = shape.single_issuer;
        const bool asks_to_defer = shape.defer_taskrun;
        if (const int rc = ioengine::set_up_ring(ring, shape); rc != 0) {
            ioengine::fill_error(error, ioengine::ErrorCode::system, -rc, "io_uring_setup failed",
                                 ioengine::uring_setup_hint(-rc));
            return false;
        }
        if (shape.sq_entries < std::bit_ceil(entries) && enomem(rings_) == 0)
            fail("a ring of %u entries instead of %u, for no reason", shape.sq_entries, entries);
        if ((shape.submit_all != scene_.knows_submit_all && scene_.knows_sized_cq) ||
            (shape.one_thread && scene_.knows_sized_cq && scene_.knows_submit_all &&
             (shape.single_issuer != (asks_for_issuer && scene_.knows_single_issuer) ||
              shape.defer_taskrun != (asks_to_defer && scene_.knows_defer_taskrun))))
            fail("a ring forgoes what the kernel knows, or has what it does not know");
        scene_.ring.disabled = shape.one_thread && shape.single_issuer;
        scene_.ring.deferred = scene_.ring.disabled && shape.defer_taskrun;
        // A test may want a smaller one still.
        scene_.ring.sq_entries = std::min(scene_.ring.sq_entries, shape.sq_entries);
        scene_.ring.submit_all = shape.submit_all;
        scene_.has_fallocate = ioengine::has_feature(report, "uring_fallocate");
        scene_.has_sync_file_range = ioengine::has_feature(report, "uring_sync_file_range");
        return true;
    }
#else
    void probe_rings(ProbeReport& report) {
        report.uring = {};
        ioengine::put_failure(report.uring, "not compiled in", 0, "it is not there");
    }
    bool make_ring(ProbeReport&, Error&) {
        fail("a ring is asked for that is not compiled in");
    }
#endif

#if IOENGINE_HAVE_AIO
    void probe_contexts(ProbeReport& report) {
        report.aio = {};
        Context context(contexts_, scene_);
        ioengine::probe_context(context, kSignalFd, FeatureSet(), report);
    }
    bool make_context(ProbeReport& report, Error& error) {
        Context context(contexts_, scene_);
        if (const int rc = context.setup(scene_.config.depth + 2, true); rc != 0) {
            ioengine::fill_error(error, ioengine::ErrorCode::system, -rc, "io_setup failed",
                                 ioengine::aio_setup_hint(-rc));
            return false;
        }
        scene_.native_fsync = ioengine::has_feature(report, "aio_fsync");
        return true;
    }
#else
    void probe_contexts(ProbeReport& report) {
        report.aio = {};
        ioengine::put_failure(report.aio, "not compiled in", 0, "it is not there");
    }
    bool make_context(ProbeReport&, Error&) {
        fail("a context is asked for that is not there");
    }
#endif

    static std::uint64_t enomem(const SimWorld& world) {
        return world.faults().counts().of(Fault::setup_enomem);
    }
    // How often something happened that may cost a backend. The rest is put up with.
    static std::uint64_t reasons(const SimWorld& world) {
        std::uint64_t count = 0;
        for (std::size_t i = 0; i < ioengine::kFaultKinds; ++i) {
            switch (static_cast<Fault>(i)) {
            case Fault::setup_einval:
            case Fault::probe_denied:
            case Fault::eintr:
            case Fault::reordered:
            case Fault::delayed:
                break;
            default:
                count += world.faults().counts().injected[i];
            }
        }
        return count;
    }

    void check(bool made, const ProbeReport& report, const Error& error) const {
        const bool may_be_uring = scene_.wish != ioengine::Backend::aio;
        const bool may_be_aio = scene_.wish != ioengine::Backend::uring;
        const bool no_uring = !IOENGINE_HAVE_URING || reasons(rings_) != too_large_;
        const bool no_aio = !IOENGINE_HAVE_AIO || reasons(contexts_) != 0;
        if (!made) {
            if ((may_be_uring && !no_uring) || (may_be_aio && !no_aio))
                fail("no backend although nothing speaks against it: %s", error.message);
            if (error.code == ioengine::ErrorCode::none || error.hint[0] == '\0')
                fail("a set-up that failed has no error, or no hint");
            return;
        }
        if (report.backend == ioengine::Backend::uring) {
            if (!may_be_uring)
                fail("io_uring is in force though AIO was asked for");
            if (scene_.kernel_has_defect && may_be_aio && !no_aio)
                fail("io_uring is in force in spite of a defect of this kernel");
        } else if (!may_be_aio) {
            fail("AIO is in force though io_uring was asked for");
        } else if (may_be_uring && !no_uring && !scene_.kernel_has_defect) {
            fail("AIO is in force though nothing speaks against io_uring");
        }
        if (report.reason[0] == '\0')
            fail("the report does not say why this backend");
    }

    Scene& scene_;
    const FaultPlan plan_;
    SimWorld rings_;
    SimWorld contexts_;
    std::uint64_t too_large_ = 0;
};

}  // namespace

SetupOutcome set_up(Scene& scene) {
    return Setup(scene).run();
}

}  // namespace sim
