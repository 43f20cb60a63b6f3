// SPDX-License-Identifier: MIT
//
// Goal: the simulated kernel behaves as the real one was seen to, so that what holds over it means
// something.
// Method: calls through the two doors, without an engine behind them.
#include "lib/config.hpp"
#if IOENGINE_HAVE_AIO
#include "drivers/sim/sim_aio.hpp"
#endif
#if IOENGINE_HAVE_URING
#include "drivers/sim/sim_uring.hpp"
#endif
#include "drivers/sim/world.hpp"
#include "tests/support/support.hpp"

#include <array>
#include <cerrno>
#include <poll.h>
#include <string>
#include <vector>

namespace {

using ioengine::Fault;
using ioengine::FaultPlan;
using ioengine::FaultRule;
using ioengine::SimCall;
using ioengine::SimCompletion;
using ioengine::SimFile;
using ioengine::SimOperation;
using ioengine::SimShape;
using ioengine::SimWorld;

constexpr int kNoFile = ioengine::SimFiles::kFirst + 77;
constexpr std::uint64_t kSecond = 1'000'000'000;

SimFile file_of(const std::string& text, std::uint64_t capacity) {
    SimFile file;
    file.capacity = capacity;
    file.bytes.assign(text.begin(), text.end());
    return file;
}

SimOperation operation(std::uint64_t token, ioengine::IOAction action, int fd, void* data,
                       std::uint64_t size, std::uint64_t offset) {
    SimOperation asked;
    asked.token = token;
    asked.action = action;
    asked.fd = fd;
    asked.data = data;
    asked.size = size;
    asked.offset = offset;
    return asked;
}

// What completes within the next ten seconds of the world.
std::vector<SimCompletion> completions_of(SimWorld& world) {
    world.advance_to(world.now_ns() + 10 * kSecond);
    std::vector<SimCompletion> all;
    SimCompletion one;
    for (world.flush_spilled(); world.take(1, &one) == 1; world.flush_spilled())
        all.push_back(one);
    return all;
}

FaultPlan only(const FaultRule& rule) {
    FaultPlan plan;
    plan.rules = {rule};
    return plan;
}

}  // namespace

TEST_CASE("an operation completes when it is due, not before, and moves its bytes then") {
    SimWorld world({}, {}, 1);
    const int fd = world.files.add(file_of("abcdef", 100));
    char buffer[4] = "---";
    world.begin(operation(5, ioengine::IOAction::read, fd, buffer, 3, 2));
    REQUIRE(world.next_due_ns() > world.now_ns());
    world.advance_to(world.next_due_ns() - 1);
    CHECK_FALSE(world.has_completion());
    CHECK(std::string(buffer) == "---");
    const auto completed = completions_of(world);
    REQUIRE(completed.size() == 1);
    CHECK(completed[0].token == 5);
    CHECK(completed[0].result == 3);
    CHECK(std::string(buffer) == "cde");
}

TEST_CASE(
    "a read over the end is short, behind the end it is 0, a write over the capacity is short, "
    "behind it ENOSPC") {
    SimWorld world({}, {}, 1);
    const int fd = world.files.add(file_of("abcdef", 8));
    char buffer[8] = "1234567";
    world.begin(operation(1, ioengine::IOAction::read, fd, buffer, 8, 4));
    world.begin(operation(2, ioengine::IOAction::read, fd, buffer, 8, 6));
    CHECK(completions_of(world)[0].result == 2);
    world.begin(operation(3, ioengine::IOAction::write, fd, buffer, 4, 6));
    world.begin(operation(4, ioengine::IOAction::write, fd, buffer, 4, 8));
    const auto completed = completions_of(world);
    CHECK(completed[0].result == 2);
    CHECK(completed[1].result == -ENOSPC);
    CHECK(world.files.find(fd)->end() == 8);
}

TEST_CASE("direct files demand blocks in memory, offset and length") {
    SimWorld world({}, {}, 1);
    SimFile file = file_of(std::string(2048, 'x'), 4096);
    file.direct = true;
    const int fd = world.files.add(std::move(file));
    alignas(512) static std::array<unsigned char, 1024> buffer{};
    const auto result_of = [&](void* memory, std::uint64_t bytes, std::uint64_t offset) {
        world.begin(operation(1, ioengine::IOAction::read, fd, memory, bytes, offset));
        return completions_of(world).at(0).result;
    };
    CHECK(result_of(buffer.data(), 512, 512) == 512);
    CHECK(result_of(buffer.data() + 1, 512, 512) == -EINVAL);
    CHECK(result_of(buffer.data(), 511, 512) == -EINVAL);
    CHECK(result_of(buffer.data(), 512, 511) == -EINVAL);
}

TEST_CASE("what never completes can be cancelled, what is unknown cannot") {
    SimWorld world({}, only({SimCall::operation, 1, false, Fault::never, 0}), 1);
    const int fd = world.files.add(file_of("abc", 8));
    char buffer[4];
    world.begin(operation(9, ioengine::IOAction::read, fd, buffer, 3, 0));
    CHECK(completions_of(world).empty());
    CHECK(world.never_in_flight() == 1);
    CHECK(world.cancel(8) == -ENOENT);
    CHECK(world.cancel(9) == 0);
    const auto completed = completions_of(world);
    REQUIRE(completed.size() == 1);
    CHECK(completed[0].result == -ECANCELED);
    CHECK(world.in_flight() == 0);
}

TEST_CASE("what never completes does when the faults end") {
    SimWorld world({}, only({SimCall::operation, 1, false, Fault::never, 0}), 1);
    const int fd = world.files.add(file_of("abc", 8));
    char buffer[4];
    world.begin(operation(9, ioengine::IOAction::read, fd, buffer, 3, 0));
    world.calm();
    CHECK(completions_of(world).at(0).result == 3);
}

TEST_CASE("completions keep their order unless one is drawn to overtake") {
    SimWorld ordered({}, {}, 1);
    SimWorld disordered({}, only({SimCall::operation, 3, false, Fault::reordered, 0}), 1);
    for (SimWorld* const world : {&ordered, &disordered}) {
        const int fd = world->files.add(file_of("abc", 8));
        for (std::uint64_t token = 1; token <= 3; ++token)
            world->begin(operation(token, ioengine::IOAction::fsync, fd, nullptr, 0, 0));
    }
    const auto first = completions_of(ordered);
    CHECK(first[0].token == 1);
    CHECK(first[2].token == 3);
    CHECK(completions_of(disordered)[0].token == 3);
    CHECK(disordered.faults().counts().of(Fault::reordered) == 1);
}

#if IOENGINE_HAVE_AIO

namespace {

// Eight reads of the same file, one of them of another descriptor.
struct Batch {
    Batch(int fd, std::size_t bad, int bad_fd) {
        for (std::size_t i = 0; i < controls.size(); ++i) {
            io_prep_pread(&controls[i], i == bad ? bad_fd : fd, buffer, 1, 0);
            controls[i].data = reinterpret_cast<void*>(i + 1);
            list[i] = &controls[i];
        }
    }
    std::array<iocb, 8> controls{};
    std::array<iocb*, 8> list{};
    char buffer[8];
};

}  // namespace

TEST_CASE("AIO: a bad iocb at [3] of 8 is behind the 3 taken, then EBADF at the head") {
    SimWorld world({}, {}, 1);
    const int fd = world.files.add(file_of("abc", 8));
    ioengine::SimAio kernel(world, 10);
    Batch batch(fd, 3, kNoFile);
    CHECK(kernel.submit(8, batch.list.data()) == 3);
    CHECK(kernel.submit(5, batch.list.data() + 3) == -EBADF);
    CHECK(kernel.submit(4, batch.list.data() + 4) == 4);
    io_event events[8];
    CHECK(kernel.peek(8, events) == 0);
    world.advance_to(world.now_ns() + kSecond);
    CHECK(kernel.wait(8, events, -1) == 7);
    CHECK(world.faults().counts().of(Fault::bad_middle) == 1);
}

TEST_CASE("AIO: completions that nobody took still fill the context") {
    FaultPlan plan;
    SimWorld world({}, plan, 1);
    const int fd = world.files.add(file_of("abc", 8));
    ioengine::SimAio kernel(world, 5);
    Batch batch(fd, 99, 0);
    CHECK(kernel.submit(8, batch.list.data()) == 5);
    CHECK(kernel.submit(3, batch.list.data() + 5) == -EAGAIN);
    world.advance_to(world.now_ns() + kSecond);
    CHECK(kernel.submit(3, batch.list.data() + 5) == -EAGAIN);
    io_event events[8];
    CHECK(kernel.peek(2, events) == 2);
    CHECK(kernel.submit(3, batch.list.data() + 5) == 2);
}

TEST_CASE("AIO: a rule makes the third submit call answer EAGAIN, and no other") {
    SimWorld world({}, only({SimCall::submit, 3, false, Fault::eagain_once, 0}), 1);
    const int fd = world.files.add(file_of("abc", 8));
    ioengine::SimAio kernel(world, 64);
    Batch batch(fd, 99, 0);
    CHECK(kernel.submit(1, batch.list.data()) == 1);
    CHECK(kernel.submit(1, batch.list.data() + 1) == 1);
    CHECK(kernel.submit(1, batch.list.data() + 2) == -EAGAIN);
    CHECK(kernel.submit(1, batch.list.data() + 2) == 1);
    CHECK(world.faults().counts().of(Fault::eagain_once) == 1);
    CHECK(world.in_flight() == 3);
}

TEST_CASE("AIO: a no-op is EINVAL, as on every kernel") {
    SimWorld world({}, {}, 1);
    ioengine::SimAio kernel(world, 4);
    iocb control{};
    control.aio_lio_opcode = IO_CMD_NOOP;
    iocb* list[] = {&control};
    CHECK(kernel.submit(1, list) == -EINVAL);
}

#endif

#if IOENGINE_HAVE_URING

namespace {

struct Event {
    std::uint64_t user_data = 0;
    std::int32_t result = 0;
};

void push_nops(ioengine::SimUring& kernel, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
        io_uring_sqe* const sqe = kernel.next_sqe();
        REQUIRE(sqe != nullptr);
        ::io_uring_prep_nop(sqe);
        sqe->user_data = i + 1;
    }
}

}  // namespace

TEST_CASE(
    "io_uring: 40 no-ops on a completion ring of 16 spill over, and all 40 come back in order") {
    SimShape shape;
    shape.ready_max = 16;
    SimWorld world(shape, {}, 1);
    ioengine::SimUring kernel(world, {64, true, false});
    push_nops(kernel, 40);
    CHECK(kernel.submit() == 40);
    world.advance_to(world.now_ns() + kSecond);
    CHECK(kernel.overflowed());
    std::uint64_t next = 1;
    Event events[16];
    for (int count = kernel.peek(16, events); count != 0; count = kernel.peek(16, events))
        for (int i = 0; i < count; ++i)
            CHECK(events[i].user_data == next++);
    CHECK(next == 41);
    CHECK_FALSE(kernel.overflowed());
}

TEST_CASE("io_uring: the ring is full at its size, and withdrawn entries make room") {
    SimWorld world({}, {}, 1);
    ioengine::SimUring kernel(world, {4, true, true});
    push_nops(kernel, 4);
    CHECK(kernel.next_sqe() == nullptr);
    CHECK(kernel.room() == 0);
    std::uint64_t sum = 0;
    kernel.withdraw([&](std::uint64_t token) { sum += token; });
    CHECK(sum == 10);
    CHECK(kernel.room() == 4);
    CHECK(kernel.unsubmitted() == 0);
}

TEST_CASE("io_uring: without SUBMIT_ALL the call ends behind an entry that fails at once") {
    for (const bool submit_all : {true, false}) {
        SimWorld world({}, {}, 1);
        const int fd = world.files.add(file_of("abc", 8));
        ioengine::SimUring kernel(world, {8, submit_all, true});
        for (const int target : {fd, kNoFile, fd}) {
            io_uring_sqe* const sqe = kernel.next_sqe();
            ::io_uring_prep_fsync(sqe, target, 0);
            sqe->user_data = static_cast<std::uint64_t>(target);
        }
        CHECK(kernel.submit() == (submit_all ? 3 : 2));
        CHECK(kernel.unsubmitted() == (submit_all ? 0 : 1));
        Event event;
        REQUIRE(kernel.peek(1, &event) == 1);
        CHECK(event.user_data == static_cast<std::uint64_t>(kNoFile));
        CHECK(event.result == -EBADF);
    }
}

TEST_CASE("io_uring: a polled transfer completes when somebody asks the device") {
    alignas(512) static unsigned char memory[512];
    SimWorld world({}, {}, 1);
    SimFile disk{SimFile::Kind::block, true, false, 512, std::vector<unsigned char>(512), true};
    const int fd = world.files.add(disk);
    ioengine::SimRingShape shape{8};
    shape.iopoll = true;
    ioengine::SimUring kernel(world, shape);
    io_uring_sqe* const sqe = kernel.next_sqe();
    ::io_uring_prep_read(sqe, fd, memory, sizeof memory, 0);
    sqe->user_data = 7;
    CHECK(kernel.submit() == 1);
    world.advance_to(world.now_ns() + kSecond);
    Event event;
    CHECK_FALSE(kernel.has_news());
    CHECK(kernel.peek(1, &event) == 0);
    CHECK(world.polled() == 1);
    CHECK(kernel.look() == 0);
    CHECK(kernel.has_news());
    REQUIRE(kernel.peek(1, &event) == 1);
    CHECK(event.user_data == 7);
    CHECK(event.result == 512);
    CHECK(world.polled() == 0);
}

TEST_CASE("io_uring: a polled ring refuses what cannot be polled") {
    alignas(512) static unsigned char memory[512];
    SimWorld world({}, {}, 1);
    const std::vector<unsigned char> bytes(512);
    const int cached = world.files.add({SimFile::Kind::regular, false, false, 512, bytes, false});
    const int interrupting =
        world.files.add({SimFile::Kind::block, true, false, 512, bytes, false});
    ioengine::SimRingShape shape{8};
    shape.iopoll = true;
    ioengine::SimUring kernel(world, shape);
    const auto answer_to = [&](auto&& prepare) {
        prepare(kernel.next_sqe());
        CHECK(kernel.submit() == 1);
        Event event;
        REQUIRE(kernel.peek(1, &event) == 1);
        return event.result;
    };
    for (const int fd : {cached, interrupting}) {
        CHECK(answer_to([&](io_uring_sqe* sqe) {
                  ::io_uring_prep_read(sqe, fd, memory, sizeof memory, 0);
              }) == -EOPNOTSUPP);
        CHECK(answer_to([&](io_uring_sqe* sqe) { ::io_uring_prep_fsync(sqe, fd, 0); }) == -EINVAL);
    }
    CHECK(answer_to([&](io_uring_sqe* sqe) { ::io_uring_prep_poll_add(sqe, cached, POLLIN); }) ==
          -EINVAL);
    CHECK(answer_to([&](io_uring_sqe* sqe) { ::io_uring_prep_cancel64(sqe, 1, 0); }) == -EINVAL);
}

TEST_CASE("io_uring: an entry that was not prepared in full is refused") {
    SimWorld world({}, {}, 1);
    const int fd = world.files.add(file_of("abc", 8));
    ioengine::SimUring kernel(world, {8, true, true});
    io_uring_sqe* const sqe = kernel.next_sqe();
    sqe->opcode = IORING_OP_FSYNC;
    sqe->fd = fd;
    sqe->user_data = 3;
    CHECK(kernel.submit() == 1);
    Event event;
    REQUIRE(kernel.peek(1, &event) == 1);
    CHECK(event.result == -EINVAL);
}

#endif
