// SPDX-License-Identifier: MIT
//
// Faults between the io_uring driver and the kernel.
#include "tests/fault/faulty_uring.hpp"

#include "lib/driver.hpp"
#include "tests/fault/cut_vectors.hpp"

#include <algorithm>
#include <ctime>

namespace test {

namespace {

using ioengine::IOAction;
using ioengine::UringEvent;

IOAction action_of(const io_uring_sqe& sqe) noexcept {
    switch (sqe.opcode) {
    case IORING_OP_READ:
    case IORING_OP_READ_FIXED:
        return IOAction::read;
    case IORING_OP_WRITE:
    case IORING_OP_WRITE_FIXED:
        return IOAction::write;
    case IORING_OP_READV:
        return IOAction::readv;
    case IORING_OP_WRITEV:
        return IOAction::writev;
    case IORING_OP_FSYNC:
        return (sqe.fsync_flags & IORING_FSYNC_DATASYNC) != 0 ? IOAction::fdatasync
                                                              : IOAction::fsync;
    case IORING_OP_FALLOCATE:
        return IOAction::fallocate;
    case IORING_OP_SYNC_FILE_RANGE:
        return IOAction::sync_file_range;
    case IORING_OP_NOP:
        return IOAction::nop;
    default:
        return IOAction::none;
    }
}

}  // namespace

Entry FaultyUring::entry_of(const io_uring_sqe& sqe) noexcept {
    Entry entry;
    entry.token = sqe.user_data;
    entry.kind = kind_of(entry.token);
    entry.action = action_of(sqe);
    entry.fd = sqe.fd;
    entry.offset = sqe.off;
    entry.length = sqe.len;
    return entry;
}

void FaultyUring::change(io_uring_sqe& sqe, const Fate& fate) {
    const std::uint64_t token = sqe.user_data;
    switch (fate.kind) {
    case Fate::Kind::refused:
    case Fate::Kind::failed:
        ::io_uring_prep_nop(&sqe);
        sqe.user_data = token;
        break;
    case Fate::Kind::shortened: {
        const IOAction action = action_of(sqe);
        if (action == IOAction::read || action == IOAction::write) {
            sqe.len = static_cast<std::uint32_t>(std::min<std::uint64_t>(sqe.len, fate.bytes));
        } else if (action == IOAction::readv || action == IOAction::writev) {
            std::vector<iovec>& cut = cut_[ioengine::Token{token}.slot()];
            cut = cut_vectors(reinterpret_cast<const iovec*>(sqe.addr), sqe.len, fate.bytes);
            sqe.addr = reinterpret_cast<std::uintptr_t>(cut.data());
            sqe.len = static_cast<std::uint32_t>(cut.size());
        }
        break;
    }
    default:
        break;
    }
}

std::vector<io_uring_sqe> FaultyUring::set_aside(std::size_t count) noexcept {
    std::vector<io_uring_sqe> all;
    for (const io_uring_sqe* sqe : filled_)
        all.push_back(*sqe);
    filled_.clear();
    LinuxUring::withdraw([](std::uint64_t) {});
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(count);
    put_back({all.begin(), middle});
    return {middle, all.end()};
}

void FaultyUring::put_back(const std::vector<io_uring_sqe>& entries) noexcept {
    for (const io_uring_sqe& entry : entries)
        *next_sqe() = entry;
}

int FaultyUring::submit(unsigned) noexcept {
    const FaultPlan::CallAnswer answer = plan_->answer_submit(entry_of(*filled_.front()));
    if (answer.error != 0)
        return -answer.error;
    const std::size_t most = std::min(filled_.size(), answer.entries);
    std::vector<io_uring_sqe> before;
    std::vector<Entry> entries;
    while (entries.size() < most) {
        io_uring_sqe& sqe = *filled_[entries.size()];
        const Entry entry = entry_of(sqe);
        const Fate fate = plan_->fate_of(entry);
        before.push_back(sqe);
        entries.push_back(entry);
        change(sqe, fate);
        if (fate.kind == Fate::Kind::refused)
            break;  // without SUBMIT_ALL the call stops behind it
    }
    const std::vector<io_uring_sqe> rest = set_aside(entries.size());
    // Said before the kernel knows of them: their completions may come at once.
    for (const Entry& entry : entries)
        plan_->took(entry);
    const int rc = LinuxUring::submit(0);
    const std::size_t consumed = rc > 0 ? static_cast<std::size_t>(rc) : 0;
    for (std::size_t i = 0; i < consumed; ++i)
        filled_.pop_front();
    for (std::size_t i = consumed; i < entries.size(); ++i) {
        *filled_[i - consumed] = before[i];
        plan_->gave_back(entries[i]);
    }
    put_back(rest);
    return rc;
}

void FaultyUring::fetch() noexcept {
    UringEvent raw[64];
    const int count = LinuxUring::peek(64, raw);
    for (int i = 0; i < count; ++i)
        plan_->arrived({raw[i].user_data, raw[i].result});
}

int FaultyUring::update_table(ioengine::TableKind kind, std::uint32_t first,
                              const ioengine::TableItem* items, std::uint32_t count) noexcept {
    const FaultPlan::CallAnswer answer = plan_->answer_update();
    if (answer.error != 0)
        return -answer.error;
    const auto most = static_cast<std::uint32_t>(std::min<std::size_t>(count, answer.entries));
    return LinuxUring::update_table(kind, first, items, most);
}

int FaultyUring::peek(unsigned max, UringEvent* events) noexcept {
    fetch();
    unsigned given = 0;
    RawEvent event;
    while (given < max && plan_->give(event)) {
        events[given].user_data = event.token;
        events[given].result = static_cast<std::int32_t>(event.result);
        ++given;
    }
    return static_cast<int>(given);
}

int FaultyUring::wait(std::int64_t limit_ns) noexcept {
    const int answer = plan_->answer_wait();
    if (answer != 0)
        return answer < 0 ? 0 : -answer;
    for (;;) {
        const FaultPlan::Outlook outlook = plan_->outlook();
        if (outlook == FaultPlan::Outlook::ready)
            return 0;
        if (outlook == FaultPlan::Outlook::none)
            return LinuxUring::wait(limit_ns);
        const timespec nap{0, 200'000};
        ::nanosleep(&nap, nullptr);
        fetch();
        if (limit_ns >= 0)
            return 0;
    }
}

void FaultyUring::destroy() noexcept {
    if (!destroyed_)
        plan_->destroyed();
    destroyed_ = true;
    LinuxUring::destroy();
}

}  // namespace test
