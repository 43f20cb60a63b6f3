// SPDX-License-Identifier: MIT
//
// One loop over epoll(7) for everything: lines on standard input name places in a file, what is
// read there goes to standard output. The engine has no thread; its descriptor is one among others.
//
//     epoll_loop FILE     on standard input: an offset and a length per line
//
// Answers come in any order, each as "OFFSET: BYTES bytes, sum SUM". Exit code 0: all was read, 1:
// a read failed, 2: usage, 69: no context can be made on this machine.
#include <ioengine/ioengine.hpp>

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <string>
#include <sys/epoll.h>
#include <unistd.h>

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitUnavailable = 69;
constexpr std::uint64_t kLengthMax = 1 << 20;

class Loop {
  public:
    Loop(ioengine::IOContext<>& io, int fd) : io_(io), fd_(fd) {}

    int run() {
        const int done = io_.completion_fd();
        epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
        if (done < 0 || epoll_ < 0 || !watch(done) || !watch(STDIN_FILENO)) {
            std::fprintf(stderr, "epoll_loop: standard input must be a pipe or a terminal\n");
            return kExitFailed;
        }
        while (reads_input_ || in_flight_ != 0) {
            epoll_event events[2];
            const int count = ::epoll_wait(epoll_, events, 2, timeout_ms_);
            for (int i = 0; i < count; ++i)
                if (events[i].data.fd == STDIN_FILENO)
                    take_input();
            // Hands over what was submitted since, and runs callbacks; never waits.
            timeout_ms_ = timeout_ms(io_.run_once(ioengine::Run::now).again_in_ns);
        }
        ::close(epoll_);
        return failed_ ? kExitFailed : 0;
    }

  private:
    // A kernel that was busy is to be asked again, and deadlines pass, whatever the descriptor
    // says.
    static int timeout_ms(std::int64_t again_in_ns) {
        constexpr std::int64_t kMillisecond = 1'000'000;
        if (again_in_ns < 0)
            return -1;
        return static_cast<int>(
            std::min<std::int64_t>((again_in_ns + kMillisecond - 1) / kMillisecond, 60'000));
    }

    bool watch(int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
    }

    void take_input() {
        char bytes[4096];
        const ssize_t count = ::read(STDIN_FILENO, bytes, sizeof bytes);
        if (count <= 0) {
            ::epoll_ctl(epoll_, EPOLL_CTL_DEL, STDIN_FILENO, nullptr);
            reads_input_ = false;
            return;
        }
        input_.append(bytes, static_cast<std::size_t>(count));
        std::size_t begin = 0;
        for (std::size_t end; (end = input_.find('\n', begin)) != std::string::npos;
             begin = end + 1)
            take_line(input_.substr(begin, end - begin));
        input_.erase(0, begin);
    }

    void take_line(const std::string& line) {
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
        if (std::sscanf(line.c_str(), "%" SCNu64 " %" SCNu64, &offset, &length) != 2 ||
            length > kLengthMax) {
            std::fprintf(stderr, "epoll_loop: \"%s\" is no offset and length\n", line.c_str());
            failed_ = true;
            return;
        }
        char* const memory = new char[length + 1];
        const auto accepted = io_.read(fd_, ioengine::Bytes(memory, length), offset,
                                       [this, memory, offset](ioengine::Result result) noexcept {
                                           answer(memory, offset, result);
                                       });
        if (accepted) {
            ++in_flight_;
            return;
        }
        std::fprintf(stderr, "epoll_loop: %s\n", accepted.detail());
        failed_ = true;
        delete[] memory;
    }

    void answer(char* memory, std::uint64_t offset, ioengine::Result result) {
        const std::unique_ptr<char[]> owned(memory);
        --in_flight_;
        if (!result.ok()) {
            std::fprintf(stderr, "epoll_loop: %" PRIu64 ": %s\n", offset,
                         std::strerror(result.error()));
            failed_ = true;
            return;
        }
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i < result.bytes(); ++i)
            sum += static_cast<unsigned char>(memory[i]);
        std::printf("%" PRIu64 ": %" PRIu64 " bytes, sum %" PRIu64 "\n", offset,
                    std::uint64_t{result.bytes()}, sum);
    }

    ioengine::IOContext<>& io_;
    const int fd_;
    int epoll_ = -1;
    int timeout_ms_ = -1;
    std::string input_;
    std::uint64_t in_flight_ = 0;
    bool reads_input_ = true;
    bool failed_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: epoll_loop FILE\n");
        return kExitUsage;
    }
    const int fd = ::open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        std::perror(argv[1]);
        return kExitFailed;
    }
    ioengine::Options options;
    options.threading = ioengine::Threading::caller;
    auto made = ioengine::IOContext<>::create(options);
    if (!made) {
        std::fprintf(stderr, "epoll_loop: %s; %s\n", made.error().message, made.error().hint);
        return kExitUnavailable;
    }
    const int code = Loop(*made, fd).run();
    made->shutdown();
    ::close(fd);
    return code;
}
