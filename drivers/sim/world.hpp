// SPDX-License-Identifier: MIT
//
// SimWorld: a kernel in a box. Files, a clock, operations in flight, and completions that wait to
// be reaped. SimAio and SimUring are two doors to it.
//
// Nothing happens by itself and nothing in here waits: whoever owns the world moves its clock, and
// operations complete at the moment they are due. Everything that could go either way comes from
// the seed. One thread.
//
//   begin() -> in flight -> (due, or cancelled) -> carry out on the file -> ready, or spilled
//                                                                             take()
#pragma once

#include "drivers/sim/faults.hpp"
#include "drivers/sim/files.hpp"
#include "drivers/sim/operation.hpp"

#include <ioengine/request.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unistd.h>
#include <vector>

namespace ioengine {
inline namespace v0 {

struct SimCompletion {
    std::uint64_t token = 0;
    std::int64_t result = 0;
};

// What differs between kernels and machines, apart from faults.
struct SimShape {
    std::uint64_t latency_min_ns = 5'000;
    std::uint64_t latency_max_ns = 80'000;
    std::size_t ready_max = SIZE_MAX;  // places in the completion ring; more spill over
    std::size_t burst_min = 65;        // as many completions at one moment are a burst
    bool late_vectors = false;         // iovecs are read at the completion, not at the entry
    std::uint32_t cancels_ppm = 500'000;
};

// What differs between rings.
struct SimRingShape {
    std::uint32_t sq_entries = 4;   // a power of two
    bool submit_all = true;         // else a call ends behind an entry that fails at once
    bool busy_when_spilled = true;  // submit() is EBUSY until what has spilled over is reaped
    bool disabled = false;          // until bind()
    bool deferred = false;          // what completes is seen after the next call
    bool sqpoll = false;            // a thread of the kernel's takes what it is shown
    bool iopoll = false;            // takes transfers that can be polled; they complete when asked
    std::uint32_t tables_refuse_ppm = 0;  // an update takes a part, or nothing
};

// Completions that wait to be reaped.
struct SimReady {
    std::deque<SimCompletion> ring;
    std::deque<SimCompletion> spilled;
};

// That thread: at any moment it may take some of the entries that there are for it.
struct SimTaker {
    void* ring = nullptr;
    bool (*has_entries)(void* ring) = nullptr;
    void (*take)(void* ring) = nullptr;
};

class SimWorld {
  public:
    static constexpr std::uint64_t kNever = UINT64_MAX;

    SimWorld(const SimShape& shape, const FaultPlan& plan, std::uint64_t seed)
        : shape_(shape), faults_(plan, seed), random_(seed ^ 0x736d6f6b65ULL) {}
    SimWorld(const SimWorld&) = delete;
    SimWorld& operator=(const SimWorld&) = delete;
    ~SimWorld() {
        if (done_fd_ >= 0)
            ::close(done_fd_);
    }

    SimFiles files;
    SimWatcher watcher;

    SimFaults& faults() noexcept { return faults_; }
    const SimFaults& faults() const noexcept { return faults_; }

    // -- time --------------------------------------------------------------------------------

    std::uint64_t now_ns() const noexcept { return now_ns_; }
    // When the next operation is due; kNever if none is.
    std::uint64_t next_due_ns() const noexcept { return next_due_ns_; }
    // Moves the clock forward and completes what is due on the way.
    void advance_to(std::uint64_t now_ns);
    // No more faults. What was stalled, or would never complete, is due soon.
    void calm();
    // Completes soon what never would.
    void release_never();

    // Entries wait for a thread of the kernel's, which takes some. Whoever owns the world says
    // when.
    bool has_entries() const {
        return std::any_of(takers_.begin(), takers_.end(), [](const SimTaker& taker) {
            return taker.ring != nullptr && taker.has_entries(taker.ring);
        });
    }
    void take_entries();

    // -- the doors' side ---------------------------------------------------------------------

    // The operation enters. Its fate and its time are drawn.
    void begin(const SimOperation& asked);
    // The operation enters and is answered at once, without a fate: a bad descriptor, a no-op.
    void answer_at_once(const SimOperation& asked, std::int64_t result);
    // 0: it will complete with ECANCELED; -EALREADY: too late; -ENOENT: unknown.
    int cancel(std::uint64_t token);
    // A thread of the user's exits: what it has handed over is cancelled where it waits for a
    // stream or for a worker of the kernel, and goes on where a device has it. How many.
    std::size_t submitter_exits();
    // Until the kernel's context is gone.
    void serve(const SimTaker& taker, bool iopoll) noexcept { takers_[iopoll ? 1 : 0] = taker; }
    // By a blocking call.
    std::int64_t run_here(const Request& request);

    // Watches a descriptor of the process's, once, until it can be read. One at a time.
    void watch(const SimOperation& asked);
    // Who may have written to it says so here.
    void look_at_watched();
    bool watches() const noexcept { return watched_.has_value(); }

    // An eventfd that is told of every completion from now on; or -errno.
    int completion_fd();
    int done_fd() const noexcept { return done_fd_; }
    // How often any eventfd was told.
    std::uint64_t told() const noexcept { return told_; }
    // Where it sleeps, if anybody can.
    bool sleep(std::int64_t limit_ns) {
        if (watcher.sleep == nullptr)
            return false;
        watcher.sleep(watcher.user, limit_ns);
        return true;
    }

    // Whoever asks the devices may lose the CPU: the same, for as long as chance says.
    void lose_cpu() {
        passed_over_ += has_completion() ? 1 : 0;
        sleep(static_cast<std::int64_t>(random_.between(1, shape_.latency_max_ns)));
    }
    // How often somebody asked them and left completions of the ordinary ring where they are.
    std::uint64_t passed_over() const noexcept { return passed_over_; }

    std::size_t in_flight() const noexcept { return in_flight_.size() + (watches() ? 1 : 0); }
    std::size_t never_in_flight() const noexcept;
    // Of the ring whose transfers are polled, or of the ordinary one.
    bool has_completion(bool iopoll = false) const noexcept {
        return ready(iopoll) != 0 || spilled(iopoll) != 0;
    }
    std::size_t ready(bool iopoll = false) const noexcept { return of(iopoll).ring.size(); }
    std::size_t spilled(bool iopoll = false) const noexcept { return of(iopoll).spilled.size(); }
    // Moves what has spilled over to the ring, as far as there is room.
    void flush_spilled(bool iopoll = false);
    // Up to `max` completions from the ring; how many.
    std::size_t take(std::size_t max, SimCompletion* out, bool iopoll = false);
    // Of the devices whose transfers are polled: what they are done with completes.
    void ask_devices();
    // Polled transfers that the process has not reaped.
    std::size_t polled() const noexcept;

    // A completion of a request long finished, ready at once.
    void repeat_stale(const SimCompletion& stale);

    // The kernel's context is gone; how many operations on files were still in flight then.
    void destroy() noexcept;
    std::size_t destroyed_with() const noexcept { return destroyed_with_; }

    // -- watching ----------------------------------------------------------------------------

    void seam() {
        if (watcher.seam != nullptr)
            watcher.seam(watcher.user);
    }
    int called(SimCall call, std::int64_t count, int answer) {
        if (watcher.called != nullptr)
            watcher.called(watcher.user, call, count, answer);
        return answer;
    }

  private:
    struct InFlight {
        std::uint64_t due_ns;
        std::uint64_t sequence;
        std::uint32_t place;  // in operations_
    };

    std::uint32_t place_for(const SimOperation& asked);
    void leave_place(std::uint32_t place) { free_.push_back(place); }
    void draw_fate(SimOperation& operation, const FaultRule* rule);
    void draw_time(SimOperation& operation, const FaultRule* rule);
    void find_next_due() noexcept;
    std::size_t earliest() const noexcept;
    void finish(std::size_t which, bool cancelled);
    std::int64_t carry_out(SimOperation& operation, bool cancelled);
    std::int64_t transfer(SimOperation& operation, SimFile& file);
    std::int64_t fail(SimOperation& operation, SimFile* file, std::int64_t error,
                      std::uint64_t torn_max);
    std::int64_t move(SimOperation& operation, SimFile& file, std::uint64_t bytes_max);
    void post(const SimCompletion& completion, const SimOperation& operation, bool by_device);
    void tell(int done_fd);
    void add_to(SimReady& ready, const SimCompletion& completion);
    const SimReady& of(bool iopoll) const noexcept { return iopoll ? polled_ready_ : ready_; }
    SimReady& of(bool iopoll) noexcept { return iopoll ? polled_ready_ : ready_; }
    void put_in_flight(std::uint32_t place);
    void hurry(bool never_only);

    const SimShape shape_;
    SimFaults faults_;
    SimRandom random_;
    std::uint64_t now_ns_ = 1'000'000'000;
    std::uint64_t last_due_ns_ = 0;     // of ordinary operations, which keep their order
    std::uint64_t burst_until_ns_ = 0;  // until then, all ordinary operations are due then
    std::uint64_t next_due_ns_ = kNever;
    std::uint64_t burst_due_ns_ = kNever;  // the moment of the latest burst
    std::uint64_t sequence_ = 0;
    std::size_t destroyed_with_ = 0;
    int done_fd_ = -1;
    std::uint64_t told_ = 0;
    std::optional<SimOperation> watched_;
    std::array<SimTaker, 2> takers_;  // the ordinary ring's, and that of polled transfers

    std::vector<SimOperation> operations_;
    std::vector<std::uint32_t> free_;  // places in operations_
    std::vector<InFlight> in_flight_;  // in no order
    SimReady ready_;
    std::vector<SimCompletion> on_devices_;  // done, and nobody has asked
    SimReady polled_ready_;
    std::uint64_t passed_over_ = 0;
};

}  // namespace v0
}  // namespace ioengine
