// SPDX-License-Identifier: MIT
//
// Faults between the AIO driver and the kernel.
#include "tests/fault/faulty_aio.hpp"

#include "tests/fault/cut_vectors.hpp"

#include <algorithm>
#include <ctime>

namespace test {

namespace {

using ioengine::IOAction;

std::uint64_t token_of(const iocb& control) noexcept {
    return reinterpret_cast<std::uintptr_t>(control.data);
}

IOAction action_of(const iocb& control) noexcept {
    switch (control.aio_lio_opcode) {
    case IO_CMD_PREAD:
        return IOAction::read;
    case IO_CMD_PWRITE:
        return IOAction::write;
    case IO_CMD_PREADV:
        return IOAction::readv;
    case IO_CMD_PWRITEV:
        return IOAction::writev;
    case IO_CMD_FSYNC:
        return IOAction::fsync;
    case IO_CMD_FDSYNC:
        return IOAction::fdatasync;
    default:
        return IOAction::none;
    }
}

}  // namespace

Entry FaultyAio::entry_of(const iocb& control) noexcept {
    Entry entry;
    entry.token = token_of(control);
    entry.kind = kind_of(entry.token);
    entry.action = action_of(control);
    entry.fd = control.aio_fildes;
    entry.offset = static_cast<std::uint64_t>(control.u.c.offset);
    entry.length = control.u.c.nbytes;
    return entry;
}

void FaultyAio::change(iocb& control, const Fate& fate) {
    if (fate.kind == Fate::Kind::failed) {
        const std::uint64_t token = token_of(control);
        io_prep_pread(&control, nowhere_.fd(), nullptr, 0, 0);
        control.data = reinterpret_cast<void*>(token);
    } else if (fate.kind == Fate::Kind::shortened) {
        const IOAction action = action_of(control);
        if (action == IOAction::read || action == IOAction::write) {
            control.u.c.nbytes = std::min<unsigned long>(control.u.c.nbytes, fate.bytes);
        } else if (action == IOAction::readv || action == IOAction::writev) {
            std::vector<iovec>& cut = cut_[&control];
            cut = cut_vectors(static_cast<const iovec*>(control.u.c.buf), control.u.c.nbytes,
                              fate.bytes);
            control.u.c.buf = cut.data();
            control.u.c.nbytes = cut.size();
        }
    }
}

int FaultyAio::submit(long count, iocb** list) noexcept {
    const FaultPlan::CallAnswer answer = plan_->answer_submit(entry_of(*list[0]));
    if (answer.error != 0)
        return -answer.error;
    const long most =
        std::min<long>(count, static_cast<long>(std::min<std::size_t>(answer.entries, 1u << 20)));
    std::vector<iocb> before;
    std::vector<Entry> entries;
    for (long i = 0; i < most; ++i) {
        const Entry entry = entry_of(*list[i]);
        const Fate fate = plan_->fate_of(entry);
        if (fate.kind == Fate::Kind::refused) {
            if (i != 0)
                break;
            plan_->forget(entry.token);
            return -fate.error;
        }
        before.push_back(*list[i]);
        entries.push_back(entry);
        change(*list[i], fate);
    }
    // Said before the kernel knows of them: their completions may come at once.
    for (const Entry& entry : entries)
        plan_->took(entry);
    const int rc = LinuxAio::submit(static_cast<long>(entries.size()), list);
    for (std::size_t i = rc > 0 ? static_cast<std::size_t>(rc) : 0; i < entries.size(); ++i) {
        *list[i] = before[i];
        plan_->gave_back(entries[i]);
    }
    return rc;
}

void FaultyAio::fetch() noexcept {
    io_event raw[64];
    const int count = LinuxAio::peek(64, raw);
    for (int i = 0; i < count; ++i)
        plan_->arrived(
            {reinterpret_cast<std::uintptr_t>(raw[i].data), static_cast<std::int64_t>(raw[i].res)});
}

int FaultyAio::give(long max, io_event* events) noexcept {
    int given = 0;
    RawEvent event;
    while (given < max && plan_->give(event)) {
        events[given] = io_event{};
        events[given].data = reinterpret_cast<void*>(event.token);
        events[given].res = static_cast<unsigned long>(event.result);
        ++given;
    }
    return given;
}

int FaultyAio::peek(long max, io_event* events) noexcept {
    fetch();
    return give(max, events);
}

int FaultyAio::wait(long max, io_event* events, std::int64_t limit_ns) noexcept {
    const int answer = plan_->answer_wait();
    if (answer != 0)
        return answer < 0 ? 0 : -answer;
    for (;;) {
        if (const int given = give(max, events))
            return given;
        if (plan_->outlook() != FaultPlan::Outlook::none) {
            const timespec nap{0, 200'000};
            ::nanosleep(&nap, nullptr);
            fetch();
            if (limit_ns >= 0)
                return give(max, events);
            continue;
        }
        io_event raw[64];
        const int count = LinuxAio::wait(64, raw, limit_ns);
        if (count <= 0)
            return count;
        for (int i = 0; i < count; ++i)
            plan_->arrived({reinterpret_cast<std::uintptr_t>(raw[i].data),
                            static_cast<std::int64_t>(raw[i].res)});
    }
}

void FaultyAio::destroy() noexcept {
    if (!destroyed_)
        plan_->destroyed();
    destroyed_ = true;
    LinuxAio::destroy();
}

}  // namespace test
