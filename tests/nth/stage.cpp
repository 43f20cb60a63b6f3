// SPDX-License-Identifier: MIT
#include "tests/nth/stage.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <poll.h>
#include <unistd.h>

namespace nth {

namespace {

using ioengine::Run;
using ioengine::abi::engine_run;

void nap() {
    const timespec a_moment{0, 50'000};
    ::nanosleep(&a_moment, nullptr);
}

}  // namespace

void pattern(unsigned char* to, std::size_t i) {
    for (std::size_t at = 0; at < kBlock; ++at)
        to[at] = static_cast<unsigned char>(at * 31 + i * 7 + at / 256 + 1);
}

Stage::Stage(ioengine::Backend backend, Threading threading, const Files& given, Report& report)
    : files(given), backend_(backend), threading_(threading), report_(report),
      buffers_(static_cast<unsigned char*>(std::aligned_alloc(kBlock, kOps * kBlock))),
      ops_(static_cast<Op*>(std::aligned_alloc(alignof(Op), kOps * sizeof(Op)))) {
    if (buffers_ == nullptr || ops_ == nullptr)
        std::abort();
    std::memset(buffers_, 0, kOps * kBlock);
    for (std::size_t i = 0; i < kOps; ++i)
        new (&ops_[i]) Op(this, i);
}

void Stage::Note::operator()(Result result) const noexcept {
    stage->ended(i, result);
}

ioengine::Expected<Context> Stage::create(ioengine::Options options) {
    options.backend = backend_;
    return create_any(options);
}

ioengine::Expected<Context> Stage::create_any(ioengine::Options options) {
    options.threading = threading_;
    calls_back_elsewhere_ = options.workers != nullptr || options.sink != nullptr;
    options.log = [](void*, ioengine::LogLevel, const char*) {};
    auto made = Context::create(options);
    if (!made)
        no_context(made.error());
    return made;
}

void Stage::no_context(const ioengine::Error& error) {
    if (report_.create_refused++ == 0)
        report_.create_code = error.code;
    require(error.code != ErrorCode::none, "a refusal has a code");
    require(std::strlen(error.message) > 0, "a refusal has a message");
}

Stage::Event& Stage::begin(std::size_t i, Kind kind, std::uint64_t bytes) {
    ops_[i].kind = kind;
    ops_[i].bytes = bytes;
    return ops_[i].event;
}

Stage::Event& Stage::read(std::size_t i, bool direct) {
    Event& event = begin(i, Kind::read, kBlock);
    event.prepare_read(direct ? files.source_direct : files.source, buffer(i), kBlock, i * kBlock);
    return event;
}

void Stage::expect_write(std::size_t i) {
    pattern(buffer(i), i);
    begin(i, Kind::write, kBlock);
}

Stage::Event& Stage::write(std::size_t i, bool direct) {
    expect_write(i);
    ops_[i].event.prepare_write(direct ? files.scratch_direct : files.scratch, buffer(i), kBlock,
                                i * kBlock);
    return ops_[i].event;
}

Stage::Event& Stage::op(std::size_t i, std::uint64_t bytes) {
    return begin(i, Kind::other, bytes);
}

bool Stage::accepted(std::size_t i, Acceptance acceptance) {
    ops_[i].accepted = acceptance.accepted();
    ops_[i].refused = !acceptance;
    if (acceptance) {
        ++report_.accepted;
        return true;
    }
    refused(acceptance.code());
    require(std::strlen(acceptance.detail()) > 0, "a refusal has a detail");
    return false;
}

void Stage::granted(ErrorCode code) {
    if (code != ErrorCode::none)
        refused(code);
}

void Stage::refused(ErrorCode code) {
    if (report_.refused++ == 0)
        report_.refused_code = code;
}

void Stage::ended(std::size_t i, Result result) {
    ops_[i].result = result.raw();
    ops_[i].notices.fetch_add(1, std::memory_order_release);
}

void Stage::wait(Context& io, std::size_t first, std::size_t end) {
    for (std::size_t i = first; i < end; ++i) {
        while (ops_[i].accepted && ops_[i].notices.load(std::memory_order_acquire) == 0) {
            // Nothing wakes a driver whose callbacks run on other threads.
            const bool sleeps = !calls_back_elsewhere_ && io.stats().running != 0;
            if (io.run_once(sleeps ? Run::once : Run::now).code != ErrorCode::none || !sleeps)
                nap();
        }
    }
}

void Stage::become_driver(ioengine::Engine* engine) {
    // Not at once, if the ring could not be bound to this thread.
    while (engine_run(engine, Run::now, 0).code == ErrorCode::system)
        nap();
}

void Stage::drive_to_the_end(ioengine::Engine* engine, int fd) {
    ioengine::RunReport report;
    while (report.code == ErrorCode::none) {
        if (fd >= 0) {
            const std::int64_t ms = report.again_in_ns / 1'000'000 + 1;
            pollfd watched{fd, POLLIN, 0};
            ::poll(&watched, 1, report.again_in_ns < 0 ? -1 : static_cast<int>(ms));
        }
        report = engine_run(engine, fd >= 0 ? Run::now : Run::once, 0);
    }
    require(report.code == ErrorCode::shutting_down, "a driver drives to the end");
}

void Stage::require(bool holds, const char* what) {
    if (!holds && report_.violation[0] == '\0')
        std::snprintf(report_.violation, sizeof report_.violation, "%s", what);
}

void Stage::judge(bool (*excuses)(int error)) {
    for (std::size_t i = 0; i < kOps; ++i)
        judge(ops_[i], i, excuses);
}

void Stage::judge(const Op& op, std::size_t i, bool (*excuses)(int error)) {
    char text[200];
    const auto number = static_cast<unsigned>(i);
    const std::uint32_t notices = op.notices.load();
    if (notices != (op.accepted ? 1u : 0u)) {
        std::snprintf(text, sizeof text, "operation %u was %s and noticed %u times", number,
                      op.accepted  ? "accepted"
                      : op.refused ? "refused"
                                   : "never submitted",
                      notices);
        require(false, text);
    }
    if (!op.accepted || notices == 0)
        return;
    if (op.result < 0) {
        if (op.natural_error != 0 && op.result == -op.natural_error)
            return;
        if (report_.failed++ == 0)
            report_.request_error = static_cast<int>(-op.result);
        if (!excuses(static_cast<int>(-op.result))) {
            std::snprintf(text, sizeof text, "operation %u failed with %s", number,
                          std::strerror(static_cast<int>(-op.result)));
            require(false, text);
        }
        return;
    }
    ++report_.succeeded;
    if (op.result != static_cast<std::int64_t>(op.bytes)) {
        std::snprintf(text, sizeof text, "operation %u moved %lld bytes of %llu", number,
                      static_cast<long long>(op.result), static_cast<unsigned long long>(op.bytes));
        require(false, text);
        return;
    }
    unsigned char expected[kBlock];
    unsigned char found[kBlock];
    pattern(expected, i);
    if (op.kind == Kind::read)
        require(std::memcmp(expected, buffer(i), kBlock) == 0, "what was read is right");
    if (op.kind == Kind::write)
        require(::pread(files.scratch, found, kBlock, static_cast<off_t>(i * kBlock)) ==
                        static_cast<ssize_t>(kBlock) &&
                    std::memcmp(expected, found, kBlock) == 0,
                "what was written is right");
}

}  // namespace nth
