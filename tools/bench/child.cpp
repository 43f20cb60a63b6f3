// SPDX-License-Identifier: MIT
//
// Starts a child with its output in two anonymous files, which neither block it nor need a reader.
#include "tools/bench/child.hpp"

#include "tools/bench/failure.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <spawn.h>
#include <sstream>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench {

namespace {

class OutputFile {
  public:
    explicit OutputFile(const char* name) : fd_(memfd_create(name, MFD_CLOEXEC)) {
        if (fd_ < 0)
            throw Failure(kExitUnavailable, "memfd_create failed: " + errno_text(errno));
    }
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    ~OutputFile() { close(fd_); }

    int fd() const noexcept { return fd_; }

    std::string content() const {
        std::string all;
        std::array<char, 65536> piece;
        for (;;) {
            const ssize_t got =
                pread(fd_, piece.data(), piece.size(), static_cast<off_t>(all.size()));
            if (got <= 0)
                return all;
            all.append(piece.data(), static_cast<std::size_t>(got));
        }
    }

  private:
    int fd_;
};

}  // namespace

bool is_installed(const std::string& program) {
    const char* path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "/usr/bin:/bin");
    std::string folder;
    while (std::getline(folders, folder, ':')) {
        const std::string candidate = (folder.empty() ? "." : folder) + "/" + program;
        if (access(candidate.c_str(), X_OK) == 0)
            return true;
    }
    return false;
}

ChildOutput run_child(const std::vector<std::string>& arguments) {
    const OutputFile standard_output("stdout");
    const OutputFile standard_error("stderr");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, standard_output.fd(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, standard_error.fd(), STDERR_FILENO);

    std::vector<char*> words;
    words.reserve(arguments.size() + 1);
    for (const std::string& argument : arguments)
        words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);

    pid_t child = -1;
    const int error = posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        throw Failure(kExitUnavailable, "cannot start " + arguments[0] + ": " + errno_text(error));

    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    const int exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return {exit_code, standard_output.content(), standard_error.content()};
}

}  // namespace bench
