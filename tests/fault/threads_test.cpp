// SPDX-License-Identifier: MIT
//
// Goal: a thread that cannot be had is a clean error with a hint, and leaves nothing behind.
// Method: pthread_create(3), wrapped at link time, fails at the n-th call.

#include "tests/fault/batch.hpp"
#include "tests/fault/faulty_context.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <pthread.h>
#include <string>

using namespace ioengine;

namespace {

// Calls until one fails, counting that one; 0: none does.
std::atomic<int> g_failing_call{0};

class FailThread {
  public:
    explicit FailThread(int call) { g_failing_call.store(call); }
    ~FailThread() { g_failing_call.store(0); }
    bool happened() const { return g_failing_call.load() == 0; }
};

struct Left {
    std::uint64_t fds = test::open_fds();
    std::uint64_t threads = test::thread_count();
};

void require_nothing_left_since(const Left& before) {
    REQUIRE(test::thread_count() == before.threads);
    REQUIRE(test::open_fds() == before.fds);
}

}  // namespace

extern "C" {
int __real_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                          void* argument) {
    if (g_failing_call.load() > 0 && g_failing_call.fetch_sub(1) == 1)
        return EAGAIN;
    return __real_pthread_create(thread, attributes, body, argument);
}
}

TEST_EACH_BACKEND(
    "defect 14: a context whose first or second thread cannot be had is an error that "
    "says what to do, and leaves no thread and no descriptor",
    "[fault][threads][A3][defect-14]") {
    {
        test::FaultPlan plan;  // what is made once per process is made now
        test::make_faulty(backend, plan, 4);
    }
    for (int call = 1; call <= (test::one_thread() ? 1 : 2); ++call) {
        const Left before;
        {
            test::FaultPlan plan;
            const FailThread fail(call);
            const auto made = test::try_faulty(backend, plan);
            REQUIRE(fail.happened());
            REQUIRE_FALSE(made.has_value());
            REQUIRE(made.error().code == ErrorCode::system);
            REQUIRE(made.error().sys_errno == EAGAIN);
            REQUIRE(std::string(made.error().message).find("thread") != std::string::npos);
            REQUIRE(std::string(made.error().hint).find("ulimit") != std::string::npos);
            REQUIRE(plan.in_kernel_when_destroyed() == 0);
        }
        INFO("call " << call);
        require_nothing_left_since(before);
    }
    test::FaultPlan plan;
    auto io = test::make_faulty(backend, plan, 4);
    REQUIRE(test::result_of(io, [](Request& request) { request.prepare_nop(); }).ok());
}

TEST_CASE("a pool of callback threads that cannot have its last thread is an error and leaves none",
          "[fault][threads][C4]") {
    const Left before;
    for (const int call : {1, 2, 4}) {
        const FailThread fail(call);
        const auto made = IOWorkers::create(4);
        REQUIRE(fail.happened());
        REQUIRE_FALSE(made.has_value());
        REQUIRE(made.error().sys_errno == EAGAIN);
        REQUIRE(made.error().hint[0] != '\0');
    }
    require_nothing_left_since(before);
}

TEST_EACH_BACKEND("an operation whose helper thread cannot be had is done all the same",
                  "[fault][threads][B5][B11]") {
    test::TempFile file(8192);
    test::FaultPlan plan;
    auto io = test::make_faulty(backend, plan, 4);
    const FailThread fail(1);
    for (std::uint64_t i = 0; i < 2; ++i) {
        const Result result = test::result_of(io, [&](Request& request) {
            request.prepare_fallocate(file.fd(), 0, 8192 * (i + 1), 8192);
        });
        REQUIRE(result.raw() == 0);
        REQUIRE(file.size() == 8192 * (i + 2));
    }
    // On io_uring the operation is native and asks for no thread.
    REQUIRE(fail.happened() == (io.stats().offloaded != 0));
    REQUIRE(io.shutdown().clean);
}
