// SPDX-License-Identifier: MIT
//
// How operations enter, wait and complete.
#include "drivers/sim/world.hpp"

#include "drivers/request_flags.hpp"
#include "lib/piece.hpp"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/eventfd.h>

namespace ioengine {
inline namespace v0 {

// -- entering --------------------------------------------------------------------------------

std::uint32_t SimWorld::place_for(const SimOperation& asked) {
    std::uint32_t place = 0;
    if (free_.empty()) {
        place = static_cast<std::uint32_t>(operations_.size());
        operations_.emplace_back();
    } else {
        place = free_.back();
        free_.pop_back();
    }
    SimOperation& operation = operations_[place];
    std::vector<iovec> kept = std::move(operation.segments);  // its memory, for use again
    operation = asked;
    operation.segments = std::move(kept);
    operation.segments.clear();
    operation.sequence = ++sequence_;
    return place;
}

void SimWorld::begin(const SimOperation& asked) {
    const std::uint32_t place = place_for(asked);
    SimOperation& operation = operations_[place];
    if (moves_bytes(operation.action) && !(operation.vectored && shape_.late_vectors))
        list_segments(operation.vectored, operation.data, operation.size, operation.segments);
    const FaultRule* const rule = faults_.operation_rule();
    draw_fate(operation, rule);
    draw_time(operation, rule);
    put_in_flight(place);
    if (watcher.entered != nullptr)
        watcher.entered(watcher.user, operation);
}

void SimWorld::put_in_flight(std::uint32_t place) {
    const SimOperation& operation = operations_[place];
    in_flight_.push_back({operation.due_ns, operation.sequence, place});
    next_due_ns_ = std::min(next_due_ns_, operation.due_ns);
}

void SimWorld::watch(const SimOperation& asked) {
    watched_ = asked;
    watched_->watches = true;
    if (watcher.entered != nullptr)
        watcher.entered(watcher.user, *watched_);
    look_at_watched();
}

void SimWorld::look_at_watched() {
    if (!watched_)
        return;
    pollfd one{watched_->fd, POLLIN, 0};
    if (::poll(&one, 1, 0) != 1)
        return;
    const std::uint32_t place = place_for(*watched_);
    watched_.reset();
    operations_[place].due_ns = now_ns_ + 1 + random_.below(shape_.latency_min_ns);
    put_in_flight(place);
}

int SimWorld::completion_fd() {
    if (done_fd_ < 0)
        done_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return done_fd_ >= 0 ? done_fd_ : -errno;
}

void SimWorld::answer_at_once(const SimOperation& asked, std::int64_t result) {
    const std::uint32_t place = place_for(asked);
    SimOperation& operation = operations_[place];
    if (watcher.entered != nullptr)
        watcher.entered(watcher.user, operation);
    if (watcher.answered != nullptr)
        watcher.answered(watcher.user, operation, result);
    post({operation.token, result}, operation, false);
    leave_place(place);
}

void SimWorld::draw_fate(SimOperation& operation, const FaultRule* rule) {
    FateInput input;
    input.place = static_cast<std::uint32_t>(operation.token);
    // Without a token it is a blocking call, whose errors nobody tries again.
    input.is_repeated = operation.token != 0 && !is_flush(operation.action) &&
                        (operation.rw_flags & kRwfNowait) == 0;
    input.transfers = moves_bytes(operation.action);
    input.writes = is_write(operation.action);
    input.allocates = operation.action == IOAction::fallocate;
    if (input.transfers) {
        // Vectors that are read late are the same ones now.
        std::vector<iovec> segments;
        list_segments(operation.vectored, operation.data, operation.size, segments);
        input.bytes = bytes_in(segments);
    }
    const SimFile* const file = files.find(operation.fd);
    input.granule = file != nullptr && file->direct ? kSimBlock : 1;
    operation.fate = faults_.fate_of(input, rule);
}

void SimWorld::draw_time(SimOperation& operation, const FaultRule* rule) {
    const auto strikes = [&](Fault fault) {
        return (rule != nullptr && rule->fault == fault) || faults_.strikes(fault);
    };
    if (strikes(Fault::never)) {
        faults_.note(Fault::never);
        operation.due_ns = kNever;
    } else if (strikes(Fault::stalled)) {
        faults_.note(Fault::stalled);
        operation.due_ns = now_ns_ + random_.between(200'000'000, 4'000'000'000);
    } else if (strikes(Fault::delayed)) {
        faults_.note(Fault::delayed);
        operation.due_ns = now_ns_ + random_.between(1'000'000, 20'000'000);
    } else if (strikes(Fault::reordered)) {
        operation.reordered = true;
        operation.due_ns = now_ns_ + random_.below(shape_.latency_min_ns) + 1;
    } else {
        if (strikes(Fault::burst))
            burst_until_ns_ = burst_due_ns_ = now_ns_ + random_.between(100'000, 3'000'000);
        const std::uint64_t latency = random_.between(shape_.latency_min_ns, shape_.latency_max_ns);
        operation.due_ns = now_ns_ < burst_until_ns_
                               ? burst_until_ns_
                               : std::max(last_due_ns_ + 1, now_ns_ + latency);
        last_due_ns_ = operation.due_ns;
    }
}

// -- time ------------------------------------------------------------------------------------

void SimWorld::find_next_due() noexcept {
    next_due_ns_ = kNever;
    for (const InFlight& one : in_flight_)
        next_due_ns_ = std::min(next_due_ns_, one.due_ns);
}

// Of those that are due next the oldest.
std::size_t SimWorld::earliest() const noexcept {
    std::size_t best = 0;
    for (std::size_t i = 1; i < in_flight_.size(); ++i) {
        const InFlight& one = in_flight_[i];
        const InFlight& other = in_flight_[best];
        if (one.due_ns < other.due_ns ||
            (one.due_ns == other.due_ns && one.sequence < other.sequence))
            best = i;
    }
    return best;
}

void SimWorld::advance_to(std::uint64_t now_ns) {
    while (next_due_ns_ <= now_ns && next_due_ns_ != kNever) {
        const std::uint64_t moment = next_due_ns_;
        now_ns_ = std::max(now_ns_, moment);
        std::size_t completed = 0;
        for (; next_due_ns_ == moment; ++completed)
            finish(earliest(), false);
        if (moment == burst_due_ns_ && completed >= shape_.burst_min)
            faults_.note(Fault::burst);
    }
    now_ns_ = std::max(now_ns_, now_ns);
}

void SimWorld::hurry(bool never_only) {
    // What is due within this time is no hindrance.
    constexpr std::uint64_t kSoon = 1'000'000;
    std::uint64_t due_ns = now_ns_;
    for (InFlight& one : in_flight_) {
        if (one.due_ns <= now_ns_ + kSoon || (never_only && one.due_ns != kNever))
            continue;
        due_ns += 1 + random_.below(2'000);
        one.due_ns = operations_[one.place].due_ns = due_ns;
    }
    find_next_due();
}

void SimWorld::take_entries() {
    std::array<const SimTaker*, 2> busy{};
    std::size_t count = 0;
    for (const SimTaker& taker : takers_)
        if (taker.ring != nullptr && taker.has_entries(taker.ring))
            busy[count++] = &taker;
    const SimTaker& taker = *busy[count == 2 && random_.coin() ? 1 : 0];
    taker.take(taker.ring);
}

void SimWorld::destroy() noexcept {
    takers_ = {};
    destroyed_with_ = static_cast<std::size_t>(
        std::count_if(in_flight_.begin(), in_flight_.end(),
                      [this](const InFlight& one) { return !operations_[one.place].watches; }));
}

void SimWorld::calm() {
    faults_.calm();
    hurry(false);
}

void SimWorld::release_never() {
    hurry(true);
}

std::size_t SimWorld::never_in_flight() const noexcept {
    return static_cast<std::size_t>(
        std::count_if(in_flight_.begin(), in_flight_.end(),
                      [](const InFlight& one) { return one.due_ns == kNever; }));
}

// -- completing ------------------------------------------------------------------------------

void SimWorld::finish(std::size_t which, bool cancelled) {
    const InFlight one = in_flight_[which];
    in_flight_[which] = in_flight_.back();
    in_flight_.pop_back();
    find_next_due();
    SimOperation& operation = operations_[one.place];
    if (operation.reordered && !cancelled &&
        std::any_of(in_flight_.begin(), in_flight_.end(),
                    [&](const InFlight& other) { return other.sequence < one.sequence; }))
        faults_.note(Fault::reordered);
    const std::int64_t result = carry_out(operation, cancelled);
    if (watcher.answered != nullptr)
        watcher.answered(watcher.user, operation, result);
    post({operation.token, result}, operation, true);
    leave_place(one.place);
}

int SimWorld::cancel(std::uint64_t token) {
    for (std::size_t i = 0; i < in_flight_.size(); ++i) {
        const SimOperation& operation = operations_[in_flight_[i].place];
        // One ring knows nothing of what the other has.
        if (operation.token != token || operation.polled)
            continue;
        // What would never complete can always be cancelled; others may have gone too far.
        if (in_flight_[i].due_ns != kNever && !random_.chance(shape_.cancels_ppm))
            return -EALREADY;
        finish(i, true);
        return 0;
    }
    return -ENOENT;
}

std::size_t SimWorld::submitter_exits() {
    std::size_t cancelled = 0;
    for (std::size_t i = in_flight_.size(); i-- > 0;) {
        const SimOperation& operation = operations_[in_flight_[i].place];
        if (!operation.by_user || files.is_direct(operation.fd) ||
            (!files.is_stream(operation.fd) && random_.coin()))
            continue;
        finish(i, true);  // the last takes its place, and was looked at before
        ++cancelled;
    }
    return cancelled;
}

void SimWorld::post(const SimCompletion& completion, const SimOperation& operation,
                    bool by_device) {
    if (operation.polled && by_device && !operation.kernel_asks) {
        on_devices_.push_back(completion);
        return;
    }
    if (!operation.polled)
        tell(operation.done_fd);
    add_to(of(operation.polled), completion);
}

std::size_t SimWorld::polled() const noexcept {
    const auto in_flight =
        std::count_if(in_flight_.begin(), in_flight_.end(),
                      [this](const InFlight& one) { return operations_[one.place].polled; });
    return static_cast<std::size_t>(in_flight) + on_devices_.size() + ready(true) + spilled(true);
}

void SimWorld::ask_devices() {
    for (const SimCompletion& completion : on_devices_)
        add_to(polled_ready_, completion);
    on_devices_.clear();
}

void SimWorld::tell(int done_fd) {
    if (done_fd < 0)
        done_fd = done_fd_;
    if (done_fd < 0)
        return;
    static_cast<void>(::eventfd_write(done_fd, 1));
    ++told_;
}

void SimWorld::add_to(SimReady& ready, const SimCompletion& completion) {
    // Once one has spilled over, the others queue behind it, so that they keep their order
    // (io_uring/io_uring.c, io_cqe_overflow).
    if (ready.spilled.empty() && ready.ring.size() < shape_.ready_max) {
        ready.ring.push_back(completion);
        return;
    }
    faults_.note(Fault::spilled);
    ready.spilled.push_back(completion);
}

void SimWorld::flush_spilled(bool iopoll) {
    SimReady& ready = of(iopoll);
    while (!ready.spilled.empty() && ready.ring.size() < shape_.ready_max) {
        ready.ring.push_back(ready.spilled.front());
        ready.spilled.pop_front();
    }
}

std::size_t SimWorld::take(std::size_t max, SimCompletion* out, bool iopoll) {
    std::deque<SimCompletion>& ring = of(iopoll).ring;
    const std::size_t count = std::min(max, ring.size());
    std::copy_n(ring.begin(), count, out);
    ring.erase(ring.begin(), ring.begin() + static_cast<std::ptrdiff_t>(count));
    if (!iopoll && count != 0)
        passed_over_ = 0;
    return count;
}

void SimWorld::repeat_stale(const SimCompletion& stale) {
    faults_.note(Fault::stale);
    tell(-1);
    add_to(ready_, stale);
}

// -- carrying out ----------------------------------------------------------------------------

std::int64_t SimWorld::carry_out(SimOperation& operation, bool cancelled) {
    SimFile* const file = files.find(operation.fd);
    if (operation.segments.empty() && moves_bytes(operation.action))
        list_segments(operation.vectored, operation.data, operation.size, operation.segments);
    const Fate& fate = operation.fate;
    if (cancelled)
        return fail(operation, file, -ECANCELED,
                    random_.coin() ? random_.below(bytes_in(operation.segments) + 1) : 0);
    if (fate.kind == Fate::Kind::error || fate.kind == Fate::Kind::nvme_status) {
        faults_.note(fate.fault);
        return fail(operation, file, fate.value, fate.torn_max);
    }
    if (fate.kind == Fate::Kind::zero) {
        faults_.note(fate.fault);
        return 0;
    }
    if (operation.action == IOAction::nop)
        return 0;
    if (file == nullptr)
        return -EBADF;
    if (operation.action == IOAction::fallocate)
        return allocate(*file, operation.mode, operation.offset, operation.size);
    return moves_bytes(operation.action) ? transfer(operation, *file) : 0;
}

std::int64_t SimWorld::transfer(SimOperation& operation, SimFile& file) {
    if (const int refused = misalignment(file, operation.segments.data(), operation.segments.size(),
                                         operation.offset))
        return refused;
    const bool is_short = operation.fate.kind == Fate::Kind::short_transfer;
    std::uint64_t bytes_max =
        is_short ? static_cast<std::uint64_t>(operation.fate.value) : bytes_in(operation.segments);
    if (file.kind == SimFile::Kind::stream && bytes_max > 1 && random_.coin())
        bytes_max = random_.between(1, bytes_max);
    const std::int64_t bytes = move(operation, file, bytes_max);
    // It made a difference only where the file had, or had room for, more.
    const std::uint64_t limit = is_read(operation.action) ? file.end() : file.capacity;
    if (is_short && bytes > 0 && operation.offset + static_cast<std::uint64_t>(bytes) < limit)
        faults_.note(Fault::short_transfer);
    return bytes;
}

// An error, after some of a write has reached the file, or anything a read's buffer.
std::int64_t SimWorld::fail(SimOperation& operation, SimFile* file, std::int64_t error,
                            std::uint64_t torn_max) {
    if (file == nullptr || !moves_bytes(operation.action))
        return error;
    if (is_read(operation.action)) {
        if (random_.coin())
            for (const iovec& segment : operation.segments)
                std::fill_n(static_cast<unsigned char*>(segment.iov_base), segment.iov_len,
                            static_cast<unsigned char>(0xCC));
    } else if (torn_max != 0) {
        move(operation, *file, torn_max);
    }
    return error;
}

std::int64_t SimWorld::move(SimOperation& operation, SimFile& file, std::uint64_t bytes_max) {
    std::int64_t bytes = 0;
    if (is_read(operation.action)) {
        bytes = read_from(file, operation.segments, operation.offset, bytes_max);
    } else {
        if ((operation.rw_flags & kRwfAppend) != 0)
            operation.offset = file.end();
        bytes = write_to(file, operation.segments, operation.offset, bytes_max);
    }
    operation.bytes_moved = bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
    return bytes;
}

std::int64_t SimWorld::run_here(const Request& request) {
    faults_.note(Fault::thread_fails);
    SimOperation operation;
    operation.action = request.action;
    operation.fd = request.fd;
    operation.size = request.length;
    operation.offset = request.offset;
    operation.mode = request.args.mode;
    const FaultRule* const rule = faults_.operation_rule();
    draw_fate(operation, rule);
    // A system call's own result is never a status.
    if (operation.fate.kind == Fate::Kind::nvme_status)
        operation.fate = Fate();
    std::int64_t result = -EBADF;
    if (files.find(request.fd) != nullptr)
        result = carry_out(operation, false);
    if (watcher.ran_here != nullptr)
        watcher.ran_here(watcher.user, request, result);
    return result;
}

}  // namespace v0
}  // namespace ioengine
