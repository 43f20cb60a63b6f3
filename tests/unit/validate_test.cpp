// SPDX-License-Identifier: MIT
//
// Goal: what is refused before any backend sees it, and what is not.
// Method: one well-formed request, changed in one respect at a time.

#include "lib/validate.hpp"
#include "tests/unit/unit.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <sys/uio.h>
#include <vector>

using namespace ioengine;

namespace {

char g_buffer[4096];

Request a_request() {
    Request request;
    request.complete = [](Request*) noexcept {};
    return request;
}
Request a_read() {
    Request request = a_request();
    request.prepare_read(0, g_buffer, sizeof g_buffer, 0);
    return request;
}
Request a_write() {
    Request request = a_request();
    request.prepare_write(0, g_buffer, sizeof g_buffer, 0);
    return request;
}

void require_refused(const Request& request, const char* says) {
    const Acceptance acceptance = validate(request);
    REQUIRE(acceptance.code() == ErrorCode::invalid_argument);
    REQUIRE(std::string(acceptance.detail()).find(says) != std::string::npos);
}

}  // namespace

TEST_CASE("every prepare call makes a well-formed request", "[validate]") {
    const iovec vectors[] = {{g_buffer, 1}, {g_buffer, 2}};
    const std::vector<std::function<void(Request&)>> prepares = {
        [](Request& r) { r.prepare_read(0, g_buffer, 1, 0); },
        [](Request& r) { r.prepare_write(0, g_buffer, 1, 0); },
        [&](Request& r) { r.prepare_readv(0, vectors, 2, 0); },
        [&](Request& r) { r.prepare_writev(0, vectors, 2, 0); },
        [](Request& r) { r.prepare_fsync(0); },
        [](Request& r) { r.prepare_fdatasync(0); },
        [](Request& r) { r.prepare_fallocate(0, 0, 0, 1); },
        [](Request& r) { r.prepare_sync_file_range(0, 0, 1, 0); },
        [](Request& r) { r.prepare_nop(); },
    };
    for (const auto& prepare : prepares) {
        Request request = a_request();
        prepare(request);
        REQUIRE(validate(request).accepted());
    }
}

TEST_CASE("a request that was not prepared, or cannot answer, is refused", "[validate]") {
    require_refused(a_request(), "prepare_");
    Request request = a_read();
    request.action = static_cast<IOAction>(200);
    require_refused(request, "prepare_");
    request = a_read();
    request.state = 1;
    require_refused(request, "in use");
}

TEST_CASE("enumerators must be known", "[validate]") {
    Request request = a_read();
    request.channel = static_cast<Channel>(4);
    require_refused(request, "channel");
}

TEST_CASE("registered buffers are for transfers, and registered files for requests on one",
          "[validate][H8][H9]") {
    Request request = a_read();
    request.use(BufferHandle{1, 1});
    request.use(FileHandle{3, 1, 1});
    REQUIRE(validate(request).accepted());
    request.prepare_fsync(3);
    REQUIRE(request.buffer_index == 0);
    request.use(FileHandle{3, 1, 1});
    REQUIRE(validate(request).accepted());
    request.use(BufferHandle{1, 1});
    require_refused(request, "for reads and writes");
    request.prepare_nop();
    request.use(FileHandle{3, 1, 1});
    require_refused(request, "on a file");
}

TEST_CASE("an early result is for transfers with a deadline and somebody to tell", "[validate]") {
    Request request = a_read();
    request.flags = kFlagEarlyResult;
    require_refused(request, "deadline");
    request.deadline_ns = 1;
    REQUIRE(validate(request).accepted());
    request.complete = nullptr;
    require_refused(request, "completion function");
    request.prepare_fsync(3);
    request.flags = kFlagEarlyResult;
    require_refused(request, "reads and writes");
}

TEST_CASE("a negative fd is refused except where there is none", "[validate]") {
    Request request = a_read();
    request.fd = -1;
    require_refused(request, "fd is negative");
    request.prepare_fsync(-1);
    require_refused(request, "fd is negative");
    request.prepare_nop();
    REQUIRE(request.fd == -1);
    REQUIRE(validate(request).accepted());
}

TEST_CASE("flags: known ones on transfers only, append on writes only", "[validate]") {
    Request request = a_read();
    request.flags = 64;
    require_refused(request, "unknown bits");
    request.flags = kFlagAppend;
    require_refused(request, "for writes");
    request.flags = kFlagNowait;
    REQUIRE(validate(request).accepted());
    request = a_write();
    request.flags = kFlagAppend | kFlagDsync | kFlagSync | kFlagNowait | kFlagAtomic;
    REQUIRE(validate(request).accepted());
    request.prepare_fsync(0);
    request.flags = kFlagDsync;
    require_refused(request, "reads and writes");
    request.prepare_nop();
    request.flags = kFlagEarlyResult;
    require_refused(request, "reads and writes");
    request.prepare_fallocate(0, 0, 0, 1);
    request.flags = kFlagNowait;
    require_refused(request, "reads and writes");
}

TEST_CASE("a null buffer is refused unless nothing is to be moved", "[validate]") {
    Request request = a_read();
    request.data = nullptr;
    require_refused(request, "data is null");
    request.length = 0;
    REQUIRE(validate(request).accepted());
    request = a_request();
    request.prepare_readv(0, nullptr, 1, 0);
    require_refused(request, "iovec array is null");
    request.length = 0;
    REQUIRE(validate(request).accepted());
}

TEST_CASE("offset and length may reach 2^63 - 1 together, and no further", "[validate][A12]") {
    for (Request request : {a_read(), a_write()}) {
        request.length = kOffsetMax;
        REQUIRE(validate(request).accepted());
        request.length = kOffsetMax + 1;
        require_refused(request, "2^63");
        request.length = 4096;
        request.offset = kOffsetMax - 4096;
        REQUIRE(validate(request).accepted());
        request.offset = kOffsetMax - 4095;
        require_refused(request, "2^63");
        request.offset = UINT64_MAX;
        require_refused(request, "2^63");
        request.length = 0;
        request.offset = kOffsetMax;
        REQUIRE(validate(request).accepted());
    }
    Request range = a_request();
    range.prepare_fallocate(0, 0, kOffsetMax, 1);
    require_refused(range, "2^63");
    range.prepare_sync_file_range(0, 1, kOffsetMax, 0);
    require_refused(range, "2^63");
    range.prepare_sync_file_range(0, 3u << 30, 5u << 30, 0);
    REQUIRE(validate(range).accepted());
}

TEST_CASE("1024 vectors pass, 1025 are refused", "[validate]") {
    std::array<iovec, 1025> vectors;
    vectors.fill({g_buffer, 1});
    Request request = a_request();
    request.prepare_writev(0, vectors.data(), 1024, 0);
    REQUIRE(validate(request).accepted());
    request.prepare_writev(0, vectors.data(), 1025, 0);
    require_refused(request, "1024");
}

TEST_CASE("vectors are added up without overflow", "[validate][A12]") {
    iovec vectors[] = {{g_buffer, kOffsetMax}, {g_buffer, 0}, {g_buffer, 0}};
    Request request = a_request();
    request.prepare_readv(0, vectors, 3, 0);
    REQUIRE(validate(request).accepted());
    request.offset = 1;
    require_refused(request, "2^63");
    request.offset = 0;
    vectors[1].iov_len = 1;
    require_refused(request, "add up");
    vectors[0].iov_len = SIZE_MAX;
    vectors[1].iov_len = SIZE_MAX;
    require_refused(request, "add up");
}
