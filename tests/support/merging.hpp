// SPDX-License-Identifier: MIT
//
// What tests of merging share: a context that merges, and events on one file that are gathered.
#ifndef IOENGINE_TESTS_SUPPORT_MERGING_HPP
#define IOENGINE_TESTS_SUPPORT_MERGING_HPP

#include "tests/support/blocks.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace test {

inline Context make_merging(ioengine::Backend backend, std::uint32_t depth,
                            std::uint32_t limit = 256 * 1024) {
    ioengine::Options options;
    options.depth = depth;
    options.merge = true;
    options.merge_limit = limit;
    return make_context(backend, options);
}

// A request that is never submitted, or fails.
inline ioengine::Request read_at(std::uint64_t offset, std::uint64_t bytes, int fd = 3) {
    static unsigned char memory[1];
    ioengine::Request request;
    request.prepare_read(fd, memory, bytes, offset);
    return request;
}

// Events with tracked callbacks, to be gathered or submitted.
struct MergeEvents {
    explicit MergeEvents(std::size_t count) : tracker(count) {
        for (std::size_t i = 0; i < count; ++i)
            all.push_back(std::make_unique<TrackedEvent>(Tracked{&tracker, i}));
    }
    TrackedEvent& operator[](std::size_t i) { return *all[i]; }
    // What became of add(), for the tracker.
    void add_to(ioengine::IOMergeSubmitter& submitter, std::size_t i) {
        const ioengine::Acceptance acceptance = submitter.add(*all[i]);
        tracker.submitted(i, acceptance);
        REQUIRE(acceptance);
    }
    // Reads of `bytes` each, side by side in the file and in memory.
    void add_reads_to(ioengine::IOMergeSubmitter& reads, int fd, unsigned char* memory,
                      std::size_t bytes, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            all[i]->prepare_read(fd, memory + i * bytes, bytes, i * bytes);
            add_to(reads, i);
        }
    }
    void submit_to(Context& io, std::size_t i) {
        const ioengine::Acceptance acceptance = io.submit(*all[i]);
        tracker.submitted(i, acceptance);
        REQUIRE(acceptance);
    }
    // All of them, which are prepared: one by one, or as many as may go as one.
    void run(Context& io, bool merged) {
        if (merged) {
            ioengine::IOMergeSubmitter submitter(io, all[0]->fd, all[0]->action, 1 << 20);
            for (std::size_t i = 0; i < all.size(); ++i)
                add_to(submitter, i);
        } else {
            submit_all(io);
        }
        finish(io);
    }
    void submit_all(Context& io) {
        for (std::size_t i = 0; i < all.size(); ++i)
            submit_to(io, i);
    }
    // After the end of a context: each was told once. How many were cancelled; of the others i is
    // right(i).
    template <class Right>
    std::size_t count_cancelled(Right&& right) const {
        REQUIRE(tracker.notices() == all.size());
        tracker.require_exactly_once();
        std::size_t cancelled = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            INFO("event " << i << ": " << tracker.result(i).raw());
            if (tracker.result(i).error() == ECANCELED)
                ++cancelled;
            else
                REQUIRE(right(i));
        }
        return cancelled;
    }
    void finish(const Context& io) {
        tracker.wait_for_notices();
        settle(io);
        tracker.require_exactly_once();
    }

    Tracker tracker;
    std::vector<std::unique_ptr<TrackedEvent>> all;
};

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_MERGING_HPP
