// SPDX-License-Identifier: MIT
//
// Carries the load through an IOContext, in mode chain, wait or wake.
//
//     chain   callback (poller thread, owner, or the one that drives): finish, begin, submit
//     wait    producer: wait for a group of its requests, whose callbacks, on this thread, finish,
//             begin, submit; or with a single one: begin, perform(), finish
//     wake    callback (poller thread): push into the producer's inbox
//             producer: sleep on the inbox, then finish, begin, submit
//
// Events are the caller's own and live as long as the slice: the loop allocates nothing.
#include "tools/bench/engine_contender.hpp"

#include "tools/bench/clock.hpp"
#include "tools/bench/failure.hpp"
#include "tools/bench/session.hpp"
#include "tools/bench/target.hpp"

#include <ioengine/ioengine.hpp>

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

namespace {

class EngineLoad;

// The callback type C of the context: three pointers, no closure.
struct OnDone {
    EngineLoad* load;
    Lane* lane;
    ioengine::Group* group = nullptr;  // mode wait
    void operator()(ioengine::IOEvent<OnDone>& event) noexcept;
};

using Context = ioengine::IOContext<OnDone>;
using Event = ioengine::IOEvent<OnDone>;

// The requests of one slice.
class EngineLoad {
  public:
    // `file` and `memory`: registered ones, or nothing.
    EngineLoad(Context& io, Session& session, const ioengine::FileHandle& file,
               const ioengine::BufferHandle& memory, Mode mode)
        : io_(io), session_(session), file_(file), memory_(memory), mode_(mode) {
        for (Lane& lane : session.lanes())
            events_.emplace_back(OnDone{this, &lane});
    }

    // Mode chain: from here on the poller thread keeps the lanes going.
    void start_chains() {
        session_.begin_all(session_.stream(0), [this](Lane& lane) { submit(lane); });
    }

    // Threading::caller, modes chain and wait: on the thread that drives the engine, to its end.
    void drive(Stream& stream) noexcept {
        if (mode_ == Mode::wait)
            wait(stream);
        else
            start_chains();
        while (stream.open_lanes() > 0)
            static_cast<void>(io_.run_once());
        static_cast<void>(io_.shutdown());
    }

    // Mode wake: runs on a thread of its own until its last lane has retired.
    void produce(Stream& stream) noexcept {
        session_.begin_all(stream, [this](Lane& lane) { submit(lane); });
        while (stream.open_lanes() > 0) {
            Lane* next = nullptr;
            for (Lane* lane = stream.inbox().wait_and_take(); lane != nullptr; lane = next) {
                next = lane->next;  // submitting the lane may bring it back into the inbox
                go_on(*lane, lane->result);
            }
        }
    }

    // Mode wait: likewise.
    void wait(Stream& stream) noexcept {
        ioengine::Group group(io_);
        session_.begin_all(stream, [&](Lane& lane) {
            if (stream.open_lanes() == 1) {
                perform_all(lane);
                return;
            }
            events_[lane.index].callback.group = &group;
            submit(lane);
        });
        static_cast<void>(group.wait());
    }

    void on_done(Lane& lane, std::int64_t result) noexcept {
        if (mode_ != Mode::wake) {
            go_on(lane, result);
            return;
        }
        lane.result = result;
        lane.stream->inbox().push(lane);
    }

  private:
    void go_on(Lane& lane, std::int64_t result) noexcept {
        const std::uint64_t now = Stream::end_of(lane);
        if (!lane.stream->finish(lane, result, now))
            session_.stop_early();
        if (lane.stream->begin(lane, now))
            submit(lane);
        else
            session_.retire(lane);
    }

    void perform_all(Lane& lane) noexcept {
        ioengine::Request request;
        for (bool more = true; more;) {
            prepare(request, lane);
            if (!took(io_.perform(request), lane))
                return;
            const std::uint64_t now = Stream::end_of(lane);
            if (!lane.stream->finish(lane, request.result, now))
                session_.stop_early();
            more = lane.stream->begin(lane, now);
        }
        session_.retire(lane);
    }

    void submit(Lane& lane) noexcept {
        Event& event = events_[lane.index];
        prepare(event, lane);
        ioengine::Group* const group = event.callback.group;
        static_cast<void>(took(group != nullptr ? group->submit(event) : io_.submit(event), lane));
    }

    void prepare(ioengine::Request& request, const Lane& lane) const noexcept {
        const std::uint32_t bytes = lane.stream->block_bytes();
        if (lane.write)
            request.prepare_write(file_.fd, lane.buffer, bytes, lane.offset);
        else
            request.prepare_read(file_.fd, lane.buffer, bytes, lane.offset);
        if (file_.place != 0)
            request.use(file_);
        if (memory_.place != 0)
            request.use(memory_);
    }

    // False, and the lane has retired, if the engine said no.
    bool took(const ioengine::Acceptance& accepted, Lane& lane) noexcept {
        if (accepted)
            return true;
        session_.abort(std::string("the engine refused a request: ") +
                       ioengine::error_code_name(accepted.code()) + ", " + accepted.detail());
        session_.retire(lane);
        return false;
    }

    Context& io_;
    Session& session_;
    std::deque<Event> events_;  // by the index of their lane; never moved
    const ioengine::FileHandle file_;
    const ioengine::BufferHandle memory_;
    const Mode mode_;
};

void OnDone::operator()(Event& event) noexcept {
    load->on_done(*lane, event.result);
}

class EngineContender : public Contender {
  public:
    EngineContender(const Workload& workload, const BenchOptions& options, const std::string& name,
                    std::string disable)
        : options_(options),
          disable_(std::move(disable)), workload_{options_, workload.target, workload.arena,
                                                  workload.verifier, workload.seed} {
        identity_.name = name;
        identity_.threading = threading_name(options.threading);
        identity_.lending = lending_name(options.lending);
        identity_.ring = ring_name(options.ring);
    }

    const Identity& identity() const noexcept override { return identity_; }

    Measurement run(const Slice& slice, LiveLine& live) override {
        const BenchOptions& asked = options_;
        auto made = Context::create(context_options());
        if (!made)
            throw unavailable(made.error());
        Context& io = *made;
        identity_.backend = ioengine::backend_name(io.report().backend);
        identity_.note = io.report().reason;

        const unsigned streams = asked.has_producers() ? asked.producers : 1;
        Session session(workload_, slice, streams);
        std::optional<ioengine::RegisteredFiles> files;
        std::optional<ioengine::RegisteredBuffers> buffers;
        ioengine::FileHandle file;
        ioengine::BufferHandle memory;
        file.fd = workload_.target.fd();
        if (asked.fixed) {
            file = files.emplace(value_of(io.register_files({file.fd})))[0];
            const ioengine::Bytes all(workload_.arena.data(), workload_.arena.size());
            memory = buffers.emplace(value_of(io.register_buffers({all})))[0];
            identity_.note += files->in_force() ? ", registered file" : ", file not registered";
            identity_.note +=
                buffers->in_force() ? ", registered buffers" : ", buffers not registered";
        }
        EngineLoad load(io, session, file, memory, asked.mode);
        std::vector<std::jthread> producers;
        Measurement measured = session.measure(slice, identity_.name, live, [&] {
            if (asked.threading == ioengine::Threading::caller) {
                producers.emplace_back([&] { load.drive(session.stream(0)); });
                return;
            }
            if (asked.mode == Mode::chain)
                load.start_chains();
            for (unsigned i = 0; asked.has_producers() && i < streams; ++i)
                producers.emplace_back([&load, &stream = session.stream(i), mode = asked.mode] {
                    if (mode == Mode::wait)
                        load.wait(stream);
                    else
                        load.produce(stream);
                });
        });
        producers.clear();
        require_clean(io.shutdown());
        if (asked.ring == ioengine::RingMode::iopoll ||
            asked.ring == ioengine::RingMode::iopoll_sqpoll)
            identity_.note += polled_note(io.stats());
        return measured;
    }

  private:
    ioengine::Options context_options() const {
        ioengine::Options options;
        options.backend = options_.backend;
        options.depth = options_.depth;
        options.threading = options_.threading;
        options.lending = options_.lending;
        options.ring = options_.ring;
        options.merge = options_.merge;
        options.spin_us = options_.spin_us;
        options.disable = disable_.c_str();
        options.queue_limit = std::max(options.queue_limit, options_.depth);
        options.event_pool = 1;  // every event is our own
        return options;
    }

    // IOPOLL is a wish: what came of it in the last run.
    static std::string polled_note(const ioengine::Stats& stats) {
        if (stats.polled == 0)
            return ", nothing was polled";
        return ", polled " + std::to_string(stats.polled) + " of " +
               std::to_string(stats.completed) + " requests";
    }

    template <class T>
    static T value_of(ioengine::Expected<T> made) {
        if (!made)
            throw unavailable(made.error());
        return *std::move(made);
    }

    static Failure unavailable(const ioengine::Error& error) {
        std::string text = error.message;
        if (error.hint[0] != '\0')
            text += std::string("; ") + error.hint;
        return {kExitUnavailable, text};
    }

    static void require_clean(const ioengine::ShutdownReport& report) {
        if (report.clean && report.accepted == report.completed)
            return;
        throw Failure(kExitWrong, "the engine lost requests: " + std::to_string(report.accepted) +
                                      " accepted, " + std::to_string(report.completed) +
                                      " completed; report this as a bug");
    }

    const BenchOptions options_;
    const std::string disable_;
    const Workload workload_;
    Identity identity_;
};

}  // namespace

std::unique_ptr<Contender> make_engine_contender(const Workload& workload) {
    return make_engine_contender(workload, workload.options, "ioengine", "");
}

std::unique_ptr<Contender> make_engine_contender(const Workload& workload,
                                                 const BenchOptions& options,
                                                 const std::string& name,
                                                 const std::string& disable) {
    return std::make_unique<EngineContender>(workload, options, name, disable);
}

}  // namespace bench
