// SPDX-License-Identifier: MIT
//
// Stage: where a script plays: files, buffers and events that are there before anything fails, and
// the contract, which is checked at the end. It allocates nothing itself.
//
// The same script plays in each threading. With Threading::caller its thread drives: in wait(), and
// in whatever calls of the library wait by themselves.
#ifndef IOENGINE_TESTS_NTH_STAGE_HPP
#define IOENGINE_TESTS_NTH_STAGE_HPP

#include <ioengine/ioengine.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace nth {

using ioengine::Acceptance;
using ioengine::ErrorCode;
using ioengine::Request;
using ioengine::Result;
using ioengine::Threading;
using Context = ioengine::IOContext<>;

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kOps = 32;

// What a script came to, in memory that its process shares with the test.
struct Report {
    char violation[400];  // of the contract; empty: none
    std::uint64_t injected;
    char failed_call[24];
    int failed_error;
    std::uint32_t create_refused;
    ErrorCode create_code;
    std::uint32_t accepted;
    std::uint32_t refused;
    ErrorCode refused_code;  // of the first
    std::uint32_t succeeded;
    std::uint32_t failed;
    int request_error;  // of the first that failed
};

class Stage {
  public:
    // Descriptors of a file of kOps blocks with pattern(), and of an empty one of the same size,
    // both as they are and with O_DIRECT where that is possible.
    struct Files {
        int source = -1;
        int source_direct = -1;
        int scratch = -1;
        int scratch_direct = -1;
    };

    Stage(ioengine::Backend backend, Threading threading, const Files& given, Report& report);
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

    struct Note {
        Stage* stage;
        std::size_t i;
        void operator()(Result result) const noexcept;
    };
    using Event = ioengine::IOEvent<Note>;

    // -- for scripts -------------------------------------------------------------------------

    const Files files;
    // A context on the backend and threading of this run. Its log goes nowhere; that it is refused
    // is noted.
    ioengine::Expected<Context> create(ioengine::Options options);
    // The same on whatever backend the library chooses.
    ioengine::Expected<Context> create_any(ioengine::Options options);
    void no_context(const ioengine::Error& error);
    ioengine::Backend backend() const { return backend_; }
    // Operation i is a read of block i of the source, or a write of it to the scratch file.
    Event& read(std::size_t i, bool direct = false);
    Event& write(std::size_t i, bool direct = false);
    // Operation i, to be prepared by the script; how many bytes are a success.
    Event& op(std::size_t i, std::uint64_t bytes = 0);
    // Its event, prepared already.
    Event& event(std::size_t i) { return ops_[i].event; }
    // Operation i reads block i, by an event or a request of the script's.
    void expect_read(std::size_t i) { begin(i, Kind::read, kBlock); }
    // The same for a write; fills its buffer.
    void expect_write(std::size_t i);
    unsigned char* buffer(std::size_t i) { return buffers_ + i * kBlock; }
    // What became of handing it over; true if it was accepted.
    bool accepted(std::size_t i, Acceptance acceptance);
    // One without a callback ended like this.
    void ended(std::size_t i, Result result);
    // The script gives it up, or lets it be late: this error is all right.
    void may_end_with(std::size_t i, int error) { ops_[i].natural_error = error; }
    // The script provokes refusals.
    void may_be_refused() { may_be_refused_ = true; }
    // What became of something else that was asked of a context.
    void granted(ErrorCode code);
    // Until all that was accepted has ended, of operations first to end - 1. This thread drives the
    // context, if one of the host's has to and no other does.
    void wait(Context& io, std::size_t first = 0, std::size_t end = kOps);
    // With Threading::caller: this thread is the driver from now on.
    void become_driver(ioengine::Engine* engine);
    // It drives until another thread has brought the context to its end; with a descriptor, the
    // completion_fd(), it sleeps in poll(2) and not in the context.
    void drive_to_the_end(ioengine::Engine* engine, int fd);
    void require(bool holds, const char* what);

    // -- for the test --------------------------------------------------------------------------

    // After the script: the contract. A request may have failed with an error that is excused.
    void judge(bool (*excuses)(int error));
    bool refusals_are_natural() const { return may_be_refused_; }

  private:
    enum class Kind : std::uint8_t { other, read, write };
    struct Op {
        Op(Stage* stage, std::size_t i) : event(Note{stage, i}) {}
        Event event;
        Kind kind = Kind::other;
        std::uint64_t bytes = 0;
        int natural_error = 0;
        bool accepted = false;
        bool refused = false;
        std::atomic<std::uint32_t> notices{0};
        std::int64_t result = 0;
    };
    Event& begin(std::size_t i, Kind kind, std::uint64_t bytes);
    void judge(const Op& op, std::size_t i, bool (*excuses)(int error));
    void refused(ErrorCode code);

    const ioengine::Backend backend_;
    const Threading threading_;
    bool calls_back_elsewhere_ = false;
    Report& report_;
    unsigned char* const buffers_;
    Op* const ops_;
    bool may_be_refused_ = false;
};

// Fills with what block i of the source holds.
void pattern(unsigned char* to, std::size_t i);

}  // namespace nth

#endif  // IOENGINE_TESTS_NTH_STAGE_HPP
