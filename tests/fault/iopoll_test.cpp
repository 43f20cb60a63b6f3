// SPDX-License-Identifier: MIT
//
// Goal: what the ring for polled transfers refuses, whole or one by one, goes the other way, once
// and unseen; what is in flight there is not slept over.
// Method: a second ring on which every file can be "polled" (see FaultPlan::polled), each ring with
// a plan of its own: what one refuses the other must have taken, by the plans' lists.

#include "tests/fault/faulty_context.hpp"
#include "tests/support/blocks.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

using namespace ioengine;
using namespace std::chrono_literals;
using test::Blocks;
using test::every;
using test::first;
using test::kBlock;
using test::nth;

namespace {

struct Rings {
    Rings() { ordinary.polled = &polled; }
    test::FaultPlan ordinary;
    test::FaultPlan polled;
};

Options options_for(Threading threading) {
    Options options;
    options.ring = RingMode::iopoll;
    options.threading = threading;
    options.depth = 16;
    return options;
}

template <class Body>
void in_each(Body&& body) {
    test::require_backend(Backend::uring);
    for (const Threading threading : {Threading::owner, Threading::caller}) {
        INFO((threading == Threading::owner ? "owner" : "caller"));
        Rings rings;
        auto io = test::make_faulty(Backend::uring, rings.ordinary, options_for(threading));
        body(io, rings);
        if (!io.shutdown().clean)
            FAIL("shutdown was not clean\n" << rings.ordinary.text() << rings.polled.text());
    }
}

std::size_t taken(const test::FaultPlan& plan, IOAction action) {
    const std::vector<test::Entry> all = plan.taken();
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [action](const test::Entry& entry) {
            return entry.is_request() && entry.action == action;
        }));
}

void require_read(test::Context& io, Blocks& blocks, std::size_t i) {
    Request request;
    std::memset(blocks.at(i), 0, kBlock);
    request.prepare_read(blocks.file.fd(), blocks.at(i), kBlock, i * kBlock);
    REQUIRE(io.perform(request));
    REQUIRE(request.result == kBlock);
    REQUIRE(blocks.right(i));
}

void require_reads(test::Context& io, Blocks& blocks) {
    std::memset(blocks.memory.data(), 0, blocks.memory.size());
    Group group(io);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(group.read(blocks.file.fd(), Bytes(blocks.at(i), kBlock), i * kBlock));
    REQUIRE(group.wait() == ErrorCode::none);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE(blocks.right(i));
}

}  // namespace

TEST_CASE("a file is polled from its first read on; flushes and flags go the ordinary way",
          "[fault][iopoll][uring][G7]") {
    in_each([](test::Context& io, Rings& rings) {
        Blocks blocks(64);
        Request write;
        test::fill_pattern(blocks.at(0), kBlock, 0);
        write.prepare_write(blocks.file.fd(), blocks.at(0), kBlock, 0);
        REQUIRE(io.perform(write));
        REQUIRE(taken(rings.polled, IOAction::write) == 0);  // nothing is known of it
        require_read(io, blocks, 0);
        REQUIRE(taken(rings.polled, IOAction::read) == 1);
        REQUIRE(io.perform(write));
        REQUIRE(write.result == kBlock);
        REQUIRE(taken(rings.polled, IOAction::write) == 1);
        write.prepare_write(blocks.file.fd(), blocks.at(0), kBlock, 0);
        write.flags = kFlagDsync;
        REQUIRE(io.perform(write));
        REQUIRE(taken(rings.polled, IOAction::write) == 1);
        Request flush;
        flush.prepare_fdatasync(blocks.file.fd());
        REQUIRE(io.perform(flush));
        REQUIRE(flush.result == 0);
        REQUIRE(taken(rings.polled, IOAction::fdatasync) == 0);
        require_reads(io, blocks);
        REQUIRE(taken(rings.polled, IOAction::read) == 1 + blocks.count);
        REQUIRE(taken(rings.ordinary, IOAction::read) == 0);
        REQUIRE(io.stats().polled == 2 + blocks.count);
        REQUIRE(io.stats().polled_refused == 0);
    });
}

TEST_CASE("a polled ring with nothing in flight costs no call", "[fault][iopoll][uring][G7]") {
    in_each([](test::Context& io, Rings& rings) {
        Blocks blocks(64);
        require_reads(io, blocks);
        REQUIRE(io.stats().polled != 0);
        // A thread of the engine's parks; one of the host's is told that it need not come again.
        if (io.run_once(Run::now).code == ErrorCode::none)
            REQUIRE(io.run_once(Run::now).again_in_ns < 0);
        const auto calls = [&] {
            const Stats stats = io.stats();
            return rings.ordinary.waits() + rings.polled.waits() + stats.wait_calls +
                   stats.submit_calls;
        };
        std::uint64_t before = 0;
        test::wait_until(
            [&] {
                const std::uint64_t earlier = std::exchange(before, calls());
                std::this_thread::sleep_for(50ms);
                return earlier == before;
            },
            "waiting for the engine to come to rest");
        std::this_thread::sleep_for(200ms);
        REQUIRE(calls() == before);
    });
}

TEST_CASE("a write that cannot be polled after all is written once, by the other ring",
          "[fault][iopoll][uring][G7]") {
    in_each([](test::Context& io, Rings& rings) {
        Blocks blocks(8);
        require_read(io, blocks, 0);
        // Such as when the descriptor's number has become another file's.
        rings.polled.fail(nth(1), EOPNOTSUPP, test::is(IOAction::write));
        Request write;
        test::fill_pattern(blocks.at(0), kBlock, 77);
        write.prepare_write(blocks.file.fd(), blocks.at(0), kBlock, 0);
        REQUIRE(io.perform(write));
        REQUIRE(write.result == kBlock);
        unsigned char back[kBlock];
        blocks.file.get(back, kBlock, 0);
        REQUIRE(test::has_pattern(back, kBlock, 77));
        REQUIRE(taken(rings.polled, IOAction::write) == 1);
        REQUIRE(taken(rings.ordinary, IOAction::write) == 1);
        REQUIRE(io.stats().polled_refused == 1);
        // And the file is not tried again soon.
        for (std::size_t i = 1; i < blocks.count; ++i)
            require_read(io, blocks, i);
        REQUIRE(taken(rings.polled, IOAction::read) == 1);
    });
}

TEST_CASE("a file that was refused is tried again after a while", "[fault][iopoll][uring][G7]") {
    for (const int error : {EOPNOTSUPP, EINVAL})
        in_each([error](test::Context& io, Rings& rings) {
            INFO("errno " << error);
            Blocks blocks(64);
            rings.polled.fail(nth(1), error);
            for (int round = 0; round < 17; ++round)
                require_reads(io, blocks);
            const std::size_t tried = taken(rings.polled, IOAction::read);
            REQUIRE(tried > 1);
            REQUIRE(tried <= 17 * blocks.count - 1000);
            REQUIRE(io.stats().polled == tried - 1);
            REQUIRE(io.stats().polled_refused == 1);
            REQUIRE(io.stats().failed == 0);
        });
}

TEST_CASE("a trial that fails because of the device, or finds the end of the file, proves nothing",
          "[fault][iopoll][uring][G7]") {
    in_each([](test::Context& io, Rings& rings) {
        Blocks blocks(4);
        rings.polled.fail(nth(1), EIO);
        Request read;
        read.prepare_read(blocks.file.fd(), blocks.at(0), kBlock, 0);
        REQUIRE(io.perform(read));
        REQUIRE(read.result == -EIO);
        read.prepare_read(blocks.file.fd(), blocks.at(0), kBlock, 4 * kBlock);
        REQUIRE(io.perform(read));
        REQUIRE(read.result == 0);
        Request write;
        test::fill_pattern(blocks.at(0), kBlock, 0);
        write.prepare_write(blocks.file.fd(), blocks.at(0), kBlock, 0);
        REQUIRE(io.perform(write));
        REQUIRE(write.result == kBlock);
        REQUIRE(taken(rings.polled, IOAction::write) == 0);
        require_read(io, blocks, 0);
        REQUIRE(io.perform(write));
        REQUIRE(taken(rings.polled, IOAction::write) == 1);
        REQUIRE(io.stats().polled_refused == 0);
    });
}

TEST_CASE("a ring for polled transfers that takes no more is done without",
          "[fault][iopoll][uring][G7]") {
    in_each([](test::Context& io, Rings& rings) {
        Blocks blocks(64);
        require_reads(io, blocks);
        REQUIRE(io.stats().polled > 0);
        rings.polled.fail_submit(every(), ENXIO);
        require_reads(io, blocks);
        REQUIRE(rings.ordinary.logged("polled transfers takes no more") == 1);
        rings.polled.calm();
        const std::uint64_t polled = io.stats().polled;
        require_reads(io, blocks);
        REQUIRE(io.stats().polled == polled);
        REQUIRE(io.stats().failed == 0);
        REQUIRE(io.stats().requests_refused_by_kernel == 0);
    });
}

TEST_CASE("a ring for polled transfers that is short of something is tried again",
          "[fault][iopoll][uring][G4]") {
    in_each([](test::Context& io, Rings& rings) {
        Blocks blocks(64);
        for (const int error : {EAGAIN, EBUSY, EINTR, ENOMEM}) {
            rings.polled.fail_submit(first(3), error);
            require_reads(io, blocks);
        }
        rings.polled.limit_submit(first(20), 1);
        require_reads(io, blocks);
        REQUIRE(io.stats().polled == 5 * blocks.count - taken(rings.ordinary, IOAction::read));
        REQUIRE(io.stats().failed == 0);
    });
}

TEST_CASE("polled transfers that are short, late, repeated or out of order come out right",
          "[fault][iopoll][uring][A10]") {
    in_each([](test::Context& io, Rings& rings) {
        Blocks blocks(64);
        require_read(io, blocks, 0);
        rings.polled.shorten(first(10), 512);
        rings.polled.fail({11, 20}, EAGAIN);
        rings.polled.shuffle(test::announced_seed("polled completions"));
        require_reads(io, blocks);
        REQUIRE(io.stats().continuations == 10);
        REQUIRE(io.stats().failed == 0);
    });
}

TEST_CASE("with something in flight that is polled, the bell and the other ring are heard",
          "[fault][iopoll][uring][H4]") {
    test::require_backend(Backend::uring);
    Rings rings;
    auto io = test::make_faulty(Backend::uring, rings.ordinary, options_for(Threading::owner));
    Blocks blocks(8);
    require_read(io, blocks, 0);
    rings.polled.hold(nth(1));
    Request held;
    held.prepare_read(blocks.file.fd(), blocks.at(1), kBlock, kBlock);
    REQUIRE(io.submit(held));
    test::wait_until([&rings] { return rings.polled.held() == 1; }, "waiting for a held read");
    // It is not over, and what comes from this thread is done nevertheless, in both rings.
    for (int i = 0; i < 20; ++i) {
        std::this_thread::sleep_for(1ms);
        require_read(io, blocks, 2);
        Request flush;
        flush.prepare_fdatasync(blocks.file.fd());
        REQUIRE(io.perform(flush));
        REQUIRE(flush.result == 0);
    }
    REQUIRE(io.wait_for(held, 1ms) == ErrorCode::timed_out);
    rings.polled.release();
    REQUIRE(io.wait(held) == ErrorCode::none);
    REQUIRE(held.result == kBlock);
    REQUIRE(blocks.right(1));
    REQUIRE(io.shutdown().clean);
    REQUIRE(rings.polled.in_kernel_when_destroyed() == 0);
}

TEST_CASE("a place of a registered buffer is filled in both rings or in none",
          "[fault][iopoll][uring][H8]") {
    in_each([](test::Context& io, Rings& rings) {
        Blocks blocks(4);
        require_read(io, blocks, 0);
        rings.polled.fail_update(nth(1), ENOMEM);
        auto without = io.register_buffers({Bytes(blocks.memory.data(), blocks.memory.size())});
        REQUIRE(without);
        REQUIRE_FALSE(without->in_force());
        const auto with = io.register_buffers({Bytes(blocks.memory.data(), blocks.memory.size())});
        REQUIRE(with);
        REQUIRE(with->in_force());
        for (const BufferHandle handle : {(*without)[0], (*with)[0]}) {
            Request read;
            std::memset(blocks.at(1), 0, kBlock);
            read.prepare_read(blocks.file.fd(), blocks.at(1), kBlock, kBlock);
            read.use(handle);
            REQUIRE(io.perform(read));
            REQUIRE(read.result == kBlock);
            REQUIRE(blocks.right(1));
        }
        REQUIRE(io.stats().fixed_buffers == 1);
        REQUIRE(io.stats().fixed_unused == 1);
        REQUIRE(taken(rings.polled, IOAction::read) == 3);
    });
}
