// SPDX-License-Identifier: MIT
//
// Goal: a pool's buffers are aligned, registered where that works, and each is one holder's at a
// time; misuse ends the program.
// Method: taking all of them, many threads that take and give, and children that misuse it.

#include "tests/support/blocks.hpp"
#include "tests/support/in_each_threading.hpp"

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using namespace ioengine;
using test::Blocks;
using test::kBlock;

TEST_EACH_BACKEND("a pool's buffers are apart, aligned and registered, and run out",
                  "[registered][pool][H8]") {
    test::in_each_threading(backend, [&](test::Context& io) {
        Blocks blocks(8);
        auto pool = *BufferPool::create(io, 8, kBlock, kBlock);
        REQUIRE(pool.in_force() == test::in_force(io, "registered_buffers"));
        std::vector<PooledBuffer> taken;
        for (std::size_t i = 0; i < 8; ++i) {
            taken.push_back(pool.take());
            REQUIRE(taken[i]);
            REQUIRE(taken[i].size() == kBlock);
            REQUIRE(reinterpret_cast<std::uintptr_t>(taken[i].data()) % kBlock == 0);
            Request request;
            request.prepare_read(blocks.file.direct_fd(), taken[i].data(), kBlock, i * kBlock);
            request.use(taken[i].handle());
            REQUIRE(io.perform(request));
            REQUIRE(request.result == kBlock);
        }
        REQUIRE_FALSE(pool.take());
        for (std::size_t i = 0; i < 8; ++i)
            REQUIRE(test::has_pattern(taken[i].data(), kBlock, i));
        const std::uint64_t again = io.stats().polled_refused;  // went to two rings
        CHECK(io.stats().fixed_buffers ==
              (test::in_force(io, "registered_buffers") ? 8u + again : 0u));
        const std::uint32_t third = taken[3].index();
        pool.give(taken[3]);
        CHECK(pool.take().index() == third);
        for (const PooledBuffer& buffer : taken)
            pool.give(buffer);
    });
}

TEST_CASE("a pool serves many threads and no buffer to two", "[registered][pool]") {
    constexpr std::size_t kBuffers = 4;
    auto io = test::make_context(Backend::null);
    auto pool = *BufferPool::create(io, kBuffers, 512, 512);
    std::atomic<int> holders[kBuffers] = {};
    std::atomic<int> wrong{0};
    std::atomic<int> empty{0};
    test::in_threads(8, 5000, [&](std::size_t) {
        const PooledBuffer buffer = pool.take();
        if (!buffer) {
            ++empty;
            return;
        }
        wrong += holders[buffer.index()].fetch_add(1) != 0;
        buffer.data()[0] = static_cast<unsigned char>(buffer.data()[0] + 1);  // TSan looks
        wrong += holders[buffer.index()].fetch_sub(1) != 1;
        pool.give(buffer);
    });
    REQUIRE(wrong == 0);
    std::vector<PooledBuffer> all;
    for (PooledBuffer buffer = pool.take(); buffer; buffer = pool.take())
        all.push_back(buffer);
    REQUIRE(all.size() == kBuffers);
    for (const PooledBuffer& buffer : all)
        pool.give(buffer);
}

TEST_CASE("a buffer that is given back twice, or elsewhere, ends the program",
          "[registered][pool]") {
    struct Misuse {
        const char* says;
        void (*commit)(BufferPool& pool, BufferPool& other);
    };
    const Misuse misuses[] = {
        {"twice",
         [](BufferPool& pool, BufferPool&) {
             const PooledBuffer buffer = pool.take();
             pool.give(buffer);
             pool.give(buffer);
         }},
        {"not taken from", [](BufferPool& pool, BufferPool& other) { other.give(pool.take()); }},
        {"was out", [](BufferPool& pool, BufferPool&) { static_cast<void>(pool.take()); }},
    };
    for (const Misuse& misuse : misuses) {
        const test::ChildOutcome child = test::run_child([&] {
            auto io = test::make_context(Backend::null);
            auto pool = *BufferPool::create(io, 2, 512, 512);
            auto other = *BufferPool::create(io, 2, 512, 512);
            misuse.commit(pool, other);
            return 0;
        });
        INFO(child.output);
        CHECK(child.signal == SIGABRT);
        CHECK(child.output.find(misuse.says) != std::string::npos);
    }
}

TEST_EVERY_BACKEND("a forked child may destroy a pool of which a buffer is out",
                   "[registered][pool][fork]") {
    auto io = test::make_context(backend);
    auto pool = *BufferPool::create(io, 2, 512, 512);
    const PooledBuffer buffer = pool.take();
    const test::ChildOutcome child = test::run_child([&] {
        const auto inherited = std::move(pool);
        return 0;
    });
    INFO(child.output);
    REQUIRE(child.exit_code == 0);
    REQUIRE(child.signal == 0);
    pool.give(buffer);
}

TEST_EVERY_BACKEND("a pool of no sense is refused", "[registered][pool]") {
    auto io = test::make_context(backend);
    struct Shape {
        std::size_t count, size, alignment;
    };
    for (const Shape& shape : {Shape{0, 4096, 4096}, Shape{1, 0, 4096}, Shape{1, 4097, 4096},
                               Shape{1, 4096, 4095}, Shape{1, 4096, 8192}, Shape{1, 256, 256},
                               Shape{SIZE_MAX, 4096, 4096}, Shape{1 << 20, SIZE_MAX - 4095, 4096}})
        CHECK(BufferPool::create(io, shape.count, shape.size, shape.alignment).error().code ==
              ErrorCode::invalid_argument);
}
