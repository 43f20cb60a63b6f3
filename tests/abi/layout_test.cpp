// SPDX-License-Identifier: MIT
//
// Goal: the layouts that program and library must agree on are what the headers promise.
// Method: sizes, alignments and offsets of the public structs, as this compiler lays them out.
#include "tests/support/catch.hpp"

#include <cstddef>
#include <ioengine/ioengine.hpp>
#include <string>
#include <type_traits>

namespace {

using ioengine::Request;

constexpr std::size_t kLine = 64;

template <class Struct>
constexpr bool kPlainData =
    std::is_standard_layout<Struct>::value&& std::is_trivially_copyable<Struct>::value;

}  // namespace

TEST_CASE("a request is two cache lines, aligned to one") {
    CHECK(sizeof(Request) == 2 * kLine);
    CHECK(alignof(Request) == kLine);
    CHECK(std::is_standard_layout<Request>::value);
}

TEST_CASE("the first cache line of a request holds what the hot path touches") {
    CHECK(offsetof(Request, complete) == 0);
    CHECK(offsetof(Request, next) < kLine);
    CHECK(offsetof(Request, fd) < kLine);
    CHECK(offsetof(Request, action) < kLine);
    CHECK(offsetof(Request, channel) < kLine);
    CHECK(offsetof(Request, flags) < kLine);
    CHECK(offsetof(Request, offset) < kLine);
    CHECK(offsetof(Request, data) < kLine);
    CHECK(offsetof(Request, length) < kLine);
    CHECK(offsetof(Request, result) < kLine);
    CHECK(offsetof(Request, buffer_index) < kLine);
    CHECK(offsetof(Request, io_priority) < kLine);
    CHECK(offsetof(Request, state) < kLine);
    CHECK(offsetof(Request, queue) < kLine);
    CHECK(offsetof(Request, followers) + sizeof(Request::followers) == kLine);
}

TEST_CASE("the second cache line of a request holds the rest") {
    CHECK(offsetof(Request, deadline_ns) == kLine);
    CHECK(offsetof(Request, word) > kLine);
    CHECK(offsetof(Request, lease) > kLine);
    CHECK(offsetof(Request, countdown) > kLine);
    CHECK(offsetof(Request, submit_ns) > kLine);
    CHECK(offsetof(Request, args) == kLine + 32);
    CHECK(sizeof(Request::Arguments) == 24);
    CHECK(offsetof(Request::Arguments, file_place) == 4);
    CHECK(offsetof(Request::Arguments, reserved) == 16);
    CHECK(offsetof(Request, merged) == kLine + 56);
}

TEST_CASE("lengths, offsets and results of a request have 64 bits") {
    CHECK(sizeof(Request::offset) == 8);
    CHECK(sizeof(Request::length) == 8);
    CHECK(sizeof(Request::result) == 8);
    CHECK(sizeof(ioengine::Result) == 8);
}

TEST_CASE("structs that may grow begin with their size") {
    CHECK(offsetof(ioengine::Options, struct_size) == 0);
    CHECK(offsetof(ioengine::Stats, struct_size) == 0);
    CHECK(offsetof(ioengine::ShutdownReport, struct_size) == 0);
    CHECK(offsetof(ioengine::ProbeReport, struct_size) == 0);
    CHECK(ioengine::Options().struct_size == sizeof(ioengine::Options));
    CHECK(ioengine::Stats().struct_size == sizeof(ioengine::Stats));
    CHECK(ioengine::ShutdownReport().struct_size == sizeof(ioengine::ShutdownReport));
    CHECK(ioengine::ProbeReport().struct_size == sizeof(ioengine::ProbeReport));
}

TEST_CASE("what crosses into the library is plain data") {
    CHECK(kPlainData<ioengine::Options>);
    CHECK(kPlainData<ioengine::Stats>);
    CHECK(kPlainData<ioengine::InFlight>);
    CHECK(kPlainData<ioengine::ShutdownReport>);
    CHECK(kPlainData<ioengine::ProbeReport>);
    CHECK(kPlainData<ioengine::Error>);
    CHECK(kPlainData<ioengine::Acceptance>);
    CHECK(kPlainData<ioengine::Delivery>);
    CHECK(kPlainData<ioengine::Result>);
    CHECK(kPlainData<ioengine::BufferHandle>);
    CHECK(kPlainData<ioengine::FileHandle>);
    CHECK(kPlainData<ioengine::PooledBuffer>);
}

TEST_CASE("a one-call event with a closure of 48 bytes takes the 192 bytes that Options states") {
    CHECK(ioengine::IOCallback::kCapacity == 48);
    CHECK(sizeof(ioengine::IOEvent<ioengine::IOCallback>) == 192);
}

TEST_CASE("an own callback of up to 64 bytes adds one cache line to a request") {
    struct Small {
        unsigned char bytes[64];
        void operator()(ioengine::Result) noexcept {}
    };
    CHECK(sizeof(ioengine::IOEvent<Small>) == 3 * kLine);
    CHECK(alignof(ioengine::IOEvent<Small>) == kLine);
}

TEST_CASE("the library that is loaded has the version of these headers") {
    const std::string headers = std::to_string(IOENGINE_VERSION_MAJOR) + "." +
                                std::to_string(IOENGINE_VERSION_MINOR) + "." +
                                std::to_string(IOENGINE_VERSION_PATCH);
    CHECK(ioengine::version() == headers);
}
