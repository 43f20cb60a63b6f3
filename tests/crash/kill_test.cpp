// SPDX-License-Identifier: MIT
//
// Goal: a store over the engine that is killed at any moment has all that it acknowledged, and
// nothing that is torn.
// Method: examples/store.cpp in a process of its own is fed with puts whose values say what they
// must be; SIGKILL comes after a random number of acknowledgements and a random moment more; the
// same directory is opened again and all of it compared, again and again, so that later rounds
// stand on what earlier ones left. (The kernel lives on, and its page cache with it: this is not a
// cut of power.)
//
// IOENGINE_STORE: the program. IOENGINE_TEST_KILLS: how many rounds on each backend.

#include "tests/support/random.hpp"
#include "tests/support/support.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <poll.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace ioengine;

namespace {

constexpr std::uint64_t kKeys = 40;

std::uint64_t rounds() {
    const char* const asked = std::getenv("IOENGINE_TEST_KILLS");
    return asked != nullptr ? std::strtoull(asked, nullptr, 10) : 60;
}

// All of it follows from key and version, so that a torn or mixed one is found.
std::string value_of(std::uint64_t key, std::uint64_t version) {
    test::Random random(key * 1'000'003 + version);
    std::string value = std::to_string(version) + ' ';
    const std::uint64_t length = random.below(version % 7 == 0 ? 5000 : 200);
    for (std::uint64_t i = 0; i < length; ++i)
        value += static_cast<char>('a' + random.below(26));
    return value;
}

struct Store {
    Store(const std::string& directory, Backend backend) {
        const char* const program = std::getenv("IOENGINE_STORE");
        REQUIRE(program != nullptr);
        int to[2];
        int from[2];
        REQUIRE(::pipe2(to, O_CLOEXEC) == 0);
        REQUIRE(::pipe2(from, O_CLOEXEC) == 0);
        pid = ::fork();
        REQUIRE(pid >= 0);
        if (pid == 0) {
            ::dup2(to[0], 0);
            ::dup2(from[1], 1);
            ::setenv("IOENGINE_BACKEND", backend_name(backend), 1);
            ::execl(program, program, directory.c_str(), static_cast<char*>(nullptr));
            ::_exit(127);
        }
        ::close(to[0]);
        ::close(from[1]);
        in = to[1];
        out = from[0];
        ::fcntl(in, F_SETFL, O_NONBLOCK);
    }
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;
    ~Store() {
        ::close(out);
        if (in >= 0)
            ::close(in);
        if (pid > 0) {
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, 0);
        }
    }
    bool read_more() {
        std::array<char, 65536> piece;
        const ssize_t got = ::read(out, piece.data(), piece.size());
        if (got > 0)
            said.append(piece.data(), static_cast<std::size_t>(got));
        return got > 0;
    }
    int finish() {
        ::close(std::exchange(in, -1));
        while (read_more()) {
        }
        int status = 0;
        ::waitpid(std::exchange(pid, -1), &status, 0);
        return status;
    }

    pid_t pid = -1;
    int in = -1;
    int out = -1;
    std::string said;
};

// What was sent, what was acknowledged, per key, over all rounds.
struct Versions {
    std::uint64_t sent = 0;
    std::uint64_t acknowledged = 0;
};

struct Put {
    std::uint64_t key;
    std::uint64_t version;
};

class Rounds {
  public:
    Rounds(Backend backend, std::uint64_t seed) : backend_(backend), random_(seed) {
        std::string pattern = "/var/tmp/ioengine-kill.XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        directory_ = pattern;
    }
    ~Rounds() { std::filesystem::remove_all(directory_); }
    Rounds(const Rounds&) = delete;
    Rounds& operator=(const Rounds&) = delete;

    // Puts until it is killed.
    void kill_one() {
        Store store(directory_, backend_);
        const std::uint64_t until = random_.below(300);
        std::uint64_t acknowledged = 0;
        std::string unsent;
        std::vector<Put> in_flight;  // in order
        std::size_t answered = 0;
        while (acknowledged < until) {
            if (unsent.empty() && in_flight.size() - answered < 100) {
                for (int i = 0; i < 20; ++i) {
                    const std::uint64_t key = random_.below(kKeys);
                    const std::uint64_t version = ++versions_[key].sent;
                    unsent += "put k" + std::to_string(key) + ' ' + value_of(key, version) + '\n';
                    in_flight.push_back({key, version});
                }
            }
            pollfd fds[2] = {{store.out, POLLIN, 0},
                             {store.in, static_cast<short>(unsent.empty() ? 0 : POLLOUT), 0}};
            REQUIRE(::poll(fds, 2, -1) > 0);
            if ((fds[1].revents & POLLOUT) != 0) {
                const ssize_t put = ::write(store.in, unsent.data(), unsent.size());
                REQUIRE((put > 0 || errno == EAGAIN));
                unsent.erase(0, put > 0 ? static_cast<std::size_t>(put) : 0);
            }
            if ((fds[0].revents & (POLLIN | POLLHUP)) != 0)
                REQUIRE(store.read_more());
            acknowledged += take_acknowledgements(store, in_flight, answered);
        }
        ::usleep(static_cast<useconds_t>(random_.below(3000)));
        ::kill(store.pid, SIGKILL);
        // What it said before is as good as what was read in time.
        while (store.read_more()) {
        }
        acknowledged += take_acknowledgements(store, in_flight, answered);
        acknowledged_ += acknowledged;
    }

    // Opens what is there.
    void compare() {
        Store store(directory_, backend_);
        REQUIRE(::write(store.in, "all\n", 4) == 4);
        const int status = store.finish();
        REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
        std::map<std::uint64_t, std::uint64_t> found;
        std::string line;
        while (next_line(store.said, line)) {
            REQUIRE(line.substr(0, 1) == "k");
            const std::size_t space = line.find(' ');
            const std::uint64_t key = std::stoull(line.substr(1));
            const std::uint64_t version = std::stoull(line.substr(space + 1));
            REQUIRE(line.substr(space + 1) == value_of(key, version));
            found[key] = version;
        }
        for (auto& [key, versions] : versions_) {
            INFO("key " << key << ": found version " << found[key] << ", acknowledged "
                        << versions.acknowledged << ", sent " << versions.sent);
            REQUIRE(found[key] >= versions.acknowledged);
            REQUIRE(found[key] <= versions.sent);
            // What was found is there for good: it was read from the log or a snapshot.
            versions.acknowledged = found[key];
        }
    }
    std::uint64_t acknowledged() const { return acknowledged_; }

  private:
    static bool next_line(std::string& from, std::string& line) {
        const std::size_t end = from.find('\n');
        if (end == std::string::npos)
            return false;
        line = from.substr(0, end);
        from.erase(0, end + 1);
        return true;
    }
    std::uint64_t take_acknowledgements(Store& store, const std::vector<Put>& in_flight,
                                        std::size_t& answered) {
        std::uint64_t count = 0;
        std::string line;
        for (; next_line(store.said, line); ++count) {
            REQUIRE(answered < in_flight.size());
            const Put& put = in_flight[answered++];
            REQUIRE(line == "ok k" + std::to_string(put.key));
            versions_[put.key].acknowledged = put.version;
        }
        return count;
    }

    const Backend backend_;
    test::Random random_;
    std::string directory_;
    std::map<std::uint64_t, Versions> versions_;
    std::uint64_t acknowledged_ = 0;
};

}  // namespace

TEST_EACH_BACKEND("a store that is killed at any moment has what it acknowledged, and nothing torn",
                  "[crash]") {
    ::signal(SIGPIPE, SIG_IGN);  // of a store that ends by itself: write(2) says so
    Rounds all(backend, test::announced_seed("kills"));
    for (std::uint64_t round = 0; round < rounds(); ++round) {
        INFO("round " << round);
        all.kill_one();
        all.compare();
    }
    std::printf("%s: %llu kills, %llu records acknowledged\n", backend_name(backend),
                static_cast<unsigned long long>(rounds()),
                static_cast<unsigned long long>(all.acknowledged()));
    REQUIRE(all.acknowledged() > 0);
}
