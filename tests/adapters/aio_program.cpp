// SPDX-License-Identifier: MIT
//
// An AIO program as others write them: linked with libaio, knows nothing of the engine. It states
// what it expects of io_submit(2) and the others, and says on stdout what it found.
//
// tests/adapters/aio.sh runs it twice: over the kernel, which shows that the expectations are
// right, and with our library in LD_PRELOAD, on each backend.

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <libaio.h>
#include <memory>
#include <poll.h>
#include <pthread.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr std::size_t kBlock = 4096;
int g_failed = 0;
int g_passed = 0;

void expect(bool holds, const char* fact, long long seen = 0) {
    if (holds) {
        ++g_passed;
        return;
    }
    ++g_failed;
    std::printf("FAIL  %s (%lld)\n", fact, seen);
}

struct Aligned {
    explicit Aligned(std::size_t bytes)
        : data(static_cast<unsigned char*>(std::aligned_alloc(kBlock, bytes))) {
        std::memset(data, 0, bytes);
    }
    Aligned(const Aligned&) = delete;
    Aligned& operator=(const Aligned&) = delete;
    ~Aligned() { std::free(data); }
    unsigned char* data;
};

struct Context {
    explicit Context(int events) { expect(io_setup(events, &context) == 0, "io_setup"); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    ~Context() {
        if (context != nullptr)
            io_destroy(context);
    }
    int submit(iocb& one) {
        iocb* list[] = {&one};
        return io_submit(context, 1, list);
    }
    // The result of the next event.
    long result(iocb* of = nullptr) {
        io_event event{};
        const int got = io_getevents(context, 1, 1, &event, nullptr);
        expect(got == 1, "one event comes", got);
        if (of != nullptr)
            expect(event.obj == of && event.data == of->data, "the event names its iocb");
        return static_cast<long>(event.res);
    }
    io_context_t context = nullptr;
};

std::string g_path;
int g_fd = -1;
int g_direct = -1;

void fill(unsigned char* to, std::size_t block) {
    for (std::size_t i = 0; i < kBlock; ++i)
        to[i] = static_cast<unsigned char>(block * 37 + i * 11 + i / 256);
}

void open_files() {
    const char* const directory = std::getenv("TMPDIR");
    g_path = std::string(directory != nullptr ? directory : ".") + "/aio-program.XXXXXX";
    g_fd = ::mkstemp(g_path.data());
    g_direct = ::open(g_path.c_str(), O_RDWR | O_DIRECT);
    if (g_direct < 0)
        g_direct = ::dup(g_fd);
    ::unlink(g_path.c_str());
    Aligned block(kBlock);
    for (std::size_t i = 0; i < 64; ++i) {
        fill(block.data, i);
        expect(::pwrite(g_fd, block.data, kBlock, static_cast<off_t>(i * kBlock)) ==
                   static_cast<ssize_t>(kBlock),
               "the file is written");
    }
}

void life_of_a_context() {
    io_context_t context = nullptr;
    expect(io_setup(0, &context) == -EINVAL, "io_setup of 0 events is EINVAL");
    expect(io_setup(8, &context) == 0, "io_setup");
    io_context_t again = context;
    expect(io_setup(8, &again) == -EINVAL, "io_setup over a context is EINVAL");
    expect(io_destroy(context) == 0, "io_destroy");
    expect(io_destroy(context) == -EINVAL, "a second io_destroy is EINVAL");
    expect(io_submit(context, 0, nullptr) == -EINVAL, "io_submit to a destroyed context is EINVAL");
    expect(io_destroy(nullptr) == -EINVAL, "io_destroy of nothing is EINVAL");
}

void transfers() {
    Context io(32);
    for (const int fd : {g_fd, g_direct}) {
        Aligned memory(16 * kBlock);
        std::vector<iocb> controls(16);
        std::vector<iocb*> list;
        for (std::size_t i = 0; i < 16; ++i) {
            io_prep_pread(&controls[i], fd, memory.data + i * kBlock, kBlock,
                          static_cast<long long>(i * kBlock));
            controls[i].data = &controls[i];
            list.push_back(&controls[i]);
        }
        expect(io_submit(io.context, 16, list.data()) == 16, "16 reads are taken");
        std::array<io_event, 16> events{};
        const int got = io_getevents(io.context, 16, 16, events.data(), nullptr);
        expect(got == 16, "16 events come", got);
        for (const io_event& event : events)
            expect(event.res == kBlock && event.res2 == 0 && event.data == event.obj,
                   "a read is whole", static_cast<long>(event.res));
        Aligned right(kBlock);
        for (std::size_t i = 0; i < 16; ++i) {
            fill(right.data, i);
            expect(std::memcmp(right.data, memory.data + i * kBlock, kBlock) == 0,
                   "what was read is right");
        }
        fill(right.data, 99);
        iocb write{};
        io_prep_pwrite(&write, fd, right.data, kBlock, 20 * kBlock);
        expect(io.submit(write) == 1, "a write is taken");
        expect(io.result(&write) == static_cast<long>(kBlock), "a write is whole");
        Aligned back(kBlock);
        expect(::pread(g_fd, back.data, kBlock, 20 * kBlock) == static_cast<ssize_t>(kBlock) &&
                   std::memcmp(back.data, right.data, kBlock) == 0,
               "what was written is right");
    }
    Aligned memory(kBlock);
    iocb at_the_end{};
    io_prep_pread(&at_the_end, g_fd, memory.data, kBlock, 64 * kBlock);
    expect(io.submit(at_the_end) == 1, "a read at the end is taken");
    expect(io.result() == 0, "a read at the end gives 0");
    iocb empty{};
    io_prep_pread(&empty, g_fd, memory.data, 0, 0);
    expect(io.submit(empty) == 1, "an empty read is taken");
    expect(io.result() == 0, "an empty read gives 0");
    iocb flush{};
    io_prep_fsync(&flush, g_fd);
    expect(io.submit(flush) == 1, "fsync is taken");
    expect(io.result(&flush) == 0, "fsync gives 0");
    io_prep_fdsync(&flush, g_fd);
    expect(io.submit(flush) == 1, "fdatasync is taken");
    expect(io.result(&flush) == 0, "fdatasync gives 0");
}

void vectors_are_copied() {
    Context io(4);
    Aligned memory(2 * kBlock);
    iocb control{};
    {
        const auto vectors = std::make_unique<iovec[]>(2);
        vectors[0] = {memory.data + kBlock, kBlock};
        vectors[1] = {memory.data, kBlock};
        io_prep_preadv(&control, g_direct, vectors.get(), 2, 5 * kBlock);
        expect(io.submit(control) == 1, "a vectored read is taken");
        std::memset(vectors.get(), 0xFF, 2 * sizeof(iovec));
    }
    expect(io.result(&control) == static_cast<long>(2 * kBlock), "a vectored read is whole");
    Aligned right(kBlock);
    fill(right.data, 5);
    expect(std::memcmp(right.data, memory.data + kBlock, kBlock) == 0, "its first half is right");
    fill(right.data, 6);
    expect(std::memcmp(right.data, memory.data, kBlock) == 0, "its second half is right");
}

void bad_iocbs() {
    Context io(32);
    Aligned memory(kBlock);
    iocb good{};
    io_prep_pread(&good, g_fd, memory.data, kBlock, 0);
    iocb bad = good;
    bad.aio_fildes = 9999;
    expect(io.submit(bad) == -EBADF, "a closed descriptor is EBADF");
    bad = good;
    bad.aio_lio_opcode = 77;
    expect(io.submit(bad) == -EINVAL, "an unknown opcode is EINVAL");
    bad = good;
    bad.u.c.nbytes = 1ul << 63;
    expect(io.submit(bad) == -EINVAL, "a negative size is EINVAL");
    bad = good;
    bad.u.c.offset = -1;
    expect(io.submit(bad) == -EINVAL, "a negative offset is EINVAL");
    io_prep_fsync(&bad, g_fd);
    bad.u.c.nbytes = 1;
    expect(io.submit(bad) == -EINVAL, "fsync with a size is EINVAL");
    bad = good;
    bad.u.c.flags = 1;
    bad.u.c.resfd = static_cast<unsigned>(g_fd);
    expect(io.submit(bad) == -EINVAL, "a result descriptor that is no eventfd is EINVAL");
    const int read_only = ::open("/dev/null", O_RDONLY);
    io_prep_pwrite(&bad, read_only, memory.data, kBlock, 0);
    expect(io.submit(bad) == -EBADF, "a write to what is open for reading is EBADF");
    ::close(read_only);
    io_prep_preadv(&bad, g_fd, nullptr, 2000, 0);
    expect(io.submit(bad) == -EINVAL, "2000 vectors are EINVAL");
    iocb* missing[] = {nullptr};
    expect(io_submit(io.context, 1, missing) == -EFAULT, "no iocb is EFAULT");
    expect(io_submit(io.context, -1, missing) == -EINVAL, "a negative number is EINVAL");
    expect(io_submit(io.context, 0, missing) == 0, "none is 0");
    // One that is bad ends the call behind those that were taken.
    bad = good;
    bad.aio_fildes = 9999;
    iocb more[3] = {good, good, good};
    iocb* list[] = {&more[0], &more[1], &more[2], &bad, &good};
    int taken = io_submit(io.context, 5, list);
    expect(taken == 3, "three are taken before a bad one", taken);
    for (int i = 0; i < 3; ++i)
        expect(io.result() == static_cast<long>(kBlock), "and they are done");
    io_event event{};
    expect(io_getevents(io.context, 2, 1, &event, nullptr) == -EINVAL,
           "more at least than at most is EINVAL");
    expect(io_getevents(io.context, -1, 1, &event, nullptr) == -EINVAL,
           "a negative number of events is EINVAL");
}

void wrong_arguments() {
    expect(io_setup(8, nullptr) == -EFAULT, "io_setup into nothing is EFAULT");
    io_context_t context = nullptr;
    expect(io_setup(-1, &context) == -EINVAL, "io_setup of a negative number is EINVAL");
    expect(io_setup(2'000'000, &context) == -EAGAIN, "io_setup of two millions is EAGAIN");
    iocb control{};
    iocb* list[] = {&control};
    io_event event{};
    timespec none{0, 0};
    expect(io_submit(nullptr, 1, list) == -EINVAL, "io_submit to no context is EINVAL");
    expect(io_getevents(nullptr, 0, 1, &event, &none) == -EINVAL,
           "io_getevents from no context is EINVAL");
    expect(io_cancel(nullptr, &control, &event) == -EINVAL, "io_cancel in no context is EINVAL");
    Context io(8);
    expect(io_cancel(io.context, nullptr, &event) == -EFAULT, "io_cancel of nothing is EFAULT");
    expect(io_getevents(io.context, 0, -1, &event, nullptr) == -EINVAL,
           "at most a negative number is EINVAL");
    Aligned memory(kBlock);
    const int write_only = ::open("/dev/null", O_WRONLY);
    io_prep_pread(&control, write_only, memory.data, kBlock, 0);
    expect(io.submit(control) == -EBADF, "a read of what is open for writing is EBADF");
    ::close(write_only);
    const int path = ::open("/dev/null", O_PATH);
    io_prep_pread(&control, path, memory.data, kBlock, 0);
    expect(io.submit(control) == -EBADF, "a read of what is open as a path is EBADF");
    ::close(path);
    io_prep_preadv(&control, g_fd, nullptr, 3, 0);
    expect(io.submit(control) == -EFAULT, "vectors that are not there are EFAULT");
    io_prep_pread(&control, g_fd, memory.data, kBlock, 0);
    io_set_eventfd(&control, 9999);
    expect(io.submit(control) == -EBADF, "a result descriptor that is closed is EBADF");
    io_prep_pread(&control, g_fd, memory.data, kBlock, 0);
    control.aio_rw_flags = 1 << 30;
    expect(io.submit(control) == -EOPNOTSUPP, "an unknown flag is EOPNOTSUPP");
    for (const auto spoil :
         {+[](iocb& flush) { flush.u.c.offset = 1; }, +[](iocb& flush) { flush.u.c.buf = &flush; },
          +[](iocb& flush) { flush.aio_rw_flags = 1; }}) {
        io_prep_fsync(&control, g_fd);
        spoil(control);
        expect(io.submit(control) == -EINVAL, "fsync with what it does not know is EINVAL");
    }
    for (const auto spoil :
         {+[](iocb& poll) { poll.u.c.offset = 1; }, +[](iocb& poll) { poll.u.c.nbytes = 1; },
          +[](iocb& poll) { poll.aio_rw_flags = 1; }}) {
        io_prep_poll(&control, g_fd, POLLIN);
        spoil(control);
        expect(io.submit(control) == -EINVAL, "poll with what it does not know is EINVAL");
    }
    io_prep_pread(&control, g_fd, memory.data, kBlock, 0);
    expect(io.submit(control) == 1, "a read is taken");
    while (io_getevents(io.context, 1, 1, nullptr, nullptr) == 0) {
    }
    expect(io_getevents(io.context, 1, 1, nullptr, nullptr) == -EFAULT,
           "events into nothing are EFAULT");
    expect(io.result() == static_cast<long>(kBlock), "and stay where they are");
}

void vectors_and_flags() {
    Context io(8);
    Aligned memory(8 * kBlock);
    iocb control{};
    iovec vectors[8];
    for (std::size_t i = 0; i < 8; ++i)
        vectors[i] = {memory.data + i * kBlock, kBlock};
    // The same iocb with more and with fewer of them.
    for (const int count : {2, 8, 1, 0}) {
        io_prep_preadv(&control, g_direct, vectors, count, 0);
        expect(io.submit(control) == 1, "a vectored read is taken", count);
        expect(io.result(&control) == count * static_cast<long>(kBlock), "it is whole", count);
    }
    fill(memory.data, 30);
    fill(memory.data + kBlock, 31);
    io_prep_pwritev(&control, g_direct, vectors, 2, 30 * kBlock);
    expect(io.submit(control) == 1, "a vectored write is taken");
    expect(io.result(&control) == static_cast<long>(2 * kBlock), "it is whole");
    Aligned back(kBlock);
    expect(::pread(g_fd, back.data, kBlock, 31 * kBlock) == static_cast<ssize_t>(kBlock) &&
               std::memcmp(back.data, memory.data + kBlock, kBlock) == 0,
           "and right");
    io_prep_pwrite(&control, g_direct, memory.data, kBlock, 30 * kBlock);
    control.aio_rw_flags = RWF_DSYNC;
    expect(io.submit(control) == 1, "a write with RWF_DSYNC is taken");
    expect(io.result(&control) == static_cast<long>(kBlock), "it is whole");
    io_prep_pread(&control, g_direct, memory.data, kBlock, 0);
    control.u.c.flags = 1u << 1;                            // IOCB_FLAG_IOPRIO
    control.aio_reqprio = static_cast<short>(2 << 13 | 4);  // best effort, 4
    expect(io.submit(control) == 1, "a read with a priority is taken");
    expect(io.result(&control) == static_cast<long>(kBlock), "it is whole");
}

void limits_of_waiting() {
    Context io(8);
    io_event events[4];
    timespec none{0, 0};
    timespec little{0, 2'000'000};
    expect(io_getevents(io.context, 1, 4, events, &none) == 0, "without time none comes");
    expect(io_getevents(io.context, 1, 4, events, &little) == 0, "after a while none has come");
    Aligned memory(kBlock);
    iocb controls[2];
    iocb* list[] = {&controls[0], &controls[1]};
    for (iocb& control : controls)
        io_prep_pread(&control, g_direct, memory.data, kBlock, 0);
    expect(io_submit(io.context, 2, list) == 2, "two are taken");
    timespec second{1, 0};
    int got = 0;
    while (got < 2) {
        const int more = io_getevents(io.context, 2 - got, 4, events, &second);
        expect(more >= 0, "waiting for more", more);
        got += more;
    }
    expect(got == 2, "two come", got);
    // What nobody would wait for, and what has passed.
    timespec ages{4'000'000'000, 0};
    expect(io.submit(controls[0]) == 1, "one is taken");
    expect(io_getevents(io.context, 1, 1, events, &ages) == 1, "it comes before the ages pass");
    timespec many_ns{0, 2'000'000'000};
    expect(io.submit(controls[0]) == 1, "one is taken");
    expect(io_getevents(io.context, 1, 1, events, &many_ns) == 1,
           "a limit may have more nanoseconds than a second");
}

void full() {
    Context io(1);
    Aligned memory(kBlock);
    std::vector<iocb> controls(4096);
    int taken = 0;
    int error = 0;
    for (; taken < 4096; ++taken) {
        io_prep_pread(&controls[static_cast<std::size_t>(taken)], g_fd, memory.data, kBlock, 0);
        error = io.submit(controls[static_cast<std::size_t>(taken)]);
        if (error != 1)
            break;
    }
    expect(error == -EAGAIN, "more than there is room for is EAGAIN", error);
    expect(taken >= 1, "one is taken at least", taken);
    for (int i = 0; i < taken; ++i)
        expect(io.result() == static_cast<long>(kBlock), "all that were taken are done");
    expect(io.submit(controls[0]) == 1, "then there is room again");
    expect(io.result() == static_cast<long>(kBlock), "and it is done");
}

void eventfds() {
    Context io(8);
    const int bell = ::eventfd(0, 0);
    Aligned memory(kBlock);
    iocb controls[3];
    iocb* list[] = {&controls[0], &controls[1], &controls[2]};
    for (iocb& control : controls) {
        io_prep_pread(&control, g_direct, memory.data, kBlock, 0);
        io_set_eventfd(&control, bell);
    }
    expect(io_submit(io.context, 3, list) == 3, "three are taken");
    std::uint64_t rings = 0;
    while (rings < 3) {
        std::uint64_t now = 0;
        expect(::read(bell, &now, sizeof now) == sizeof now, "the eventfd can be read");
        rings += now;
    }
    expect(rings == 3, "it counts one for each", static_cast<long long>(rings));
    io_event events[3];
    timespec none{0, 0};
    expect(io_getevents(io.context, 3, 3, events, &none) == 3,
           "when it has rung the events are there");
    ::close(bell);
}

void polls() {
    Context io(8);
    int pipe_ends[2];
    expect(::pipe(pipe_ends) == 0, "a pipe");
    iocb control{};
    io_prep_poll(&control, pipe_ends[0], POLLIN);
    expect(io.submit(control) == 1, "a poll is taken");
    io_event event{};
    timespec little{0, 2'000'000};
    expect(io_getevents(io.context, 1, 1, &event, &little) == 0, "it does not end by itself");
    expect(::write(pipe_ends[1], "x", 1) == 1, "the pipe is written");
    const long events = io.result(&control);
    expect((events & POLLIN) != 0, "it ends with what came", events);
    io_prep_poll(&control, pipe_ends[1], POLLOUT);
    expect(io.submit(control) == 1, "a poll of what is ready is taken");
    expect((io.result(&control) & POLLOUT) != 0, "it ends at once");
    char byte = 0;
    expect(::read(pipe_ends[0], &byte, 1) == 1, "the pipe is read");
    io_prep_poll(&control, pipe_ends[0], POLLIN);
    expect(io.submit(control) == 1, "another poll is taken");
    const int cancelled = io_cancel(io.context, &control, &event);
    expect(cancelled == -EINPROGRESS, "a poll can be cancelled", cancelled);
    expect(io.result(&control) == 0, "and ends with nothing");
    iocb unknown{};
    expect(io_cancel(io.context, &unknown, &event) == -EINVAL,
           "what was not submitted cannot be cancelled");
    // Several at once; two that never end go with their context, one of them cancelled.
    {
        Context other(8);
        int quiet[2];
        expect(::pipe(quiet) == 0, "a pipe");
        iocb waits[3];
        iocb* list[] = {&waits[0], &waits[1], &waits[2]};
        io_prep_poll(&waits[0], quiet[0], POLLIN);
        io_prep_poll(&waits[1], pipe_ends[0], POLLIN);
        io_prep_poll(&waits[2], quiet[0], POLLIN);
        expect(io_submit(other.context, 3, list) == 3, "three polls are taken");
        expect(::write(pipe_ends[1], "x", 1) == 1, "one of their pipes is written");
        expect((other.result(&waits[1]) & POLLIN) != 0, "that one ends, and no other");
        expect(io_cancel(other.context, &waits[2], &event) == -EINPROGRESS, "one is cancelled");
        ::close(quiet[0]);
        ::close(quiet[1]);
    }
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
}

int g_called = 0;

void callback(io_context_t, iocb*, long result, long) {
    g_called += result == static_cast<long>(kBlock);
}

void queue_functions() {
    io_context_t context = nullptr;
    expect(io_queue_init(8, &context) == 0, "io_queue_init");
    Aligned memory(kBlock);
    iocb controls[3];
    iocb* list[] = {&controls[0], &controls[1], &controls[2]};
    for (iocb& control : controls) {
        io_prep_pread(&control, g_direct, memory.data, kBlock, 0);
        io_set_callback(&control, callback);
    }
    expect(io_submit(context, 3, list) == 3, "three are taken");
    while (g_called < 3)
        expect(io_queue_run(context) == 0, "io_queue_run");
    expect(g_called == 3, "three callbacks", g_called);
    expect(io_queue_release(context) == 0, "io_queue_release");
}

void on_signal(int) {}

void signals() {
    Context io(4);
    struct sigaction action {};
    action.sa_handler = on_signal;
    ::sigaction(SIGUSR1, &action, nullptr);
    io_event event{};
    {
        const pthread_t self = ::pthread_self();
        std::atomic<bool> stop{false};
        std::thread sender([&] {
            while (!stop) {
                ::pthread_kill(self, SIGUSR1);
                ::usleep(1000);
            }
        });
        int got = io_getevents(io.context, 1, 1, &event, nullptr);
        expect(got == -EINTR, "a signal ends a wait with EINTR", got);
        Aligned memory(kBlock);
        iocb control{};
        io_prep_pread(&control, g_direct, memory.data, kBlock, 0);
        expect(io.submit(control) == 1, "a read is taken");
        io_event events[2];
        do
            got = io_getevents(io.context, 2, 2, events, nullptr);
        while (got == -EINTR);
        expect(got == 1, "with what has come, if something has", got);
        stop = true;
        sender.join();
    }
    // A pending signal that the mask lets through ends the wait as well.
    sigset_t blocked;
    sigset_t before;
    ::sigemptyset(&blocked);
    ::sigaddset(&blocked, SIGUSR1);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
    ::raise(SIGUSR1);
    int got = io_pgetevents(io.context, 1, 1, &event, nullptr, &before);
    expect(got == -EINTR, "io_pgetevents swaps the mask", got);
    Aligned memory(kBlock);
    iocb control{};
    io_prep_pread(&control, g_direct, memory.data, kBlock, 0);
    expect(io.submit(control) == 1, "a read is taken");
    got = io_pgetevents(io.context, 1, 1, &event, nullptr, &blocked);
    expect(got == 1 && event.res == kBlock, "io_pgetevents fetches", got);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void many_threads() {
    constexpr int kThreads = 4;
    constexpr int kRounds = 500;
    Context io(64);
    std::atomic<int> done{0};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            Aligned memory(kBlock);
            iocb control{};
            for (int i = 0; i < kRounds; ++i) {
                io_prep_pread(&control, i % 2 != 0 ? g_direct : g_fd, memory.data, kBlock,
                              (t * 16 + i % 16) * static_cast<long long>(kBlock));
                iocb* list[] = {&control};
                while (io_submit(io.context, 1, list) != 1) {
                }
                // Somebody's event.
                io_event event{};
                while (io_getevents(io.context, 1, 1, &event, nullptr) != 1) {
                }
                wrong += event.res != kBlock;
                ++done;
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    expect(done == kThreads * kRounds, "each is done once", done);
    expect(wrong == 0, "each is whole", wrong);
}

void destroy_waits() {
    for (int round = 0; round < 3; ++round) {
        Aligned memory(8 * kBlock);
        {
            Context io(8);
            std::vector<iocb> controls(8);
            std::vector<iocb*> list;
            for (std::size_t i = 0; i < 8; ++i) {
                io_prep_pread(&controls[i], g_direct, memory.data + i * kBlock, kBlock,
                              static_cast<long long>(i * kBlock));
                list.push_back(&controls[i]);
            }
            expect(io_submit(io.context, 8, list.data()) == 8, "eight are taken");
        }
        Aligned right(kBlock);
        for (std::size_t i = 0; i < 8; ++i) {
            fill(right.data, i);
            expect(std::memcmp(right.data, memory.data + i * kBlock, kBlock) == 0,
                   "io_destroy has waited for them");
        }
    }
}

// Each for another number, two of them with a mask of their own.
void several_wait() {
    constexpr long kWanted[] = {1, 2, 3, 2};
    Context io(16);
    Aligned memory(8 * kBlock);
    std::atomic<long> got{0};
    std::vector<std::thread> waiting;
    sigset_t mask;
    ::sigemptyset(&mask);
    for (const long wanted : kWanted) {
        waiting.emplace_back([&io, &got, &mask, wanted] {
            io_event events[3];
            for (long mine = 0; mine < wanted;) {
                const int more = wanted == 2 ? io_pgetevents(io.context, wanted - mine,
                                                             wanted - mine, events, nullptr, &mask)
                                             : io_getevents(io.context, wanted - mine,
                                                            wanted - mine, events, nullptr);
                mine += more > 0 ? more : 0;
                got += more > 0 ? more : 0;
            }
        });
    }
    std::vector<iocb> controls(8);
    for (std::size_t i = 0; i < controls.size(); ++i) {
        io_prep_pread(&controls[i], g_direct, memory.data + i * kBlock, kBlock, 0);
        ::usleep(2000);
        expect(io.submit(controls[i]) == 1, "a read is taken");
    }
    for (std::thread& thread : waiting)
        thread.join();
    expect(got == 8, "each event comes to one of them", got);
}

// A context is its process's: a child has none of it, and may make one of its own.
int what_a_child_gets(io_context_t inherited) {
    io_event event;
    iocb control;
    iocb* list[] = {&control};
    unsigned char byte = 0;
    io_prep_pread(&control, g_fd, &byte, 1, 0);
    if (io_submit(inherited, 1, list) != -EINVAL)
        return 1;
    if (io_getevents(inherited, 1, 1, &event, nullptr) != -EINVAL)
        return 2;
    if (io_destroy(inherited) != -EINVAL)
        return 3;
    io_context_t own = nullptr;
    if (io_setup(2, &own) != 0 || io_submit(own, 1, list) != 1)
        return 4;
    if (io_getevents(own, 1, 1, &event, nullptr) != 1 || event.res != 1)
        return 5;
    return io_destroy(own) == 0 ? 0 : 6;
}

void forks() {
    Context io(4);
    Aligned memory(kBlock);
    std::atomic<int> got{0};
    std::thread waiting([&] {
        io_event event;
        while (got == 0)
            got = std::max(0, io_getevents(io.context, 1, 1, &event, nullptr));
    });
    ::usleep(20'000);  // until it is inside
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(180);  // a hang is a failure
        ::_exit(what_a_child_gets(io.context));
    }
    int status = -1;
    expect(child > 0 && ::waitpid(child, &status, 0) == child && status == 0,
           "a child has no context of its parent's", status);
    iocb control;
    io_prep_pread(&control, g_direct, memory.data, kBlock, 0);
    expect(io.submit(control) == 1, "a read is taken after a fork");
    waiting.join();
    expect(got == 1, "and its event comes");
}

struct Part {
    const char* fact;
    void (*run)();
};
constexpr Part kParts[] = {
    {"contexts are made, destroyed once, and known to be gone", life_of_a_context},
    {"reads, writes and flushes move what they say", transfers},
    {"vectors may be thrown away after io_submit", vectors_are_copied},
    {"bad iocbs are refused, each with its errno, behind those that were taken", bad_iocbs},
    {"wrong arguments are told, each with its errno", wrong_arguments},
    {"an iocb may have more vectors, or fewer, than before, and flags", vectors_and_flags},
    {"waits end with their limit", limits_of_waiting},
    {"a full context says EAGAIN and goes on", full},
    {"an eventfd counts what is done", eventfds},
    {"IO_CMD_POLL ends with what came, and can be cancelled", polls},
    {"the io_queue functions run callbacks", queue_functions},
    {"signals end a wait, also through io_pgetevents", signals},
    {"threads share a context", many_threads},
    {"threads that wait for several each get theirs", several_wait},
    {"io_destroy waits for what is in flight", destroy_waits},
    {"a forked child has no context of its parent's", forks},
};

}  // namespace

int main() {
    open_files();
    int parts_failed = g_failed;
    for (const Part& part : kParts) {
        const int before = g_failed;
        part.run();
        std::printf("%s: %s\n", g_failed == before ? "pass" : "fail", part.fact);
        std::fflush(stdout);
        parts_failed += g_failed != before;
    }
    return parts_failed == 0 ? 0 : 1;
}
