// SPDX-License-Identifier: MIT
//
// Goal: what IOMergeSubmitter cannot hand over, and what the kernel does not take, is told to each
// once, or stays the caller's.
// Method: closed descriptors and contexts, full queues, crooked buffers.

#include "tests/support/merging.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <vector>

using namespace ioengine;

namespace {

using test::Blocks;
using test::kBlock;
using test::MergeEvents;
using test::read_at;

}  // namespace

TEST_EACH_BACKEND("an error reaches every one of them, and a bad one alone its own",
                  "[merge][E10]") {
    Blocks blocks(8);
    auto io = test::make_context(backend, 4);
    {
        MergeEvents events(8);
        {
            IOMergeSubmitter reads(io, test::kClosedFd, IOAction::read, 1 << 20);
            events.add_reads_to(reads, test::kClosedFd, blocks.at(0), kBlock, 8);
        }
        events.finish(io);
        for (std::size_t i = 0; i < 8; ++i)
            REQUIRE(events.tracker.result(i).error() == EBADF);
    }
    if (!blocks.file.direct())
        return;
    const std::uint64_t broken = io.stats().merges_broken;
    const std::uint64_t merged = io.stats().merged;
    // One buffer of a direct transfer is not aligned.
    MergeEvents events(8);
    AlignedBuffer crooked = *AlignedBuffer::create(2 * kBlock);
    std::memset(blocks.memory.data(), 0, blocks.memory.size());
    {
        IOMergeSubmitter reads(io, blocks.file.direct_fd(), IOAction::read, 1 << 20);
        for (std::size_t i = 0; i < 8; ++i) {
            events[i].prepare_read(blocks.file.direct_fd(),
                                   i == 3 ? crooked.data() + 1 : blocks.at(i), kBlock, i * kBlock);
            events.add_to(reads, i);
        }
    }
    events.finish(io);
    for (std::size_t i = 0; i < 8; ++i) {
        if (i == 3)
            REQUIRE(events.tracker.result(i).error() == EINVAL);
        else
            REQUIRE((events.tracker.result(i).raw() == kBlock && blocks.right(i)));
    }
    // Around it they are not side by side. A kernel that does not say how to align refuses them
    // when they are one already.
    REQUIRE(io.stats().merges_broken == broken + 1);
    REQUIRE(io.stats().merged == merged + (test::is_disabled("direct_align") ? 7 : 0));
}

TEST_EVERY_BACKEND("a request that is gathered already, or malformed, is refused and nothing is "
                   "handed over",
                   "[merge][E14]") {
    unsigned char memory[64];
    auto io = test::make_context(backend, 4);
    MergeEvents events(2);
    {
        IOMergeSubmitter reads(io, test::kClosedFd, IOAction::read, 1 << 20);
        events.add_reads_to(reads, test::kClosedFd, memory, 16, 2);
        REQUIRE(reads.add(events[0]).code() == ErrorCode::invalid_argument);
        REQUIRE(reads.add(events[1]).code() == ErrorCode::invalid_argument);
        Request malformed;
        malformed.prepare_read(test::kClosedFd, nullptr, 16, 1000);
        REQUIRE(reads.add(malformed).code() == ErrorCode::invalid_argument);
        REQUIRE(reads.buffer().count() == 2);
        REQUIRE(io.stats().accepted == 0);
    }
    events.finish(io);
    REQUIRE(io.stats().accepted == 2);
}

TEST_EVERY_BACKEND("a callback that throws is contained and counted where flush is refused, too",
                   "[merge][C8]") {
    unsigned char memory[64];
    auto io = test::make_context(backend, 4);
    REQUIRE(io.shutdown().clean);
    struct Throws {
        int* called;
        void operator()(Result result) {
            *called += result.error() == ECANCELED;
            throw 42;
        }
    };
    int called = 0;
    IOEvent<Throws> event(Throws{&called});
    event.prepare_read(test::kClosedFd, memory, 16, 0);
    {
        IOMergeSubmitter reads(io, test::kClosedFd, IOAction::read, 1 << 20);
        REQUIRE(reads.add(event));
    }
    REQUIRE(called == 1);
    REQUIRE(io.stats().callbacks_threw == 1);
}

TEST_EVERY_BACKEND("a closed context keeps nothing: flush says so, and the end tells each",
                   "[merge][E12]") {
    unsigned char memory[64];
    auto io = test::make_context(backend, 4);
    MergeEvents events(5);
    {
        IOMergeSubmitter reads(io, 0, IOAction::read, 1 << 20);
        for (std::size_t i = 0; i < 4; ++i) {
            events[i].prepare_read(0, memory, 16, i * 16);
            events.add_to(reads, i);
        }
        REQUIRE(io.shutdown().clean);
        REQUIRE(reads.flush().code() == ErrorCode::shutting_down);
        REQUIRE(reads.buffer().count() == 4);
        events[4].prepare_read(0, memory, 16, 1000);  // a gap
        const Acceptance acceptance = reads.add(events[4]);
        events.tracker.submitted(4, acceptance);
        REQUIRE(acceptance.code() == ErrorCode::shutting_down);
        REQUIRE(events.tracker.notices() == 0);
    }
    events.tracker.require_exactly_once();
    for (std::size_t i = 0; i < 4; ++i)
        REQUIRE(events.tracker.result(i).error() == ECANCELED);
    REQUIRE(events.tracker.accepted() == 4);
}

TEST_EVERY_BACKEND("what flush refuses can be taken back, and submitted again", "[merge][E11]") {
    unsigned char memory[64];
    test::SlotFillers fillers;
    MergeEvents events(4);
    Options options;
    options.depth = 1;
    options.queue_limit = 1;
    auto io = test::make_context(backend, options);
    test::KeptEvent waiting;
    waiting.prepare_read(test::kClosedFd, memory, 16, 0);
    test::Plug plug(io);
    fillers.fill(io);
    REQUIRE(io.submit(waiting));  // the queue is full
    {
        IOMergeSubmitter reads(io, test::kClosedFd, IOAction::read, 1 << 20);
        for (std::size_t i = 0; i < 4; ++i) {
            events[i].prepare_read(test::kClosedFd, memory, 16, i * 16);
            REQUIRE(reads.add(events[i]));
        }
        REQUIRE(reads.flush().code() == ErrorCode::queue_full);
        REQUIRE(reads.buffer().count() == 4);
        Request* const first = *reads.buffer().begin();
        REQUIRE(io.submit(*first).code() == ErrorCode::invalid_argument);  // it is spoken for
        REQUIRE(io.wait(*first) == ErrorCode::invalid_argument);
        REQUIRE(reads.add(*first).code() == ErrorCode::invalid_argument);
        reads.take_back();
        REQUIRE(reads.buffer().empty());
    }
    REQUIRE(events.tracker.notices() == 0);
    {
        IOMergeSubmitter reads(io, test::kClosedFd, IOAction::read, 1 << 20);
        for (std::size_t i = 0; i < 4; ++i)
            events.add_to(reads, i);
        plug.release();
    }  // waits for the place
    events.finish(io);
    waiting.callback.done.wait();
    REQUIRE(io.stats().accepted == 1 + fillers.count() + 1 + 4);
}

TEST_EVERY_BACKEND("another file, another action, a request in use are refused and stay the "
                   "caller's",
                   "[merge][E14]") {
    unsigned char memory[64];
    auto io = test::make_context(backend, 4);
    Request request;
    IOMergeSubmitter reads(io, test::kClosedFd, IOAction::read, 1 << 20);
    request.prepare_read(test::kClosedFd + 1, memory, 16, 0);
    REQUIRE(reads.add(request).code() == ErrorCode::invalid_argument);
    request.prepare_write(test::kClosedFd, memory, 16, 0);
    REQUIRE(reads.add(request).code() == ErrorCode::invalid_argument);
    request.prepare_read(test::kClosedFd, nullptr, 16, 0);
    REQUIRE(reads.add(request).code() == ErrorCode::invalid_argument);
    Request beside = read_at(0, 16, test::kClosedFd);
    Request apart = read_at(32, 16, test::kClosedFd);
    Request* members[] = {&beside, &apart};
    REQUIRE(abi::engine_submit_merged(io.engine(), members, 2, Channel::automatic).code() ==
            ErrorCode::invalid_argument);
    REQUIRE(io.stats().accepted == 0);
    REQUIRE(abi::engine_gather(io.engine(), beside, Channel::automatic));
    REQUIRE_FALSE(abi::engine_submit_merged(io.engine(), members, 2, Channel::automatic));
    REQUIRE(io.perform(apart));  // it is the caller's
    abi::engine_ungather(members, 1);
    REQUIRE(io.perform(beside));
}

TEST_EACH_BACKEND("the destructor in a callback tells those for whom there is no room",
                  "[merge][E12]") {
    unsigned char memory[64];
    MergeEvents events(2);
    Options options;
    options.queue_limit = 1;
    auto io = test::make_context(backend, options);
    Request filler;
    filler.prepare_nop();
    test::Latch done(1);
    bool full = false;
    REQUIRE(io.nop([&](Result) {
        IOMergeSubmitter reads(io, test::kClosedFd, IOAction::read, 1 << 20);
        for (std::size_t i = 0; i < 2; ++i) {
            events[i].prepare_read(test::kClosedFd, memory, 16, i * 16);
            events.tracker.submitted(i, reads.add(events[i]));
        }
        // With lending nobody takes it out while this callback runs; without, the submitter may.
        filler.channel = Channel::read;
        full = io.submit(filler).accepted() && reads.flush().code() == ErrorCode::queue_full;
        done.count_down();
    }));
    done.wait();
    events.finish(io);
    for (std::size_t i = 0; full && i < 2; ++i)
        REQUIRE((events.tracker.result(i).error() == EAGAIN ||
                 events.tracker.result(i).error() == EBADF));
    REQUIRE(io.wait(filler) == ErrorCode::none);
}

TEST_EACH_BACKEND("a flush to another file that is refused leaves them for the first file",
                  "[merge][E13]") {
    test::TempFile first(4 * kBlock);
    test::TempFile second(4 * kBlock);
    std::vector<unsigned char> data(4 * kBlock, 0x5A);
    test::SlotFillers fillers;
    MergeEvents events(4);
    Options options;
    options.depth = 1;
    options.queue_limit = 1;
    auto io = test::make_context(backend, options);
    test::KeptEvent waiting;
    waiting.prepare_write(test::kClosedFd, data.data(), 1, 0);
    test::Plug plug(io);
    fillers.fill(io);
    REQUIRE(io.submit(waiting));
    {
        IOMergeSubmitter writes(io, first.fd(), IOAction::write, 1 << 20);
        for (std::size_t i = 0; i < 3; ++i) {
            events[i].prepare_write(first.fd(), &data[i * kBlock], kBlock, i * kBlock);
            events.add_to(writes, i);
        }
        REQUIRE(writes.flush(second.fd()).code() == ErrorCode::queue_full);
        events[3].prepare_write(first.fd(), &data[3 * kBlock], kBlock, 3 * kBlock);
        events.add_to(writes, 3);
        REQUIRE(writes.buffer().count() == 4);
        plug.release();
    }
    events.finish(io);
    std::vector<unsigned char> found(4 * kBlock);
    first.get(found.data(), found.size(), 0);
    REQUIRE(found == data);
    second.get(found.data(), found.size(), 0);
    REQUIRE(found == std::vector<unsigned char>(4 * kBlock));
}

TEST_EVERY_BACKEND("what is changed while it is gathered ends with EINVAL, once", "[merge][E14]") {
    unsigned char memory[64];
    auto io = test::make_context(backend, 4);
    MergeEvents events(3);
    {
        IOMergeSubmitter reads(io, test::kClosedFd, IOAction::read, 1 << 20);
        for (std::size_t i = 0; i < 3; ++i) {
            events[i].prepare_read(test::kClosedFd, memory, 16, i * 16);
            events.add_to(reads, i);
        }
        events[1].offset = 1000;
        REQUIRE(reads.flush().code() == ErrorCode::invalid_argument);
        REQUIRE(reads.buffer().count() == 3);
    }
    events.tracker.require_exactly_once();
    for (std::size_t i = 0; i < 3; ++i)
        REQUIRE(events.tracker.result(i).error() == EINVAL);
    REQUIRE(io.stats().accepted == 0);
}

TEST_EACH_BACKEND("a group that the kernel refuses hears so, by whomever it was handed over",
                  "[merge][wait][lending]") {
    Blocks blocks(4);
    const test::Fd write_only = blocks.file.reopen(O_WRONLY);
    const test::Fd read_only = blocks.file.reopen(O_RDONLY | (blocks.file.direct() ? O_DIRECT : 0));
    Options options;
    options.backend = backend;
    options.merge = true;
    for (const Lending lending : {Lending::none, Lending::callbacks, Lending::callers}) {
        options.lending = lending;
        auto io = test::make_context(backend, options);
        Result results[4];
        {
            Group group(io);
            for (std::size_t i = 0; i < 4; ++i)
                REQUIRE(
                    group.read(write_only.get(), {blocks.at(i), kBlock}, i * kBlock, &results[i]));
            REQUIRE(group.wait() == ErrorCode::none);
        }
        for (const Result& result : results)
            REQUIRE(result.error() == EBADF);
        std::vector<Request> requests(4);
        {
            IOMergeSubmitter writes(io, read_only.get(), IOAction::write, 1 << 20);
            for (std::size_t i = 0; i < 4; ++i) {
                requests[i].prepare_write(read_only.get(), blocks.at(i), kBlock, i * kBlock);
                REQUIRE(writes.add(requests[i]));
            }
        }
        for (Request& request : requests) {
            REQUIRE(io.wait(request) == ErrorCode::none);
            REQUIRE(request.outcome().error() == EBADF);
        }
        REQUIRE(io.shutdown().clean);
    }
}
