// SPDX-License-Identifier: MIT
//
// Leaves out what it can, greedily. Another fault less is another history, so what is found may be
// another failure of the same seed; it is a failure all the same.
#include "tests/sim/shrink.hpp"

#include "tests/sim/failure.hpp"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sim {

namespace {

// In silence.
bool fails(const RunOptions& options) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child < 0) {
        std::perror("ioengine-sim: fork");
        std::exit(2);
    }
    if (child == 0) {
        const int nowhere = ::open("/dev/null", O_WRONLY);
        ::dup2(nowhere, STDOUT_FILENO);
        tell_story_on_crash();
        run(options);
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

// The fewest, by doubling.
void shrink_requests(RunOptions& options) {
    for (std::uint64_t requests = 5; requests < 3'000; requests *= 2) {
        RunOptions fewer = options;
        fewer.scene_requests = requests;
        if (!fails(fewer))
            continue;
        options = fewer;
        return;
    }
}

void shrink_faults(RunOptions& options) {
    const Scene scene = draw_scene(options.seed, options.backends.front());
    for (std::size_t i = 0; i < ioengine::kFaultKinds; ++i) {
        if (scene.faults.ppm[i] == 0)
            continue;
        RunOptions without = options;
        const auto fault = static_cast<ioengine::Fault>(i);
        if (leave_out(without, ioengine::name_of(fault).name) && fails(without))
            options = without;
    }
}

}  // namespace

RunOptions shrink(const RunOptions& failing) {
    RunOptions options = failing;
    options.verbose = false;
    if (!fails(options))
        return failing;
    shrink_requests(options);
    shrink_faults(options);
    shrink_requests(options);
    options.verbose = failing.verbose;
    return options;
}

}  // namespace sim
