// SPDX-License-Identifier: MIT
//
// Goal: `automatic` finds a backend that works here, says which and why; a forced backend that is
// impossible is an error that says what to do.
// Method: forked children in which seccomp denies single system calls the way containers and older
// kernels do, or in which a limit is exhausted. Every child that gets a context moves real data.

#include "tests/engine/children.hpp"
#include "tests/support/support.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using namespace test::children;

namespace {

constexpr std::uint64_t kRegisterProbe = 8;  // IORING_REGISTER_PROBE

struct Denial {
    const char* name;
    std::vector<test::DeniedCall> calls;
    int error;
};

const Denial kDenials[] = {
    {"io_uring_setup: EPERM, as container runtimes do", {{"io_uring_setup", EPERM}}, EPERM},
    {"io_uring_setup: ENOSYS, as old kernels do", {{"io_uring_setup", ENOSYS}}, ENOSYS},
    {"io_uring_setup: EACCES", {{"io_uring_setup", EACCES}}, EACCES},
    {"io_uring_setup: EINVAL", {{"io_uring_setup", EINVAL}}, EINVAL},
    {"io_uring_setup: ENOMEM", {{"io_uring_setup", ENOMEM}}, ENOMEM},
    {"setup allowed, io_uring_enter: EPERM", {{"io_uring_enter", EPERM}}, EPERM},
    {"setup allowed, io_uring_enter: ENOSYS", {{"io_uring_enter", ENOSYS}}, ENOSYS},
};

}  // namespace

TEST_CASE("with io_uring denied, auto runs on AIO and says why",
          "[choice][A2][kernel-7][scenario-14]") {
    test::require_deny();
    test::require_backend(Backend::uring);
    test::require_backend(Backend::aio);
    for (const Denial& denial : kDenials) {
        INFO(denial.name);
        require_child_succeeds([&denial] {
            test::deny(denial.calls);
            auto made = test::Context::create(options_for(Backend::automatic));
            if (!made)
                print(made.error());
            CHILD_CHECK(made);
            const ProbeReport& report = made->report();
            std::printf("%s", to_text(report).c_str());
            CHILD_CHECK(report.asked == Backend::automatic);
            CHILD_CHECK(report.backend == Backend::aio);
            CHILD_CHECK(!report.uring.available);
            CHILD_CHECK(report.uring.sys_errno == denial.error);
            CHILD_CHECK(std::strlen(report.uring.step) > 0);
            CHILD_CHECK(std::strlen(report.uring.hint) > 0);
            CHILD_CHECK(std::strstr(report.reason, report.uring.step) != nullptr);
            CHILD_CHECK(report.aio.available);
            require_child_moves_data(*made);
        });
    }
}

TEST_CASE("with io_uring denied, asking for a ring mode is an error, and AIO does not step in",
          "[choice][ring_modes][A3][G7][kernel-7]") {
    test::require_deny();
    test::require_backend(Backend::uring);
    for (const Denial& denial : kDenials) {
        INFO(denial.name);
        require_child_succeeds([&denial] {
            ::unsetenv("IOENGINE_RING");
            auto plain = test::Context::create(options_for(Backend::uring));
            CHILD_CHECK(plain);
            test::deny(denial.calls);
            Options options = options_for(Backend::automatic);
            options.ring = RingMode::sqpoll;
            const auto polled = test::Context::create(options);
            CHILD_CHECK(!polled);
            print(polled.error());
            CHILD_CHECK(polled.error().code == ErrorCode::unsupported);
            CHILD_CHECK(polled.error().sys_errno == denial.error);
            CHILD_CHECK(std::strstr(polled.error().message, "Options::ring") != nullptr);
            CHILD_CHECK(std::strlen(polled.error().hint) > 0);
            options.ring = RingMode::interrupts;
            options.ring_of = plain->engine();
            const auto attached = test::Context::create(options);
            CHILD_CHECK(!attached);
            CHILD_CHECK(attached.error().sys_errno == denial.error);
        });
    }
}

TEST_CASE("IOENGINE_BACKEND=aio and a program that asks for a ring mode do not agree",
          "[choice][ring_modes][A2][G7]") {
    test::require_backend(Backend::aio);
    require_child_succeeds([] {
        Options options = options_for(Backend::automatic);
        options.ring = RingMode::sqpoll;
        for (const char* const name : {"aio", "null"}) {
            ::setenv("IOENGINE_BACKEND", name, 1);
            const auto made = test::Context::create(options);
            CHILD_CHECK(!made);
            print(made.error());
            CHILD_CHECK(made.error().code == ErrorCode::unsupported);
            CHILD_CHECK(std::strstr(made.error().hint, "IOENGINE_BACKEND") != nullptr);
        }
    });
}

TEST_CASE("IOENGINE_RING tries SQPOLL out, and AIO ignores it", "[choice][ring_modes][A2][G7]") {
    test::require_backend(Backend::aio);
    test::require_backend(Backend::uring);
    require_child_succeeds([] {
        ::unsetenv("IOENGINE_RING");
        auto plain = test::Context::create(options_for(Backend::uring));
        CHILD_CHECK(plain);
        CHILD_CHECK(!test::in_force(*plain, "sqpoll"));
        ::setenv("IOENGINE_RING", "sqpoll", 1);
        auto polled = test::Context::create(options_for(Backend::automatic));
        CHILD_CHECK(polled);
        CHILD_CHECK(polled->report().backend == Backend::uring);
        CHILD_CHECK(test::in_force(*polled, "sqpoll"));
        require_child_moves_data(*polled);
        auto aio = test::Context::create(options_for(Backend::aio));
        CHILD_CHECK(aio);
        CHILD_CHECK(!test::in_force(*aio, "sqpoll"));
        require_child_moves_data(*aio);
    });
}

TEST_CASE("with io_uring denied, forcing it is an error with a hint", "[choice][A3][kernel-7]") {
    test::require_deny();
    test::require_backend(Backend::uring);
    for (const Denial& denial : kDenials) {
        INFO(denial.name);
        require_child_succeeds([&denial] {
            test::deny(denial.calls);
            const auto made = test::Context::create(options_for(Backend::uring));
            CHILD_CHECK(!made);
            print(made.error());
            CHILD_CHECK(made.error().code == ErrorCode::unsupported ||
                        made.error().code == ErrorCode::system);
            CHILD_CHECK(made.error().sys_errno == denial.error);
            CHILD_CHECK(std::strstr(made.error().message, "uring") != nullptr);
            CHILD_CHECK(std::strlen(made.error().hint) > 0);
            CHILD_CHECK(test::threads_named("ioe-").empty());
        });
    }
}

TEST_CASE("a denied opcode probe or no registration at all harms nobody",
          "[choice][G5][kernel-7][scenario-14]") {
    test::require_deny();
    test::require_backend(Backend::uring);
    const Denial denials[] = {
        {"probe: EINVAL", {{"io_uring_register", EINVAL, 1, kRegisterProbe}}, EINVAL},
        {"probe: EPERM", {{"io_uring_register", EPERM, 1, kRegisterProbe}}, EPERM},
        {"all of io_uring_register: EPERM", {{"io_uring_register", EPERM}}, EPERM},
        {"all of io_uring_register: ENOSYS", {{"io_uring_register", ENOSYS}}, ENOSYS},
    };
    for (const Denial& denial : denials) {
        INFO(denial.name);
        require_child_succeeds([&denial] {
            test::deny(denial.calls);
            auto automatic = test::Context::create(options_for(Backend::automatic));
            if (!automatic)
                print(automatic.error());
            CHILD_CHECK(automatic);
            require_child_moves_data(*automatic);
            auto forced = test::Context::create(options_for(Backend::uring));
            if (forced) {
                require_child_moves_data(*forced);
            } else {
                print(forced.error());
                CHILD_CHECK(std::strlen(forced.error().hint) > 0);
            }
        });
    }
}

TEST_CASE("with AIO denied, auto runs on io_uring and forced AIO is an error",
          "[choice][A2][A3][scenario-14]") {
    test::require_deny();
    test::require_backend(Backend::uring);
    test::require_backend(Backend::aio);
    for (const int error : {EPERM, ENOSYS}) {
        require_child_succeeds([error] {
            test::deny({{"io_setup", error}});
            const auto forced = test::Context::create(options_for(Backend::aio));
            CHILD_CHECK(!forced);
            print(forced.error());
            CHILD_CHECK(forced.error().sys_errno == error);
            CHILD_CHECK(std::strlen(forced.error().hint) > 0);
            auto automatic = test::Context::create(options_for(Backend::automatic));
            CHILD_CHECK(automatic);
            CHILD_CHECK(automatic->report().backend == Backend::uring);
            CHILD_CHECK(!automatic->report().aio.available);
            require_child_moves_data(*automatic);
        });
    }
}

TEST_CASE("with both denied, auto is an error that tells of both", "[choice][A2]") {
    test::require_deny();
    require_child_succeeds([] {
        test::deny({{"io_uring_setup", EPERM}, {"io_setup", ENOSYS}});
        const auto made = test::Context::create(options_for(Backend::automatic));
        CHILD_CHECK(!made);
        print(made.error());
        CHILD_CHECK(std::strlen(made.error().message) > 0);
        CHILD_CHECK(std::strlen(made.error().hint) > 0);
        const ProbeReport report = probe();
        CHILD_CHECK(report.backend == Backend::automatic);
        CHILD_CHECK(!report.uring.available);
        CHILD_CHECK(!report.aio.available);
        CHILD_CHECK(test::threads_named("ioe-").empty());
    });
}

TEST_CASE("io_setup answering EAGAIN is explained by fs.aio-max-nr", "[choice][F12]") {
    test::require_deny();
    test::require_backend(Backend::aio);
    require_child_succeeds([] {
        test::deny({{"io_setup", EAGAIN}});
        const auto made = test::Context::create(options_for(Backend::aio));
        CHILD_CHECK(!made);
        print(made.error());
        CHILD_CHECK(made.error().sys_errno == EAGAIN);
        CHILD_CHECK(std::strstr(made.error().hint, "aio-max-nr") != nullptr);
        const ProbeReport report = probe();
        CHILD_CHECK(std::strstr(report.aio.hint, "aio-max-nr") != nullptr);
    });
}

TEST_CASE("threads that cannot be started are an error and leave nothing behind", "[choice]") {
    test::require_deny();
    for (const Backend backend : {Backend::null, Backend::uring, Backend::aio}) {
        if (!test::is_available(backend))
            continue;
        require_child_succeeds([backend] {
            const std::uint64_t fds = test::open_fds();
            // The C library falls back from the one to the other.
            test::deny({{"clone3", ENOSYS}, {"clone", EAGAIN}});
            const auto made = test::Context::create(options_for(backend));
            CHILD_CHECK(!made);
            print(made.error());
            CHILD_CHECK(std::strlen(made.error().hint) > 0);
            CHILD_CHECK(test::open_fds() == fds);
            CHILD_CHECK(test::threads_named("ioe-").empty());
        });
    }
}

TEST_CASE("no free descriptor is an error with its errno", "[choice][A3]") {
    test::require_backend(Backend::uring);
    require_child_succeeds([] {
        const int lowest_free = ::dup(STDOUT_FILENO);
        ::close(lowest_free);
        const rlimit none{static_cast<rlim_t>(lowest_free), static_cast<rlim_t>(lowest_free)};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto made = test::Context::create(options_for(Backend::uring));
        CHILD_CHECK(!made);
        print(made.error());
        CHILD_CHECK(made.error().sys_errno == EMFILE);
        CHILD_CHECK(std::strlen(made.error().hint) > 0);
    });
}

TEST_CASE("auto prefers io_uring where the probe finds it sound", "[choice][A2]") {
    test::require_backend(Backend::uring);
    require_child_succeeds([] {
        const ProbeReport before = probe();
        auto made = test::Context::create(options_for(Backend::automatic));
        CHILD_CHECK(made);
        CHILD_CHECK(made->report().backend == before.backend);
        CHILD_CHECK(before.quirk_count > 0 || before.backend == Backend::uring);
        require_child_moves_data(*made);
    });
}

TEST_EACH_BACKEND("a disabled feature is not in force, and the context works without it",
                  "[choice][G6]") {
    require_child_succeeds([backend] {
        auto plain = test::Context::create(options_for(backend));
        CHILD_CHECK(plain);
        std::string all;
        for (std::uint32_t i = 0; i < plain->report().feature_count; ++i) {
            const std::string name = plain->report().features[i].name;
            if (!plain->report().features[i].in_force)
                continue;
            all += (all.empty() ? "" : ",") + name;
            for (const std::string& names : {name, all}) {
                std::printf("without %s\n", names.c_str());
                Options options = options_for(backend);
                options.disable = names.c_str();
                auto without = test::Context::create(options);
                CHILD_CHECK(without);
                for (std::uint32_t k = 0; k < without->report().feature_count; ++k)
                    if (name == without->report().features[k].name)
                        CHILD_CHECK(!without->report().features[k].in_force);
                require_child_moves_data(*without);
            }
        }
        CHILD_CHECK(!all.empty());
    });
}

TEST_EACH_BACKEND("a disabled backend is not available, and auto takes the other", "[choice][A2]") {
    const Backend other = backend == Backend::uring ? Backend::aio : Backend::uring;
    test::require_backend(other);
    require_child_succeeds([backend, other] {
        Options options = options_for(backend);
        options.disable = backend_name(backend);
        CHILD_CHECK(!test::Context::create(options));
        ::setenv("IOENGINE_DISABLE", backend_name(backend), 1);
        auto automatic = test::Context::create(options_for(Backend::automatic));
        CHILD_CHECK(automatic);
        CHILD_CHECK(automatic->report().backend == other);
        require_child_moves_data(*automatic);
    });
}

TEST_CASE("a backend that is not compiled in is an error with a hint", "[choice][A3]") {
    if (test::probe_report().uring.compiled && test::probe_report().aio.compiled)
        SKIP_TEST("both backends are compiled in");
    for (const Backend missing : test::kKernelBackends) {
        if (test::probe_of(missing).compiled)
            continue;
        const auto made = test::Context::create(options_for(missing));
        REQUIRE_FALSE(made);
        REQUIRE(made.error().code == ErrorCode::unsupported);
        REQUIRE(std::string(made.error().message).find("compiled") != std::string::npos);
        REQUIRE(std::strlen(made.error().hint) > 0);
    }
}

TEST_CASE("the probe leaves neither descriptors nor threads behind", "[choice]") {
    (void)probe();
    const std::uint64_t fds = test::open_fds();
    const std::uint64_t threads = test::thread_count();
    for (int i = 0; i < 5; ++i)
        (void)probe();
    REQUIRE(test::open_fds() == fds);
    REQUIRE(test::thread_count() == threads);
}
