// SPDX-License-Identifier: MIT
//
// Goal: every piece of a transfer names the right bytes: pointer, length and offset move together,
// also beyond 2 GiB, and vectors are skipped and cut where they must be.
// Method: pieces are computed and compared with what a loop over single bytes says. No memory is
// touched, so lengths can be anything.

#include "lib/piece.hpp"
#include "tests/unit/unit.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <sys/uio.h>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::uint64_t kGiB = 1u << 30;

struct WindowedTransfer : Transfer {
    WindowedTransfer() { window = vectors.data(); }
    std::array<iovec, Transfer::kWindow> vectors{};
};

char* address(std::uint64_t value) {
    return reinterpret_cast<char*>(value);
}

// The address of each byte that is left, from the vectors themselves.
std::vector<const char*> bytes_from(const std::vector<iovec>& vectors, std::uint64_t skip) {
    std::vector<const char*> bytes;
    for (const iovec& vector : vectors)
        for (std::size_t i = 0; i < vector.iov_len; ++i)
            if (skip == 0)
                bytes.push_back(static_cast<const char*>(vector.iov_base) + i);
            else
                --skip;
    return bytes;
}

}  // namespace

TEST_CASE("a plain transfer in one piece is the request itself", "[transfer]") {
    Request request;
    request.prepare_read(3, address(0x1000), 4096, 512);
    Transfer transfer;
    transfer.begin(request);
    REQUIRE(transfer.bytes_done() == 0);
    REQUIRE(transfer.bytes_left() == 4096);
    const Piece piece = transfer.next_piece(request);
    REQUIRE(piece.data == address(0x1000));
    REQUIRE(piece.size == 4096);
    REQUIRE(piece.offset == 512);
    REQUIRE_FALSE(piece.vectored);
}

TEST_CASE("progress moves pointer, length and offset together, and leaves the request alone",
          "[transfer][F6]") {
    Request request;
    request.prepare_write(3, address(0x10000), 1000, 5000);
    Transfer transfer;
    transfer.begin(request);
    std::uint64_t done = 0;
    for (const std::uint64_t step : {1u, 511u, 400u, 87u}) {
        transfer.advance(step);
        done += step;
        const Piece piece = transfer.next_piece(request);
        REQUIRE(piece.data == address(0x10000 + done));
        REQUIRE(piece.size == 1000 - done);
        REQUIRE(piece.offset == 5000 + done);
        REQUIRE(transfer.bytes_done() == done);
    }
    REQUIRE(request.data == address(0x10000));
    REQUIRE(request.length == 1000);
    REQUIRE(request.offset == 5000);
}

TEST_CASE("defect 9: a transfer beyond 2 GiB goes in aligned pieces of 1 GiB at 64-bit offsets",
          "[transfer][A12][defect-9]") {
    constexpr std::uint64_t kLength = 5 * kGiB + 12345;
    constexpr std::uint64_t kOffset = 7 * kGiB + 512;
    constexpr std::uint64_t kMemory = 16 * kGiB;
    Request request;
    request.prepare_read(3, address(kMemory), kLength, kOffset);
    Transfer transfer;
    transfer.begin(request);
    std::uint64_t done = 0;
    std::vector<std::uint64_t> sizes;
    while (transfer.bytes_left() != 0) {
        const Piece piece = transfer.next_piece(request);
        REQUIRE(piece.data == address(kMemory + done));
        REQUIRE(piece.offset == kOffset + done);
        REQUIRE(piece.size <= Transfer::kPieceMax);
        REQUIRE(piece.size == std::min(kGiB, kLength - done));
        sizes.push_back(piece.size);
        transfer.advance(piece.size);
        done += piece.size;
    }
    REQUIRE(done == kLength);
    REQUIRE(sizes == std::vector<std::uint64_t>{kGiB, kGiB, kGiB, kGiB, kGiB, 12345});
}

TEST_CASE("no piece is longer than the kernel moves in one call", "[transfer][A12]") {
    STATIC_REQUIRE(Transfer::kPieceMax <= 0x7fff'f000);
    STATIC_REQUIRE(Transfer::kPieceMax % (2u << 20) == 0);
}

TEST_CASE("a vectored transfer adds its vectors up in 64 bits", "[transfer][A12]") {
    const std::array<iovec, 3> vectors{
        {{address(0), 3 * kGiB}, {address(4 * kGiB), kGiB}, {address(8 * kGiB), 7}}};
    Request request;
    request.prepare_readv(3, vectors.data(), vectors.size(), 9);
    WindowedTransfer transfer;
    transfer.begin(request);
    REQUIRE(transfer.bytes_left() == 4 * kGiB + 7);
    const Piece first = transfer.next_piece(request);
    REQUIRE(first.vectored);
    REQUIRE(first.data == vectors.data());
    REQUIRE(first.size == 3);

    transfer.advance(3 * kGiB + 5);
    const Piece piece = transfer.next_piece(request);
    REQUIRE(piece.vectored);
    REQUIRE(piece.size == 2);
    REQUIRE(piece.offset == 9 + 3 * kGiB + 5);
    const auto* window = static_cast<const iovec*>(piece.data);
    REQUIRE(window[0].iov_base == address(4 * kGiB + 5));
    REQUIRE(window[0].iov_len == kGiB - 5);
    REQUIRE(window[1].iov_base == address(8 * kGiB));
    REQUIRE(window[1].iov_len == 7);
}

TEST_CASE("the window of a continued vectored transfer names exactly the bytes that are left",
          "[transfer][F6]") {
    const std::uint64_t seed = test::announced_seed("windows");
    test::Random random(seed);
    for (int round = 0; round < 200; ++round) {
        std::vector<iovec> vectors(1 + random.below(150));
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < vectors.size(); ++i) {
            vectors[i] = {address(0x10'0000 * (i + 1)), random.below(5)};  // empty ones too
            total += vectors[i].iov_len;
        }
        Request request;
        request.prepare_writev(3, vectors.data(), vectors.size(), 1000);
        WindowedTransfer transfer;
        transfer.begin(request);
        REQUIRE(transfer.bytes_left() == total);
        while (transfer.bytes_left() != 0) {
            const std::uint64_t done = transfer.bytes_done();
            const Piece piece = transfer.next_piece(request);
            REQUIRE(piece.vectored);
            REQUIRE(piece.offset == 1000 + done);
            REQUIRE((done == 0 || piece.size <= Transfer::kWindow));
            const auto* named = static_cast<const iovec*>(piece.data);
            const auto bytes = bytes_from({named, named + piece.size}, 0);
            const auto expected = bytes_from(vectors, done);
            REQUIRE(!bytes.empty());
            REQUIRE(bytes.size() <= expected.size());
            REQUIRE(std::equal(bytes.begin(), bytes.end(), expected.begin()));
            transfer.advance(1 + random.below(bytes.size()));
        }
        REQUIRE(transfer.bytes_done() == total);
    }
}

TEST_CASE("a transfer of nothing has nothing left", "[transfer]") {
    Request request;
    WindowedTransfer transfer;
    request.prepare_read(3, nullptr, 0, 0);
    transfer.begin(request);
    REQUIRE(transfer.bytes_left() == 0);
    REQUIRE(transfer.next_piece(request).size == 0);
    request.prepare_readv(3, nullptr, 0, 0);
    transfer.begin(request);
    REQUIRE(transfer.bytes_left() == 0);
}

TEST_CASE("operations that move no bytes have nothing left, whatever their length says",
          "[transfer]") {
    Request request;
    Transfer transfer;
    request.prepare_fallocate(3, 0, 0, 1 << 20);
    transfer.begin(request);
    REQUIRE(transfer.bytes_left() == 0);
    request.prepare_sync_file_range(3, 0, 1 << 20, 0);
    transfer.begin(request);
    REQUIRE(transfer.bytes_left() == 0);
    request.prepare_fsync(3);
    transfer.begin(request);
    REQUIRE(transfer.bytes_left() == 0);
}

TEST_CASE("a transfer that begins anew forgets the progress of the one before", "[transfer][F8]") {
    Request request;
    request.prepare_read(3, address(0x1000), 100, 0);
    Transfer transfer;
    transfer.begin(request);
    transfer.advance(60);
    transfer.begin(request);
    REQUIRE(transfer.bytes_done() == 0);
    REQUIRE(transfer.bytes_left() == 100);
    REQUIRE(transfer.next_piece(request).data == address(0x1000));
}
