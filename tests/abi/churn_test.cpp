// SPDX-License-Identifier: MIT
//
// Goal: a host that loads, uses and unloads the library again and again keeps nothing of it.
// Method: this program does not link the library; it loads a plugin that does, has it make and
// destroy a context, unloads it, and looks at /proc/self. The first rounds fill the cache of thread
// stacks; after them no count may grow.
#include "tests/abi/churn_plugin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wait.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <malloc.h>
#include <string>
#include <thread>

namespace {

// The plugin, loaded for as long as this lives.
class Plugin {
  public:
    Plugin() : handle_(::dlopen(path(), RTLD_NOW | RTLD_LOCAL)) {
        if (handle_ == nullptr) {
            std::fprintf(stderr, "%s\n", ::dlerror());
            std::abort();
        }
        unavailable = reinterpret_cast<ChurnUnavailable*>(::dlsym(handle_, "churn_unavailable"));
        once = reinterpret_cast<ChurnOnce*>(::dlsym(handle_, "churn_once"));
    }
    Plugin(const Plugin&) = delete;
    Plugin& operator=(const Plugin&) = delete;
    ~Plugin() { closed = ::dlclose(handle_) == 0; }

    ChurnUnavailable* unavailable = nullptr;
    ChurnOnce* once = nullptr;
    static inline bool closed = false;

  private:
    static const char* path() {
        const char* path = std::getenv("IOENGINE_CHURN_PLUGIN");
        if (path == nullptr) {
            std::fprintf(stderr, "IOENGINE_CHURN_PLUGIN must name the plugin\n");
            std::abort();
        }
        return path;
    }

    void* handle_;
};

bool is_mapped(const std::string& library) {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
        if (line.find(library) != std::string::npos)
            return true;
    return false;
}

std::uint64_t retries = 0;

// A ring that was just destroyed gives its locked memory back a little later, and the system's AIO
// requests are a common good: a create that fails for want of them is tried again.
void round(const char* backend) {
    test::wait_until(
        [backend] {
            int code = 0;
            {
                const Plugin plugin;
                code = plugin.once(backend, 3);
            }
            if (code > 0)
                ++retries;
            REQUIRE(Plugin::closed);
            REQUIRE(code >= 0);
            return code == 0;
        },
        "no context could be made for want of memory or AIO requests");
}

void churn(const char* backend, std::uint64_t rounds_warm, std::uint64_t rounds) {
    {
        const Plugin plugin;
        if (const char* reason = plugin.unavailable(backend); reason != nullptr)
            SKIP_TEST(reason);
    }
    retries = 0;
    // Else it depends on chance how many arenas the allocator maps for how many threads at once.
    REQUIRE(::mallopt(M_ARENA_MAX, 1) == 1);
    const std::uint64_t fds = test::open_fds();
    const std::uint64_t threads = test::thread_count();
    std::uint64_t maps = 0;
    std::uint64_t rss = 0;
    for (std::uint64_t i = 0; i < rounds_warm; ++i) {
        round(backend);
        maps = std::max(maps, test::map_count());
        rss = std::max(rss, test::rss_bytes());
    }
    CHECK_FALSE(is_mapped("libioengine"));
    CHECK_FALSE(is_mapped("churn-plugin"));

    for (std::uint64_t i = 0; i < rounds; ++i)
        round(backend);
    std::printf(
        "%s: %llu rounds, %llu retries; fds %llu -> %llu, threads %llu -> %llu, maps %llu "
        "-> %llu, KiB %llu -> %llu\n",
        backend, static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(retries),
        static_cast<unsigned long long>(fds), static_cast<unsigned long long>(test::open_fds()),
        static_cast<unsigned long long>(threads),
        static_cast<unsigned long long>(test::thread_count()),
        static_cast<unsigned long long>(maps), static_cast<unsigned long long>(test::map_count()),
        static_cast<unsigned long long>(rss >> 10),
        static_cast<unsigned long long>(test::rss_bytes() >> 10));

    CHECK(test::open_fds() == fds);
    CHECK(test::thread_count() == threads);
    CHECK(test::map_count() <= maps);
    CHECK(test::rss_bytes() < rss + (std::uint64_t{2} << 20));
    CHECK_FALSE(is_mapped("libioengine"));
}

}  // namespace

TEST_CASE("a thousand times loaded, used on io_uring and unloaded, the library leaves nothing") {
    churn("uring", 50, 1000);
}

TEST_CASE("fifty times loaded, used on AIO and unloaded, the library leaves nothing") {
    churn("aio", 10, 50);
}
