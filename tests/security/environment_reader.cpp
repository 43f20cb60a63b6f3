// SPDX-License-Identifier: MIT
//
// Prints what the library takes from the environment. security.sh makes it a setuid program, which
// could not be linked with a shared library outside the system's directories.
#include "lib/settings.hpp"

#include <cstdio>

int main() {
    const ioengine::Environment environment = ioengine::read_environment();
    const char* const values[] = {environment.backend, environment.log, environment.disable,
                                  environment.lending,
                                  environment.stats_at_exit ? "exit" : nullptr};
    for (const char* const value : values)
        std::printf("%s\n", value != nullptr ? value : "-");
    return 0;
}
