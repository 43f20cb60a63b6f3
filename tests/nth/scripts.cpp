// SPDX-License-Identifier: MIT
//
// What every script has in common: it goes on as far as it is let, as a careful program would, and
// leaves it to the stage to judge what came of it. It allocates nothing itself.
#include "tests/nth/scripts.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

namespace nth {

ioengine::Options with(std::uint32_t depth, ioengine::Lending lending) {
    ioengine::Options options;
    options.depth = depth;
    options.queue_limit = 64;
    options.lending = lending;
    return options;
}

void reads(Stage& stage, Context& io, std::size_t first, std::size_t count, bool direct) {
    for (std::size_t i = first; i < first + count; ++i)
        stage.accepted(i, io.submit(stage.read(i, direct)));
}

void writes(Stage& stage, Context& io, std::size_t first, std::size_t count, bool direct) {
    for (std::size_t i = first; i < first + count; ++i)
        stage.accepted(i, io.submit(stage.write(i, direct)));
}

namespace {

using ioengine::Backend;
using ioengine::Bytes;
using ioengine::Channel;
using ioengine::Group;
using ioengine::IOAction;
using ioengine::IOMergeSubmitter;
using ioengine::Lending;
using ioengine::Options;
using namespace std::chrono_literals;

// A script on one context with that many slots.
template <void (*play)(Stage&, Context&), std::uint32_t depth>
void on_a_context(Stage& stage) {
    auto io = stage.create(with(depth));
    if (io)
        play(stage, *io);
}

// A context of these options, eight reads and four writes.
void mixed_work(Stage& stage, const Options& options) {
    auto io = stage.create(options);
    if (!io)
        return;
    reads(stage, *io, 0, 4);
    writes(stage, *io, 4, 4);
    reads(stage, *io, 8, 4, true);
    stage.wait(*io);
}

// -- contexts ----------------------------------------------------------------------------------

void create_and_destroy(Stage& stage) {
    static_cast<void>(stage.create(with(4)));
}

void two_contexts(Stage& stage) {
    auto one = stage.create(with(2));
    auto two = stage.create(with(2));
    if (one)
        reads(stage, *one, 0, 4);
    if (two)
        writes(stage, *two, 4, 4);
    if (one)
        stage.wait(*one, 0, 4);
    if (two)
        stage.wait(*two, 4, 8);
}

void many_short_contexts(Stage& stage) {
    for (std::size_t i = 0; i < 3; ++i) {
        auto io = stage.create(with(1));
        if (io)
            reads(stage, *io, i, 1);
    }
}

void probe_then_automatic(Stage& stage) {
    const ioengine::ProbeReport report = ioengine::probe();
    stage.require(report.uring.available || report.uring.hint[0] != '\0', "a probe says why");
    auto io = stage.create_any(with(4));
    if (!io)
        return;
    stage.require(io->report().backend != Backend::automatic, "a context has a backend");
    reads(stage, *io, 0, 4);
    stage.wait(*io);
}

void report_and_dump(Stage& stage) {
    Options options = with(4);
    options.histograms = true;
    options.watchdog_ms = 1000;
    auto io = stage.create(options);
    if (!io)
        return;
    reads(stage, *io, 0, 4);
    static_cast<void>(io->dump());  // empty, if there is no memory for it
    stage.wait(*io);
    static_cast<void>(ioengine::to_text(io->report()));
    static_cast<void>(ioengine::to_json(io->report()));
    stage.require(io->stats().accepted <= 4, "stats() count");
}

// -- single requests ---------------------------------------------------------------------------

void one_read(Stage& stage, Context& io) {
    reads(stage, io, 0, 1);
    stage.wait(io);
}

void one_call_reads(Stage& stage, Context& io) {
    for (std::size_t i = 0; i < 6; ++i) {
        stage.expect_read(i);
        stage.accepted(i, io.read(stage.files.source, {stage.buffer(i), kBlock}, i * kBlock,
                                  Stage::Note{&stage, i}));
    }
    stage.wait(io);
}

void more_reads_than_slots(Stage& stage, Context& io) {
    reads(stage, io, 0, 12);
    stage.wait(io);
}

void direct_reads_and_writes(Stage& stage, Context& io) {
    reads(stage, io, 0, 6, true);
    writes(stage, io, 6, 6, true);
    stage.wait(io);
}

void writes_then_fsync(Stage& stage, Context& io) {
    writes(stage, io, 0, 4);
    stage.wait(io);
    stage.op(4).prepare_fsync(stage.files.scratch);
    stage.accepted(4, io.submit(stage.op(4)));
    stage.op(5).prepare_fdatasync(stage.files.scratch);
    stage.accepted(5, io.submit(stage.op(5)));
    stage.wait(io);
}

void vectors(Stage& stage, Context& io) {
    static thread_local iovec halves[2][2];
    for (std::size_t i = 0; i < 2; ++i) {
        halves[i][0] = {stage.buffer(i), 1000};
        halves[i][1] = {stage.buffer(i) + 1000, kBlock - 1000};
    }
    stage.read(0).prepare_readv(stage.files.source, halves[0], 2, 0);
    stage.accepted(0, io.submit(stage.event(0)));
    stage.write(1).prepare_writev(stage.files.scratch, halves[1], 2, kBlock);
    stage.accepted(1, io.submit(stage.event(1)));
    stage.wait(io);
}

void space_and_ranges(Stage& stage, Context& io) {
    stage.op(0).prepare_fallocate(stage.files.scratch, 0, 0, 4 * kBlock);
    stage.accepted(0, io.submit(stage.op(0)));
    stage.wait(io);
    stage.op(1).prepare_sync_file_range(stage.files.scratch, 0, 4 * kBlock, 2);
    stage.accepted(1, io.submit(stage.op(1)));
    stage.wait(io);
}

void no_ops(Stage& stage, Context& io) {
    for (std::size_t i = 0; i < 8; ++i) {
        stage.op(i).prepare_nop();
        stage.accepted(i, io.submit(stage.event(i)));
    }
    stage.wait(io);
}

void priorities(Stage& stage) {
    Options options = with(1);
    options.priority_burst = 2;
    auto io = stage.create(options);
    if (!io)
        return;
    reads(stage, *io, 0, 4);
    for (std::size_t i = 4; i < 8; ++i)
        stage.accepted(i, io->submit(stage.read(i), Channel::prio));
    stage.wait(*io);
}

void past_the_end(Stage& stage, Context& io) {
    for (std::size_t i = 0; i < 3; ++i) {
        stage.op(i, 0).prepare_read(stage.files.source, stage.buffer(i), kBlock,
                                    (kOps + i) * kBlock);
        stage.accepted(i, io.submit(stage.event(i)));
    }
    stage.wait(io);
}

// -- queues ------------------------------------------------------------------------------------

void a_queue_of_one(Stage& stage) {
    Options options = with(1);
    options.queue_limit = 1;
    auto io = stage.create(options);
    if (!io)
        return;
    stage.become_driver(io->engine());
    for (std::size_t i = 0; i < 6; ++i)
        stage.accepted(i, io->submit_wait(stage.read(i)));
    stage.wait(*io);
}

void a_limit_on_the_wait(Stage& stage) {
    Options options = with(1);
    options.queue_limit = 1;
    auto io = stage.create(options);
    if (!io)
        return;
    stage.become_driver(io->engine());
    for (std::size_t i = 0; i < 6; ++i)
        stage.accepted(i, io->submit_wait_for(stage.read(i), 1s));
    stage.wait(*io);
}

// -- waiting -----------------------------------------------------------------------------------

void a_group(Stage& stage, Context& io) {
    Result results[8];
    bool taken[8];
    {
        Group group(io);
        for (std::size_t i = 0; i < 8; ++i) {
            stage.expect_read(i);
            taken[i] = stage.accepted(i, group.read(stage.files.source, {stage.buffer(i), kBlock},
                                                    i * kBlock, &results[i]));
        }
        stage.require(group.wait() == ErrorCode::none, "a group is waited for");
    }
    for (std::size_t i = 0; i < 8; ++i)
        if (taken[i])
            stage.ended(i, results[i]);
}

void a_group_of_events(Stage& stage, Context& io) {
    Group group(io);
    for (std::size_t i = 0; i < 6; ++i)
        stage.accepted(i, group.submit(stage.read(i, i % 2 != 0)));
    group.start();
    stage.require(group.wait() == ErrorCode::none, "a group is waited for");
}

void a_window(Stage& stage, Context& io) {
    Request requests[4];
    Group group(io);
    bool open[4] = {};
    for (std::size_t i = 0; i < 12; ++i) {
        Request& request = requests[i % 4];
        if (open[i % 4]) {
            stage.require(group.wait(request) == ErrorCode::none, "one of a group is waited for");
            stage.ended(i - 4, request.outcome());
        }
        stage.expect_read(i);
        request.prepare_read(stage.files.source, stage.buffer(i), kBlock, i * kBlock);
        open[i % 4] = stage.accepted(i, group.submit(request));
    }
    stage.require(group.wait() == ErrorCode::none, "a group is waited for");
    for (std::size_t i = 8; i < 12; ++i)
        if (open[i % 4])
            stage.ended(i, requests[i % 4].outcome());
}

void perform(Stage& stage, Context& io) {
    for (std::size_t i = 0; i < 4; ++i) {
        Request request;
        stage.expect_read(i);
        request.prepare_read(stage.files.source, stage.buffer(i), kBlock, i * kBlock);
        if (stage.accepted(i, io.perform(request)))
            stage.ended(i, request.outcome());
    }
}

void waits_with_a_limit(Stage& stage, Context& io) {
    for (std::size_t i = 0; i < 4; ++i) {
        Request request;
        stage.expect_read(i);
        request.prepare_read(stage.files.source, stage.buffer(i), kBlock, i * kBlock);
        if (!stage.accepted(i, io.submit(request)))
            continue;
        while (io.wait_for(request, 1ms) == ErrorCode::timed_out) {
        }
        stage.ended(i, request.outcome());
    }
}

void spinning(Stage& stage) {
    Options options = with(2);
    options.spin_us = 200;
    mixed_work(stage, options);
}

// -- who does the work -------------------------------------------------------------------------

void nobody_lends(Stage& stage) {
    mixed_work(stage, with(4, Lending::none));
}

void callers_lend(Stage& stage) {
    mixed_work(stage, with(4, Lending::callers));
}

void every_feature_off(Stage& stage) {
    Options options = with(4);
    options.disable = "callback_lending,reap_cap,aio_ring_reap,aio_fsync,submit_all,sized_cq";
    mixed_work(stage, options);
}

void through_workers(Stage& stage) {
    auto workers = ioengine::IOWorkers::create(2);
    if (!workers) {
        stage.no_context(workers.error());
        return;
    }
    Options options = with(4);
    options.workers = &*workers;
    mixed_work(stage, options);
}

void through_a_sink(Stage& stage) {
    Options options = with(4);
    options.sink = [](void*, ioengine::Delivery delivery) { delivery.run(); };
    mixed_work(stage, options);
}

// Each submits the next one.
struct Chain {
    Stage* stage;
    Context* io;
    std::size_t i;
    std::size_t end;
    void operator()(ioengine::IOEvent<Chain>& event) noexcept {
        stage->ended(i, event.outcome());
        if (++i == end)
            return;
        stage->expect_read(i);
        event.prepare_read(stage->files.source_direct, stage->buffer(i), kBlock, i * kBlock);
        stage->accepted(i, io->submit(event));
    }
};

void callbacks_that_submit(Stage& stage, Context& io) {
    ioengine::IOEvent<Chain> one(Chain{&stage, &io, 0, 6});
    ioengine::IOEvent<Chain> two(Chain{&stage, &io, 8, 14});
    for (auto* event : {&one, &two}) {
        const std::size_t i = event->callback.i;
        stage.expect_read(i);
        event->prepare_read(stage.files.source, stage.buffer(i), kBlock, i * kBlock);
        stage.accepted(i, io.submit(*event));
    }
    stage.may_be_refused();
    static_cast<void>(io.shutdown());  // refuses what callbacks submit now
}

struct Elsewhere {
    Stage* stage;
    Context* io;
};

void* submit_elsewhere(void* argument) {
    const auto& where = *static_cast<Elsewhere*>(argument);
    reads(*where.stage, *where.io, 0, 4);
    return nullptr;
}

void a_thread_that_exits(Stage& stage, Context& io) {
    Elsewhere where{&stage, &io};
    pthread_t thread;
    if (::pthread_create(&thread, nullptr, submit_elsewhere, &where) == 0)
        ::pthread_join(thread, nullptr);
    writes(stage, io, 4, 4);
    stage.wait(io);
}

// What an older kernel lacks, where one thread holds both roles.
Options older() {
    Options options = with(4);
    options.disable = "ext_arg,single_issuer,defer_taskrun,coop_taskrun,ring_fd,aio_ring_reap";
    return options;
}

void an_older_ring(Stage& stage) {
    mixed_work(stage, older());
}

void sqpoll(Stage& stage) {
    if (stage.backend() == Backend::aio)
        return create_and_destroy(stage);
    Options options = with(4);
    options.ring = ioengine::RingMode::sqpoll;
    options.sqpoll_idle_ms = 1;
    mixed_work(stage, options);
}

// -- a driver, and others ----------------------------------------------------------------------

// Plays on a thread of its own, which brings the context to its end.
struct Player {
    Stage* stage;
    Context* io;
    void (*play)(Stage&, Context&);
};

void* play_and_destroy(void* argument) {
    const auto& player = *static_cast<Player*>(argument);
    player.play(*player.stage, *player.io);
    static_cast<void>(Context(std::move(*player.io)));
    return nullptr;
}

// The thread of the script's drives meanwhile; `polls`: by the descriptor, if it can be had.
void beside_a_driver(Stage& stage, const Options& options, bool polls,
                     void (*play)(Stage&, Context&)) {
    auto io = stage.create(options);
    if (!io)
        return;
    ioengine::Engine* const engine = io->engine();
    const int fd = polls ? io->completion_fd() : -1;
    stage.become_driver(engine);
    Player player{&stage, &*io, play};
    pthread_t thread;
    if (::pthread_create(&thread, nullptr, play_and_destroy, &player) != 0)
        return;
    stage.drive_to_the_end(engine, fd);
    ::pthread_join(thread, nullptr);
}

template <void (*play)(Stage&, Context&), std::uint32_t depth>
void beside_the_driver(Stage& stage) {
    beside_a_driver(stage, with(depth), false, play);
}

template <void (*play)(Stage&, Context&), std::uint32_t depth>
void beside_a_poll(Stage& stage) {
    beside_a_driver(stage, with(depth), true, play);
}

void beside_a_poll_of_an_older_ring(Stage& stage) {
    beside_a_driver(stage, older(), true, direct_reads_and_writes);
}

// Shuts down while the driver may be asleep; what is left is destroyed.
void ended(Stage& stage, Context& io) {
    reads(stage, io, 0, 4, true);
    stage.require(io.shutdown().clean, "a shutdown without a deadline is clean");
}

// -- merging -----------------------------------------------------------------------------------

void merged_by_itself(Stage& stage) {
    Options options = with(2);
    options.merge = true;
    auto io = stage.create(options);
    if (!io)
        return;
    Group group(*io);
    for (std::size_t i = 0; i < 12; ++i)
        stage.accepted(i, group.submit(stage.read(i, true)));
    for (std::size_t i = 12; i < 20; ++i)
        stage.accepted(i, group.submit(stage.write(i, true)));
    stage.require(group.wait() == ErrorCode::none, "a group is waited for");
}

void merged_by_hand(Stage& stage, Context& io) {
    {
        IOMergeSubmitter submitter(io, stage.files.scratch_direct, IOAction::write, 3 * kBlock);
        for (std::size_t i = 0; i < 8; ++i)
            stage.accepted(i, submitter.add(stage.write(i, true)));
        static_cast<void>(submitter.flush());
    }
    {
        IOMergeSubmitter submitter(io, stage.files.source, IOAction::read, 1 << 20);
        for (std::size_t i = 8; i < 14; ++i)
            stage.accepted(i, submitter.add(stage.read(i)));
    }
    stage.wait(io);
}

// -- the end -----------------------------------------------------------------------------------

void ends_in_flight(Stage& stage, Context& io) {
    reads(stage, io, 0, 8);
    writes(stage, io, 8, 4, true);
}

void shutdown_with_a_deadline(Stage& stage, Context& io) {
    for (std::size_t i = 0; i < 8; ++i)
        stage.may_end_with(i, ECANCELED);
    reads(stage, io, 0, 8, true);
    static_cast<void>(io.shutdown(20ms));
    static_cast<void>(io.shutdown());
}

void what_never_comes(Stage& stage) {
    if (stage.backend() == Backend::aio)
        return create_and_destroy(stage);  // AIO would wait for the pipe inside the submit call
    int pipe[2];
    if (::pipe(pipe) != 0)
        return;  // it is among the calls that fail
    {
        auto io = stage.create(with(2));
        if (io) {
            for (std::size_t i = 0; i < 5; ++i)
                stage.may_end_with(i, ECANCELED);
            stage.op(0, 0).prepare_read(pipe[0], stage.buffer(0), 1, 0);
            stage.accepted(0, io->submit(stage.event(0)));
            reads(stage, *io, 1, 4);
            static_cast<void>(io->shutdown(20ms));
        }
        // Where the question for opcodes was denied, nothing is cancelled in the kernel.
        ::close(pipe[1]);
    }
    ::close(pipe[0]);
}

void a_buffer_of_ours(Stage& stage) {
    auto buffer = ioengine::AlignedBuffer::create(kBlock);
    auto io = stage.create(with(2));
    if (!io || !buffer)
        return;
    Request request;
    request.prepare_read(stage.files.source_direct, buffer->data(), kBlock, 0);
    stage.op(0, kBlock);
    if (stage.accepted(0, io->perform(request)))
        stage.ended(0, request.outcome());
}

}  // namespace

const Script kScripts[] = {
    {"create and destroy", create_and_destroy},
    {"two contexts", two_contexts},
    {"many short contexts", many_short_contexts},
    {"probe, then automatic", probe_then_automatic},
    {"report and dump", report_and_dump},
    {"one read", on_a_context<one_read, 1>},
    {"one-call reads", on_a_context<one_call_reads, 4>},
    {"more reads than slots", on_a_context<more_reads_than_slots, 2>},
    {"direct reads and writes", on_a_context<direct_reads_and_writes, 4>},
    {"writes, then fsync", on_a_context<writes_then_fsync, 4>},
    {"vectors", on_a_context<vectors, 2>},
    {"fallocate and sync_file_range", on_a_context<space_and_ranges, 2>},
    {"no-ops", on_a_context<no_ops, 2>},
    {"priorities", priorities},
    {"past the end", on_a_context<past_the_end, 2>},
    {"a queue of one", a_queue_of_one},
    {"a limit on the wait for room", a_limit_on_the_wait},
    {"a group", on_a_context<a_group, 4>},
    {"a group of events", on_a_context<a_group_of_events, 2>},
    {"a window of requests", on_a_context<a_window, 4>},
    {"perform", on_a_context<perform, 2>},
    {"waits with a limit", on_a_context<waits_with_a_limit, 2>},
    {"spinning", spinning},
    {"lending none", nobody_lends, On::two_threads},
    {"lending callers", callers_lend, On::two_threads},
    {"an older ring", an_older_ring, On::one_thread},
    {"SQPOLL", sqpoll},
    {"every feature off", every_feature_off},
    {"workers", through_workers},
    {"a sink", through_a_sink},
    {"callbacks that submit", on_a_context<callbacks_that_submit, 4>},
    {"a thread that exits", on_a_context<a_thread_that_exits, 2>},
    {"merged by itself", merged_by_itself},
    {"merged by hand", on_a_context<merged_by_hand, 2>},
    {"ends in flight", on_a_context<ends_in_flight, 2>},
    {"shutdown with a deadline", on_a_context<shutdown_with_a_deadline, 2>},
    {"what never comes", what_never_comes},
    {"a buffer of the library's", a_buffer_of_ours},
    {"cancelled", on_a_context<cancelled, 2>},
    {"late", on_a_context<late, 2>},
    {"early results", early_results},
    {"registered", on_a_context<registered, 4>},
    {"a pool of buffers", on_a_context<a_pool, 2>},
    {"beside: ended", beside_the_driver<ended, 2>, On::caller},
    {"beside: one-call reads", beside_the_driver<one_call_reads, 4>, On::caller},
    {"beside: perform", beside_the_driver<perform, 2>, On::caller},
    {"beside: a group", beside_the_driver<a_group, 4>, On::caller},
    {"beside: cancelled", beside_the_driver<cancelled, 2>, On::caller},
    {"beside: late", beside_the_driver<late, 2>, On::caller},
    {"beside: registered", beside_the_driver<registered, 4>, On::caller},
    {"beside: a pool of buffers", beside_the_driver<a_pool, 2>, On::caller},
    {"polled: ended", beside_a_poll<ended, 2>, On::caller},
    {"polled: reads and writes", beside_a_poll<direct_reads_and_writes, 4>, On::caller},
    {"polled: an older ring", beside_a_poll_of_an_older_ring, On::caller},
    {"polled: waits with a limit", beside_a_poll<waits_with_a_limit, 2>, On::caller},
    {"polled: late", beside_a_poll<late, 2>, On::caller},
    {"polled: registered", beside_a_poll<registered, 4>, On::caller},
#if IOENGINE_TESTS_NTH_AIO
    {"libaio: reads and writes", aio_transfers, On::two_threads},
    {"libaio: vectors", aio_vectors, On::two_threads},
    {"libaio: polls", aio_polls, On::two_threads},
#endif
    {nullptr, nullptr},
};

bool Script::plays_on(Threading threading) const {
    switch (on) {
    case On::any:
        return true;
    case On::two_threads:
        return threading == Threading::split;
    case On::one_thread:
        return threading != Threading::split;
    case On::caller:
        return threading == Threading::caller;
    }
    return false;
}

}  // namespace nth
