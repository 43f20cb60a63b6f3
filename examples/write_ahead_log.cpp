// SPDX-License-Identifier: MIT
//
// A write-ahead log: append, then fdatasync, then acknowledge.
//
//     write_ahead_log LOG < lines    prints the records that are there, then appends one per line
//
// The log itself, which a store would take over, is in log.hpp.
#include "log.hpp"

#include <ioengine/ioengine.hpp>

#include <cstring>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: write_ahead_log LOG < lines\n";
        return 2;
    }
    auto made = ioengine::IOContext<>::create();
    if (!made) {
        std::cerr << "write_ahead_log: " << made.error().message << '\n'
                  << made.error().hint << '\n';
        return 69;
    }
    Log log(*made);  // after the context, so that it goes, and waits, before it
    const int error = log.open(argv[1], [](const auto& payload) { std::cout << payload << '\n'; });
    if (error != 0) {
        std::cerr << "write_ahead_log: " << argv[1] << ": " << std::strerror(error) << '\n';
        return 1;
    }
    if (log.cut() != 0)
        std::cerr << "write_ahead_log: cut " << log.cut() << " torn bytes off\n";
    const std::uint64_t before = log.wait_durable();
    auto last = before;
    for (std::string line; std::getline(std::cin, line) && log.append(line);)
        ++last;
    const std::uint64_t durable = log.wait_durable();
    std::cerr << "write_ahead_log: " << durable - before << " records acknowledged\n";
    return durable == last && std::cin.eof() && std::cout.flush() ? 0 : 1;
}
