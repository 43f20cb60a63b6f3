// SPDX-License-Identifier: MIT
//
// Which requests the user thinks of.
#include "tests/sim/user.hpp"

#include <ioengine/merge_buffer.hpp>

#include <algorithm>
#include <fcntl.h>

namespace sim {

using ioengine::Channel;
using ioengine::IOAction;
using ioengine::SimFile;

namespace {

constexpr int kTriesForRange = 4;

}  // namespace

Contents::File& User::any_file() {
    return contents_.file(random_.below(contents_.count()));
}

Channel User::any_channel() {
    return random_.pick({Channel::automatic, Channel::automatic, Channel::automatic, Channel::prio,
                         Channel::read, Channel::write});
}

void User::begin_description(Subject& subject) {
    subject.complete = &User::complete;
    subject.user_of_it = this;
    subject.asked = IOAction::nop;
    subject.file = -1;
    subject.asked_flags = 0;
    subject.at = subject.bytes = 0;
    subject.mode = 0;
    subject.misaligned = subject.in_company = false;
    subject.segments.clear();
    subject.payload = ++payloads_;
    is_neighbour_ = false;
}

bool User::describe(Subject& subject) {
    begin_description(subject);
    bool described = true;
    const std::uint64_t drawn = random_.below(100);
    if (drawn < 70 && random_.chance(scene_.neighbours_ppm) && describe_neighbour(subject)) {
        prepare(subject);
        return true;
    }
    if (drawn < 70)
        described = describe_transfer(subject, drawn % 2 == 0, drawn >= 50);
    else if (drawn < 75)
        described = describe_append(subject);
    else if (drawn < 79)
        described = describe_allocate(subject);
    else if (drawn < 82)
        describe_bad_descriptor(subject);
    else if (drawn < 95) {
        subject.asked = random_.pick(
            {IOAction::fsync, IOAction::fdatasync, IOAction::fdatasync, IOAction::sync_file_range});
        subject.file = any_file().fd;
        if (subject.asked == IOAction::sync_file_range)
            subject.bytes = random_.below(10'000);
    }
    if (described)
        prepare(subject);
    return described;
}

bool User::describe_transfer(Subject& subject, bool writes, bool vectored) {
    subject.asked = vectored ? (writes ? IOAction::writev : IOAction::readv)
                             : (writes ? IOAction::write : IOAction::read);
    Contents::File* file = &any_file();
    while (writes && file->appended_to)
        file = &any_file();
    subject.file = file->fd;
    if (random_.chance(50'000))
        subject.asked_flags = random_.pick({ioengine::kFlagNowait, ioengine::kFlagAtomic,
                                            ioengine::kFlagDsync, ioengine::kFlagSync});
    for (int tries = 0; tries < kTriesForRange; ++tries) {
        draw_range(subject, *file);
        if (contents_.hold(subject)) {
            std::size_t pieces = 1;
            if (vectored)
                pieces = random_.chance(100'000) ? random_.between(ioengine::Transfer::kWindow, 100)
                                                 : random_.between(1, 6);
            const bool aligned = file->direct && !subject.misaligned;
            if (aligned)
                pieces = std::min<std::size_t>(pieces, 20);  // the gaps are blocks, too
            lay_out(subject, pieces, aligned ? ioengine::kSimBlock : 1, random_);
            if (vectored && subject.bytes == 0 && random_.coin())
                subject.segments.clear();
            return true;
        }
    }
    return false;
}

// Anywhere in the file and a little beyond; on direct files in blocks, with a few mistakes.
void User::draw_range(Subject& subject, const Contents::File& file) {
    constexpr std::uint64_t kSizes[] = {64, 512, 512, 1024, 4096, Subject::kBytesMax};
    const std::uint64_t reach = file.kind == SimFile::Kind::regular && random_.chance(300'000)
                                    ? std::max<std::uint64_t>(file.end, 1)
                                    : file.capacity;
    subject.bytes = random_.chance(40'000) ? 0 : random_.between(1, random_.pick(kSizes));
    subject.at = random_.below(reach + 600);
    subject.misaligned = false;
    if (!file.direct)
        return;
    subject.at = subject.at / ioengine::kSimBlock * ioengine::kSimBlock;
    subject.bytes =
        (subject.bytes + ioengine::kSimBlock - 1) / ioengine::kSimBlock * ioengine::kSimBlock;
    if (!random_.chance(30'000))
        return;
    subject.at += random_.between(1, ioengine::kSimBlock - 1);
    subject.misaligned = true;
}

bool User::describe_neighbour(Subject& subject) {
    const Contents::File* const file = contents_.find(last_.file);
    if (file == nullptr || last_.end > file->capacity)
        return false;
    constexpr std::uint64_t kSizes[] = {64, 512, 2048};
    subject.asked = last_.action;
    subject.file = last_.file;
    subject.asked_flags = last_.flags;
    subject.at = last_.end;
    subject.bytes = random_.between(1, random_.pick(kSizes));
    if (file->direct)
        subject.bytes =
            (subject.bytes + ioengine::kSimBlock - 1) / ioengine::kSimBlock * ioengine::kSimBlock;
    if (!contents_.hold(subject))
        return false;
    // In place, but with memory that direct I/O cannot use.
    subject.misaligned = file->direct && random_.chance(30'000);
    lay_out(subject, 1, file->direct && !subject.misaligned ? ioengine::kSimBlock : 1, random_);
    is_neighbour_ = true;
    return true;
}

bool User::describe_append(Subject& subject) {
    Contents::File* file = nullptr;
    for (std::size_t i = 0; i < contents_.count(); ++i)
        if (contents_.file(i).appended_to)
            file = &contents_.file(i);
    subject.asked = random_.coin() ? IOAction::write : IOAction::writev;
    subject.asked_flags = ioengine::kFlagAppend;
    subject.file = file->fd;
    subject.bytes = random_.between(1, 900);
    if (file->direct)
        subject.bytes = ioengine::kSimBlock * random_.between(1, 2);
    if (!contents_.hold(subject))
        return false;
    lay_out(subject, subject.asked == IOAction::write ? 1 : random_.between(1, 3),
            file->direct ? ioengine::kSimBlock : 1, random_);
    return true;
}

bool User::describe_allocate(Subject& subject) {
    Contents::File& file = any_file();
    if (file.appended_to)
        return false;
    subject.asked = IOAction::fallocate;
    subject.file = file.fd;
    subject.at = random_.below(file.capacity);
    subject.bytes = random_.between(1, 4096);
    subject.mode = random_.coin() ? 0 : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return contents_.hold(subject);
}

void User::describe_bad_descriptor(Subject& subject) {
    subject.asked =
        random_.pick({IOAction::read, IOAction::write, IOAction::fsync, IOAction::fallocate});
    subject.file = ioengine::SimFiles::kFirst + 1'000;
    if (subject.asked == IOAction::fsync)
        return;
    subject.bytes = random_.between(1, 512);
    lay_out(subject, 1, 1, random_);
}

// From the description to the Request.
void User::prepare(Subject& subject) noexcept {
    void* const memory = subject.segments.empty() ? nullptr : subject.segments.front().iov_base;
    switch (subject.asked) {
    case IOAction::read:
        subject.prepare_read(subject.file, memory, subject.bytes, subject.at);
        break;
    case IOAction::write:
        subject.prepare_write(subject.file, memory, subject.bytes, subject.at);
        break;
    case IOAction::readv:
        subject.prepare_readv(subject.file, subject.segments.data(), subject.segments.size(),
                              subject.at);
        break;
    case IOAction::writev:
        subject.prepare_writev(subject.file, subject.segments.data(), subject.segments.size(),
                               subject.at);
        break;
    case IOAction::fsync:
        subject.prepare_fsync(subject.file);
        break;
    case IOAction::fdatasync:
        subject.prepare_fdatasync(subject.file);
        break;
    case IOAction::fallocate:
        subject.prepare_fallocate(subject.file, subject.mode, subject.at, subject.bytes);
        break;
    case IOAction::sync_file_range:
        subject.prepare_sync_file_range(subject.file, subject.at, subject.bytes, 0);
        break;
    default:
        subject.prepare_nop();
        break;
    }
    if (ioengine::is_write(subject.asked))
        fill_payload(subject);
    else if (ioengine::is_read(subject.asked))
        fill_with(subject, 0x11);
    subject.flags = subject.asked_flags;
    if (!is_neighbour_ && random_.chance(scene_.deadlines_ppm)) {
        constexpr std::uint64_t kSpans[] = {1, 3'000, 60'000, 2'000'000, 1'000'000'000};
        subject.deadline_ns = world_.now_ns() + 1 + random_.below(random_.pick(kSpans));
        if (ioengine::moves_bytes(subject.asked) && random_.coin())
            subject.flags |= ioengine::kFlagEarlyResult;
    }
    if (is_neighbour_) {
        subject.channel = last_.channel;
        subject.io_priority = last_.priority;
    } else {
        subject.channel = any_channel();
        places_.lend(subject);
        if (ioengine::moves_bytes(subject.asked) && random_.chance(20'000))
            subject.io_priority = (2 << 13) | 4;  // best effort, level 4: ioprio_set(2)
    }
    if (ioengine::can_be_merged(subject) && (is_neighbour_ || !subject.misaligned))
        last_ = {subject.asked,       subject.file,        subject.at + subject.bytes,
                 subject.asked_flags, subject.io_priority, subject.channel};
}

}  // namespace sim
