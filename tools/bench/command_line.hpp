// SPDX-License-Identifier: MIT
//
// What every command of the bench does with its command line.
#ifndef TOOLS_BENCH_COMMAND_LINE_HPP
#define TOOLS_BENCH_COMMAND_LINE_HPP

#include "tools/bench/failure.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <string>

namespace bench {

// False if help was asked for, and printed. Throws Failure with one line that names the help.
inline bool parse_command_line(CLI::App& app, int argc, char** argv) {
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        std::cout << app.help();
        return false;
    } catch (const CLI::ParseError& error) {
        std::string line = error.what();
        std::replace(line.begin(), line.end(), '\n', ' ');
        throw Failure(kExitUsage, line + "; see " + app.get_name() + " --help");
    }
    return true;
}

inline CLI::Option* add_repeat(CLI::App& app, unsigned& repetitions, unsigned least) {
    return app
        .add_option("--repeat", repetitions,
                    "repetitions of each, of which the median counts, " + std::to_string(least) +
                        " to 99")
        ->check(CLI::Range(least, 99u))
        ->type_name("N")
        ->capture_default_str();
}

inline void add_directory(CLI::App& app, const char* name, std::string& directory,
                          const char* help) {
    app.add_option(name, directory, help)
        ->type_name("DIR")
        ->check(CLI::ExistingDirectory)
        ->capture_default_str();
}

}  // namespace bench

#endif  // TOOLS_BENCH_COMMAND_LINE_HPP
