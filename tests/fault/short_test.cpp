// SPDX-License-Identifier: MIT
//
// Goal: a transfer that the kernel cuts short goes on where it stopped: with pointer, length and
// offset advanced together, once each byte, for plain and vectored transfers, buffered and direct.
// Method: the whole engine over the real kernel, where the layer makes transfers really move fewer
// bytes; the file and the buffers are compared byte by byte.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <sys/uio.h>
#include <vector>

using namespace ioengine;
using test::every;
using test::first;
using test::nth;

namespace {

constexpr std::size_t kBytes = 64 * 1024;

struct Buffers {
    Buffers() : out(make()), in(make()) {}
    static AlignedBuffer make() {
        auto made = AlignedBuffer::create(kBytes);
        REQUIRE(made.has_value());
        return *std::move(made);
    }
    AlignedBuffer out;
    AlignedBuffer in;
};

// The memory as `count` vectors of random sizes that are multiples of `granule`, some of them empty
// where that is allowed.
std::vector<iovec> split(AlignedBuffer& memory, std::size_t count, std::size_t granule,
                         test::Random& random) {
    std::vector<std::size_t> cuts = {0, kBytes};
    for (std::size_t i = 1; i < count; ++i)
        cuts.push_back(random.below(kBytes / granule + 1) * granule);
    std::sort(cuts.begin(), cuts.end());
    std::vector<iovec> vectors;
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i)
        vectors.push_back({memory.data() + cuts[i], cuts[i + 1] - cuts[i]});
    return vectors;
}

std::vector<unsigned char> content(const test::TempFile& file, std::uint64_t offset,
                                   std::size_t bytes) {
    std::vector<unsigned char> data(bytes);
    file.get(data.data(), bytes, offset);
    return data;
}

}  // namespace

TEST_EACH_BACKEND("defect 3: short transfers of any size go on, plain and vectored, buffered and "
                  "direct, and every byte is right",
                  "[fault][short][F6][F8][B7][defect-3][defect-13]") {
    const std::uint64_t seed = test::announced_seed("short transfers");
    test::Random random(seed);
    test::TempFile file;
    Buffers buffers;
    for (int round = 0; round < 40; ++round) {
        const bool direct = round % 2 == 0 && file.direct();
        const bool vectored = round % 4 >= 2;
        const std::size_t granule = direct ? 512 : 1;
        const std::uint64_t offset = random.below(100) * (direct ? 512 : 3);
        const std::uint64_t most = granule * (1 + random.below(kBytes / granule));
        const std::uint64_t pattern = seed + static_cast<std::uint64_t>(round);
        test::fill_pattern(buffers.out.data(), kBytes, pattern);
        std::memset(buffers.in.data(), 0xEE, kBytes);

        test::FaultPlan plan;
        plan.shorten(every(), most);
        auto io = test::make_faulty(backend, plan, 4);
        const int fd = direct ? file.direct_fd() : file.fd();
        const auto out_vectors = split(buffers.out, 20, granule, random);
        const auto in_vectors = split(buffers.in, 20, granule, random);
        INFO("round " << round << ", direct " << direct << ", vectored " << vectored << ", at most "
                      << most << " bytes at " << offset);
        const Result written = test::result_of(io, [&](Request& request) {
            if (vectored)
                request.prepare_writev(fd, out_vectors.data(), out_vectors.size(), offset);
            else
                request.prepare_write(fd, buffers.out.data(), kBytes, offset);
        });
        REQUIRE(written.raw() == static_cast<std::int64_t>(kBytes));
        const auto stored = content(file, offset, kBytes);
        REQUIRE(std::equal(stored.begin(), stored.end(), buffers.out.data()));
        const Result read = test::result_of(io, [&](Request& request) {
            if (vectored)
                request.prepare_readv(fd, in_vectors.data(), in_vectors.size(), offset);
            else
                request.prepare_read(fd, buffers.in.data(), kBytes, offset);
        });
        REQUIRE(read.raw() == static_cast<std::int64_t>(kBytes));
        REQUIRE(test::has_pattern(buffers.in.data(), kBytes, pattern));

        // Each piece began where the one before it had ended, and nothing was moved twice.
        std::uint64_t moved = 0;
        for (const test::Entry& piece : plan.taken()) {
            REQUIRE(piece.offset == offset + moved % kBytes);
            moved += std::min<std::uint64_t>(most, kBytes - moved % kBytes);
        }
        REQUIRE(moved == 2 * kBytes);
        test::settle(io);
        REQUIRE(io.stats().continuations == plan.taken().size() - 2);
        REQUIRE(io.stats().bytes_written == kBytes);
        REQUIRE(io.stats().bytes_read == kBytes);
        REQUIRE(io.stats().free_slots == 4);
    }
}

TEST_EACH_BACKEND("kernel behaviour 5: 1024 vectors go on after a short transfer, window by window",
                  "[fault][short][F6][B7][kernel-5]") {
    test::TempFile file;
    std::vector<unsigned char> data(1024 * 100);
    test::fill_pattern(data.data(), data.size(), 7);
    std::vector<iovec> vectors(1024);
    for (std::size_t i = 0; i < vectors.size(); ++i)
        vectors[i] = {&data[i * 100], 100};
    test::FaultPlan plan;
    plan.shorten(nth(1), 150);
    plan.shorten(nth(3), 333);
    auto io = test::make_faulty(backend, plan, 4);
    const Result result = test::result_of(io, [&](Request& request) {
        request.prepare_writev(file.fd(), vectors.data(), vectors.size(), 5);
    });
    REQUIRE(result.raw() == static_cast<std::int64_t>(data.size()));
    REQUIRE(content(file, 5, data.size()) == data);
    for (const test::Entry& piece : plan.taken())
        REQUIRE((piece.length <= 64 || piece.offset == 5));
}

TEST_EACH_BACKEND("an error after some bytes is the result; no space after some bytes is those "
                  "bytes",
                  "[fault][short][G2][kernel-5]") {
    test::TempFile file;
    Buffers buffers;
    for (const int error : {EIO, ENODATA, ENODEV, ENOSPC, EDQUOT, EFBIG}) {
        test::FaultPlan plan;
        plan.shorten(nth(1), 8192);
        plan.fail(nth(2), error);
        auto io = test::make_faulty(backend, plan, 4);
        const Result result = test::result_of(io, [&](Request& request) {
            request.prepare_write(file.fd(), buffers.out.data(), kBytes, 0);
        });
        const bool no_space = error == ENOSPC || error == EDQUOT || error == EFBIG;
        REQUIRE(result.raw() == (no_space ? 8192 : -error));
        REQUIRE(plan.taken().size() == 2);
    }
}

TEST_EACH_BACKEND("a refusal by the submit call after some bytes is no worse than one by a "
                  "completion",
                  "[fault][short][F5]") {
    test::TempFile file;
    Buffers buffers;
    test::FaultPlan plan;
    plan.shorten(nth(1), 8192);
    plan.refuse(nth(2), EIO);
    auto io = test::make_faulty(backend, plan, 4);
    REQUIRE(test::result_of(io, [&](Request& request) {
                request.prepare_write(file.fd(), buffers.out.data(), kBytes, 0);
            }).raw() == -EIO);
    test::settle(io);
    REQUIRE(io.stats().free_slots == 4);

    plan.calm();
    plan.shorten(nth(1), 8192);
    plan.refuse(nth(2), ENOSPC);
    REQUIRE(test::result_of(io, [&](Request& request) {
                request.prepare_write(file.fd(), buffers.out.data(), kBytes, 0);
            }).raw() == 8192);
}

TEST_EACH_BACKEND("a read that comes back empty in its midst ends there, with the bytes so far",
                  "[fault][short][F7]") {
    const test::PatternFile file(4, 8);
    Buffers buffers;
    test::FaultPlan plan;
    plan.shorten(nth(1), 5000);
    plan.shorten(nth(2), 0);
    auto io = test::make_faulty(backend, plan, 4);
    const Result result = test::result_of(io, [&](Request& request) {
        request.prepare_read(file.fd(), buffers.in.data(), 4 * test::kBlock, 0);
    });
    REQUIRE(result.raw() == 5000);
    REQUIRE(file.matches(buffers.in.data(), 0));
}

TEST_EACH_BACKEND("short transfers of NOWAIT, ATOMIC and APPEND are not carried on",
                  "[fault][short]") {
    test::TempFile file;
    Buffers buffers;
    test::FaultPlan plan;
    plan.shorten(every(), 4096);
    auto io = test::make_faulty(backend, plan, 4);
    const Result appended = test::result_of(io, [&](Request& request) {
        request.prepare_write(file.fd(), buffers.out.data(), kBytes, 0);
        request.flags = kFlagAppend;
    });
    REQUIRE(appended.raw() == 4096);
    REQUIRE(file.size() == 4096);
    plan.calm();
    plan.shorten(every(), 512);
    const Result nowait = test::result_of(io, [&](Request& request) {
        request.prepare_read(file.fd(), buffers.in.data(), 4096, 0);
        request.flags = kFlagNowait;
    });
    // Where the file system knows no NOWAIT it says so, which is the user's to hear as well.
    REQUIRE((nowait.raw() == 512 || nowait.raw() == -EOPNOTSUPP || nowait.raw() == -EAGAIN));
    REQUIRE(plan.taken().size() == 2);
}

TEST_EACH_BACKEND("what continues goes before what has not begun", "[fault][short][F6]") {
    constexpr std::size_t kCount = 50;
    const test::PatternFile file(kCount, 9);
    test::FaultPlan plan;
    plan.shorten(first(1), 100);
    test::Reads reads(file, kCount);
    auto io = test::make_faulty(backend, plan, 1);
    reads.submit_all(io);
    reads.wait();
    REQUIRE(reads.count_right() == kCount);
    const std::vector<test::Entry> taken = plan.taken();
    REQUIRE(taken.size() == kCount + 1);
    REQUIRE(taken[0].offset == 0);
    REQUIRE(taken[1].offset == 100);
    REQUIRE(taken[2].offset == test::kBlock);
}
