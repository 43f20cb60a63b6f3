// SPDX-License-Identifier: MIT
//
// Implements process.hpp by reading /proc/self.

#include "tests/support/process.hpp"

#include "tests/support/wait.hpp"

#include <algorithm>
#include <dirent.h>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

namespace test {
namespace {

std::vector<std::string> entries_of(const std::string& directory) {
    DIR* stream = ::opendir(directory.c_str());
    if (stream == nullptr)
        throw std::runtime_error("cannot read " + directory);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(stream))
        if (entry->d_name[0] != '.')
            names.emplace_back(entry->d_name);
    ::closedir(stream);
    return names;
}

// Of a thread's flags in proc(5), stat; include/linux/sched.h.
// do_exit() sets it before it clears the word that pthread_join(3) waits for (kernel/exit.c): a
// joined thread has it, and stays in /proc until the kernel has done with it.
constexpr unsigned long kExiting = 0x4;
// Has it from its first moment, and its name "iou-..." a little later (kernel/fork.c).
constexpr unsigned long kIoWorker = 0x10;

// Fields of proc(5), stat, from the third on, the state. Fails if there is no such thread.
std::istringstream stat_of(const std::string& directory) {
    std::ifstream stat(directory + "/stat");
    std::string line;
    std::getline(stat, line);
    return std::istringstream(line.substr(line.rfind(')') + 1));
}

// All flags of one that is gone.
unsigned long flags_of(const std::string& directory) {
    std::istringstream fields = stat_of(directory);
    std::string skipped;
    for (int i = 0; i < 6; ++i)
        fields >> skipped;
    unsigned long flags = 0;
    return fields >> flags ? flags : ~0ul;
}

// False if the thread has ended in the meantime, or is about to.
bool read_thread(const std::string& tid, ThreadUse& use) {
    const std::string directory = "/proc/self/task/" + tid;
    const unsigned long flags = flags_of(directory);
    if ((flags & kExiting) != 0)
        return false;
    use.is_kernels = (flags & kIoWorker) != 0;
    std::ifstream status(directory + "/status");
    std::ifstream schedule(directory + "/schedstat");
    use.tid = std::stoi(tid);
    std::string line;
    bool complete = false;
    while (std::getline(status, line)) {
        const auto value = [&line] { return line.substr(line.find('\t') + 1); };
        if (line.rfind("Name:", 0) == 0)
            use.name = value();
        else if (line.rfind("SigBlk:", 0) == 0)
            use.blocked_signals = std::stoull(value(), nullptr, 16);
        else if (line.rfind("voluntary_ctxt_switches:", 0) == 0)
            use.context_switches += std::stoull(value());
        else if (line.rfind("nonvoluntary_ctxt_switches:", 0) == 0) {
            use.context_switches += std::stoull(value());
            complete = true;
        }
    }
    schedule >> use.run_ns;
    return complete && !schedule.fail();
}

}  // namespace

// The directory stream that counts is itself an open descriptor.
std::uint64_t open_fds() {
    return entries_of("/proc/self/fd").size() - 1;
}

std::uint64_t thread_count() {
    std::uint64_t count = 0;
    for (const ThreadUse& use : threads_named(""))
        count += !use.is_kernels && use.name != kDriverName;
    return count;
}

bool is_asleep(int tid) {
    char state = 0;
    return stat_of("/proc/self/task/" + std::to_string(tid)) >> state && state == 'S';
}

void wait_for_engine_threads(std::size_t count) {
    wait_until([count] { return threads_named("ioe-").size() == count; },
               "waiting for the engine's threads to come or go");
}

std::uint64_t map_count() {
    std::ifstream maps("/proc/self/maps");
    std::uint64_t lines = 0;
    for (std::string line; std::getline(maps, line);)
        ++lines;
    return lines;
}

std::uint64_t rss_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t size_pages = 0;
    std::uint64_t resident_pages = 0;
    statm >> size_pages >> resident_pages;
    return resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

bool operator==(const ThreadUse& a, const ThreadUse& b) {
    return a.tid == b.tid && a.name == b.name && a.context_switches == b.context_switches &&
           a.run_ns == b.run_ns && a.blocked_signals == b.blocked_signals;
}

std::vector<ThreadUse> threads_named(const std::string& prefix) {
    std::vector<ThreadUse> found;
    for (const std::string& tid : entries_of("/proc/self/task")) {
        ThreadUse use;
        if (read_thread(tid, use) && use.name.rfind(prefix, 0) == 0)
            found.push_back(use);
    }
    std::sort(found.begin(), found.end(),
              [](const ThreadUse& a, const ThreadUse& b) { return a.tid < b.tid; });
    return found;
}

std::string to_string(const std::vector<ThreadUse>& threads) {
    std::ostringstream text;
    for (const ThreadUse& use : threads)
        text << use.name << " (" << use.tid << "): " << use.context_switches
             << " context switches, " << use.run_ns << " ns\n";
    return text.str();
}

}  // namespace test
