// SPDX-License-Identifier: MIT
//
// Run with a library that was built without one backend: smoke PRESENT ABSENT FILE. 0: as it should
// be, 1: not, 77: this machine cannot run the other backend.
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <future>
#include <ioengine/ioengine.hpp>
#include <unistd.h>

namespace {

using ioengine::Backend;
using ioengine::BackendProbe;

Backend backend_of(const char* name) {
    return std::strcmp(name, "aio") == 0 ? Backend::aio : Backend::uring;
}

const BackendProbe& probe_of(const ioengine::ProbeReport& report, Backend backend) {
    return backend == Backend::aio ? report.aio : report.uring;
}

int wrong(const char* what) {
    std::fprintf(stderr, "wrong: %s\n", what);
    return 1;
}

// Submits by `start` and waits. Below 0: -errno, or refused.
template <class Start>
std::int64_t wait_for(Start start) {
    std::promise<std::int64_t> promise;
    auto completion = promise.get_future();
    if (!start([done = std::move(promise)](ioengine::Result result) mutable noexcept {
            done.set_value(result.raw());
        }))
        return -1;
    return completion.get();
}

int moves_data(ioengine::IOContext<>& io, const char* path) {
    const int fd = ::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return wrong("cannot make the file");
    char sent[4096];
    char got[sizeof(sent)] = {};
    for (std::size_t i = 0; i < sizeof(sent); ++i)
        sent[i] = static_cast<char>(i * 7);
    const auto written =
        wait_for([&](auto done) { return io.write(fd, sent, 0, std::move(done)); });
    const auto flushed = wait_for([&](auto done) { return io.fdatasync(fd, std::move(done)); });
    const auto read = wait_for([&](auto done) { return io.read(fd, got, 0, std::move(done)); });
    ::close(fd);
    if (written != sizeof(sent) || flushed != 0 || read != sizeof(got))
        return wrong("a request failed");
    return std::memcmp(sent, got, sizeof(sent)) == 0 ? 0 : wrong("other bytes came back");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4)
        return wrong("usage: smoke PRESENT ABSENT FILE");
    const Backend present = backend_of(argv[1]);
    const Backend absent = backend_of(argv[2]);

    const ioengine::ProbeReport report = ioengine::probe();
    if (probe_of(report, absent).compiled || probe_of(report, absent).available)
        return wrong("the backend that was left out is there");
    if (!probe_of(report, present).compiled)
        return wrong("the other backend is not there");

    ioengine::Options options;
    options.backend = absent;
    if (const auto forced = ioengine::IOContext<>::create(options); forced)
        return wrong("a context on the backend that was left out");
    else if (forced.error().code != ioengine::ErrorCode::unsupported ||
             forced.error().hint[0] == '\0')
        return wrong("the error is not `unsupported` with a hint");

    if (!probe_of(report, present).available) {
        std::printf("%s: %s\n", argv[1], probe_of(report, present).hint);
        return 77;
    }
    auto made = ioengine::IOContext<>::create();
    if (!made)
        return wrong(made.error().message);
    if (made->report().backend != present)
        return wrong("automatic did not choose the backend that is left");
    return moves_data(*made, argv[3]);
}
