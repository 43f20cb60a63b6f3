// SPDX-License-Identifier: MIT
//
// Writing a test once and running it on every backend.
//
//     TEST_EACH_BACKEND("a read returns what a write stored", "[actions][B1]") {
//         auto io = test::make_context(backend);
//         ...
//     }
//
// registers two test cases, "... / uring" and "... / aio"; TEST_EVERY_BACKEND a third, "... /
// null", for facts in which data does not matter. Where a backend is not available its case is
// skipped with what the probe says.
#ifndef IOENGINE_TESTS_SUPPORT_BACKENDS_HPP
#define IOENGINE_TESTS_SUPPORT_BACKENDS_HPP

#include "tests/support/catch.hpp"
#include "tests/support/child.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wait.hpp"

#include <ioengine/ioengine.hpp>

#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <string>
#include <thread>
#include <utility>

namespace test {

// The two that touch data.
constexpr ioengine::Backend kKernelBackends[] = {ioengine::Backend::uring, ioengine::Backend::aio};

inline const ioengine::ProbeReport& probe_report() {
    static const ioengine::ProbeReport report = ioengine::probe();
    return report;
}

inline const ioengine::BackendProbe& probe_of(ioengine::Backend backend) {
    return backend == ioengine::Backend::uring ? probe_report().uring : probe_report().aio;
}

inline bool is_available(ioengine::Backend backend) {
    return backend == ioengine::Backend::null || probe_of(backend).available;
}

// For what only a denied system call shows.
inline void require_deny() {
    if (!can_deny())
        SKIP_TEST("seccomp filters cannot be made here, or this build has no libseccomp");
}

inline void require_backend(ioengine::Backend backend) {
    if (is_available(backend))
        return;
    const ioengine::BackendProbe& probe = probe_of(backend);
    const std::string name = ioengine::backend_name(backend);
    if (!probe.compiled)
        SKIP_TEST(name + " is not compiled in");
    SKIP_TEST(name + " is not available: " + probe.step + ": " + std::strerror(probe.sys_errno) +
              "; " + probe.hint);
}

using Context = ioengine::IOContext<>;

// Is the suite to run with contexts that a thread of the host's drives, where a test does not say
// otherwise? IOENGINE_TEST_THREADING=caller.
inline bool drives_contexts() {
    const char* const asked = std::getenv("IOENGINE_TEST_THREADING");
    return asked != nullptr && std::strcmp(asked, "caller") == 0;
}

inline bool is_to_be_driven(const ioengine::Options& options) {
    return drives_contexts() && options.threading == ioengine::Threading::split &&
           options.lending == ioengine::Lending::callbacks;
}

// Drives it to its end, which comes with its shutdown; and touches it no more after that, so that
// nobody has to join it. Returns once it is the driver.
inline void drive(ioengine::Engine* engine) {
    Latch drives(1);
    std::thread([engine, &drives] {
        ::pthread_setname_np(::pthread_self(), kDriverName);
        auto report = ioengine::abi::engine_run(engine, ioengine::Run::now, 0);
        drives.count_down();
        while (report.code == ioengine::ErrorCode::none)
            report = ioengine::abi::engine_run(engine, ioengine::Run::once, 0);
    }).detach();
    drives.wait("waiting for a thread to drive a context");
}

// A context on this backend. That the probe found it and it then cannot be made is a failure.
inline Context make_context(ioengine::Backend backend, ioengine::Options options = {}) {
    options.backend = backend;
    const bool driven = is_to_be_driven(options);
    if (driven)
        options.threading = ioengine::Threading::caller;
    auto made = Context::create(options);
    if (!made)
        FAIL("create(" << ioengine::backend_name(backend) << "): " << made.error().message << "; "
                       << made.error().hint);
    if (driven)
        drive(made->engine());
    return *std::move(made);
}

inline Context make_context(ioengine::Backend backend, std::uint32_t depth) {
    ioengine::Options options;
    options.depth = depth;
    return make_context(backend, options);
}

// Does one thread hold both roles, where a test does not say otherwise?
inline bool one_thread() {
    const char* const asked = std::getenv("IOENGINE_THREADING");
    return drives_contexts() || (asked != nullptr && std::strcmp(asked, "owner") == 0);
}

// For what a submitter and a poller do beside each other.
inline void require_two_threads() {
    if (one_thread())
        SKIP_TEST("one thread holds both roles: what holds it up holds up all");
}

// Is it switched off for the whole run, as an older kernel would lack it?
inline bool is_disabled(const char* feature) {
    const char* const list = std::getenv("IOENGINE_DISABLE");
    return list != nullptr &&
           (',' + std::string(list) + ',').find(',' + std::string(feature) + ',') !=
               std::string::npos;
}

// What the report says of a feature.
inline bool in_force(const Context& io, const char* feature) {
    const ioengine::ProbeReport& report = io.report();
    for (std::uint32_t i = 0; i < report.feature_count; ++i)
        if (std::strcmp(report.features[i].name, feature) == 0)
            return report.features[i].in_force;
    return false;
}

inline void run_on(ioengine::Backend backend, void (*body)(ioengine::Backend)) {
    require_backend(backend);
    body(backend);
}

}  // namespace test

// What a failed check prints.
template <>
struct Catch::StringMaker<ioengine::ErrorCode> {
    static std::string convert(ioengine::ErrorCode code) { return ioengine::error_code_name(code); }
};
template <>
struct Catch::StringMaker<ioengine::Acceptance> {
    static std::string convert(const ioengine::Acceptance& acceptance) {
        return acceptance ? "accepted" : std::string("refused: ") + acceptance.detail();
    }
};

#define IOENGINE_TEST_JOIN2(a, b) a##b
#define IOENGINE_TEST_JOIN(a, b) IOENGINE_TEST_JOIN2(a, b)

#define IOENGINE_TEST_REGISTER(function, kind, name, tags)                                         \
    namespace {                                                                                    \
    REGISTER_TEST_CASE(                                                                            \
        +[] { ::test::run_on(::ioengine::Backend::kind, function); }, name " / " #kind,            \
        tags "[" #kind "]")                                                                        \
    }

#define IOENGINE_TEST_BOTH(function, name, tags)                                                   \
    static void function(ioengine::Backend backend);                                               \
    IOENGINE_TEST_REGISTER(function, uring, name, tags)                                            \
    IOENGINE_TEST_REGISTER(function, aio, name, tags)

#define IOENGINE_TEST_ALL(function, name, tags)                                                    \
    IOENGINE_TEST_BOTH(function, name, tags)                                                       \
    IOENGINE_TEST_REGISTER(function, null, name, tags)

#define TEST_EACH_BACKEND(name, tags)                                                              \
    IOENGINE_TEST_BOTH(IOENGINE_TEST_JOIN(backend_test_, __LINE__), name, tags)                    \
    static void IOENGINE_TEST_JOIN(backend_test_,                                                  \
                                   __LINE__)([[maybe_unused]] ioengine::Backend backend)

#define TEST_EVERY_BACKEND(name, tags)                                                             \
    IOENGINE_TEST_ALL(IOENGINE_TEST_JOIN(backend_test_, __LINE__), name, tags)                     \
    static void IOENGINE_TEST_JOIN(backend_test_,                                                  \
                                   __LINE__)([[maybe_unused]] ioengine::Backend backend)

#endif  // IOENGINE_TESTS_SUPPORT_BACKENDS_HPP
