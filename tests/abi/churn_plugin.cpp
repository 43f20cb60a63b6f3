// SPDX-License-Identifier: MIT
//
// A plugin that uses the shared library and is unloaded together with it. See churn_test.cpp.
#include "tests/abi/churn_plugin.hpp"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <ioengine/ioengine.hpp>
#include <unistd.h>

namespace {

ioengine::Backend backend_of(const char* name) {
    return std::strcmp(name, "aio") == 0 ? ioengine::Backend::aio : ioengine::Backend::uring;
}

int failed(const char* what, const char* why) {
    std::fprintf(stderr, "churn plugin: %s: %s\n", what, why);
    return -1;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) const char* churn_unavailable(const char* backend) {
    static ioengine::ProbeReport report;
    report = ioengine::probe();
    const bool aio = backend_of(backend) == ioengine::Backend::aio;
    const ioengine::BackendProbe& probe = aio ? report.aio : report.uring;
    if (probe.available)
        return nullptr;
    return probe.hint[0] != '\0' ? probe.hint : "the probe found it unavailable";
}

__attribute__((visibility("default"))) int churn_once(const char* backend, unsigned requests) {
    const int fd = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return failed("/dev/zero", std::strerror(errno));
    unsigned char page[512];
    std::memset(page, 1, sizeof(page));
    std::atomic<unsigned> done{0};
    std::atomic<int> wrong{0};
    unsigned accepted = 0;
    {
        ioengine::Options options;
        options.backend = backend_of(backend);
        options.depth = 4;
        auto made = ioengine::IOContext<>::create(options);
        if (!made) {
            ::close(fd);
            const int error = made.error().sys_errno;
            if (error == ENOMEM || error == EAGAIN)
                return error;
            return failed(made.error().message, made.error().hint);
        }
        const auto count = [&done, &wrong](ioengine::Result result) noexcept {
            if (!result.ok())
                wrong.store(result.error(), std::memory_order_relaxed);
            done.fetch_add(1, std::memory_order_relaxed);
        };
        for (unsigned i = 0; i < requests; ++i)
            accepted += made->nop(count) ? 1 : 0;
        accepted += made->read(fd, page, 0, count) ? 1 : 0;
    }
    ::close(fd);
    if (accepted != requests + 1)
        return failed("submit", "a request was refused");
    if (done.load(std::memory_order_relaxed) != accepted)
        return failed("destructor", "returned before every request had completed");
    if (wrong.load(std::memory_order_relaxed) != 0)
        return failed("request", std::strerror(wrong.load(std::memory_order_relaxed)));
    if (page[0] != 0 || page[sizeof(page) - 1] != 0)
        return failed("read", "the bytes did not arrive");
    return 0;
}

}  // extern "C"
