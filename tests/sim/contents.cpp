// SPDX-License-Identifier: MIT
//
// Comparing bytes.
#include "tests/sim/contents.hpp"

#include "tests/sim/failure.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <utility>

namespace sim {

using ioengine::IOAction;
using ioengine::SimFile;

namespace {

bool excludes_others(const Subject& subject) noexcept {
    return ioengine::is_write(subject.asked) || subject.asked == IOAction::fallocate;
}
bool needs_range(const Subject& subject) noexcept {
    return ioengine::moves_bytes(subject.asked) || subject.asked == IOAction::fallocate;
}
bool appends(const Subject& subject) noexcept {
    return (subject.asked_flags & ioengine::kFlagAppend) != 0;
}
unsigned long long number(const Subject& subject) noexcept {
    return subject.number;
}

}  // namespace

Contents::Contents(ioengine::SimWorld& world, ioengine::SimRandom& random, bool polled)
    : world_(world) {
    constexpr std::size_t kKiB = 1024;
    using Kind = SimFile::Kind;
    using Bytes = std::vector<unsigned char>;
    add({Kind::regular, false, false, 40 * kKiB, Bytes(40 * kKiB)}, false, random);
    add({Kind::regular, true, true, 48 * kKiB, Bytes(48 * kKiB), polled}, false, random);
    // Grows, until there is no space left.
    add({Kind::regular, false, false, 40 * kKiB, Bytes(5'000)}, false, random);
    add({Kind::regular, false, random.coin(), 100 * kKiB, Bytes(0)}, true, random);
    add({Kind::block, random.coin(), false, 40 * kKiB, Bytes(40 * kKiB)}, false, random);
    add({Kind::stream, false, false, 24 * kKiB, Bytes(24 * kKiB)}, false, random);
    if (!polled)
        return;
    // Two more of a disk's: of one that can be polled, and of one that cannot.
    add({Kind::block, true, false, 40 * kKiB, Bytes(40 * kKiB), true}, false, random);
    add({Kind::block, true, false, 40 * kKiB, Bytes(40 * kKiB)}, false, random);
}

void Contents::add(SimFile file, bool appended_to, ioengine::SimRandom& random) {
    for (std::size_t i = 0; i + 8 <= file.bytes.size(); i += 8) {
        const std::uint64_t word = random.next();
        std::memcpy(&file.bytes[i], &word, 8);
    }
    File model;
    model.kind = file.kind;
    model.direct = file.direct;
    model.appended_to = appended_to;
    model.capacity = file.capacity;
    model.end = file.end();
    model.bytes = file.bytes;
    model.bytes.resize(file.capacity);
    // Ranges may reach beyond the capacity, up to here.
    const std::size_t units = (file.capacity + 2 * Subject::kBytesMax) / kUnit + 1;
    model.readers.resize(units);
    model.writer.resize(units);
    model.fd = world_.files.add(std::move(file));
    files_.push_back(std::move(model));
}

Contents::File* Contents::find(int fd) noexcept {
    const auto it =
        std::find_if(files_.begin(), files_.end(), [&](const File& file) { return file.fd == fd; });
    return it == files_.end() ? nullptr : &*it;
}

// -- ranges ----------------------------------------------------------------------------------

Contents::Units Contents::units_of(const File& file, const Subject& subject) noexcept {
    const std::size_t all = file.readers.size();
    const std::size_t first = std::min<std::size_t>(subject.at / kUnit, all);
    const std::size_t last =
        std::min<std::size_t>((subject.at + subject.bytes + kUnit - 1) / kUnit, all);
    return {first, std::max(first, last)};
}

bool Contents::hold(Subject& subject) noexcept {
    File* const file = find(subject.file);
    if (file == nullptr || !needs_range(subject))
        return true;
    if (appends(subject)) {
        if (file->append_in_flight)
            return false;
        file->append_in_flight = subject.holds_range = true;
        return true;
    }
    const Units units = units_of(*file, subject);
    const bool alone = excludes_others(subject);
    for (std::size_t i = units.first; i < units.last; ++i)
        if (file->writer[i] != 0 || (alone && file->readers[i] != 0))
            return false;
    for (std::size_t i = units.first; i < units.last; ++i) {
        if (alone)
            file->writer[i] = 1;
        else
            ++file->readers[i];
    }
    subject.holds_range = true;
    return true;
}

void Contents::let_go(Subject& subject) noexcept {
    if (!std::exchange(subject.holds_range, false))
        return;
    File& file = *find(subject.file);
    if (appends(subject)) {
        file.append_in_flight = false;
        return;
    }
    const Units units = units_of(file, subject);
    for (std::size_t i = units.first; i < units.last; ++i) {
        if (excludes_others(subject))
            file.writer[i] = 0;
        else
            --file.readers[i];
    }
}

// -- completions -----------------------------------------------------------------------------

void Contents::settle(Subject& subject, std::int64_t result) {
    if (!gaps_are_intact(subject))
        fail("request #%llu: bytes beside its memory were written", number(subject));
    File* const file = find(subject.file);
    if (file == nullptr)
        return;
    const std::uint64_t bytes = result > 0 ? static_cast<std::uint64_t>(result) : 0;
    if (ioengine::is_read(subject.asked))
        settle_read(*file, subject, bytes);
    else if (subject.asked == IOAction::fallocate)
        settle_allocate(*file, subject, result == 0);
    else if (ioengine::is_write(subject.asked) && appends(subject))
        settle_append(*file, subject, bytes, result < 0);
    else if (ioengine::is_write(subject.asked))
        settle_write(*file, subject, bytes);
}

void Contents::settle_read(const File& file, const Subject& subject, std::uint64_t bytes_read) {
    if (bytes_read == 0)
        return;
    if (subject.at + bytes_read > world_.files.find(file.fd)->end())
        fail("request #%llu: read behind the end of the file", number(subject));
    // What is appended never changes again, so it may be read before its own completion.
    const unsigned char* const expected =
        file.appended_to ? world_.files.find(file.fd)->bytes.data() : file.bytes.data();
    if (!memory_equals(subject, 0, bytes_read, expected + subject.at))
        fail("request #%llu: the %llu bytes read at offset %llu are not those of the file",
             number(subject), static_cast<unsigned long long>(bytes_read),
             static_cast<unsigned long long>(subject.at));
}

void Contents::settle_write(File& file, Subject& subject, std::uint64_t bytes_written) {
    const SimFile& truth = *world_.files.find(file.fd);
    if (bytes_written != 0 &&
        (subject.at + bytes_written > truth.end() ||
         !memory_equals(subject, 0, bytes_written, truth.bytes.data() + subject.at)))
        fail("request #%llu: of the %llu bytes written at offset %llu not all are on the file",
             number(subject), static_cast<unsigned long long>(bytes_written),
             static_cast<unsigned long long>(subject.at));
    // The rest of the range may have been reached by a piece that failed.
    const std::uint64_t range_end = std::min(subject.at + subject.bytes, file.capacity);
    for (std::uint64_t i = subject.at + bytes_written; i < std::min(range_end, truth.end()); ++i)
        if (truth.bytes[i] != file.bytes[i] && truth.bytes[i] != byte_at(subject, i - subject.at))
            fail("request #%llu: byte %llu is neither the old nor the new one", number(subject),
                 static_cast<unsigned long long>(i));
    file.end = std::max(file.end, subject.moved_end);
    const std::uint64_t known_end = std::min(range_end, truth.end());
    if (subject.at < known_end)
        std::copy(truth.bytes.begin() + static_cast<std::ptrdiff_t>(subject.at),
                  truth.bytes.begin() + static_cast<std::ptrdiff_t>(known_end),
                  file.bytes.begin() + static_cast<std::ptrdiff_t>(subject.at));
}

void Contents::settle_append(File& file, Subject& subject, std::uint64_t bytes_written,
                             bool failed) {
    const SimFile& truth = *world_.files.find(file.fd);
    const std::uint64_t grown = truth.end() - file.end;
    if (failed ? grown > subject.bytes : grown != bytes_written)
        fail("request #%llu: appended %llu bytes, the file grew by %llu", number(subject),
             static_cast<unsigned long long>(bytes_written),
             static_cast<unsigned long long>(grown));
    if (!memory_equals(subject, 0, grown, truth.bytes.data() + file.end))
        fail("request #%llu: what was appended is not what was asked for", number(subject));
    std::copy(truth.bytes.begin() + static_cast<std::ptrdiff_t>(file.end), truth.bytes.end(),
              file.bytes.begin() + static_cast<std::ptrdiff_t>(file.end));
    file.end = truth.end();
}

void Contents::settle_allocate(File& file, const Subject& subject, bool done) {
    if (!done)
        return;
    const std::uint64_t range_end = subject.at + subject.bytes;
    if (subject.mode == 0) {
        file.end = std::max(file.end, range_end);
        return;
    }
    const std::uint64_t hole_end = std::min(range_end, file.capacity);
    if (subject.at < hole_end)
        std::memset(file.bytes.data() + subject.at, 0, hole_end - subject.at);
}

void Contents::check_acknowledged() const {
    for (const File& file : files_) {
        const SimFile& truth = *world_.files.find(file.fd);
        if (truth.end() < file.end)
            fail("killed here, a file would be %llu bytes long, of which %llu were acknowledged",
                 static_cast<unsigned long long>(truth.end()),
                 static_cast<unsigned long long>(file.end));
        for (std::uint64_t at = 0; at < file.end; at += kUnit) {
            const std::uint64_t bytes = std::min(kUnit, file.end - at);
            if (file.writer[at / kUnit] == 0 &&
                std::memcmp(truth.bytes.data() + at, file.bytes.data() + at, bytes) != 0)
                fail("killed here, a file would lack acknowledged bytes at offset %llu",
                     static_cast<unsigned long long>(at));
        }
    }
}

void Contents::check_all() {
    for (const File& file : files_) {
        const SimFile& truth = *world_.files.find(file.fd);
        if (truth.end() != file.end)
            fail("a file ends at %llu, it should end at %llu",
                 static_cast<unsigned long long>(truth.end()),
                 static_cast<unsigned long long>(file.end));
        const auto differs =
            std::mismatch(truth.bytes.begin(), truth.bytes.end(), file.bytes.begin());
        if (differs.first != truth.bytes.end())
            fail("a file differs from what was written to it, at offset %llu",
                 static_cast<unsigned long long>(differs.first - truth.bytes.begin()));
    }
}

}  // namespace sim
