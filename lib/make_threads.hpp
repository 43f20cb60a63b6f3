// SPDX-License-Identifier: MIT
//
// The runner that Options::threading asks for, over any driver.
#pragma once

#include "lib/one_thread_runner.hpp"
#include "lib/split_runner.hpp"

#include <memory>
#include <utility>

namespace ioengine {
inline namespace v0 {

template <Driver D>
std::unique_ptr<Runner> make_threads(const RunnerSetup& setup, std::unique_ptr<D> driver) {
    if (setup.threading == Threading::split)
        return std::make_unique<SplitRunner<D>>(setup, std::move(driver));
    return std::make_unique<OneThreadRunner<D>>(setup, std::move(driver));
}

}  // namespace v0
}  // namespace ioengine
