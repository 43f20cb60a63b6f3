// SPDX-License-Identifier: MIT
//
// The contender "raw": one thread that submits, waits and reaps, with nothing in between.
//
// Where requests complete inside the submitting call it reaps all of them at once. Where they do
// not, it takes at most kReapCap before it submits again: reaping all and submitting all lets
// requests travel in convoys, with the device idle between them. The clock is read once for each
// time it reaps.
#ifndef TOOLS_BENCH_RAW_LOOP_HPP
#define TOOLS_BENCH_RAW_LOOP_HPP

#include "tools/bench/clock.hpp"
#include "tools/bench/contender.hpp"
#include "tools/bench/session.hpp"
#include "tools/bench/wire.hpp"

#include <exception>
#include <future>
#include <string>
#include <thread>

namespace bench {

template <Wire W>
class RawLoop : public Contender {
  public:
    RawLoop(const Workload& workload, const char* backend) : workload_(workload) {
        identity_.name = "raw";
        identity_.backend = backend;
        identity_.threading = "one thread";
        identity_.lending = "none";
    }

    const Identity& identity() const noexcept override { return identity_; }

    Measurement run(const Slice& slice, LiveLine& live) override {
        Session session(workload_, slice, 1);
        std::promise<std::string> set_up;
        Bell go;
        // A ring for one issuer belongs to the thread that makes it.
        std::jthread thread([this, &session, &set_up, &go] {
            try {
                W wire(workload_, Setup::one_thread);
                set_up.set_value(wire.note());
                go.wait();
                carry(wire, session);
            } catch (const Failure&) {
                set_up.set_exception(std::current_exception());
            }
        });
        identity_.note = set_up.get_future().get();
        return session.measure(slice, identity_.name, live, [&go] { go.ring(); });
    }

  private:
    static constexpr unsigned kReapCap = 4;

    static void carry(W& wire, Session& session) noexcept {
        Stream& stream = session.stream(0);
        session.begin_all(stream, [&wire](Lane& lane) { wire.queue(lane); });
        while (stream.open_lanes() > 0) {
            wire.submit_and_wait();
            const std::uint64_t now = now_ns();
            const unsigned ready = wire.ready();
            const auto take = [&](Lane* lane, std::int64_t result) {
                static_cast<void>(stream.finish(*lane, result, now));
                if (stream.begin(*lane, now))
                    wire.queue(*lane);
                else
                    session.retire(*lane);
            };
            wire.reap(take, ready == stream.open_lanes() ? ready : kReapCap);
        }
    }

    const Workload& workload_;
    Identity identity_;
};

}  // namespace bench

#endif  // TOOLS_BENCH_RAW_LOOP_HPP
