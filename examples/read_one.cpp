// SPDX-License-Identifier: MIT
//
// Reads one piece of a file and prints it: the smallest complete program.
//
//     read_one FILE [OFFSET [LENGTH]]     bytes; 0 and 4096 unless given
//
// The bytes go to standard output, what happened to standard error. Exit code 0: read, 1: the read
// failed, 2: usage, 69: no context can be made on this machine.
#include <ioengine/ioengine.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <future>
#include <unistd.h>
#include <utility>

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitUnavailable = 69;

// A whole decimal number; nothing before it, nothing after it.
bool parse(const char* text, std::uint64_t& number) {
    char* end = nullptr;
    errno = 0;
    number = std::strtoull(text, &end, 10);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0';
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t offset = 0;
    std::uint64_t length = 4096;
    if (argc < 2 || argc > 4 || (argc > 2 && !parse(argv[2], offset)) ||
        (argc > 3 && !parse(argv[3], length))) {
        std::fprintf(stderr, "usage: read_one FILE [OFFSET [LENGTH]]\n");
        return kExitUsage;
    }

    const int fd = ::open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        std::fprintf(stderr, "read_one: %s: %s\n", argv[1], std::strerror(errno));
        return kExitFailed;
    }

    // Owned memory. The engine borrows it from the accepted read until the callback.
    auto memory = ioengine::AlignedBuffer::create(length);
    if (!memory) {
        std::fprintf(stderr, "read_one: %s; %s\n", memory.error().message, memory.error().hint);
        return kExitUsage;
    }

    // One context per program is plenty: it is thread-safe and owns two threads. Declared after the
    // buffer, so that it is destroyed, and has drained, before the buffer goes.
    ioengine::Options options;
    options.depth = 1;
    auto made = ioengine::IOContext<>::create(options);
    if (!made) {
        std::fprintf(stderr, "read_one: %s; %s\n", made.error().message, made.error().hint);
        return kExitUnavailable;
    }
    auto& io = *made;

    // The callback runs on a thread of the engine and must not block, so it only hands the result
    // over. It owns its end of the promise: nothing on this stack has to outlive it.
    std::promise<ioengine::Result> promise;
    auto completion = promise.get_future();
    const ioengine::Acceptance accepted = io.read(
        fd, *memory, offset, [done = std::move(promise)](ioengine::Result result) mutable noexcept {
            done.set_value(result);
        });
    // Refused means that no callback will come; waiting for it would be for ever.
    if (!accepted) {
        std::fprintf(stderr, "read_one: refused: %s\n", accepted.detail());
        return kExitFailed;
    }

    const ioengine::Result result = completion.get();
    ::close(fd);  // from its callback on, a request needs its descriptor no more
    if (!result.ok()) {
        std::fprintf(stderr, "read_one: %s: %s\n", argv[1], std::strerror(result.error()));
        return kExitFailed;
    }

    // Fewer bytes than asked for, or none, is the end of the file and no error.
    std::fprintf(stderr, "read_one: %llu bytes at %llu through %s\n",
                 static_cast<unsigned long long>(result.bytes()),
                 static_cast<unsigned long long>(offset),
                 ioengine::backend_name(io.report().backend));
    if (std::fwrite(memory->data(), 1, result.bytes(), stdout) != result.bytes() ||
        std::fflush(stdout) != 0) {
        std::fprintf(stderr, "read_one: standard output: %s\n", std::strerror(errno));
        return kExitFailed;
    }
    return 0;
}
