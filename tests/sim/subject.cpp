// SPDX-License-Identifier: MIT
//
// Memory of subjects, and the poison on idle ones.
#include "tests/sim/subject.hpp"

#include "tests/sim/failure.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace sim {

namespace {

constexpr std::size_t kGuard = 8;
constexpr unsigned char kGuardByte = 0xEE;
constexpr unsigned char kPoison = 0xDD;

std::uint64_t payload_word(std::uint64_t payload, std::uint64_t position) noexcept {
    std::uint64_t z = (payload << 20) + position + 1;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    return z ^ (z >> 31);
}

void* request_part(Subject& subject) noexcept {
    return static_cast<ioengine::Request*>(&subject);
}

void check_poison(Subject& subject) noexcept {
    static const std::array<unsigned char, sizeof(ioengine::Request)> intact = [] {
        std::array<unsigned char, sizeof(ioengine::Request)> bytes{};
        bytes.fill(kPoison);
        return bytes;
    }();
    if (std::memcmp(request_part(subject), intact.data(), intact.size()) != 0)
        fail("the engine touched request #%llu after its notice",
             static_cast<unsigned long long>(subject.number));
}

// Calls part(memory, position, bytes) for each segment's share of [first, first + count), until it
// says false.
template <class F>
requires std::is_invocable_r_v<bool, F&, unsigned char*, std::uint64_t, std::size_t>
bool for_each_part(const Subject& subject, std::uint64_t first, std::uint64_t count, F&& part) {
    std::uint64_t position = 0;
    for (const iovec& segment : subject.segments) {
        const std::uint64_t begin = std::max(position, first);
        const std::uint64_t end = std::min(position + segment.iov_len, first + count);
        if (begin < end && !part(static_cast<unsigned char*>(segment.iov_base) + (begin - position),
                                 begin, static_cast<std::size_t>(end - begin)))
            return false;
        position += segment.iov_len;
        if (position >= first + count)
            break;
    }
    return true;
}

}  // namespace

void Subject::forget_way() noexcept {
    entered = in_kernel = ran_here = withdrawn = handed_out = false;
    refused_answer = withdrawn_after = 0;
    token = bytes_done = moved_end = 0;
    retries = 0;
    next = Next::nothing;
    final_result = 0;
}

iovec Subject::rest_of_segment(std::uint64_t done) const noexcept {
    for (const iovec& segment : segments) {
        if (done < segment.iov_len)
            return {static_cast<unsigned char*>(segment.iov_base) + done, segment.iov_len - done};
        done -= segment.iov_len;
    }
    return {nullptr, 0};
}

void lay_out(Subject& subject, std::size_t pieces, std::uint32_t granule,
             ioengine::SimRandom& random) {
    subject.segments.clear();
    const std::size_t gap = granule > 1 ? granule : kGuard;
    unsigned char* place = subject.memory + std::max<std::size_t>(gap, kGuard);
    std::memset(place - kGuard, kGuardByte, kGuard);
    std::uint64_t left = subject.bytes;
    for (std::size_t i = 0; i < pieces; ++i) {
        // The last one takes what is left; an earlier one may be empty.
        std::uint64_t size = left;
        if (i + 1 < pieces)
            size = random.below(2 * left / (pieces - i) + 1) / granule * granule;
        size = std::min(size, left);
        subject.segments.push_back({place, static_cast<std::size_t>(size)});
        left -= size;
        place += size;
        std::memset(place, kGuardByte, kGuard);
        place += gap;
    }
}

void fill_payload(Subject& subject) noexcept {
    for_each_part(subject, 0, subject.bytes,
                  [&](unsigned char* memory, std::uint64_t position, std::size_t bytes) {
                      for (std::size_t i = 0; i < bytes; i += 8) {
                          const std::uint64_t word = payload_word(subject.payload, position + i);
                          std::memcpy(memory + i, &word, std::min<std::size_t>(8, bytes - i));
                      }
                      return true;
                  });
}

void fill_with(Subject& subject, unsigned char byte) noexcept {
    for (const iovec& segment : subject.segments)
        std::fill_n(static_cast<unsigned char*>(segment.iov_base), segment.iov_len, byte);
}

bool memory_equals(const Subject& subject, std::uint64_t first, std::uint64_t count,
                   const unsigned char* expected) noexcept {
    return for_each_part(subject, first, count,
                         [&](unsigned char* memory, std::uint64_t position, std::size_t bytes) {
                             return std::memcmp(memory, expected + (position - first), bytes) == 0;
                         });
}

unsigned char byte_at(const Subject& subject, std::uint64_t position) noexcept {
    unsigned char byte = 0;
    for_each_part(subject, position, 1,
                  [&](const unsigned char* memory, std::uint64_t, std::size_t) {
                      byte = *memory;
                      return false;
                  });
    return byte;
}

bool gaps_are_intact(const Subject& subject) noexcept {
    static constexpr std::array<unsigned char, kGuard> kIntact = {
        kGuardByte, kGuardByte, kGuardByte, kGuardByte,
        kGuardByte, kGuardByte, kGuardByte, kGuardByte};
    if (subject.segments.empty())
        return true;
    const auto* first = static_cast<const unsigned char*>(subject.segments.front().iov_base);
    if (std::memcmp(first - kGuard, kIntact.data(), kGuard) != 0)
        return false;
    return std::all_of(subject.segments.begin(), subject.segments.end(), [](const iovec& segment) {
        const auto* end = static_cast<const unsigned char*>(segment.iov_base) + segment.iov_len;
        return std::memcmp(end, kIntact.data(), kGuard) == 0;
    });
}

// -- the pool --------------------------------------------------------------------------------

SubjectPool::SubjectPool(std::size_t count)
    : memory_(static_cast<unsigned char*>(std::aligned_alloc(512, count * Subject::kMemory)),
              std::free) {
    if (memory_ == nullptr)
        fail("no memory for the subjects");
    for (std::size_t i = 0; i < count; ++i) {
        subjects_.push_back(std::make_unique<Subject>());
        subjects_.back()->memory = memory_.get() + i * Subject::kMemory;
    }
    idle_.reserve(count);
}

void SubjectPool::reset() {
    idle_.clear();
    for (auto it = subjects_.rbegin(); it != subjects_.rend(); ++it)
        give(**it);
}

Subject* SubjectPool::take() noexcept {
    if (idle_.empty())
        return nullptr;
    Subject* const subject = idle_.back();
    idle_.pop_back();
    check_poison(*subject);
    new (request_part(*subject)) ioengine::Request();
    subject->state = Subject::State::user;
    subject->forget_way();
    return subject;
}

void SubjectPool::give(Subject& subject) noexcept {
    subject.state = Subject::State::idle;
    std::memset(request_part(subject), kPoison, sizeof(ioengine::Request));
    idle_.push_back(&subject);
}

void SubjectPool::check_idle() const noexcept {
    for (Subject* const subject : idle_)
        check_poison(*subject);
}

}  // namespace sim
