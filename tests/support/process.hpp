// SPDX-License-Identifier: MIT
//
// What /proc/self says: descriptors, threads, mappings, memory, and what each thread has used.
#ifndef IOENGINE_TESTS_SUPPORT_PROCESS_HPP
#define IOENGINE_TESTS_SUPPORT_PROCESS_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace test {

std::uint64_t open_fds();
// Without those that the kernel adds for io_uring, which come and go as it likes, and those that
// drive contexts for the tests, which nobody joins: see backends.hpp.
constexpr char kDriverName[] = "test-driver";
std::uint64_t thread_count();
std::uint64_t map_count();
std::uint64_t rss_bytes();

struct ThreadUse {
    int tid = 0;
    std::string name;
    bool is_kernels = false;             // added by io_uring
    std::uint64_t context_switches = 0;  // voluntary and involuntary
    std::uint64_t run_ns = 0;            // on a CPU
    std::uint64_t blocked_signals = 0;   // bit n - 1: signal n
};
bool operator==(const ThreadUse& a, const ThreadUse& b);

// Does this thread of ours sleep, where a signal could wake it? False if there is none.
bool is_asleep(int tid);

// Every thread of this process whose name begins with `prefix`, by thread id. Not those that have
// ended, or are joined.
std::vector<ThreadUse> threads_named(const std::string& prefix);

// Waits until so many engine threads are there, by their default names: a new one
// takes a moment to name itself, and one that nobody joins takes a moment to end.
void wait_for_engine_threads(std::size_t count);

// For messages: one thread per line.
std::string to_string(const std::vector<ThreadUse>& threads);

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_PROCESS_HPP
