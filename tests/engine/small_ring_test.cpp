// SPDX-License-Identifier: MIT
//
// Goal: where the kernel grants only a small ring, io_uring still serves the full depth: what does
// not fit into the submission ring is handed over in parts, and a completion ring that spills over
// loses nothing.
// Method: a forked child in which seccomp answers ENOMEM to every ring of 64 entries or more, as a
// small limit of locked memory does. A callback holds the poller while more requests complete than
// the completion ring has places.

#include "tests/engine/children.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <vector>

using namespace ioengine;
using namespace test::children;

namespace {

constexpr std::uint32_t kDepth = 512;

void require_full_depth_through_a_small_ring() {
    test::deny({{"io_uring_setup", ENOMEM, 0, 64, true}});
    const test::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    char byte = 1;
    test::Tracker tracker(kDepth);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    test::Latch entered(1);
    test::Latch leave(1);
    Options options = options_for(Backend::uring);
    options.depth = kDepth;
    auto made = test::Context::create(options);
    if (!made)
        print(made.error());
    CHILD_CHECK(made);
    std::printf("%s", to_text(made->report()).c_str());
    CHILD_CHECK(made->stats().depth == kDepth);
    CHILD_CHECK(made->nop([&](Result) {
        entered.count_down();
        leave.wait();
    }));
    entered.wait();
    for (std::size_t i = 0; i < kDepth; ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events.back()->prepare_read(zero.get(), &byte, 1, 0);
        const Acceptance answer = made->submit_wait(*events.back());
        CHILD_CHECK(answer);
        tracker.submitted(i, answer);
    }
    test::wait_until([&] { return made->stats().queued_read == 0; },
                     "waiting for all reads to be in the kernel");
    leave.count_down();
    tracker.wait_for_notices();
    const ShutdownReport report = made->shutdown();
    const Stats stats = made->stats();
    std::printf("overflows %llu, submit calls %llu\n",
                static_cast<unsigned long long>(stats.cq_overflows),
                static_cast<unsigned long long>(stats.submit_calls));
    CHILD_CHECK(report.clean);
    CHILD_CHECK(report.completed == kDepth + 1);
    CHILD_CHECK(tracker.notices() == kDepth);
    for (std::size_t i = 0; i < kDepth; ++i)
        CHILD_CHECK(tracker.result(i).bytes() == 1);
    CHILD_CHECK(stats.cq_overflows > 0);
    CHILD_CHECK(stats.free_slots == kDepth);
}

}  // namespace

TEST_CASE("a ring smaller than the depth serves it, and its overflow loses no completion",
          "[choice][A2][G3][H3][defect-6][scenario-8]") {
    test::require_two_threads();
    test::require_backend(Backend::uring);
    test::require_deny();
    require_child_succeeds([] { require_full_depth_through_a_small_ring(); });
}

TEST_CASE("with only a small ring auto stays on io_uring and says so", "[choice][A2]") {
    test::require_backend(Backend::uring);
    test::require_deny();
    require_child_succeeds([] {
        test::deny({{"io_uring_setup", ENOMEM, 0, 64, true}});
        Options options = options_for(Backend::automatic);
        options.depth = kDepth;
        auto made = test::Context::create(options);
        CHILD_CHECK(made);
        CHILD_CHECK(made->report().backend == Backend::uring);
        bool said = false;
        for (std::uint32_t i = 0; i < made->report().feature_count; ++i)
            said = said || std::strstr(made->report().features[i].note, "memory") != nullptr;
        CHILD_CHECK(said);
        require_child_moves_data(*made);
    });
}
