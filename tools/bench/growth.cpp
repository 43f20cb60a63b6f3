// SPDX-License-Identifier: MIT
//
// Three tables: producers, files, queued requests. What must not grow is the cost of one request.
#include "tools/bench/growth.hpp"

#include "tools/bench/arena.hpp"
#include "tools/bench/clock.hpp"
#include "tools/bench/command_line.hpp"
#include "tools/bench/comparison.hpp"
#include "tools/bench/engine_contender.hpp"
#include "tools/bench/failure.hpp"
#include "tools/bench/format.hpp"
#include "tools/bench/live_line.hpp"
#include "tools/bench/session.hpp"
#include "tools/bench/target.hpp"
#include "tools/bench/walk.hpp"

#include <ioengine/ioengine.hpp>

#include <CLI/CLI.hpp>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <fcntl.h>
#include <iostream>
#include <malloc.h>
#include <memory>
#include <mutex>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace bench {

namespace {

using ioengine::Backend;

struct GrowthOptions {
    std::string memory = "/dev/shm";
    double seconds = 0.5;
    unsigned repetitions = 5;
};

bool parse(int argc, char** argv, GrowthOptions& options) {
    CLI::App app("Measures what one request costs as producers, files and queues grow.",
                 "ioengine-bench growth");
    add_directory(app, "--memory", options.memory, "a directory on a tmpfs, for the files");
    app.add_option("--time", options.seconds, "seconds for each measurement")
        ->check(CLI::Range(0.01, 60.0))
        ->type_name("S")
        ->capture_default_str();
    add_repeat(app, options.repetitions, 1);
    return parse_command_line(app, argc, argv);
}

template <class C = ioengine::IOCallback>
ioengine::IOContext<C> make_context(const ioengine::Options& options) {
    auto made = ioengine::IOContext<C>::create(options);
    if (!made)
        throw Failure(kExitUnavailable,
                      std::string(made.error().message) + "; " + made.error().hint);
    return *std::move(made);
}

double cpu_us() {
    rusage use;
    getrusage(RUSAGE_SELF, &use);
    return static_cast<double>(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
           static_cast<double>(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

// -- producers -------------------------------------------------------------------------------

// Threads that sleep until a callback wakes them, four requests each, on /dev/zero.
void grow_producers(const GrowthOptions& growth, Backend backend) {
    std::cout << format("\n%-28s %12s %16s %12s\n",
                        format("producers, %s", ioengine::backend_name(backend)).c_str(), "IOPS",
                        "CPU us/request", "to the first");
    double first = 0;
    for (const std::uint32_t producers : {1u, 2u, 4u, 8u, 16u, 32u, 64u}) {
        BenchOptions options;
        options.target = "/dev/zero";
        options.mode = Mode::wake;
        options.producers = producers;
        options.depth = 4 * producers;
        options.backend = backend;
        Target target(options);
        target.open_for_run();
        const Arena arena(options.depth, options.block_bytes);
        const Workload workload{options, target, arena, nullptr, 1};
        const auto contender = make_engine_contender(workload);
        LiveLine live(options.block_bytes);
        std::vector<double> rates;
        std::vector<double> costs;
        for (unsigned i = 0; i < growth.repetitions; ++i) {
            const Measurement measured = contender->run({growth.seconds, 0}, live);
            rates.push_back(measured.iops());
            costs.push_back(measured.per_request(measured.cpu_us));
        }
        const double cost = median(costs);
        first = first == 0 ? cost : first;
        std::cout << format("%-28u %12.0f %16.3f %12.2f\n", producers, median(rates), cost,
                            cost / first)
                  << std::flush;
    }
}

// -- files -----------------------------------------------------------------------------------

// Unlinked files of 64 MiB together, so that memory's caches help as much whatever their number;
// opened for direct I/O where that is possible.
class Files {
  public:
    Files(const std::string& directory, std::size_t count)
        : blocks_((std::size_t{64} << 20) / kBlock / count) {
        const std::vector<char> content(blocks_ * kBlock, 'f');
        for (std::size_t i = 0; i < count; ++i) {
            const std::string path =
                directory + "/ioengine-growth-" + std::to_string(getpid()) + ".dat";
            int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
            if (fd < 0 ||
                write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size()))
                throw Failure(kExitUnavailable, "cannot make a file in " + directory + ": " +
                                                    errno_text(errno) +
                                                    "; name another one by --memory");
            close(fd);
            fd = open(path.c_str(), O_RDONLY | O_DIRECT | O_NONBLOCK | O_CLOEXEC);
            if (fd < 0)
                fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
            unlink(path.c_str());
            if (fd < 0)
                throw Failure(kExitUnavailable, "cannot open " + std::to_string(count) +
                                                    " files: " + errno_text(errno) +
                                                    "; raise the limit on open files (ulimit -n)");
            fds_.push_back(fd);
        }
    }
    Files(const Files&) = delete;
    Files& operator=(const Files&) = delete;
    ~Files() {
        for (const int fd : fds_)
            close(fd);
    }
    int any(Random& random) const { return fds_[random.next() % fds_.size()]; }
    std::uint64_t any_offset(Random& random) const { return random.next() % blocks_ * kBlock; }

  private:
    static constexpr std::size_t kBlock = 4096;
    const std::size_t blocks_;
    std::vector<int> fds_;
};

// Chains of reads, each of a random block of a random file.
class FileChains {
  public:
    struct OnDone {
        FileChains* chains;
        std::byte* buffer;
        void operator()(ioengine::IOEvent<OnDone>& event) noexcept { chains->go_on(event); }
    };
    using Context = ioengine::IOContext<OnDone>;

    FileChains(const Files& files, const Arena& arena, std::uint32_t depth, double seconds)
        : files_(files), end_ns_(now_ns() + static_cast<std::uint64_t>(seconds * 1e9)),
          alive_(depth) {
        for (std::uint32_t i = 0; i < depth; ++i)
            events_.emplace_back(OnDone{this, arena.buffer(i)});
    }
    void run(Context& io) {
        io_ = &io;
        for (auto& event : events_)
            begin(event);
        std::unique_lock<std::mutex> lock(mutex_);
        over_.wait(lock, [this] { return alive_ == 0; });
    }
    std::uint64_t done() const noexcept { return done_; }
    bool failed() const noexcept { return failed_; }

  private:
    void begin(ioengine::IOEvent<OnDone>& event) noexcept {
        event.prepare_read(files_.any(random_), event.callback.buffer, 4096,
                           files_.any_offset(random_));
        if (!io_->submit(event))
            retire();
    }
    // On the poller's thread, one at a time.
    void go_on(ioengine::IOEvent<OnDone>& event) noexcept {
        failed_ |= event.result != 4096;
        ++done_;
        if (failed_ || ((done_ & 63) == 0 && now_ns() >= end_ns_))
            stop_ = true;
        if (stop_)
            retire();
        else
            begin(event);
    }
    void retire() noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (--alive_ == 0)
            over_.notify_all();
    }

    const Files& files_;
    const std::uint64_t end_ns_;
    Random random_{1};
    std::deque<ioengine::IOEvent<OnDone>> events_;
    Context* io_ = nullptr;
    std::uint64_t done_ = 0;
    bool stop_ = false;
    bool failed_ = false;
    std::mutex mutex_;  // for what follows
    std::condition_variable over_;
    std::uint32_t alive_;
};

void grow_files(const GrowthOptions& growth, Backend backend) {
    constexpr std::uint32_t kDepth = 32;
    std::cout << format("\n%-28s %12s %16s %12s\n",
                        format("files, %s", ioengine::backend_name(backend)).c_str(), "IOPS",
                        "CPU us/request", "to the first");
    const Arena arena(kDepth, 4096);
    double first = 0;
    for (const std::size_t count : {1u, 10u, 100u, 1000u}) {
        const Files files(growth.memory, count);
        std::vector<double> rates;
        std::vector<double> costs;
        for (unsigned i = 0; i < growth.repetitions; ++i) {
            ioengine::Options options;
            options.backend = backend;
            options.depth = kDepth;
            auto io = make_context<FileChains::OnDone>(options);
            const double cpu_before = cpu_us();
            const std::uint64_t begun = now_ns();
            FileChains chains(files, arena, kDepth, growth.seconds);
            chains.run(io);
            const auto done = static_cast<double>(chains.done());
            rates.push_back(done / (static_cast<double>(now_ns() - begun) / 1e9));
            costs.push_back((cpu_us() - cpu_before) / done);
            static_cast<void>(io.shutdown());
            if (chains.failed())
                throw Failure(kExitWrong, "a read of a file made for this did not give its bytes");
        }
        const double cost = median(costs);
        first = first == 0 ? cost : first;
        std::cout << format("%-28zu %12.0f %16.3f %12.2f\n", count, median(rates), cost,
                            cost / first)
                  << std::flush;
    }
}

// -- queued requests -------------------------------------------------------------------------

// On the heap, mallinfo(3).
std::uint64_t allocated_bytes() {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

struct Count {
    std::atomic<std::uint64_t>* left;
    void operator()(ioengine::Result) const noexcept {
        left->fetch_sub(1, std::memory_order_release);  // pairs with the acquire below
    }
};

// A callback that holds the poller while the queue fills.
struct Hold {
    std::mutex mutex;
    std::condition_variable news;
    bool entered = false;
    bool released = false;
    void wait_inside() {
        std::unique_lock<std::mutex> lock(mutex);
        entered = true;
        news.notify_all();
        news.wait(lock, [this] { return released; });
    }
    void wait_until_entered() {
        std::unique_lock<std::mutex> lock(mutex);
        news.wait(lock, [this] { return entered; });
    }
    void release() {
        const std::lock_guard<std::mutex> lock(mutex);
        released = true;
        news.notify_all();
    }
};

void grow_queue(const GrowthOptions& growth) {
    std::cout << format("\n%-28s %12s %16s %12s %14s\n", "queued requests, null", "submit ns",
                        "complete ns", "to the first", "bytes each");
    double first = 0;
    for (const std::size_t count : {10u, 100u, 1000u, 10'000u, 100'000u, 1'000'000u}) {
        std::vector<double> submits;
        std::vector<double> completions;
        std::vector<double> bytes;
        // Small queues many times, for a clock's sake.
        const unsigned rounds = growth.repetitions * (count < 10'000 ? 20 : 1);
        for (unsigned round = 0; round < rounds; ++round) {
            ioengine::Options options;
            options.backend = Backend::null;
            options.queue_limit = 1u << 20;
            options.event_pool = 4;
            auto io = make_context(options);
            std::atomic<std::uint64_t> left{count};
            std::deque<ioengine::IOEvent<Count>> events;
            char byte = 0;
            for (std::size_t i = 0; i < count; ++i) {
                events.emplace_back(Count{&left});
                events.back().prepare_read(0, &byte, 1, i);
            }
            Hold hold;
            if (!io.nop([&hold](ioengine::Result) { hold.wait_inside(); }))
                throw Failure(kExitWrong, "the engine refused a no-op");
            hold.wait_until_entered();
            const std::uint64_t before = allocated_bytes();
            const std::uint64_t begun = now_ns();
            for (auto& event : events)
                if (!io.submit(event))
                    throw Failure(kExitWrong, "the engine refused a request below its limit");
            const std::uint64_t submitted = now_ns();
            const std::uint64_t after = allocated_bytes();
            hold.release();
            while (left.load(std::memory_order_acquire) != 0)
                std::this_thread::yield();
            const std::uint64_t completed = now_ns();
            const auto n = static_cast<double>(count);
            submits.push_back(static_cast<double>(submitted - begun) / n);
            completions.push_back(static_cast<double>(completed - submitted) / n);
            bytes.push_back(after > before ? static_cast<double>(after - before) / n : 0);
        }
        const double cost = median(submits) + median(completions);
        first = first == 0 ? cost : first;
        std::cout << format("%-28zu %12.1f %16.1f %12.2f %14.1f\n", count, median(submits),
                            median(completions), cost / first, median(bytes))
                  << std::flush;
    }
    std::cout << "bytes each: of the engine's, beyond the places for 8192 that a context begins "
                 "with; the request itself,\n"
              << sizeof(ioengine::Request) << " bytes and its callback, is the caller's.\n";
}

}  // namespace

void run_growth(int argc, char** argv) {
    GrowthOptions options;
    if (!parse(argc, argv, options))
        return;
    for (const Backend backend : {Backend::uring, Backend::aio}) {
        ioengine::Options asked;
        asked.backend = backend;
        if (ioengine::probe(asked).backend != backend) {
            std::cout << "\n" << ioengine::backend_name(backend) << " is not available here\n";
            continue;
        }
        grow_producers(options, backend);
        grow_files(options, backend);
    }
    grow_queue(options);
    if (!std::cout)
        throw Failure(kExitUnavailable, "cannot write the tables to stdout");
}

}  // namespace bench
