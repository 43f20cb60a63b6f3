// SPDX-License-Identifier: MIT
//
// Goal: of a batch of buffers or files all are registered or none, whatever the kernel takes of it;
// and what it will not let go of now is let go of later.
// Method: the calls that fill and clear places fail, or take a part, by the plan. The stats say
// what was in force; tables of few places say what was kept.

#include "tests/fault/faulty_context.hpp"
#include "tests/support/blocks.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using test::Blocks;
using test::kBlock;
using test::nth;

namespace {

Options few_places(Threading threading) {
    Options options;
    options.threading = threading;
    options.registered_files = 4;
    options.registered_buffers = 4;
    return options;
}

// Reads block i with this handle, or without one.
template <class Handle>
void require_read(test::Context& io, Blocks& blocks, std::size_t i, const Handle& handle) {
    Request request;
    request.prepare_read(blocks.file.fd(), blocks.at(i), kBlock, i * kBlock);
    request.use(handle);
    REQUIRE(io.perform(request));
    REQUIRE(request.result == kBlock);
    REQUIRE(blocks.right(i));
}

// Entered twice: see kFlagEarlyResult.
struct Early {
    test::Latch told{1};
    test::Latch released{1};
    void operator()(IOEvent<Early>& event) noexcept {
        (event.notice() == Notice::result ? told : released).count_down();
    }
};

constexpr Threading kThreadings[] = {Threading::split, Threading::owner};

}  // namespace

TEST_CASE("a part that the kernel takes without a reason is followed by the rest",
          "[fault][registered][uring][H8][H9]") {
    test::require_backend(Backend::uring);
    for (const Threading threading : kThreadings) {
        Blocks blocks(4);
        const int fd = blocks.file.fd();
        test::FaultPlan plan;
        auto io = test::make_faulty(Backend::uring, plan, few_places(threading));
        plan.limit_update(test::first(3), 1);
        const auto files = *io.register_files({fd, fd, fd, fd});
        REQUIRE(files.in_force());
        REQUIRE(plan.updates() == 4);
        for (std::size_t i = 0; i < blocks.count; ++i)
            require_read(io, blocks, i, files[i]);
        REQUIRE(io.stats().fixed_files == 4);
    }
}

TEST_CASE("a batch of which the kernel takes a part is rolled back, and goes as ordinary requests",
          "[fault][registered][uring][H8][H9]") {
    test::require_backend(Backend::uring);
    for (const Threading threading : kThreadings)
        for (std::size_t part = 0; part < 3; ++part) {
            Blocks blocks(3);
            const int fd = blocks.file.fd();
            test::FaultPlan plan;
            auto io = test::make_faulty(Backend::uring, plan, few_places(threading));
            const auto refuse_behind = [&] {
                const std::uint64_t before = plan.updates();
                plan.calm();
                if (part != 0)
                    plan.limit_update(nth(1), part);
                plan.fail_update(nth(part != 0 ? 2 : 1), ENOMEM);
                return before;
            };
            std::uint64_t before = refuse_behind();
            auto files = *io.register_files({fd, fd, fd});
            // What was taken is cleared again.
            REQUIRE(plan.updates() - before == (part != 0 ? 2 + part : 1));
            REQUIRE_FALSE(files.in_force());
            REQUIRE(files.note().code == ErrorCode::system);
            REQUIRE(files.note().sys_errno == ENOMEM);
            before = refuse_behind();
            auto buffers =
                *io.register_buffers({Bytes(blocks.at(0), kBlock), Bytes(blocks.at(1), kBlock),
                                      Bytes(blocks.at(2), kBlock)});
            REQUIRE_FALSE(buffers.in_force());
            REQUIRE(std::string(buffers.note().hint).find("ulimit -l") != std::string::npos);
            for (std::size_t i = 0; i < blocks.count; ++i) {
                require_read(io, blocks, i, files[i]);
                require_read(io, blocks, i, buffers[i]);
            }
            Stats stats = io.stats();
            REQUIRE(stats.fixed_files + stats.fixed_buffers == 0);
            REQUIRE(stats.fixed_unused == 6);
            REQUIRE(plan.logged("so none is") == 2);
            // The places are whole: the same batches fit now.
            plan.calm();
            files.reset();
            buffers.reset();
            files = *io.register_files({fd, fd, fd, fd});
            REQUIRE(files.in_force());
            require_read(io, blocks, 0, files[3]);
            REQUIRE(io.stats().fixed_files == 1);
        }
}

TEST_CASE("places that the kernel will not clear are not used again until it has",
          "[fault][registered][uring][H9]") {
    test::require_backend(Backend::uring);
    for (const Threading threading : kThreadings) {
        Blocks blocks(1);
        const int fd = blocks.file.fd();
        test::FaultPlan plan;
        auto io = test::make_faulty(Backend::uring, plan, few_places(threading));
        // Neither the rest of the batch nor the way back.
        plan.limit_update(nth(1), 2);
        plan.fail_update({2, UINT64_MAX}, ENOMEM);
        auto stuck = *io.register_files({fd, fd, fd});
        REQUIRE_FALSE(stuck.in_force());
        REQUIRE(stuck[0].place == 0);
        require_read(io, blocks, 0, stuck[0]);
        // Two of four are stuck: there is no room for three.
        REQUIRE((*io.register_files({fd, fd, fd})).note().code == ErrorCode::queue_full);
        // Nor can what is unregistered be cleared, and it is not in the way of anything.
        plan.calm();
        auto files = *io.register_files({fd, fd, fd, fd});
        REQUIRE(files.in_force());
        const FileHandle old = files[0];
        plan.fail_update(test::every(), ENOMEM);
        files.reset();
        Request request;
        request.prepare_read(-1, blocks.at(0), kBlock, 0);
        request.use(old);
        REQUIRE(io.perform(request).code() == ErrorCode::invalid_argument);
        REQUIRE((*io.register_files({fd})).note().code == ErrorCode::queue_full);
        plan.calm();
        files = *io.register_files({fd});
        REQUIRE(files.in_force());
        require_read(io, blocks, 0, files[0]);
        REQUIRE(io.shutdown().clean);
    }
}

TEST_CASE("a short transfer on a registered buffer goes on in it, and its retries as well",
          "[fault][registered][uring][E2][H8]") {
    test::require_backend(Backend::uring);
    for (const Threading threading : kThreadings) {
        Blocks blocks(1);
        test::FaultPlan plan;
        auto io = test::make_faulty(Backend::uring, plan, few_places(threading));
        auto files = *io.register_files({blocks.file.fd()});
        auto buffers = *io.register_buffers({blocks.memory});
        plan.shorten(test::first(2), 512, test::is(IOAction::read));
        plan.fail(nth(3), EAGAIN, test::is(IOAction::read));
        Request request;
        request.prepare_read(-1, blocks.at(0), kBlock, 0);
        request.use(files[0]);
        request.use(buffers[0]);
        REQUIRE(io.perform(request));
        REQUIRE(request.result == kBlock);
        REQUIRE(blocks.right(0));
        REQUIRE(io.stats().continuations == 2);
        REQUIRE(io.stats().completion_retries == 1);
        REQUIRE(io.stats().fixed_buffers == 4);
        REQUIRE(io.stats().fixed_files == 4);
    }
}

TEST_CASE("what waits for a second try keeps its place, and meets nobody else's file there",
          "[fault][registered][uring][H9]") {
    test::require_backend(Backend::uring);
    Blocks blocks(1);
    const test::TempFile other(kBlock);
    test::FaultPlan plan;
    auto io = test::make_faulty(Backend::uring, plan, few_places(Threading::split));
    // While the submit call fails the request lies between the engine and the kernel.
    auto files = *io.register_files({blocks.file.fd()});
    const std::uint32_t place = files[0].place;
    plan.fail_submit(test::every(), EAGAIN);
    Request request;
    request.prepare_read(-1, blocks.at(0), kBlock, 0);
    request.use(files[0]);
    REQUIRE(io.submit(request));
    test::wait_until([&] { return plan.submit_calls() > 2; }, "waiting for calls in vain");
    files.reset();
    auto others = *io.register_files({other.fd()});
    REQUIRE(others[0].place != place);
    plan.calm();
    REQUIRE(io.wait(request) == ErrorCode::none);
    REQUIRE(request.result == kBlock);
    REQUIRE(blocks.right(0));
    REQUIRE(io.stats().fixed_files == 1);
    // It is free with that.
    test::wait_until([&] { return (*io.register_files({other.fd()}))[0].place == place; },
                     "waiting for the place to be cleared");
}

TEST_CASE("what is told its result early keeps its place until the kernel gives it back",
          "[fault][registered][uring][H9]") {
    test::require_backend(Backend::uring);
    for (const Threading threading : kThreadings) {
        // On a machine that stands still for a while it is late before it reaches the kernel.
        bool reached = false;
        for (auto limit = std::chrono::milliseconds(2); !reached; limit *= 4) {
            Blocks blocks(1);
            const test::TempFile other(kBlock);
            test::FaultPlan plan;
            Options options = few_places(threading);
            options.registered_files = 1;
            IOEvent<Early> event;
            auto io = test::make_faulty(Backend::uring, plan, options);
            auto files = *io.register_files({blocks.file.fd()});
            plan.hold(test::every());
            event.prepare_read(-1, blocks.at(0), kBlock, 0);
            event.use(files[0]);
            event.flags = kFlagEarlyResult;
            event.expire_after(limit);
            REQUIRE(io.submit(event));
            event.callback.told.wait("waiting for a result that is told early");
            reached = io.stats().running == 1;
            if (!reached) {
                plan.calm();
                plan.release();
                event.callback.released.wait();
                continue;
            }
            files.reset();
            REQUIRE((*io.register_files({other.fd()})).note().code == ErrorCode::queue_full);
            plan.calm();
            plan.release();
            event.callback.released.wait("waiting for the kernel to give the buffer back");
            test::wait_until([&] { return (*io.register_files({other.fd()})).in_force(); },
                             "waiting for the place to be cleared");
            REQUIRE(io.shutdown().clean);
        }
    }
}
