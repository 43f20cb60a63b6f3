// SPDX-License-Identifier: MIT
//
// Options: everything that can be asked of a context, with defaults that suit a database.
#ifndef IOENGINE_OPTIONS_HPP
#define IOENGINE_OPTIONS_HPP

#include <ioengine/error.hpp>
#include <ioengine/request.hpp>

#include <cstdint>

namespace ioengine {
inline namespace v0 {

class Engine;
class IOWorkers;

enum class Backend : std::uint8_t {
    automatic = 0,  // io_uring if a probe of this kernel and container finds it usable, else AIO
    uring,
    aio,
    null,  // completes everything at once without touching data: measures the engine itself
};

// Who holds the two roles, submitter and poller.
enum class Threading : std::uint8_t {
    split = 0,  // a submitter thread and a poller thread: any thread submits, nobody has to drive
    owner,      // one engine thread holds both: callbacks, with the fewest switches
    caller,     // none: a thread of yours drives, by IOContext::run_once(): a thread per core
};

// Whether other threads take a role for a step.
enum class Lending : std::uint8_t {
    none = 0,   // never: every request passes through both threads
    callbacks,  // what callbacks submit, the poller hands to the kernel right after them
    callers,    // likewise; and a thread that submits while the submitter sleeps does it itself
};

// Who takes submissions from an io_uring, and how it hears that a device is done.
enum class RingMode : std::uint8_t {
    interrupts = 0,  // the kernel, in a system call of whoever holds the submit role
    sqpoll,  // a thread of the kernel's, which looks for them: no system call while it is awake
    iopoll,  // as `interrupts`; but devices that can do without are asked whether they are done
    iopoll_sqpoll,  // both: a thread of the kernel's takes submissions, and asks the devices
};

enum class ThreadRole : std::uint8_t { submitter = 0, poller, worker, offload, owner };

enum class LogLevel : std::uint8_t { trace = 0, debug, info, warning, error, off };

// One completion on its way to the user; see Options::sink. run() calls the request's completion
// function and must be called exactly once, on any thread, before shutdown can end.
class Delivery {
  public:
    constexpr Delivery() noexcept = default;
    Delivery(Request* request, void* context) noexcept : request_(request), context_(context) {}
    IOENGINE_API void run() noexcept;
    // Valid until run(); `result` is set.
    const Request& request() const noexcept { return *request_; }

  private:
    Request* request_ = nullptr;
    void* context_ = nullptr;
};

struct Options {
    std::uint32_t struct_size = sizeof(Options);  // leave as it is: tells the library your version

    // -- behaviour ---------------------------------------------------------------------------

    // Which kernel interface. The environment's IOENGINE_BACKEND=auto|uring|aio|null replaces
    // `automatic` only, and is ignored in setuid programs.
    Backend backend = Backend::automatic;
    // IOENGINE_THREADING=owner in the environment replaces `split`, for trying out.
    Threading threading = Threading::split;
    // `callbacks` spares the submitter's wake-up, which costs more than all the rest. With AIO it
    // has the poller wait wherever io_submit(2) waits: for buffered files (use O_DIRECT) until the
    // device has answered. Transfers on pipes and sockets stay with the submitter; give them offset
    // 0, by which they are told from files.
    //
    // `callers` spares another wake-up, and makes the submitting threads enter the kernel. On
    // io_uring (but not with RingMode::sqpoll) that is dangerous for threads that do other things:
    // a completion interrupts the thread that submitted, whose epoll_wait(2), recv(2) or
    // semtimedop(2) then fails with EINTR, and its exit cancels what waits for a pipe or socket.
    // With AIO it costs two system calls per transfer, and only transfers on files opened with
    // O_DIRECT are handed over that way.
    //
    // IOENGINE_LENDING=none|callbacks|callers in the environment replaces `callbacks`, for trying
    // out. With one thread for both roles there is nobody to lend to: `callbacks` only.
    Lending lending = Lending::callbacks;

    // `sqpoll` spares the system call per batch, and completions interrupt none of your threads;
    // for that a thread of the kernel's keeps a CPU busy for as long as there is work, and
    // sqpoll_idle_ms longer. It goes with every Threading and Lending. It has the credentials of
    // the thread that calls create(). Linux 5.11.
    //
    // Asked for means needed: where it cannot be had, or there is no io_uring, create() fails with
    // a hint; `automatic` does not go to AIO then, and AIO and null refuse it. IOENGINE_RING=sqpoll
    // in the environment replaces `interrupts`, for trying out: that one AIO and null ignore.
    //
    // `iopoll` keeps the thread that drives the context busy for as long as polled transfers are in
    // flight, and spares the interrupt and the wake-up. Polled are reads and writes of files opened
    // with O_DIRECT, on a file system and a device that can (NVMe with nvme.poll_queues), without
    // request flags; each file from its first read on that worked so. Everything else goes on as
    // with `interrupts`, in the same context: Stats::polled and polled_refused tell how much was
    // which. Not asked back by cancel(): polled transfers end when the device is done.
    //
    // It is a wish, and never an error: only one thread can poll (Threading::owner and caller), on
    // io_uring; elsewhere, and where the kernel refuses the ring, the report says why it is not in
    // force (feature `iopoll`). With `iopoll_sqpoll` that holds for the polling, while SQPOLL is
    // needed as with `sqpoll`. IOENGINE_RING=iopoll|iopoll_sqpoll: likewise, for trying out.
    RingMode ring = RingMode::interrupts;
    // That thread sleeps after so long without work, 1 to 60000 milliseconds. Waking it is a system
    // call.
    std::uint32_t sqpoll_idle_ms = 10;
    // Its CPU; -1: any.
    std::int32_t sqpoll_cpu = -1;
    // Shares the kernel's threads with this context, as IOContext::engine() names it: with `sqpoll`
    // both have one thread that looks for submissions, as long as the longer of their idle times,
    // on the CPU of the first. Its ring mode must be the same. It must live until create() has
    // returned; whichever ends first afterwards harms nobody. Null: none. With `interrupts` there
    // is nothing left to share since Linux 5.12, where workers belong to the thread that submits.
    const Engine* ring_of = nullptr;

    // Where callbacks run: a pool that may serve several contexts, or (null) the poller thread, or
    // the one that holds both roles.
    // The context shares ownership of the pool.
    const IOWorkers* workers = nullptr;
    // Takes each completion instead, on that thread; arranges that delivery.run() is called.
    // Must not block. Not together with `workers`.
    void (*sink)(void* user, Delivery delivery) = nullptr;
    void* sink_user = nullptr;

    // Log requests that are in flight longer than this, once each; 0: never. Milliseconds.
    std::uint32_t watchdog_ms = 0;

    // Called first on every engine thread, for affinity, priority, memory policy, naming.
    void (*on_thread_start)(void* user, ThreadRole role) = nullptr;
    void* thread_user = nullptr;
    // Up to 7 characters in front of the threads' names ("ioe" gives "ioe-submit"); null: "ioe".
    const char* thread_name = nullptr;

    // Receives the log instead of stderr; called from any thread, must not call the engine.
    void (*log)(void* user, LogLevel level, const char* message) = nullptr;
    void* log_user = nullptr;
    // Messages below this are dropped. IOENGINE_LOG=trace|debug|info|warning|error|off overrides.
    LogLevel log_level = LogLevel::warning;

    // Features not to use, as in IOENGINE_DISABLE, comma-separated; null: none. For bug reports.
    const char* disable = nullptr;
    // Use io_uring even where the table of known kernel defects advises against it.
    bool ignore_quirks = false;

    // -- performance -------------------------------------------------------------------------

    // Requests in the kernel at the same time, 1 to 32768. More hides latency, and delays a
    // request behind the others in the device's queue.
    std::uint32_t depth = 128;
    // Requests waiting per channel before submit says queue_full, 1 to 1048576.
    std::uint32_t queue_limit = 4096;
    // Events for the one-call form, 192 bytes each, up to 4194304; 0: queue_limit + depth.
    std::uint32_t event_pool = 0;
    // Reads, then writes, handed to the kernel before the other kind has its turn, when both wait;
    // 1 to 1048576.
    std::uint32_t read_budget = 16;
    std::uint32_t write_budget = 16;
    // After this many priority requests in a row one waiting read or write goes first; 0: never,
    // priority may starve the others for as long as it has work.
    std::uint32_t priority_burst = 0;
    // Requests that lie side by side in a file or block device, are alike (descriptor, action,
    // channel, flags, priority) and wait in the queues together go to the kernel as one, of up to
    // merge_limit bytes (1 to 2^30) and 64 requests. Each keeps its own result. For sequential work
    // in small pieces; costs random work next to nothing. Where such a transfer fails, its requests
    // are tried once more, one by one. Give transfers on pipes and sockets offset 0. See also
    // IOMergeSubmitter, in <ioengine/merge.hpp>.
    bool merge = false;
    std::uint32_t merge_limit = 256 * 1024;
    // Whoever is about to sleep until a completion comes looks for it this long first, 0 to 10000
    // microseconds, if at most two requests are in flight. Saves the wake-up, which is half the
    // latency of a fast device at depth 1; costs one CPU for as long as the device works. 0: never.
    // Never more than one thread of a context, and none while nothing is in flight. Not on AIO
    // where only a system call can tell (see aio_ring_reap).
    std::uint32_t spin_us = 0;
    // Places in the tables of registered buffers (0 to 16384) and files (0 to 32768); see
    // <ioengine/registered.hpp>. What finds no place goes without. 8 bytes of kernel memory each
    // on io_uring, 52 of the process's once something is registered; 0: none.
    std::uint32_t registered_buffers = 1024;
    std::uint32_t registered_files = 1024;
    // Measure the time from submit to completion of every request (two clock reads each).
    bool histograms = false;
    // Read AIO completions from the shared ring without a system call where its layout is known.
    bool aio_ring_reap = true;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_OPTIONS_HPP
