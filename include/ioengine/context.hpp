// SPDX-License-Identifier: MIT
//
// IOContext<C>: what users hold. A movable handle on an engine at a fixed address.
//
//     auto made = ioengine::IOContext<>::create();
//     if (!made) return fail(made.error());
//     auto& io = *made;
//     auto accepted = io.read(fd, page, offset, [](ioengine::Result r) noexcept { use(r); });
//
// Every method but create, shutdown and the destructor may be called from any thread and from
// callbacks. Refused means: nothing was taken, no callback will come.
#ifndef IOENGINE_CONTEXT_HPP
#define IOENGINE_CONTEXT_HPP

#include <ioengine/buffer.hpp>
#include <ioengine/engine.hpp>
#include <ioengine/event.hpp>
#include <ioengine/registered.hpp>
#include <ioengine/workers.hpp>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <type_traits>
#include <utility>

namespace ioengine {
inline namespace v0 {

// C is the callback type of the one-call form; submit() takes events of any type.
template <class C = IOCallback>
class IOContext {
  public:
    // Probes the kernel, starts the engine's threads. Takes milliseconds. The error's hint says
    // what to change.
    static Expected<IOContext> create(const Options& options = Options()) noexcept {
        Error error;
        Engine* engine = abi::engine_create(options, IOENGINE_VERSION, &error);
        if (engine == nullptr)
            return error;
        abi::EventPool* pool = abi::event_pool_create(engine, sizeof(PooledEvent), &error);
        if (pool == nullptr) {
            abi::engine_destroy(engine);
            return error;
        }
        return IOContext(engine, pool);
    }
    // The two arguments nearly everybody needs: requests in the kernel, and who runs callbacks.
    static Expected<IOContext> create(std::uint32_t depth, const IOWorkers& workers) noexcept {
        Options options;
        options.depth = depth;
        options.workers = &workers;
        return create(options);
    }

    IOContext(IOContext&& other) noexcept
        : engine_(std::exchange(other.engine_, nullptr)),
          pool_(std::exchange(other.pool_, nullptr)) {}
    IOContext& operator=(IOContext&& other) noexcept {
        std::swap(engine_, other.engine_);
        std::swap(pool_, other.pool_);
        return *this;
    }
    IOContext(const IOContext&) = delete;
    IOContext& operator=(const IOContext&) = delete;
    // As shutdown() without a deadline: waits until every accepted request has completed. With
    // Threading::caller, on another thread than the driver's, for as long as the driver keeps away.
    ~IOContext() {
        if (engine_ != nullptr) {
            abi::engine_destroy(engine_);
            abi::event_pool_destroy(pool_);
        }
    }

    // -- events in storage of the caller ------------------------------------------------------

    // Hands over a prepared request. Never waits, never throws, never runs a callback.
    // Refused: invalid_argument, queue_full, shutting_down, no_memory, forked.
    Acceptance submit(Request& request, Channel channel = Channel::automatic) noexcept {
        return abi::engine_submit(engine_, request, channel);
    }
    // The same, but waits while the channel's queue is full. Refused in addition: would_deadlock
    // (from a callback of this context).
    Acceptance submit_wait(Request& request, Channel channel = Channel::automatic) noexcept {
        return abi::engine_submit_wait(engine_, request, channel, kForever);
    }
    // The same with a limit; timed_out when it is reached.
    template <class Rep, class Period>
    Acceptance submit_wait_for(Request& request, std::chrono::duration<Rep, Period> limit,
                               Channel channel = Channel::automatic) noexcept {
        return abi::engine_submit_wait(engine_, request, channel, limit_ns(limit));
    }

    // -- requests without a callback ---------------------------------------------------------
    //
    // A plain Request, submitted and waited for; see also Group, in <ioengine/group.hpp>. The
    // waiting thread takes results from the kernel by itself, so that no other thread has to wake
    // up for it.

    // Submits and waits until it is done, as pread(2) does: request.outcome() says how it ended.
    // Refused: as submit(), and would_deadlock from a callback of this context; and nothing is
    // waited for.
    Acceptance perform(Request& request, Channel channel = Channel::automatic) noexcept {
        return abi::engine_perform(engine_, request, channel);
    }
    // Waits for a submitted request, one thread at a time. invalid_argument for one with a callback
    // (use a Group), and for one of a Group (wait there).
    // would_deadlock from a callback of this context; forked in a child process.
    ErrorCode wait(Request& request, Wait how = Wait::alone) noexcept {
        return abi::engine_wait(engine_, request, kForever, how);
    }
    // The same with a limit: timed_out when it is reached, and the request goes on.
    template <class Rep, class Period>
    ErrorCode wait_for(Request& request, std::chrono::duration<Rep, Period> limit,
                       Wait how = Wait::alone) noexcept {
        return abi::engine_wait(engine_, request, limit_ns(limit), how);
    }

    // -- the one-call form ---------------------------------------------------------------------
    //
    // The event comes from a pool of the context and goes back after the callback; an exhausted
    // pool is queue_full. A refused closure is as it was before the call. Buffers are borrowed
    // until the callback.

    template <class F>
    Acceptance read(int fd, Bytes buffer, std::uint64_t offset, F&& callback) noexcept {
        return one_call(std::forward<F>(callback), [&](Request& request) {
            request.prepare_read(fd, buffer.data(), buffer.size(), offset);
        });
    }
    template <class F>
    Acceptance write(int fd, ConstBytes buffer, std::uint64_t offset, F&& callback) noexcept {
        return one_call(std::forward<F>(callback), [&](Request& request) {
            request.prepare_write(fd, buffer.data(), buffer.size(), offset);
        });
    }
    template <class F>
    Acceptance readv(int fd, const ::iovec* vectors, std::uint64_t count, std::uint64_t offset,
                     F&& callback) noexcept {
        return one_call(std::forward<F>(callback), [&](Request& request) {
            request.prepare_readv(fd, vectors, count, offset);
        });
    }
    template <class F>
    Acceptance writev(int fd, const ::iovec* vectors, std::uint64_t count, std::uint64_t offset,
                      F&& callback) noexcept {
        return one_call(std::forward<F>(callback), [&](Request& request) {
            request.prepare_writev(fd, vectors, count, offset);
        });
    }
    template <class F>
    Acceptance fsync(int fd, F&& callback) noexcept {
        return one_call(std::forward<F>(callback),
                        [&](Request& request) { request.prepare_fsync(fd); });
    }
    template <class F>
    Acceptance fdatasync(int fd, F&& callback) noexcept {
        return one_call(std::forward<F>(callback),
                        [&](Request& request) { request.prepare_fdatasync(fd); });
    }
    template <class F>
    Acceptance nop(F&& callback) noexcept {
        return one_call(std::forward<F>(callback),
                        [&](Request& request) { request.prepare_nop(); });
    }
    // Any other request: `prepare` gets the Request& to describe, and may set channel and flags.
    template <class Prepare, class F>
    Acceptance call(Prepare&& prepare, F&& callback) noexcept {
        return one_call(std::forward<F>(callback), std::forward<Prepare>(prepare));
    }

    // -- giving up -----------------------------------------------------------------------------
    //
    // Asks the engine to give up requests that were accepted before the call, and returns at once.
    // Each still ends by its own notice, once: with ECANCELED if it still waits when the engine
    // comes to the order, or if the kernel gives it up; else with its real result, if need be much
    // later: a transfer that a disk works on is seldom given up, with AIO hardly ever. What has
    // ended already is left alone. none; no_memory: nothing was asked; forked; invalid_argument.

    // The one that this handle names: see Acceptance::handle(). Merged with others in the kernel it
    // is not given up. Of requests that IOMergeSubmitter::flush() hands over it names the first.
    ErrorCode cancel(const RequestHandle& handle) noexcept {
        return abi::engine_cancel(engine_, handle);
    }
    // All on this descriptor. Close it when the last of them has ended, not before.
    ErrorCode cancel(int fd) noexcept { return abi::engine_cancel_file(engine_, fd); }
    ErrorCode cancel_all() noexcept { return abi::engine_cancel_all(engine_); }

    // -- registered buffers and files ----------------------------------------------------------
    //
    // From any thread, at any time; see <ioengine/registered.hpp>. `buffers`: Bytes in a container
    // with data() and size(), or an array; `files`: descriptors, likewise.

    template <class Container>
    Expected<RegisteredBuffers> register_buffers(const Container& buffers) noexcept {
        const auto list = detail::list_of<Bytes>(buffers);
        return RegisteredBuffers::create(engine_, list.data, list.count);
    }
    Expected<RegisteredBuffers> register_buffers(std::initializer_list<Bytes> buffers) noexcept {
        return RegisteredBuffers::create(engine_, buffers.begin(), buffers.size());
    }
    template <class Container>
    Expected<RegisteredFiles> register_files(const Container& files) noexcept {
        const auto list = detail::list_of<int>(files);
        return RegisteredFiles::create(engine_, list.data, list.count);
    }
    Expected<RegisteredFiles> register_files(std::initializer_list<int> files) noexcept {
        return RegisteredFiles::create(engine_, files.begin(), files.size());
    }

    // -- Threading::caller: the context is driven by a thread of yours ------------------------
    //
    // The first thread that calls run_once(), run_for(), wait(), perform() or shutdown() drives the
    // context from then on: it alone hands requests over, and runs callbacks, inside these calls.
    // Others may submit at any time, and wait; they need the driver to come by. In submit_wait()
    // the driver drives until there is room; who does not drive yet waits for the driver there. It
    // goes on until it is told shutting_down, also while another thread shuts down or destroys the
    // context: no other thread can do so in its place, not even for an idle context, and whoever
    // shuts down waits for it (the log says so). Or it calls shutdown() itself. A thread to which
    // the kernel does not bind the ring is told so (system) and is not the driver; wait(),
    // perform() and shutdown() try for some three seconds, and fail what was accepted then.

    // Does what can be done now; with Run::once it waits if that is nothing, until something
    // completes or is submitted, or a signal is handled. What callbacks submit is handed over
    // before Run::now returns, and at the next call after Run::once.
    RunReport run_once(Run how = Run::once) noexcept {
        return abi::engine_run(engine_, how, kForever);
    }
    // For that long, and at least once what can be done now.
    template <class Rep, class Period>
    RunReport run_for(std::chrono::duration<Rep, Period> limit) noexcept {
        return abi::engine_run(engine_, Run::until, limit_ns(limit));
    }
    // For epoll(7) and the like: readable (level-triggered) when run_once(Run::now) has something
    // to do. But for what only time brings, a deadline, or a kernel that was busy: poll for no
    // longer than the last RunReport::again_in_ns says. Nor for what workers or a sink have ended:
    // their callbacks have run. Ask for it before the first run, or on the driver's thread. The
    // context's. Negative: EOPNOTSUPP, another Threading; EEXIST, the ring is the driver's already,
    // and this is another thread; EBADF, after shutdown(); EPERM, in a forked child; what
    // eventfd(2) says.
    int completion_fd() noexcept { return abi::engine_completion_fd(engine_); }

    // -- the end -------------------------------------------------------------------------------

    // Refuses new work, waits until every accepted request has completed, ends the threads.
    // Idempotent. From a callback of this context: would_deadlock, nothing is done.
    ShutdownReport shutdown() noexcept { return abi::engine_shutdown(engine_, kForever); }
    // The same; once the limit has passed it cancels what it can, gives that half a second to come
    // back, and where the kernel holds on names the requests in the report. Their buffers must stay
    // until their callbacks come; the destructor, or a second shutdown, waits for them.
    template <class Rep, class Period>
    ShutdownReport shutdown(std::chrono::duration<Rep, Period> limit) noexcept {
        return abi::engine_shutdown(engine_, limit_ns(limit));
    }

    // -- looking in ----------------------------------------------------------------------------

    Stats stats() const noexcept { return abi::engine_stats(engine_); }
    // For people: every request in flight with age and stage, the queues, the threads. Allocates.
    Text dump() const noexcept { return abi::engine_dump(engine_); }
    // What was asked for, what is in force, and why. Lives as long as the context.
    const ProbeReport& report() const noexcept { return abi::engine_report(engine_); }

    Engine* engine() const noexcept { return engine_; }
    // Blocks of at least 192 bytes, for Group.
    abi::EventPool* event_pool() const noexcept { return pool_; }

  private:
    // An event that goes back to its pool once its callback has returned.
    struct PooledEvent : IOEvent<C> {
        template <class F>
        explicit PooledEvent(F&& taken) : IOEvent<C>(std::forward<F>(taken)) {
            this->complete = &PooledEvent::run_and_return;
        }
        abi::EventPool* home = nullptr;

        static void run_and_return(Request* request) noexcept {
            auto* event = static_cast<PooledEvent*>(request);
            auto* pool = event->home;
            IOEvent<C>::run(request);
            event->~PooledEvent();
            abi::event_pool_give(pool, event);
        }
    };

    IOContext(Engine* engine, abi::EventPool* pool) noexcept : engine_(engine), pool_(pool) {}

    template <class F, class Prepare>
    Acceptance one_call(F&& callback, Prepare&& prepare) noexcept {
        using Closure = std::decay_t<F>;
        static_assert(std::is_same<C, IOCallback>::value || std::is_same<C, Closure>::value,
                      "ioengine: pass a closure to IOContext<>, or a C to IOContext<C>");
        static_assert(std::is_nothrow_constructible<Closure, F&&>::value &&
                          std::is_nothrow_move_constructible<Closure>::value,
                      "ioengine: the callback must copy or move without throwing");
        void* block = abi::event_pool_take(pool_);
        if (block == nullptr) {
            abi::event_pool_refused(pool_);
            return Acceptance(ErrorCode::queue_full,
                              "all one-call events are in use; try again after a completion, raise "
                              "Options::event_pool, or submit events of your own");
        }
        auto* event = new (block) PooledEvent(std::forward<F>(callback));
        event->home = pool_;
        prepare(static_cast<Request&>(*event));
        const Acceptance acceptance =
            (event->flags & kFlagEarlyResult) != 0
                ? Acceptance(ErrorCode::invalid_argument,
                             "an early result needs an event of your own; use submit()")
                : abi::engine_submit(engine_, *event, event->channel);
        if (!acceptance) {
            if constexpr (!std::is_lvalue_reference<F>::value && !std::is_const<F>::value)
                give_back(*event, callback);
            event->~PooledEvent();
            abi::event_pool_give(pool_, block);
        }
        return acceptance;
    }

    // Refused: what was moved out of the caller's closure moves back into it.
    template <class Closure>
    static void give_back(PooledEvent& event, Closure& callback) noexcept {
        callback.~Closure();
        if constexpr (std::is_same<C, Closure>::value)
            new (static_cast<void*>(&callback)) Closure(std::move(event.callback));
        else
            new (static_cast<void*>(&callback))
                Closure(std::move(event.callback.template target<Closure>()));
    }

    Engine* engine_ = nullptr;
    abi::EventPool* pool_ = nullptr;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_CONTEXT_HPP
