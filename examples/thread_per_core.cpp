// SPDX-License-Identifier: MIT
//
// A thread per core, each with a context of its own that it drives itself: counts the bytes of a
// file that have a value. Nothing is shared, and the engine has no thread.
//
//     thread_per_core FILE BYTE [THREADS]     THREADS: 2 unless given
//
// Exit code 0: counted, 1: a read failed, 2: usage, 69: no context can be made on this machine.
#include <ioengine/ioengine.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitUnavailable = 69;
constexpr std::size_t kChunk = 65'536;
constexpr std::uint32_t kInFlight = 8;

// One core's part of the file, from `next` to `end`.
class Core {
  public:
    Core(int fd, unsigned char value, std::uint64_t begin, std::uint64_t end)
        : fd_(fd), value_(value), next_(begin), end_(end) {}

    // On the thread of this core. Returns an exit code.
    int run() {
        ioengine::Options options;
        options.depth = kInFlight;
        options.threading = ioengine::Threading::caller;
        auto made = ioengine::IOContext<>::create(options);
        if (!made) {
            std::fprintf(stderr, "thread_per_core: %s; %s\n", made.error().message,
                         made.error().hint);
            return kExitUnavailable;
        }
        for (Piece& piece : pieces_)
            start(*made, piece);
        // Submits what callbacks have prepared, sleeps until something is done, runs callbacks.
        while (in_flight_ != 0)
            made->run_once();
        return failed_ ? kExitFailed : 0;
    }
    std::uint64_t found() const { return found_; }

  private:
    struct Piece {
        std::unique_ptr<char[]> bytes{new char[kChunk]};
    };

    void start(ioengine::IOContext<>& io, Piece& piece) {
        if (next_ >= end_ || failed_)
            return;
        const std::size_t size = std::min<std::uint64_t>(kChunk, end_ - next_);
        const auto accepted = io.read(fd_, ioengine::Bytes(piece.bytes.get(), size), next_,
                                      [this, &io, &piece](ioengine::Result result) noexcept {
                                          --in_flight_;
                                          take(piece, result);
                                          start(io, piece);  // handed over by the next run_once()
                                      });
        if (!accepted) {
            std::fprintf(stderr, "thread_per_core: %s\n", accepted.detail());
            failed_ = true;
            return;
        }
        ++in_flight_;
        next_ += size;
    }

    void take(const Piece& piece, ioengine::Result result) {
        if (!result.ok()) {
            std::fprintf(stderr, "thread_per_core: read: %s\n", std::strerror(result.error()));
            failed_ = true;
            return;
        }
        const char* const bytes = piece.bytes.get();
        found_ += static_cast<std::uint64_t>(
            std::count(bytes, bytes + result.bytes(), static_cast<char>(value_)));
    }

    const int fd_;
    const unsigned char value_;
    std::uint64_t next_;
    const std::uint64_t end_;
    std::uint64_t found_ = 0;
    std::uint32_t in_flight_ = 0;
    bool failed_ = false;
    Piece pieces_[kInFlight];
};

}  // namespace

int main(int argc, char** argv) {
    const int value = argc > 2 ? std::atoi(argv[2]) : -1;
    const int threads = argc > 3 ? std::atoi(argv[3]) : 2;
    if (argc < 3 || argc > 4 || value < 0 || value > 255 || threads < 1 || threads > 256) {
        std::fprintf(stderr, "usage: thread_per_core FILE BYTE [THREADS]\n");
        return kExitUsage;
    }
    const int fd = ::open(argv[1], O_RDONLY | O_CLOEXEC);
    struct stat about {};
    if (fd < 0 || ::fstat(fd, &about) != 0) {
        std::perror(argv[1]);
        return kExitFailed;
    }
    const auto size = static_cast<std::uint64_t>(about.st_size);
    const auto count = static_cast<std::uint64_t>(threads);
    std::vector<std::unique_ptr<Core>> cores;
    for (std::uint64_t i = 0; i < count; ++i)
        cores.push_back(std::make_unique<Core>(fd, static_cast<unsigned char>(value),
                                               size * i / count, size * (i + 1) / count));
    std::atomic<int> code{0};
    std::vector<std::thread> running;
    running.reserve(cores.size());
    for (auto& core : cores)
        running.emplace_back([&code, &core] {
            const int mine = core->run();
            if (mine != 0)
                code = mine;
        });
    std::uint64_t found = 0;
    for (std::size_t i = 0; i < running.size(); ++i) {
        running[i].join();
        found += cores[i]->found();
    }
    ::close(fd);
    if (code == 0)
        std::printf("%llu\n", static_cast<unsigned long long>(found));
    return code;
}
