// SPDX-License-Identifier: MIT
//
// Copies a file with many requests in flight: each chunk of memory is read into, written from and
// read into again until the file ends, all chunks at the same time.
#include <ioengine/ioengine.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <mutex>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace {

constexpr const char* kUsage = "usage: copy_file FROM TO [CHUNKS [CHUNK_BYTES]]\n"
                               "Copies the regular file FROM over TO and flushes it, with CHUNKS "
                               "(32) requests of CHUNK_BYTES\n(262144) in flight.\n"
                               "Exit code 0: copied and of the right size; 1: not; 2: usage; 69: "
                               "no context on this machine.\n";

class Copier;

// The callback of a caller-owned event. State and buffer live beside the request: while copying
// nothing is allocated.
struct Chunk {
    Copier* copier;
    ioengine::AlignedBuffer buffer;  // the engine's from an accepted submit to the callback
    void operator()(ioengine::IOEvent<Chunk>& event) noexcept;
};
using Event = ioengine::IOEvent<Chunk>;

// Callbacks run one after the other on the poller thread; the main thread looks on.
class Copier {
  public:
    // Borrows the context and both descriptors until wait() has returned.
    Copier(ioengine::IOContext<>& io, int from, int to) : io_(io), from_(from), to_(to) {}

    // False when memory is short; nothing was started then.
    bool start(std::uint64_t chunks, std::size_t chunk_bytes) {
        for (std::uint64_t i = 0; i < chunks; ++i) {
            auto buffer = ioengine::AlignedBuffer::create(chunk_bytes);
            if (!buffer)
                return false;
            // A deque does not move its elements: an event stays at its address while submitted.
            events_.emplace_back(Chunk{this, std::move(*buffer)});
        }
        // First all offsets, then the first submit: from there on they belong to the callbacks.
        for (Event& event : events_)
            prepare_next_read(event);
        active_ = chunks;
        for (Event& event : events_)
            submit(event);
        return true;
    }

    // In the callback the event is ours again: read becomes write becomes the next read.
    void advance(Event& event) noexcept {
        const ioengine::Result result = event.outcome();
        if (!result.ok() || error_.load(std::memory_order_relaxed) != 0)
            return retire(result.error());
        if (event.action == ioengine::IOAction::read) {
            // Fewer bytes than asked for is the end of the file: the engine continues all other
            // short reads. The write is as long as the read was.
            if (result.bytes() == 0)
                return retire(0);
            event.prepare_write(to_, event.data, result.bytes(), event.offset);
        } else {
            if (result.bytes() < event.length)
                return retire(ENOSPC);
            bytes_done_.fetch_add(result.bytes(), std::memory_order_relaxed);  // only shown
            prepare_next_read(event);
        }
        submit(event);
    }

    // Waits until every chunk has retired, calling show(bytes_done) meanwhile. 0 or an errno.
    template <class Show>
    int wait(Show show) {
        std::unique_lock lock(mutex_);
        while (!retired_.wait_for(lock, std::chrono::milliseconds(100),
                                  [this] { return active_ == 0; }))
            show(bytes_done());
        return error_.load(std::memory_order_relaxed);
    }

    std::uint64_t bytes_done() const { return bytes_done_.load(std::memory_order_relaxed); }

  private:
    void prepare_next_read(Event& event) noexcept {
        ioengine::AlignedBuffer& buffer = event.callback.buffer;
        event.prepare_read(from_, buffer.data(), buffer.size(), next_offset_);
        next_offset_ += buffer.size();
    }

    // Refused means that no callback comes: the chunk retires here.
    void submit(Event& event) noexcept {
        if (!io_.submit(event))
            retire(EIO);
    }

    // The first error ends the copy: the other chunks retire at their next callback.
    void retire(int error) noexcept {
        const std::lock_guard lock(mutex_);
        int none = 0;
        error_.compare_exchange_strong(none, error, std::memory_order_relaxed);
        if (--active_ == 0)
            retired_.notify_all();
    }

    ioengine::IOContext<>& io_;
    const int from_;
    const int to_;
    std::deque<Event> events_;
    std::uint64_t next_offset_ = 0;
    std::atomic<std::uint64_t> bytes_done_{0};  // relaxed: the mutex orders the last look
    std::atomic<int> error_{0};                 // relaxed: likewise
    std::mutex mutex_;
    std::condition_variable retired_;
    std::uint64_t active_ = 0;
};

void Chunk::operator()(Event& event) noexcept {
    copier->advance(event);
}

int fail(const char* what, const char* why) {
    std::fprintf(stderr, "copy_file: %s: %s\n", what, why);
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    const bool help = argc == 2 && std::strcmp(argv[1], "--help") == 0;
    const std::uint64_t chunks = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 32;
    const std::uint64_t chunk_bytes = argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 262144;
    if (argc < 3 || argc > 5 || chunks < 1 || chunks > 4096 || chunk_bytes < 1) {
        std::fputs(kUsage, help ? stdout : stderr);
        return help ? 0 : 2;
    }

    const int from = ::open(argv[1], O_RDONLY | O_CLOEXEC);
    struct stat source = {};
    if (from < 0 || ::fstat(from, &source) != 0)
        return fail(argv[1], std::strerror(errno));
    // Not emptied yet: FROM and TO may be the same file.
    const int to = ::open(argv[2], O_WRONLY | O_CREAT | O_CLOEXEC, source.st_mode & 0777);
    struct stat target = {};
    if (to < 0 || ::fstat(to, &target) != 0)
        return fail(argv[2], std::strerror(errno));
    if (!S_ISREG(source.st_mode) || !S_ISREG(target.st_mode))
        return fail(argv[1], "FROM and TO must be regular files");
    if (source.st_dev == target.st_dev && source.st_ino == target.st_ino)
        return fail(argv[1], "FROM and TO are the same file");
    if (::ftruncate(to, 0) != 0)
        return fail(argv[2], std::strerror(errno));

    ioengine::Options options;
    options.depth = static_cast<std::uint32_t>(chunks);
    auto made = ioengine::IOContext<>::create(options);
    if (!made)
        return fail(made.error().message, made.error().hint), 69;
    Copier copier(*made, from, to);  // after the context, to go before it
    if (!copier.start(chunks, chunk_bytes))
        return fail(argv[1], "not enough memory; use fewer or smaller chunks");

    const bool live = ::isatty(STDERR_FILENO) != 0;
    const auto size = static_cast<unsigned long long>(source.st_size);
    const int copy_error = copier.wait([&](unsigned long long bytes_done) {
        if (live)
            std::fprintf(stderr, "\rcopy_file: %llu of %llu MiB ", bytes_done >> 20, size >> 20);
    });
    std::fputs(live ? "\r\033[K" : "", stderr);
    if (copy_error != 0)
        return fail("copying", std::strerror(copy_error));

    // A flush covers the writes that have completed: all have. When shutdown() returns, its
    // callback has run; what it refers to lives longer than that.
    int flush_error = EIO;
    const bool accepted = bool(made->fsync(
        to, [&flush_error](ioengine::Result result) noexcept { flush_error = result.error(); }));
    if (!made->shutdown().clean || !accepted || flush_error != 0)
        return fail(argv[2], std::strerror(flush_error));
    if (::fstat(to, &target) != 0 || ::close(to) != 0 || ::close(from) != 0)
        return fail(argv[2], std::strerror(errno));
    if (target.st_size != source.st_size || copier.bytes_done() != size)
        return fail(argv[1], "changed while it was copied: the copy is incomplete");
    std::printf("%llu bytes through %s\n", size, ioengine::backend_name(made->report().backend));
    return 0;
}
