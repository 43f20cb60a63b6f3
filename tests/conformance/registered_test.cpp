// SPDX-License-Identifier: MIT
//
// Goal: registered buffers and files change what a request costs, never what becomes of it: the
// same bytes, the same refusals, on every backend, in force or not; whoever registers, unregisters
// and submits at the same time. Method: the same requests with and without handles, over contexts
// of every threading; the stats say what really went that way. Pipes hold requests in flight;
// tables of one or two places run full.

#include "tests/support/blocks.hpp"
#include "tests/support/in_each_threading.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <sys/uio.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace ioengine;
using test::Blocks;
using test::kBlock;

namespace {

using test::in_each_threading;
using test::kThreadings;
using test::name_of;
using test::Rig;

bool buffers_work(const test::Context& io) {
    return test::in_force(io, "registered_buffers");
}
bool files_work(const test::Context& io) {
    return test::in_force(io, "registered_files");
}

// perform(), which must accept it.
std::int64_t done(test::Context& io, Request& request) {
    REQUIRE(io.perform(request));
    return request.result;
}

// Both handles, or REQUIRE fails.
struct Registered {
    Registered(test::Context& io, int fd, Bytes memory)
        : files(*io.register_files({fd})), buffers(*io.register_buffers({memory})) {}
    void use_in(Request& request) const {
        request.use(buffers[0]);
        request.use(files[0]);
    }
    RegisteredFiles files;
    RegisteredBuffers buffers;
};

std::string detail_of(test::Context& io, Request& request) {
    const Acceptance acceptance = io.perform(request);
    CHECK(acceptance.code() == ErrorCode::invalid_argument);
    return acceptance.detail();
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_EACH_BACKEND("registered buffers and files move the right bytes, and the stats say what went "
                  "that way",
                  "[registered][H8][H9]") {
    in_each_threading(backend, [&](test::Context& io) {
        Blocks blocks(8);
        const Registered registered(io, blocks.file.direct_fd(), blocks.memory);
        REQUIRE(registered.buffers.in_force() == buffers_work(io));
        REQUIRE(registered.files.in_force() == files_work(io));
        for (std::size_t i = 0; i < blocks.count; ++i) {
            Request request;
            request.prepare_read(-1, blocks.at(i), kBlock, i * kBlock);
            registered.use_in(request);
            REQUIRE(done(io, request) == kBlock);
            REQUIRE(blocks.right(i));
        }
        test::fill_pattern(blocks.at(3), kBlock, 77);
        Request request;
        request.prepare_write(-1, blocks.at(3), kBlock, 5 * kBlock);
        registered.use_in(request);
        REQUIRE(done(io, request) == kBlock);
        request.prepare_fdatasync(-1);
        request.use(registered.files[0]);
        REQUIRE(done(io, request) == 0);
        unsigned char back[kBlock];
        blocks.file.get(back, kBlock, 5 * kBlock);
        REQUIRE(test::has_pattern(back, kBlock, 77));
        const Stats stats = io.stats();
        const std::uint64_t again = stats.polled_refused;  // went to two rings
        CHECK(stats.fixed_buffers == (buffers_work(io) ? 9u + again : 0u));
        CHECK(stats.fixed_files == (files_work(io) ? 10u + again : 0u));
        // A flush on a helper thread is none of the backend's.
        const std::uint64_t named =
            stats.fixed_buffers + stats.fixed_files + stats.fixed_unused + stats.offloaded;
        CHECK(named == 19 + 2 * again);
    });
}

TEST_CASE("a kernel that registers buffers and files has them in force on io_uring",
          "[registered][uring][H8][H9]") {
    test::require_backend(Backend::uring);
    const ProbeReport& probe = test::probe_report();
    for (const char* const name : {"registered_buffers", "registered_files"}) {
        bool available = false;
        for (std::uint32_t i = 0; i < probe.feature_count; ++i)
            available |= probe.features[i].name == std::string(name) && probe.features[i].available;
        if (!available)
            SKIP_TEST(std::string("this kernel, or IOENGINE_DISABLE, has no ") + name);
        for (const Threading threading : kThreadings) {
            const Rig rig(Backend::uring, threading, {}, false);
            CHECK(test::in_force(rig.io, name));
        }
    }
}

TEST_EACH_BACKEND("raw and registered requests go side by side in one batch", "[registered][H10]") {
    in_each_threading(backend, [&](test::Context& io) {
        Blocks blocks(48);
        const Registered registered(io, blocks.file.direct_fd(), blocks.memory);
        std::vector<Request> requests(blocks.count);
        Group group(io);
        for (std::size_t i = 0; i < blocks.count; ++i) {
            Request& request = requests[i];
            request.prepare_read(blocks.file.direct_fd(), blocks.at(i), kBlock, i * kBlock);
            if ((i & 1) != 0)
                request.use(registered.buffers[0]);
            if ((i & 2) != 0)
                request.use(registered.files[0]);
            REQUIRE(group.submit(request));
        }
        REQUIRE(group.wait() == ErrorCode::none);
        for (std::size_t i = 0; i < blocks.count; ++i) {
            REQUIRE(requests[i].result == kBlock);
            REQUIRE(blocks.right(i));
        }
        CHECK(io.stats().fixed_buffers == (buffers_work(io) ? 24u : 0u));
        CHECK(io.stats().fixed_files == (files_work(io) ? 24u : 0u));
    });
}

TEST_EACH_BACKEND("a handle of what was unregistered is refused, also when its place is another's",
                  "[registered][H8][H9]") {
    in_each_threading(backend, [&](test::Context& io) {
        Blocks blocks(2);
        const test::TempFile other(kBlock);
        auto files = *io.register_files({blocks.file.fd()});
        auto buffers = *io.register_buffers({Bytes(blocks.at(0), kBlock)});
        const FileHandle old_file = files[0];
        const BufferHandle old_buffer = buffers[0];
        for (int round = 0; round < 2; ++round) {
            Request request;
            request.prepare_read(-1, blocks.at(0), kBlock, 0);
            request.use(old_file);
            if (round == 0)
                REQUIRE(done(io, request) == kBlock);
            files.reset();
            CHECK(contains(detail_of(io, request), "file is not registered"));
            request.prepare_read(blocks.file.fd(), blocks.at(0), kBlock, 0);
            request.use(old_buffer);
            if (round == 0)
                REQUIRE(done(io, request) == kBlock);
            buffers.reset();
            CHECK(contains(detail_of(io, request), "buffer is not registered"));
            // The same file and memory, in the same places, are not the old ones.
            files = *io.register_files({blocks.file.fd()});
            buffers = *io.register_buffers({Bytes(blocks.at(0), kBlock)});
            CHECK(files[0].place == old_file.place);
            CHECK(buffers[0].place == old_buffer.place);
            CHECK(contains(detail_of(io, request), "buffer is not registered"));
            request.prepare_read(-1, blocks.at(0), kBlock, 0);
            request.use(files[0]);
            request.use(buffers[0]);
            REQUIRE(done(io, request) == kBlock);
        }
    });
}

TEST_EACH_BACKEND("a request that does not fit what it names is refused, and holds nothing",
                  "[registered][H8][H9]") {
    in_each_threading(backend, [&](test::Context& io) {
        Blocks blocks(4);
        const test::TempFile other(kBlock);
        // The middle two.
        Registered registered(io, blocks.file.fd(), Bytes(blocks.at(1), 2 * kBlock));
        const auto read = [&](unsigned char* data, std::size_t bytes) {
            Request request;
            request.prepare_read(-1, data, bytes, 0);
            registered.use_in(request);
            return request;
        };
        for (Request request : {read(blocks.at(1) - 1, kBlock), read(blocks.at(0), kBlock),
                                read(blocks.at(2) + 1, kBlock), read(blocks.at(3), kBlock),
                                read(blocks.at(1), 2 * kBlock + 1)})
            CHECK(contains(detail_of(io, request), "within the registered buffer"));
        for (Request request :
             {read(blocks.at(1), 2 * kBlock), read(blocks.at(3) - 1, 1), read(blocks.at(3), 0)})
            REQUIRE(done(io, request) == static_cast<std::int64_t>(request.length));
        Request request = read(blocks.at(1), kBlock);
        request.fd = other.fd();
        CHECK(contains(detail_of(io, request), "fd is not that"));
        request.prepare_fsync(blocks.file.fd());
        request.use(registered.buffers[0]);
        CHECK(contains(detail_of(io, request), "for reads and writes"));
        request.prepare_nop();
        request.use(registered.files[0]);
        CHECK(contains(detail_of(io, request), "for requests on a file"));
        // Nothing keeps the places.
        const std::uint32_t place = registered.buffers[0].place;
        registered.buffers.reset();
        REQUIRE((*io.register_buffers({Bytes(blocks.at(0), kBlock)}))[0].place == place);
    });
}

TEST_EACH_BACKEND("a handle that stands for nothing makes no difference", "[registered]") {
    Blocks blocks(1);
    auto io = test::make_context(backend);
    Request request;
    request.prepare_read(blocks.file.fd(), blocks.at(0), kBlock, 0);
    request.use(BufferHandle());
    REQUIRE(done(io, request) == kBlock);
    REQUIRE(blocks.right(0));
    REQUIRE(io.stats().fixed_unused == 0);
}

TEST_EACH_BACKEND("vectors with a registered buffer go as ordinary ones, on the registered file",
                  "[registered][H8][H9]") {
    in_each_threading(backend, [&](test::Context& io) {
        Blocks blocks(2);
        const Registered registered(io, blocks.file.direct_fd(), blocks.memory);
        const iovec vectors[2] = {{blocks.at(0), kBlock}, {blocks.at(1), kBlock}};
        Request request;
        request.prepare_readv(-1, vectors, 2, 0);
        registered.use_in(request);
        REQUIRE(done(io, request) == 2 * kBlock);
        REQUIRE(blocks.right(0));
        REQUIRE(blocks.right(1));
        CHECK(io.stats().fixed_buffers == 0);
        CHECK(io.stats().fixed_files == (files_work(io) ? 1u : 0u));
        CHECK(io.stats().fixed_unused == (files_work(io) ? 1u : 2u));
    });
}

TEST_EACH_BACKEND(
    "unregistering under a request in flight lets it end, and the kernel lets go with "
    "it",
    "[registered][H8][H9]") {
    std::signal(SIGPIPE, SIG_IGN);
    Options options;
    options.registered_files = 1;
    options.registered_buffers = 1;
    in_each_threading(backend, options, [&](test::Context& io) {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        test::Fd reads(ends[0]);
        const test::Fd writes(ends[1]);
        AlignedBuffer memory = *AlignedBuffer::create(kBlock);
        const test::TempFile other(kBlock);
        std::optional<Registered> registered(std::in_place, io, reads.get(), memory);
        test::KeptEvent event;
        event.prepare_read(-1, memory.data(), 5, 0);
        registered->use_in(event);
        Request late;
        late.prepare_read(-1, memory.data(), 5, 0);
        registered->use_in(late);
        REQUIRE(io.submit(event));
        test::wait_until([&] { return io.stats().queued_read == 0; },
                         "waiting for the read to be with the kernel");
        registered.reset();
        CHECK(contains(detail_of(io, late), "not registered"));
        // Its place is its own until it is done.
        if (backend != Backend::aio)  // whose driver would be in a submit call
            CHECK((*io.register_files({other.fd()})).note().code == ErrorCode::queue_full);
        REQUIRE(::write(writes.get(), "hello", 5) == 5);
        event.callback.done.wait();
        CHECK(event.callback.result.raw() == 5);
        CHECK(std::memcmp(memory.data(), "hello", 5) == 0);
        CHECK(io.stats().fixed_files == (files_work(io) ? 1u : 0u));
        // Nobody else has the reading end open.
        reads.close();
        test::wait_until([&] { return ::write(writes.get(), "x", 1) < 0 && errno == EPIPE; },
                         "waiting for the kernel to let go of the file");
        const auto again = *io.register_files({other.fd()});
        CHECK(again.in_force() == files_work(io));
        CHECK(again[0].place == 1);
        CHECK((*io.register_buffers({memory}))[0].place == 1);
    });
}

TEST_EACH_BACKEND("an element that is updated is another one, and the others stay",
                  "[registered][H8][H9]") {
    in_each_threading(backend, [&](test::Context& io) {
        Blocks blocks(3);
        const test::TempFile other(kBlock);
        test::fill_pattern(blocks.at(0), kBlock, 500);
        other.put(blocks.at(0), kBlock, 0);
        const int list[2] = {blocks.file.fd(), blocks.file.fd()};
        auto files = *io.register_files(list);
        const std::vector<Bytes> memory = {Bytes(blocks.at(0), kBlock),
                                           Bytes(blocks.at(1), kBlock)};
        auto buffers = *io.register_buffers(memory);
        const FileHandle old_file = files[1];
        const BufferHandle old_buffer = buffers[1];
        const auto new_file = files.update(1, other.fd());
        const auto new_buffer = buffers.update(1, Bytes(blocks.at(2), kBlock));
        REQUIRE(new_file);
        REQUIRE(new_buffer);
        CHECK(files.in_force() == files_work(io));
        CHECK(buffers.in_force() == buffers_work(io));
        Request request;
        request.prepare_read(-1, blocks.at(2), kBlock, 0);
        request.use(*new_file);
        request.use(*new_buffer);
        REQUIRE(done(io, request) == kBlock);
        REQUIRE(test::has_pattern(blocks.at(2), kBlock, 500));
        request.prepare_read(-1, blocks.at(0), kBlock, 0);
        request.use(files[0]);
        request.use(buffers[0]);
        REQUIRE(done(io, request) == kBlock);
        REQUIRE(blocks.right(0));
        request.prepare_read(-1, blocks.at(1), kBlock, 0);
        request.use(old_file);
        CHECK(contains(detail_of(io, request), "not registered"));
        request.prepare_read(other.fd(), blocks.at(1), kBlock, 0);
        request.use(old_buffer);
        CHECK(contains(detail_of(io, request), "not registered"));
        // What makes no sense changes nothing.
        CHECK(files.update(0, -1).error().code == ErrorCode::invalid_argument);
        CHECK(files.update(2, other.fd()).error().code == ErrorCode::invalid_argument);
        CHECK(buffers.update(0, Bytes()).error().code == ErrorCode::invalid_argument);
        request.prepare_read(-1, blocks.at(0), kBlock, 0);
        request.use(files[0]);
        request.use(buffers[0]);
        REQUIRE(done(io, request) == kBlock);
    });
}

TEST_EVERY_BACKEND("what makes no sense is not registered", "[registered][H8][H9]") {
    auto io = test::make_context(backend);
    const test::TempFile file;
    unsigned char byte = 0;
    const auto bad_file = io.register_files({file.fd(), test::kClosedFd});
    REQUIRE_FALSE(bad_file);
    CHECK(bad_file.error().code == ErrorCode::invalid_argument);
    CHECK(bad_file.error().sys_errno == EBADF);
    const auto bad_buffer = io.register_buffers({Bytes(&byte, 1), Bytes()});
    REQUIRE_FALSE(bad_buffer);
    CHECK(bad_buffer.error().code == ErrorCode::invalid_argument);
    CHECK((*io.register_files({file.fd()}))[0].place == 1);
}

TEST_EACH_BACKEND("a batch that finds no place goes as ordinary requests, and says so",
                  "[registered][H8][H9]") {
    Options options;
    options.registered_files = 2;
    options.registered_buffers = 2;
    in_each_threading(backend, options, [&](test::Context& io) {
        Blocks blocks(3);
        const int fd = blocks.file.fd();
        const Bytes block(blocks.at(0), kBlock);
        auto files = *io.register_files({fd, fd, fd});
        auto buffers = *io.register_buffers({block, block, block});
        CHECK_FALSE(files.in_force());
        CHECK(files.note().code == ErrorCode::queue_full);
        CHECK(contains(files.note().hint, "registered_files"));
        CHECK(buffers.note().code == ErrorCode::queue_full);
        Request request;
        request.prepare_read(-1, blocks.at(0), kBlock, 0);
        request.use(files[2]);
        request.use(buffers[2]);
        REQUIRE(done(io, request) == kBlock);
        REQUIRE(blocks.right(0));
        CHECK(io.stats().fixed_files + io.stats().fixed_buffers == 0);
        // All or none: two fit.
        auto two = *io.register_files({fd, fd});
        CHECK(two.in_force() == files_work(io));
        CHECK((*io.register_files({fd})).note().code == ErrorCode::queue_full);
        two.reset();
        CHECK((*io.register_files({fd})).in_force() == files_work(io));
    });
}

TEST_EVERY_BACKEND("switched off, handles work and nothing is in force", "[registered][H8][H9]") {
    for (const char* const off :
         {"registered_buffers", "registered_files", "registered_buffers,registered_files"}) {
        Options options;
        options.disable = off;
        in_each_threading(backend, options, [&](test::Context& io) {
            const bool no_buffers = contains(off, "buffers");
            const bool no_files = contains(off, "files");
            CHECK_FALSE((no_buffers && buffers_work(io)));
            CHECK_FALSE((no_files && files_work(io)));
            Blocks blocks(1);
            const Registered registered(io, blocks.file.direct_fd(), blocks.memory);
            if (no_buffers)
                CHECK(registered.buffers.note().code == ErrorCode::unsupported);
            if (no_files)
                CHECK(registered.files.note().code == ErrorCode::unsupported);
            Request request;
            request.prepare_read(-1, blocks.at(0), kBlock, 0);
            registered.use_in(request);
            REQUIRE(done(io, request) == kBlock);
            const Stats stats = io.stats();
            const std::uint64_t times = 1 + stats.polled_refused;  // went to two rings
            CHECK(stats.fixed_buffers == (registered.buffers.in_force() ? times : 0u));
            CHECK(stats.fixed_files == (registered.files.in_force() ? times : 0u));
            CHECK(stats.fixed_buffers + stats.fixed_files + stats.fixed_unused == 2 * times);
        });
    }
}

TEST_EACH_BACKEND("who waits to drive, drives, or runs a callback may register",
                  "[registered][H8]") {
    for (const Threading threading : kThreadings) {
        INFO(name_of(threading));
        Blocks blocks(4);
        const int fd = blocks.file.fd();
        Rig rig(backend, threading, {}, false);
        // Before a driver has come, from two threads.
        auto before = *rig.io.register_files({fd});
        std::optional<RegisteredFiles> elsewhere;
        std::thread([&] { elsewhere.emplace(*rig.io.register_files({fd})); }).join();
        CHECK(before.in_force() == files_work(rig.io));
        CHECK(elsewhere->in_force() == files_work(rig.io));
        rig.start();
        Request request;
        for (const FileHandle& handle : {before[0], (*elsewhere)[0]}) {
            request.prepare_read(-1, blocks.at(0), kBlock, 0);
            request.use(handle);
            REQUIRE(done(rig.io, request) == kBlock);
        }
        // From a stranger's thread while it drives.
        auto meanwhile = *rig.io.register_files({fd});
        CHECK(meanwhile.in_force() == files_work(rig.io));
        // In a callback, all of it.
        test::Latch called(1);
        bool right = false;
        REQUIRE(rig.io.nop([&](Result) noexcept {
            auto made = rig.io.register_files({fd});
            right = made && made->in_force() == files_work(rig.io) && made->update(0, fd);
            meanwhile.reset();
            called.count_down();
        }));
        called.wait();
        REQUIRE(right);
        CHECK(rig.stop().clean);
        CHECK(rig.io.register_files({fd}).error().code == ErrorCode::shutting_down);
        CHECK(before.update(0, fd).error().code == ErrorCode::shutting_down);
    }
}

TEST_EACH_BACKEND("a worker's callback may not wait for a thread that may wait for it",
                  "[registered]") {
    const test::TempFile file;
    auto workers = *IOWorkers::create(1);
    Options options;
    options.workers = &workers;
    for (const Threading threading : kThreadings) {
        INFO(name_of(threading));
        Rig rig(backend, threading, options);
        ErrorCode code = ErrorCode::none;
        bool in_force = false;
        test::Latch called(1);
        REQUIRE(rig.io.nop([&](Result) noexcept {
            auto made = rig.io.register_files({file.fd()});
            code = made ? ErrorCode::none : made.error().code;
            in_force = made && made->in_force();
            called.count_down();
        }));
        called.wait();
        // With two threads the kernel takes it from any.
        if (threading == Threading::split && !test::one_thread()) {
            CHECK(code == ErrorCode::none);
            CHECK(in_force == files_work(rig.io));
        } else {
            CHECK(code == ErrorCode::would_deadlock);
        }
        CHECK(rig.stop().clean);
    }
}

TEST_EVERY_BACKEND("what is registered may outlive its context", "[registered]") {
    const test::TempFile file;
    AlignedBuffer memory = *AlignedBuffer::create(kBlock);
    for (const Threading threading : kThreadings) {
        std::optional<Rig> rig(std::in_place, backend, threading);
        auto files = *rig->io.register_files({file.fd()});
        auto buffers = *rig->io.register_buffers({memory});
        auto pool = *BufferPool::create(rig->io, 4, kBlock);
        rig.reset();
        CHECK(files.size() == 1);
        CHECK(files.update(0, file.fd()).error().code == ErrorCode::shutting_down);
        const PooledBuffer taken = pool.take();
        REQUIRE(taken);
        pool.give(taken);
        files.reset();
    }
}

TEST_EVERY_BACKEND("a forked child registers nothing, and takes nothing from its parent",
                   "[registered][fork]") {
    for (const Threading threading : kThreadings) {
        INFO(name_of(threading));
        Rig rig(backend, threading);
        const test::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
        std::optional<RegisteredFiles> files(*rig.io.register_files({zero.get()}));
        const FileHandle handle = (*files)[0];
        const test::ChildOutcome child = test::run_child([&] {
            CHILD_CHECK(rig.io.register_files({zero.get()}).error().code == ErrorCode::forked);
            CHILD_CHECK(files->update(0, zero.get()).error().code == ErrorCode::forked);
            files.reset();
            return 0;
        });
        INFO(child.output);
        REQUIRE(child.exit_code == 0);
        unsigned char byte = 1;
        Request request;
        request.prepare_read(-1, &byte, 1, 0);
        request.use(handle);
        REQUIRE(done(rig.io, request) == 1);
        CHECK(rig.io.stats().fixed_files == (files_work(rig.io) ? 1u : 0u));
    }
}

TEST_EVERY_BACKEND("a refused request keeps no place", "[registered][B2]") {
    Options options;
    options.depth = 1;
    options.queue_limit = 1;
    options.registered_files = 1;
    const test::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    unsigned char byte = 0;
    auto io = test::make_context(backend, options);
    auto files = *io.register_files({zero.get()});
    std::vector<std::unique_ptr<test::KeptEvent>> events;
    std::size_t accepted = 0;
    {
        test::Plug plug(io);
        for (int i = 0; i < 10; ++i) {
            events.push_back(std::make_unique<test::KeptEvent>());
            events.back()->prepare_read(-1, &byte, 1, 0);
            events.back()->use(files[0]);
            const Acceptance acceptance = io.submit(*events.back());
            CHECK((acceptance || acceptance.code() == ErrorCode::queue_full));
            accepted += acceptance ? 1 : 0;
            if (!acceptance)
                events.pop_back();
        }
        REQUIRE(accepted < 10);
    }
    for (const auto& event : events)
        event->callback.done.wait();
    test::settle(io);
    files.reset();
    const auto again = *io.register_files({zero.get()});
    CHECK(again[0].place == 1);
    CHECK(again.in_force() == files_work(io));
}

TEST_EACH_BACKEND("threads register and unregister while others submit, and each byte is right",
                  "[registered][stress][H8][H9]") {
    constexpr std::size_t kThreads = 3;
    constexpr std::size_t kRounds = test::kThreadSanitizer ? 60 : 300;
    Options options;
    options.registered_files = 4;  // so that places change hands, and run out
    options.registered_buffers = 4;
    options.depth = 8;
    in_each_threading(backend, options, [&](test::Context& io) {
        Blocks blocks(kThreads);
        std::vector<std::unique_ptr<test::TempFile>> others;
        for (std::size_t t = 0; t < kThreads; ++t) {
            others.push_back(std::make_unique<test::TempFile>(kBlock));
            std::vector<unsigned char> content(kBlock);
            test::fill_pattern(content.data(), kBlock, 1000 + t);
            others.back()->put(content.data(), kBlock, 0);
        }
        std::atomic<int> wrong{0};
        std::atomic<int> in_force{0};
        std::vector<std::thread> threads;
        for (std::size_t t = 0; t < kThreads; ++t)
            threads.emplace_back([&, t] {
                unsigned char* const memory = blocks.at(t);
                for (std::size_t round = 0; round < kRounds; ++round) {
                    const bool other = (round & 1) != 0;
                    const int fd = other ? others[t]->fd() : blocks.file.fd();
                    auto files = io.register_files({fd});
                    auto buffers = io.register_buffers({Bytes(memory, kBlock)});
                    if (!files || !buffers) {
                        ++wrong;
                        return;
                    }
                    in_force += files->in_force() + buffers->in_force();
                    const std::uint64_t at = other ? 0 : t * kBlock;
                    Request first;
                    Request second;
                    for (Request* request : {&first, &second}) {
                        const std::size_t half = request == &first ? 0 : kBlock / 2;
                        request->prepare_read(-1, memory + half, kBlock / 2, at + half);
                        request->use((*files)[0]);
                        request->use((*buffers)[0]);
                        wrong += !io.submit_wait(*request);
                    }
                    if (round % 3 != 0) {  // under both
                        files->reset();
                        buffers->reset();
                    }
                    wrong += io.wait(first) != ErrorCode::none;
                    wrong += io.wait(second) != ErrorCode::none;
                    wrong += first.result != kBlock / 2 || second.result != kBlock / 2 ||
                             !test::has_pattern(memory, kBlock, other ? 1000 + t : t);
                    std::memset(memory, 0, kBlock);
                }
            });
        for (std::thread& thread : threads)
            thread.join();
        REQUIRE(wrong == 0);
        if (files_work(io) && buffers_work(io)) {
            CHECK(in_force > 0);
            CHECK(io.stats().fixed_files > 0);
            CHECK(io.stats().fixed_buffers > 0);
        }
        // Nothing is left in the tables.
        const int fd = blocks.file.fd();
        CHECK((*io.register_files({fd, fd, fd, fd})).note().code != ErrorCode::queue_full);
    });
}
