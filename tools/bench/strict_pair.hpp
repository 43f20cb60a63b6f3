// SPDX-License-Identifier: MIT
//
// The contender "strict": a submitter thread and a poller thread by hand, with a plain queue
// between them, the least that two threads can do.
//
//     chain   poller: wait, reap, finish, begin, push to the submitter
//     wait,   poller: wait, reap, push to the producer; producer: finish, begin, push to the
//     wake    submitter
//
// The submitter sleeps on its inbox, the poller in the kernel. In both modes the clock is read
// as a callback reads it, see Stream: the loops are compared, not the readings of the clock.
#ifndef TOOLS_BENCH_STRICT_PAIR_HPP
#define TOOLS_BENCH_STRICT_PAIR_HPP

#include "tools/bench/clock.hpp"
#include "tools/bench/contender.hpp"
#include "tools/bench/session.hpp"
#include "tools/bench/wire.hpp"

#include <thread>
#include <vector>

namespace bench {

template <Wire W>
class StrictPair : public Contender {
  public:
    StrictPair(const Workload& workload, const char* backend) : workload_(workload) {
        identity_.name = "strict";
        identity_.backend = backend;
        identity_.threading = "split";
        identity_.lending = "none";
    }

    const Identity& identity() const noexcept override { return identity_; }

    Measurement run(const Slice& slice, LiveLine& live) override {
        const bool wake = workload_.options.has_producers();
        Session session(workload_, slice, wake ? workload_.options.producers : 1);
        Pair pair(workload_, session, wake);
        identity_.note = pair.wire.note();
        std::jthread submitter([&pair] { pair.submit(); });
        std::jthread poller([&pair] { pair.poll(); });
        std::vector<std::jthread> producers;
        Measurement measured = session.measure(slice, identity_.name, live, [&] {
            if (!wake)
                pair.start(session.stream(0));
            for (unsigned i = 0; wake && i < session.stream_count(); ++i)
                producers.emplace_back(
                    [&pair, &stream = session.stream(i)] { pair.produce(stream); });
        });
        producers.clear();
        pair.inbox.push(pair.exit);
        return measured;
    }

  private:
    struct Pair {
        Pair(const Workload& workload, Session& of, bool wakes)
            : wire(workload, Setup::two_threads), session(of), wake(wakes) {}

        void submit() noexcept {
            bool leaving = false;
            while (!leaving) {
                for (Lane *lane = inbox.wait_and_take(), *next; lane != nullptr; lane = next) {
                    next = lane->next;
                    leaving = lane == &exit;
                    if (leaving) {
                        wire.queue_exit();
                    } else {
                        wire.queue(*lane);
                        lane->submitted.store(true, std::memory_order_release);
                    }
                }
                wire.submit();
            }
        }

        void poll() noexcept {
            bool leaving = false;
            while (!leaving) {
                wire.wait();
                const auto take = [&](Lane* lane, std::int64_t result) {
                    leaving = lane == nullptr;
                    if (!leaving)
                        pass_on(*lane, result);
                };
                wire.reap(take, wire.ready());
            }
        }

        void pass_on(Lane& lane, std::int64_t result) noexcept {
            static_cast<void>(lane.submitted.load(std::memory_order_acquire));
            if (!wake) {
                go_on(lane, result);
                return;
            }
            lane.result = result;
            lane.stream->inbox().push(lane);
        }

        void start(Stream& stream) {
            session.begin_all(stream, [this](Lane& lane) { inbox.push(lane); });
        }

        void produce(Stream& stream) noexcept {
            start(stream);
            while (stream.open_lanes() > 0) {
                Lane* lane = stream.inbox().wait_and_take();
                for (Lane* next = nullptr; lane != nullptr; lane = next) {
                    next = lane->next;
                    go_on(*lane, lane->result);
                }
            }
        }

        void go_on(Lane& lane, std::int64_t result) noexcept {
            const std::uint64_t now = Stream::end_of(lane);
            static_cast<void>(lane.stream->finish(lane, result, now));
            if (lane.stream->begin(lane, now))
                inbox.push(lane);
            else
                session.retire(lane);
        }

        W wire;
        Session& session;
        Inbox<Lane> inbox;  // lanes on their way to the submitter
        Lane exit;          // tells both threads to leave, after all other lanes
        const bool wake;
    };

    const Workload& workload_;
    Identity identity_;
};

}  // namespace bench

#endif  // TOOLS_BENCH_STRICT_PAIR_HPP
