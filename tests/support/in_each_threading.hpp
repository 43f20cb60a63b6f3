// SPDX-License-Identifier: MIT
//
// Rig and in_each_threading: a test over two threads, one of the engine's, and one of its own that
// drives.
#ifndef IOENGINE_TESTS_SUPPORT_IN_EACH_THREADING_HPP
#define IOENGINE_TESTS_SUPPORT_IN_EACH_THREADING_HPP

#include "tests/support/support.hpp"

#include <thread>
#include <utility>

namespace test {

constexpr ioengine::Threading kThreadings[] = {
    ioengine::Threading::split, ioengine::Threading::owner, ioengine::Threading::caller};

inline const char* name_of(ioengine::Threading threading) {
    return threading == ioengine::Threading::split   ? "split"
           : threading == ioengine::Threading::owner ? "owner"
                                                     : "caller";
}

// A context, with a thread that drives it where one has to.
class Rig {
  public:
    Rig(ioengine::Backend backend, ioengine::Threading threading, ioengine::Options options = {},
        bool starts = true)
        : io(make_context(backend, with(options, threading))), threading_(threading) {
        if (starts)
            start();
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;
    ~Rig() { stop(); }

    void start() {
        if (threading_ != ioengine::Threading::caller)
            return;
        Latch drives(1);
        driver_ = std::thread([this, &drives] {
            ioengine::RunReport report = io.run_once(ioengine::Run::now);
            drives.count_down();
            while (report.code == ioengine::ErrorCode::none)
                report = io.run_once();
        });
        drives.wait();
    }
    ioengine::ShutdownReport stop() {
        if (!driver_.joinable())
            return io.shutdown();
        ioengine::ShutdownReport report;
        std::thread([&] { report = io.shutdown(); }).join();
        driver_.join();
        return report;
    }

    Context io;

  private:
    static ioengine::Options with(ioengine::Options options, ioengine::Threading threading) {
        options.threading = threading;
        return options;
    }
    const ioengine::Threading threading_;
    std::thread driver_;
};

// body(rig) for each threading.
template <class Body>
void in_each_threading(ioengine::Backend backend, const ioengine::Options& options, Body&& body) {
    for (const ioengine::Threading threading : kThreadings) {
        INFO(name_of(threading));
        Rig rig(backend, threading, options);
        body(rig.io);
        CHECK(rig.stop().clean);
    }
}
template <class Body>
void in_each_threading(ioengine::Backend backend, Body&& body) {
    in_each_threading(backend, ioengine::Options(), std::forward<Body>(body));
}

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_IN_EACH_THREADING_HPP
