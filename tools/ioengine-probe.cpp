// SPDX-License-Identifier: MIT
//
// ioengine-probe: says what this kernel, container and user allow, which backend would be used, and
// why.
#include <ioengine/probe.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>

namespace {

enum ExitCode : int { kDone = 0, kWrong = 1, kUsage = 2, kUnavailable = 69 };

int complain(ExitCode code, std::string message) {
    std::replace(message.begin(), message.end(), '\n', ' ');
    std::fprintf(stderr, "ioengine-probe: %s\n", message.c_str());
    return code;
}

int probe_and_print(bool json) {
    const ioengine::ProbeReport report = ioengine::probe();
    const ioengine::Text text = json ? ioengine::to_json(report) : ioengine::to_text(report);
    if (text.size() == 0)
        return complain(kUnavailable, "no memory for the report; free some and try again");
    const bool ends = text.c_str()[text.size() - 1] == '\n';
    const bool written = std::fputs(text.c_str(), stdout) >= 0 &&
                         (ends || std::fputc('\n', stdout) != EOF) && std::fflush(stdout) == 0;
    if (!written)
        return complain(kWrong, std::string("cannot write to stdout: ") + std::strerror(errno));
    if (report.backend == ioengine::Backend::automatic)
        return complain(kUnavailable, std::string("no backend can be used: ") + report.reason);
    return kDone;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        CLI::App app(
            "Says what this kernel, container and user allow, which backend ioengine would "
            "use, and why.",
            "ioengine-probe");
        bool json = false;
        app.add_flag("--json", json, "print one JSON document and nothing else");
        app.footer("IOENGINE_BACKEND and IOENGINE_DISABLE count as they do for a program that uses "
                   "the library.\nExit codes: 0 done, 1 the report could not be written, 2 usage, "
                   "69 no backend can be used here.");
        try {
            app.parse(argc, argv);
        } catch (const CLI::CallForHelp&) {
            std::cout << app.help();
            return kDone;
        } catch (const CLI::ParseError& error) {
            return complain(kUsage, std::string(error.what()) + "; see ioengine-probe --help");
        }
        return probe_and_print(json);
    } catch (const std::exception& error) {
        return complain(kUnavailable, error.what());
    }
}
