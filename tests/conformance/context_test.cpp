// SPDX-License-Identifier: MIT
//
// Goal: one engine type and one API whatever the backend; a context is a movable handle; buffers,
// errors and versions are what the headers say.
// Method: use the handle in every way the headers allow, and compare what they return.

#include "tests/support/support.hpp"

#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

using namespace ioengine;

TEST_EACH_BACKEND("one type serves every backend and the caller's code does not see which",
                  "[context][A1]") {
    static_assert(std::is_same_v<decltype(test::make_context(backend)), IOContext<IOCallback>>);
    test::TempFile file(512);
    char in[512];
    auto io = test::make_context(backend);
    REQUIRE(io.report().backend == backend);
    test::Latch done(1);
    Result seen;
    REQUIRE(io.read(file.fd(), in, 0, [&](Result result) noexcept {
        seen = result;
        done.count_down();
    }));
    done.wait();
    REQUIRE(seen.bytes() == sizeof(in));
}

TEST_EVERY_BACKEND("a context can be moved while requests are in flight", "[context][A1]") {
    constexpr int kRequests = 200;
    test::Latch done(2 * kRequests);
    auto first = test::make_context(backend, 4);
    for (int i = 0; i < kRequests; ++i)
        REQUIRE(first.nop([&](Result) { done.count_down(); }));
    test::Context second(std::move(first));
    for (int i = 0; i < kRequests; ++i)
        REQUIRE(second.nop([&](Result) { done.count_down(); }));
    auto third = test::make_context(backend, 2);
    third = std::move(second);
    done.wait();
    REQUIRE(third.stats().depth == 4);
    REQUIRE(third.shutdown().completed == 2 * kRequests);
}

TEST_EVERY_BACKEND("several contexts live side by side", "[context]") {
    std::vector<test::Context> contexts;
    for (int i = 0; i < 5; ++i)
        contexts.push_back(test::make_context(backend, 8));
    for (int round = 0; round < 20; ++round)
        for (test::Context& io : contexts)
            REQUIRE(test::result_of(io, [](Request& r) { r.prepare_nop(); }).ok());
    for (test::Context& io : contexts)
        REQUIRE(io.shutdown().completed == 20);
}

TEST_EVERY_BACKEND("a callback may use another context", "[context]") {
    test::Latch done(1);
    auto other = test::make_context(backend);
    auto io = test::make_context(backend);
    REQUIRE(io.nop([&](Result) {
        test::KeptEvent event;
        event.prepare_nop();
        // Waiting for the other context is allowed, though seldom wise.
        if (other.submit_wait(event)) {
            event.callback.done.wait();
            done.count_down();
        }
    }));
    done.wait();
    REQUIRE(other.shutdown().clean);
    REQUIRE(io.shutdown().clean);
}

TEST_EVERY_BACKEND("many threads submit to one context", "[context][A10]") {
    constexpr std::size_t kThreads = 4;
    constexpr std::size_t kEach = 3000;
    test::Tracker tracker(kThreads * kEach);
    std::vector<std::unique_ptr<test::TrackedEvent>> events;
    for (std::size_t i = 0; i < tracker.size(); ++i) {
        events.push_back(std::make_unique<test::TrackedEvent>(test::Tracked{&tracker, i}));
        events.back()->prepare_nop();
    }
    auto io = test::make_context(backend, 32);
    test::in_threads(kThreads, kEach,
                     [&](std::size_t i) { tracker.submitted(i, io.submit_wait(*events[i])); });
    REQUIRE(io.shutdown().clean);
    REQUIRE(tracker.accepted() == tracker.size());
    tracker.require_exactly_once();
}

TEST_EACH_BACKEND("an event may borrow a buffer that is moved meanwhile", "[context][A11]") {
    test::TempFile file(8192);
    std::vector<unsigned char> content(8192, 0xC3);
    file.put(content.data(), content.size(), 0);
    auto made = AlignedBuffer::create(8192, 4096);
    REQUIRE(made);
    AlignedBuffer first = *std::move(made);
    AlignedBuffer second;
    test::KeptEvent event;
    event.prepare_read(file.direct_fd(), first.data(), first.size(), 0);
    auto io = test::make_context(backend);
    {
        test::Plug plug(io);
        REQUIRE(io.submit(event));
        second = std::move(first);
    }
    event.callback.done.wait();
    REQUIRE(event.callback.result.bytes() == 8192);
    REQUIRE(std::memcmp(second.data(), content.data(), 8192) == 0);
}

TEST_EACH_BACKEND("an event may own its buffer", "[context][A11]") {
    struct OwningRead {
        AlignedBuffer buffer;
        test::Latch* done;
        unsigned char first_byte = 0;
        void operator()(IOEvent<OwningRead>& event) noexcept {
            first_byte = event.callback.buffer.data()[0];
            done->count_down();
        }
    };
    for (const std::size_t alignment : {std::size_t{512}, std::size_t{4096}}) {
        test::TempFile file;
        std::vector<unsigned char> content(alignment, 0x99);
        file.put(content.data(), content.size(), 0);
        auto made = AlignedBuffer::create(alignment, alignment);
        REQUIRE(made);
        test::Latch done(1);
        IOEvent<OwningRead> event(OwningRead{*std::move(made), &done});
        event.prepare_read(file.direct_fd(), event.callback.buffer.data(), alignment, 0);
        auto io = test::make_context(backend);
        REQUIRE(io.submit(event));
        done.wait();
        REQUIRE(io.shutdown().clean);
        if (event.outcome().error() == EINVAL && alignment == 512)
            continue;  // a device of 4096-byte blocks
        REQUIRE(event.outcome().bytes() == alignment);
        REQUIRE(event.callback.first_byte == 0x99);
    }
}

TEST_CASE("aligned buffers are aligned, zeroed, owned and movable", "[context][A11]") {
    for (const std::size_t alignment : {512u, 4096u, 65536u, 2u << 20}) {
        auto made = AlignedBuffer::create(alignment + 100, alignment);
        REQUIRE(made);
        REQUIRE(made->size() == alignment + 100);
        REQUIRE(reinterpret_cast<std::uintptr_t>(made->data()) % alignment == 0);
        for (std::size_t i = 0; i < made->size(); ++i)
            if (made->data()[i] != 0)
                FAIL("byte " << i << " is not zero");
        unsigned char* const data = made->data();
        AlignedBuffer moved(*std::move(made));
        REQUIRE(moved.data() == data);
        std::memset(moved.data(), 1, moved.size());
    }
}

TEST_CASE("aligned buffers refuse sizes and alignments that make no sense", "[context][A11]") {
    for (const auto& [size, alignment] : {std::pair<std::size_t, std::size_t>{0, 4096},
                                          {1, 0},
                                          {1, 256},
                                          {1, 1000},
                                          {1, 4 << 20}}) {
        const auto made = AlignedBuffer::create(size, alignment);
        REQUIRE_FALSE(made);
        REQUIRE(made.error().code == ErrorCode::invalid_argument);
    }
    if (test::kAddressSanitizer || test::kThreadSanitizer)
        return;  // a sanitizer's allocator ends the program instead of failing
    const auto huge = AlignedBuffer::create(SIZE_MAX / 4, 4096);
    REQUIRE_FALSE(huge);
    REQUIRE(huge.error().code == ErrorCode::no_memory);
}

TEST_CASE("every error code has a name of its own", "[context]") {
    std::set<std::string> names;
    for (const ErrorCode code :
         {ErrorCode::none, ErrorCode::invalid_argument, ErrorCode::queue_full,
          ErrorCode::shutting_down, ErrorCode::no_memory, ErrorCode::would_deadlock,
          ErrorCode::timed_out, ErrorCode::forked, ErrorCode::unsupported, ErrorCode::system}) {
        const char* name = error_code_name(code);
        REQUIRE(name != nullptr);
        REQUIRE(names.insert(name).second);
    }
    REQUIRE(names.count("queue_full") == 1);
}

TEST_CASE("the loaded library has the version of these headers", "[context]") {
    const std::string expected = std::to_string(IOENGINE_VERSION_MAJOR) + "." +
                                 std::to_string(IOENGINE_VERSION_MINOR) + "." +
                                 std::to_string(IOENGINE_VERSION_PATCH);
    REQUIRE(version() == expected);
}

TEST_CASE("backends have the names that the environment takes", "[context]") {
    REQUIRE(std::string(backend_name(Backend::automatic)) == "auto");
    REQUIRE(std::string(backend_name(Backend::uring)) == "uring");
    REQUIRE(std::string(backend_name(Backend::aio)) == "aio");
    REQUIRE(std::string(backend_name(Backend::null)) == "null");
}
