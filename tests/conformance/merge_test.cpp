// SPDX-License-Identifier: MIT
//
// Goal: neighbours in a file go to the kernel as one, and each hears what it would have heard
// alone: its own bytes, its own end of file, its own error. By IOMergeSubmitter, and by
// Options::merge.
// Method: files with patterns, compared block by block and by sha256sum; how many went along is
// what stats() counts. Failures in the middle of a transfer: tests/fault/merge_test.cpp.

#include "tests/support/blocks.hpp"
#include "tests/support/support.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace ioengine;

namespace {

using test::Blocks;
using test::kBlock;

constexpr std::size_t kPiece = 1024;

test::Context make_merging(Backend backend, std::uint32_t depth, std::uint32_t limit = 256 * 1024) {
    Options options;
    options.depth = depth;
    options.merge = true;
    options.merge_limit = limit;
    return test::make_context(backend, options);
}

// Requests on one file, each with a tracked callback.
struct Events {
    explicit Events(std::size_t count) : tracker(count) {
        for (std::size_t i = 0; i < count; ++i)
            all.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
    }
    test::TrackedEvent& operator[](std::size_t i) { return *all[i]; }
    // What became of add(), for the tracker.
    void add_to(IOMergeSubmitter& submitter, std::size_t i) {
        const Acceptance acceptance = submitter.add(*all[i]);
        tracker.submitted(i, acceptance);
        REQUIRE(acceptance);
    }
    void submit_to(test::Context& io, std::size_t i) {
        const Acceptance acceptance = io.submit(*all[i]);
        tracker.submitted(i, acceptance);
        REQUIRE(acceptance);
    }
    void finish(const test::Context& io) {
        tracker.wait_for_notices();
        test::settle(io);
        tracker.require_exactly_once();
    }

    test::Tracker tracker;
    std::vector<std::unique_ptr<test::TrackedEvent>> all;
};

Request read_at(std::uint64_t offset, std::uint64_t bytes, int fd = 3) {
    static unsigned char memory[1];
    Request request;
    request.prepare_read(fd, memory, bytes, offset);
    return request;
}

// The first word of what sha256sum says of an open file.
std::string sha256_of(int fd) {
    const std::string command =
        "sha256sum < /proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd);
    FILE* const pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::array<char, 65> word{};
    const std::size_t got = std::fread(word.data(), 1, 64, pipe);
    REQUIRE(::pclose(pipe) == 0);
    REQUIRE(got == 64);
    return word.data();
}

}  // namespace

// -- the buffer ------------------------------------------------------------------------------

TEST_CASE("a merge buffer takes what lies right behind, and nothing else", "[merge][E1][E4]") {
    EventMergeBuffer buffer(1 << 20);
    Request first = read_at(4096, 4096);
    Request behind = read_at(8192, 100);
    Request odd = read_at(8292, 1);
    for (const std::uint64_t wrong : {0u, 4095u, 4096u, 8191u, 8193u, 12288u}) {
        buffer.clear();
        REQUIRE(buffer.add(first));
        Request other = read_at(wrong, 4096);
        REQUIRE_FALSE(buffer.add(other));
        REQUIRE(buffer.count() == 1);
    }
    REQUIRE(buffer.add(behind));
    REQUIRE(buffer.add(odd));
    REQUIRE(buffer.count() == 3);
    REQUIRE(buffer.bytes() == 4096 + 100 + 1);
    std::vector<Request*> order(buffer.begin(), buffer.end());
    REQUIRE(order == std::vector<Request*>{&first, &behind, &odd});
    buffer.clear();
    REQUIRE(buffer.empty());
    Request before = read_at(0, 4096);
    REQUIRE(buffer.add(before));
}

TEST_CASE("a merge buffer's limit is on the sum, and on the number", "[merge][E2][E3]") {
    EventMergeBuffer buffer(10'000);
    Request requests[] = {read_at(0, 4000), read_at(4000, 4000), read_at(8000, 2001),
                          read_at(8000, 2000)};
    REQUIRE(buffer.add(requests[0]));
    REQUIRE(buffer.add(requests[1]));
    REQUIRE_FALSE(buffer.add(requests[2]));
    REQUIRE_FALSE(buffer.full());
    REQUIRE(buffer.add(requests[3]));
    REQUIRE(buffer.full());
    buffer.clear();
    Request oversize = read_at(0, 10'001);
    REQUIRE_FALSE(buffer.takes(oversize));

    EventMergeBuffer many(1 << 30);
    std::vector<Request> small;
    for (std::size_t i = 0; i <= kMergeMax; ++i)
        small.push_back(read_at(i, 1));
    for (std::size_t i = 0; i < kMergeMax; ++i)
        REQUIRE(many.add(small[i]));
    REQUIRE(many.full());
    REQUIRE_FALSE(many.add(small[kMergeMax]));
}

TEST_CASE("what is not alike, or must go alone, is not merged", "[merge][E14]") {
    EventMergeBuffer buffer(1 << 20);
    Request first = read_at(0, 4096);
    REQUIRE(buffer.add(first));
    const auto refuses = [&](auto&& change) {
        Request other = read_at(4096, 4096);
        REQUIRE(buffer.takes(other));
        change(other);
        return !buffer.takes(other);
    };
    REQUIRE(refuses([](Request& r) { r.fd = 4; }));
    REQUIRE(refuses([](Request& r) { r.action = IOAction::write; }));
    REQUIRE(refuses([](Request& r) { r.channel = Channel::prio; }));
    REQUIRE(refuses([](Request& r) { r.flags = kFlagDsync; }));
    REQUIRE(refuses([](Request& r) { r.io_priority = 1; }));
    REQUIRE(refuses([](Request& r) { r.length = 0; }));
    for (const std::uint16_t flag : {kFlagNowait, kFlagAppend, kFlagAtomic}) {
        Request alone = read_at(0, 4096);
        alone.flags = flag;
        REQUIRE_FALSE(can_be_merged(alone));
    }
    Request vectored;
    vectored.prepare_readv(3, nullptr, 1, 0);
    REQUIRE_FALSE(can_be_merged(vectored));
    Request flush;
    flush.prepare_fsync(3);
    REQUIRE_FALSE(can_be_merged(flush));
}

// -- IOMergeSubmitter --------------------------------------------------------------------------

TEST_EACH_BACKEND("merged reads each get exactly their bytes, buffered and direct",
                  "[merge][E7][E8]") {
    Blocks blocks(64);
    auto io = test::make_context(backend, 8);
    for (const int fd : {blocks.file.fd(), blocks.file.direct_fd()}) {
        Events events(blocks.count);
        const std::uint64_t merged = io.stats().merged;
        std::memset(blocks.memory.data(), 0, blocks.memory.size());
        {
            IOMergeSubmitter reads(io, fd, IOAction::read, 1 << 20);
            // Memory in another order than the file's: it is not one piece in both.
            for (std::size_t i = 0; i < blocks.count; ++i) {
                events[i].prepare_read(fd, blocks.at(i ^ 1), kBlock, i * kBlock);
                events.add_to(reads, i);
            }
            REQUIRE(reads.flush());
        }
        events.finish(io);
        for (std::size_t i = 0; i < blocks.count; ++i) {
            REQUIRE(events.tracker.result(i).raw() == kBlock);
            REQUIRE(test::has_pattern(blocks.at(i ^ 1), kBlock, i));
        }
        REQUIRE(io.stats().merged - merged == blocks.count - 1);
    }
    REQUIRE(io.stats().merges_broken == 0);
}

TEST_EACH_BACKEND("the limit is on the running sum; a larger one passes alone, in its place",
                  "[merge][E2][E3]") {
    Blocks blocks(16);
    auto io = test::make_context(backend, 8);
    Events events(12);
    {
        IOMergeSubmitter reads(io, blocks.file.fd(), IOAction::read, 4 * kBlock);
        for (std::size_t i = 0; i < 10; ++i) {
            events[i].prepare_read(blocks.file.fd(), blocks.at(i), kBlock, i * kBlock);
            events.add_to(reads, i);
        }
        REQUIRE(reads.buffer().count() == 2);
        events[10].prepare_read(blocks.file.fd(), blocks.at(10), 5 * kBlock, 10 * kBlock);
        events.add_to(reads, 10);
        REQUIRE(reads.buffer().empty());
        events[11].prepare_read(blocks.file.fd(), blocks.at(15), kBlock, 15 * kBlock);
        events.add_to(reads, 11);
        REQUIRE(reads.buffer().count() == 1);
    }
    events.finish(io);
    REQUIRE(io.stats().merged == 3 + 3 + 1);
    REQUIRE(events.tracker.result(10).raw() == 5 * kBlock);
    for (std::size_t i = 0; i < 12; ++i)
        REQUIRE(events.tracker.result(i).ok());
}

TEST_EACH_BACKEND("a gap hands over what came before it; flush and the end hand over the rest; one "
                  "alone passes unchanged",
                  "[merge][E4][E5][E6]") {
    Blocks blocks(16);
    auto io = test::make_context(backend, 8);
    Events events(6);
    for (std::size_t i = 0; i < 6; ++i) {
        const std::size_t at = std::array<std::size_t, 6>{0, 1, 5, 6, 9, 3}[i];
        events[i].prepare_read(blocks.file.fd(), blocks.at(at), kBlock, at * kBlock);
    }
    {
        IOMergeSubmitter reads(io, blocks.file.fd(), IOAction::read, 1 << 20);
        events.add_to(reads, 0);
        events.add_to(reads, 1);
        REQUIRE(reads.buffer().count() == 2);
        REQUIRE(io.stats().accepted == 0);
        events.add_to(reads, 2);  // a gap
        REQUIRE(reads.buffer().count() == 1);
        REQUIRE(io.stats().accepted == 2);
        events.add_to(reads, 3);
        REQUIRE(reads.flush());
        REQUIRE(reads.buffer().empty());
        REQUIRE(io.stats().accepted == 4);
        REQUIRE(reads.flush());  // nothing is left
        events.add_to(reads, 4);
        events.add_to(reads, 5);  // lies before it
        REQUIRE(io.stats().accepted == 5);
    }
    REQUIRE(io.stats().accepted == 6);
    events.finish(io);
    REQUIRE(io.stats().merged == 2);
    for (std::size_t i = 0; i < 6; ++i)
        REQUIRE(events.tracker.result(i).raw() == kBlock);
}

TEST_EACH_BACKEND("merged writes of 1 KiB leave the file that single ones would: even, contiguous, "
                  "odd thirds",
                  "[merge][E8]") {
    constexpr std::size_t kCount = 96;
    std::vector<unsigned char> data(kCount * kPiece);
    test::fill_pattern(data.data(), data.size(), 77);
    using Shape = std::vector<std::pair<std::size_t, std::size_t>>;  // offset, bytes
    Shape even;
    Shape contiguous;
    Shape thirds;
    for (std::size_t i = 0; i < kCount; ++i) {
        if (i % 2 == 0)
            even.emplace_back(i * kPiece, kPiece);
        contiguous.emplace_back(i * kPiece, kPiece);
        const std::size_t cut = kPiece / 3;  // 341: odd
        thirds.emplace_back(i * kPiece, cut);
        thirds.emplace_back(i * kPiece + cut, cut);
        if (i % 3 == 1)  // elsewhere a gap
            thirds.emplace_back(i * kPiece + 2 * cut, kPiece - 2 * cut);
    }
    for (const Shape& shape : {even, contiguous, thirds}) {
        test::TempFile expected(data.size());
        for (const auto& [offset, bytes] : shape)
            expected.put(&data[offset], bytes, offset);

        test::TempFile merged(data.size());
        test::TempFile automatic(data.size());
        auto io = test::make_context(backend, 8);
        auto merging = make_merging(backend, 8);
        Events events(shape.size());
        Events others(shape.size());
        {
            IOMergeSubmitter writes(io, merged.fd(), IOAction::write, 16 * kPiece);
            for (std::size_t i = 0; i < shape.size(); ++i) {
                const auto [offset, bytes] = shape[i];
                events[i].prepare_write(merged.fd(), &data[offset], bytes, offset);
                events.add_to(writes, i);
                others[i].prepare_write(automatic.fd(), &data[offset], bytes, offset);
                others.submit_to(merging, i);
            }
        }
        events.finish(io);
        others.finish(merging);
        for (std::size_t i = 0; i < shape.size(); ++i) {
            REQUIRE(events.tracker.result(i).bytes() == shape[i].second);
            REQUIRE(others.tracker.result(i).bytes() == shape[i].second);
        }
        const std::string digest = sha256_of(expected.fd());
        REQUIRE(sha256_of(merged.fd()) == digest);
        REQUIRE(sha256_of(automatic.fd()) == digest);
        if (shape == even)
            REQUIRE(io.stats().merged == 0);
        if (shape == contiguous)
            REQUIRE(io.stats().merged == kCount - kCount / 16);
    }
}

TEST_EACH_BACKEND("merged reads over the end of the file: whole, short, empty, each as if alone",
                  "[merge][E9]") {
    for (const std::size_t size : {0u, 1u, 4096u, 5000u, 8192u, 12'288u, 16'383u}) {
        INFO(size << " bytes in the file");
        test::TempFile file(size);
        std::vector<unsigned char> content(size);
        test::fill_pattern(content.data(), size, 5);
        file.put(content.data(), size, 0);
        std::vector<unsigned char> memory(4 * kBlock, 0xEE);
        auto io = test::make_context(backend, 2);
        Events events(4);
        {
            IOMergeSubmitter reads(io, file.fd(), IOAction::read, 1 << 20);
            for (std::size_t i = 0; i < 4; ++i) {
                events[i].prepare_read(file.fd(), &memory[i * kBlock], kBlock, i * kBlock);
                events.add_to(reads, i);
            }
        }
        events.finish(io);
        for (std::size_t i = 0; i < 4; ++i) {
            const std::size_t left = size > i * kBlock ? size - i * kBlock : 0;
            REQUIRE(events.tracker.result(i).raw() ==
                    static_cast<std::int64_t>(std::min(left, kBlock)));
        }
        REQUIRE(std::equal(content.begin(), content.end(), memory.begin()));
        for (std::size_t i = size; i < memory.size(); ++i)
            REQUIRE(memory[i] == 0xEE);
        // In the last one's midst the end is the end of all: nothing is left to be asked.
        REQUIRE(io.stats().merges_broken == (size > 3 * kBlock ? 0 : 1));
        REQUIRE(io.stats().free_slots == 2);
    }
}

TEST_EACH_BACKEND("an error reaches every one of them, and a bad one alone its own",
                  "[merge][E10]") {
    Blocks blocks(8);
    auto io = test::make_context(backend, 4);
    {
        Events events(8);
        {
            IOMergeSubmitter reads(io, test::kClosedFd, IOAction::read, 1 << 20);
            for (std::size_t i = 0; i < 8; ++i) {
                events[i].prepare_read(test::kClosedFd, blocks.at(i), kBlock, i * kBlock);
                events.add_to(reads, i);
            }
        }
        events.finish(io);
        for (std::size_t i = 0; i < 8; ++i)
            REQUIRE(events.tracker.result(i).error() == EBADF);
    }
    if (!blocks.file.direct())
        return;
    // One buffer of a direct transfer is not aligned.
    Events events(8);
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
}

TEST_EVERY_BACKEND("a closed context keeps nothing: flush says so, and the end tells each",
                   "[merge][E12]") {
    unsigned char memory[64];
    auto io = test::make_context(backend, 4);
    Events events(5);
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
    Events events(4);
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
        REQUIRE_FALSE(reads.add(static_cast<test::TrackedEvent&>(*first)));
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

TEST_EACH_BACKEND("flush may send them to another file than they were prepared for",
                  "[merge][E13]") {
    Blocks blocks(4);
    test::TempFile other(4 * kBlock);
    auto io = test::make_context(backend, 4);
    Events events(4);
    IOMergeSubmitter writes(io, blocks.file.fd(), IOAction::write, 1 << 20);
    std::vector<unsigned char> data(4 * kBlock);
    test::fill_pattern(data.data(), data.size(), 9);
    for (std::size_t i = 0; i < 4; ++i) {
        events[i].prepare_write(blocks.file.fd(), &data[i * kBlock], kBlock, i * kBlock);
        events.add_to(writes, i);
    }
    REQUIRE(writes.flush(other.fd()));
    events.finish(io);
    std::vector<unsigned char> found(4 * kBlock);
    other.get(found.data(), found.size(), 0);
    REQUIRE(found == data);
    blocks.file.get(blocks.memory.data(), blocks.memory.size(), 0);
    for (std::size_t i = 0; i < 4; ++i)
        REQUIRE(blocks.right(i));
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
    REQUIRE(io.perform(beside));  // it is the caller's
}

TEST_EACH_BACKEND("merged requests without callbacks are waited for one by one", "[merge][wait]") {
    Blocks blocks(16);
    auto io = test::make_context(backend, 4);
    std::vector<Request> requests(blocks.count);
    {
        IOMergeSubmitter reads(io, blocks.file.fd(), IOAction::read, 1 << 20);
        std::memset(blocks.memory.data(), 0, blocks.memory.size());
        for (std::size_t i = 0; i < blocks.count; ++i) {
            requests[i].prepare_read(blocks.file.fd(), blocks.at(i), kBlock, i * kBlock);
            REQUIRE(reads.add(requests[i]));
        }
    }
    for (std::size_t i = blocks.count; i-- > 0;) {
        REQUIRE(io.wait(requests[i]) == ErrorCode::none);
        REQUIRE(requests[i].result == kBlock);
        REQUIRE(blocks.right(i));
    }
    REQUIRE(io.stats().merged == blocks.count - 1);
}

TEST_EACH_BACKEND("the destructor in a callback tells those for whom there is no room",
                  "[merge][E12]") {
    unsigned char memory[64];
    Events events(2);
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
    Events events(4);
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
    Events events(3);
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

TEST_EACH_BACKEND("shutdown past its deadline counts merged requests, and names what is left",
                  "[merge][shutdown]") {
    if (backend == Backend::aio)
        SKIP_TEST("AIO does not merge what waits for a pipe");
    unsigned char memory[8];
    test::Pipe pipe;
    auto io = test::make_context(backend, 4);
    test::PipeEnder ender(pipe);
    Events events(8);
    {
        IOMergeSubmitter reads(io, pipe.read_end(), IOAction::read, 1 << 20);
        for (std::size_t i = 0; i < 8; ++i) {
            events[i].prepare_read(pipe.read_end(), &memory[i], 1, i);
            events.add_to(reads, i);
        }
    }
    test::wait_until([&] { return io.stats().running == 1; },
                     "waiting for a request in the kernel");
    pipe.feed("abc", 3);
    test::wait_until([&] { return events.tracker.notices() == 3; }, "waiting for three of eight");
    test::wait_until(
        [&] {
            return std::string(io.dump().c_str()).find("length 5 (5 requests)") !=
                   std::string::npos;
        },
        "waiting for the other five to go on");
    const ShutdownReport report = io.shutdown(std::chrono::milliseconds(10));
    REQUIRE(report.clean);
    REQUIRE(report.cancelled == 5);
    events.tracker.require_exactly_once();
}

// -- Options::merge ----------------------------------------------------------------------------

TEST_EACH_BACKEND("neighbours that wait together go as one, others in between do not",
                  "[merge][E1][E7]") {
    Blocks blocks(64);
    test::SlotFillers fillers;
    Events events(blocks.count);
    auto io = make_merging(backend, 2, 16 * kBlock);
    REQUIRE(test::in_force(io, "merging"));
    std::memset(blocks.memory.data(), 0, blocks.memory.size());
    std::uint64_t expected = 0;
    {
        test::Plug plug(io);
        fillers.fill(io);
        // 0..39 in order, then every second.
        std::vector<std::size_t> order;
        for (std::size_t i = 0; i < 40; ++i)
            order.push_back(i);
        for (std::size_t i = 41; i < 64; i += 2)
            order.push_back(i);
        for (std::size_t i = 40; i < 64; i += 2)
            order.push_back(i);
        expected = 15 + 15 + 7;
        for (const std::size_t i : order) {
            events[i].prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
            events.submit_to(io, i);
        }
    }
    events.finish(io);
    for (std::size_t i = 0; i < blocks.count; ++i)
        REQUIRE((events.tracker.result(i).raw() == kBlock && blocks.right(i)));
    REQUIRE(io.stats().merged == expected);
    REQUIRE(io.stats().free_slots == 2);
}

TEST_EACH_BACKEND("without Options::merge nothing is merged by itself", "[merge]") {
    Blocks blocks(32);
    test::SlotFillers fillers;
    Events events(blocks.count);
    auto io = test::make_context(backend, 2);
    REQUIRE_FALSE(test::in_force(io, "merging"));
    {
        test::Plug plug(io);
        fillers.fill(io);
        for (std::size_t i = 0; i < blocks.count; ++i) {
            events[i].prepare_read(blocks.file.fd(), blocks.at(i), kBlock, i * kBlock);
            events.submit_to(io, i);
        }
    }
    events.finish(io);
    REQUIRE(io.stats().merged == 0);
}

TEST_EACH_BACKEND("a group's reads are merged where they lie side by side", "[merge][wait]") {
    Blocks blocks(64);
    auto io = make_merging(backend, 4);
    for (int round = 0; round < 20; ++round) {
        std::memset(blocks.memory.data(), 0, blocks.memory.size());
        Group group(io);
        for (std::size_t i = 0; i < blocks.count; ++i)
            REQUIRE(group.read(blocks.file.direct_fd(), {blocks.at(i), kBlock}, i * kBlock));
        REQUIRE(group.wait() == ErrorCode::none);
        REQUIRE(group.outcome().bytes() == blocks.count * kBlock);
        for (std::size_t i = 0; i < blocks.count; ++i)
            REQUIRE(blocks.right(i));
    }
    REQUIRE(io.stats().merged > 0);
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

TEST_EVERY_BACKEND("an offset that means nothing to a flush or a no-op harms nobody", "[merge]") {
    for (const bool merge : {false, true}) {
        Options options;
        options.merge = merge;
        auto io = test::make_context(backend, options);
        for (int i = 0; i < 3; ++i) {
            Request request;
            request.prepare_nop();
            request.offset = UINT64_MAX;
            REQUIRE(io.perform(request));
            request.prepare_fsync(test::kClosedFd);
            request.offset = UINT64_MAX;
            REQUIRE(io.perform(request));
        }
    }
}

TEST_EACH_BACKEND("reads and writes of many threads, merged as they come, are all right",
                  "[merge]") {
    constexpr std::size_t kThreads = 4;
    constexpr std::size_t kEach = 256;
    constexpr std::size_t kCount = kThreads * kEach;
    test::TempFile file(kCount * kPiece);
    std::vector<unsigned char> out(kCount * kPiece);
    std::vector<unsigned char> in(kCount * kPiece);
    test::fill_pattern(out.data(), out.size(), 3);
    for (const std::uint32_t depth : {1u, 4u, 64u}) {
        Events writes(kCount);
        Events reads(kCount);
        std::fill(in.begin(), in.end(), 0);
        auto io = make_merging(backend, depth, 8 * kPiece);
        test::in_threads(kThreads, kEach, [&](std::size_t i) {
            writes[i].prepare_write(file.fd(), &out[i * kPiece], kPiece, i * kPiece);
            writes.tracker.submitted(i, io.submit_wait(writes[i]));
        });
        writes.finish(io);
        test::in_threads(kThreads, kEach, [&](std::size_t i) {
            reads[i].prepare_read(file.fd(), &in[i * kPiece], kPiece, i * kPiece);
            reads.tracker.submitted(i, io.submit_wait(reads[i]));
        });
        reads.finish(io);
        REQUIRE(in == out);
        REQUIRE(io.shutdown().clean);
        REQUIRE(io.stats().completed == 2 * kCount);
        REQUIRE(io.stats().bytes_read == out.size());
    }
}

TEST_EACH_BACKEND("dump() names a merged transfer by its whole range", "[merge][visible]") {
    Blocks blocks(3);
    auto io = test::make_context(backend, 4);
    Events events(3);
    {
        test::Plug plug(io);  // the kernel has done it, nobody has seen that
        {
            IOMergeSubmitter reads(io, blocks.file.fd(), IOAction::read, 1 << 20);
            for (std::size_t i = 0; i < 3; ++i) {
                events[i].prepare_read(blocks.file.fd(), blocks.at(i), kBlock, i * kBlock);
                events.add_to(reads, i);
            }
        }
        const auto dump = [&] { return std::string(io.dump().c_str()); };
        test::wait_until(
            [&] { return dump().find("length 12288 (3 requests)") != std::string::npos; },
            "waiting for three requests in one slot");
    }
    events.finish(io);
}

TEST_EACH_BACKEND("requests for a pipe that are to go as one are answered as bytes come",
                  "[merge]") {
    unsigned char memory[8] = {};
    test::Pipe pipe;
    auto io = test::make_context(backend, 4);
    test::PipeEnder ender(pipe);
    Events events(8);
    {
        IOMergeSubmitter reads(io, pipe.read_end(), IOAction::read, 1 << 20);
        for (std::size_t i = 0; i < 8; ++i) {
            events[i].prepare_read(pipe.read_end(), &memory[i], 1, i);
            events.add_to(reads, i);
        }
    }
    for (std::uint64_t answered = 0; answered < 8; answered += 2) {
        pipe.feed(&"abcdefgh"[answered], 2);
        test::wait_until([&] { return events.tracker.notices() == answered + 2; },
                         "waiting for a byte each");
    }
    events.finish(io);
    REQUIRE(std::memcmp(memory, "abcdefgh", 8) == 0);
}
