// SPDX-License-Identifier: MIT
//
// Scripts of requests that are cancelled, are late, or are told their results early.
#include "tests/nth/scripts.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <unistd.h>
#include <utility>

namespace nth {

using ioengine::Backend;
using namespace std::chrono_literals;

void cancelled(Stage& stage, Context& io) {
    Acceptance given[6];
    for (std::size_t i = 0; i < 6; ++i) {
        stage.may_end_with(i, ECANCELED);
        given[i] = io.submit(stage.read(i, true));
        stage.accepted(i, given[i]);
    }
    if (given[3])
        stage.granted(io.cancel(given[3].handle()));
    stage.granted(io.cancel(stage.files.source_direct));
    writes(stage, io, 6, 2, true);
    stage.wait(io);
    for (std::size_t i = 8; i < 12; ++i)
        stage.may_end_with(i, ECANCELED);
    reads(stage, io, 8, 4);
    stage.granted(io.cancel_all());
    stage.wait(io);
}

void late(Stage& stage, Context& io) {
    for (std::size_t i = 0; i < 6; ++i) {
        Stage::Event& event = stage.read(i, true);
        if (i % 3 != 0)
            stage.may_end_with(i, ETIMEDOUT);
        if (i % 3 == 0)
            event.expire_after(1h);
        else
            event.expire_after(i % 3 == 1 ? 1ms : 0ms);
        stage.accepted(i, io.submit(event));
    }
    stage.wait(io);
}

// Told its result early, perhaps, and released later.
struct Leased {
    Stage* stage = nullptr;
    std::size_t i = 0;
    std::atomic<std::uint32_t> released{0};
    void operator()(ioengine::IOEvent<Leased>& event) noexcept {
        if (event.notice() == ioengine::Notice::result)
            stage->ended(i, event.outcome());
        else
            released.fetch_add(1);
    }
};

void early_results(Stage& stage) {
    int pipe[2] = {-1, -1};
    // AIO would wait for the pipe inside the submit call.
    if (stage.backend() == Backend::uring && ::pipe(pipe) != 0)
        return;  // it is among the calls that fail
    constexpr std::size_t kCount = 5;
    ioengine::IOEvent<Leased> events[kCount];
    bool accepted[kCount] = {};
    if (auto io = stage.create(with(2))) {
        for (std::size_t i = 0; i < kCount; ++i) {
            ioengine::IOEvent<Leased>& event = events[i];
            event.callback.stage = &stage;
            event.callback.i = i;
            stage.may_end_with(i, ETIMEDOUT);
            if (i == 1 && pipe[0] >= 0) {
                stage.op(i, 1);
                event.prepare_read(pipe[0], stage.buffer(i), 1, 0);
            } else {
                stage.expect_read(i);
                event.prepare_read(stage.files.source_direct, stage.buffer(i), kBlock, i * kBlock);
            }
            event.flags = ioengine::kFlagEarlyResult;
            if (i % 2 == 0)
                event.expire_after(1h);
            else
                event.expire_after(1ms);
            accepted[i] = stage.accepted(i, io->submit(event));
        }
        stage.wait(*io);
        if (pipe[1] >= 0)
            ::close(std::exchange(pipe[1], -1));
    }
    for (std::size_t i = 0; i < kCount; ++i)
        stage.require(events[i].callback.released == (accepted[i] ? 1u : 0u),
                      "what was accepted is released once");
    for (const int fd : pipe)
        if (fd >= 0)
            ::close(fd);
}

}  // namespace nth
