// SPDX-License-Identifier: MIT
#include "lib/registered.hpp"

#include "lib/piece.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>

namespace ioengine {
inline namespace v0 {

// -- one table -------------------------------------------------------------------------------

bool PlaceTable::take(const TableHandle& handle) noexcept {
    Place* const places = place_list();
    if (places == nullptr || handle.place == 0 || handle.place > count_)
        return false;
    std::atomic<std::uint64_t>& word = places[handle.place - 1].word;
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    do {
        if (generation_of(seen) != handle.generation)
            return false;
        // [model: reg-6] relaxed: the handle brought what it stands for; retire() is a change of
        // the same word.
    } while (!word.compare_exchange_weak(seen, with_taken(seen, 1), std::memory_order_relaxed));
    return true;
}

void PlaceTable::untake(std::uint32_t place) noexcept {
    std::atomic<std::uint64_t>& word = at(place).word;
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    // release: pairs with is_held(); this thread has read the item.
    while (!word.compare_exchange_weak(seen, with_taken(seen, UINT32_MAX),
                                       std::memory_order_release, std::memory_order_relaxed)) {
    }
}

bool PlaceTable::take_here(const TableHandle& handle) noexcept {
    Place* const places = place_list();
    // [model: reg-9] relaxed: as in take(). A sweep after a change of the word has seen that, and
    // so does this.
    if (places == nullptr || handle.place == 0 || handle.place > count_ ||
        generation_of(places[handle.place - 1].word.load(std::memory_order_relaxed)) !=
            handle.generation)
        return false;
    add_taken_here(handle.place, 1);
    return true;
}

void PlaceTable::untake_here(std::uint32_t place) noexcept {
    add_taken_here(place, UINT32_MAX);
}

void PlaceTable::put_back(std::uint32_t place) noexcept {
    std::atomic<std::uint32_t>& done = counts_[place - 1].done;
    // relaxed: the poll role is the only one who writes it. release: pairs with is_held(); the
    // submit role has read the item.
    done.store(done.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

bool PlaceTable::is_held(std::uint32_t place) const noexcept {
    const Count& count = counts_[place - 1];
    // [model: reg-1] acquire: pairs with untake() and put_back().
    const auto taken = static_cast<std::uint32_t>(at(place).word.load(std::memory_order_acquire));
    return taken + count.own_taken.load(std::memory_order_relaxed) !=
           count.done.load(std::memory_order_acquire);
}

void PlaceTable::make() {
    if (places_ != nullptr || count_ == 0)
        return;
    std::unique_ptr<Place[]> places(new Place[count_]);
    counts_.reset(new Count[count_]());
    retired_.reset(new std::uint32_t[count_]);
    places_ = std::move(places);
    published_.store(places_.get(), std::memory_order_release);  // pairs with place_list()
}

bool PlaceTable::find_unused(TableHandle* handles, std::size_t count) const noexcept {
    std::size_t found = 0;
    for (std::uint32_t i = 0; i < count_ && found < count; ++i) {
        const Place& place = places_[i];
        if (!place.is_used)
            handles[found++] = {i + 1, generation_of(place.word.load(std::memory_order_relaxed))};
    }
    return found == count;
}

void PlaceTable::occupy(const TableHandle& handle, const TableItem& item, bool in_kernel) noexcept {
    Place& place = at(handle.place);
    place.item = item;
    place.in_kernel = in_kernel;
    place.is_used = true;
}

bool PlaceTable::retire(const TableHandle& handle) noexcept {
    if (handle.place == 0 || handle.place > count_ || places_ == nullptr)
        return false;
    std::atomic<std::uint64_t>& word = at(handle.place).word;
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    do {
        if (generation_of(seen) != handle.generation)
            return false;
        // [model: reg-4] relaxed: whoever takes it changes the same word, before or not at all.
    } while (!word.compare_exchange_weak(seen, seen + kFirstGeneration, std::memory_order_relaxed));
    retired_[retired_count_++] = handle.place;
    return true;
}

// -- both: requests --------------------------------------------------------------------------

namespace {

// Vectors may lie anywhere: such a request goes as an ordinary one.
bool lies_within(const Request& request, const TableItem& memory) noexcept {
    if (is_vectored(request.action) || request.length == 0)
        return true;
    // Before the buffer it wraps round, and is beyond it, too.
    const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(request.data) -
                                 reinterpret_cast<std::uintptr_t>(memory.data);
    return begin <= memory.size && request.length <= memory.size - begin;
}

}  // namespace

Acceptance RegisteredTables::take(const Request& request, bool here) noexcept {
    const auto take_from = [here](PlaceTable& table, const TableHandle& handle) {
        return here ? table.take_here(handle) : table.take(handle);
    };
    const std::uint32_t buffer = buffer_place_of(request);
    const std::uint32_t file = file_place_of(request);
    if (buffer != 0 && !take_from(buffers_, {buffer, request.args.buffer_generation}))
        return {ErrorCode::invalid_argument,
                "this buffer is not registered (any more); register it, and use() its new handle"};
    if (file != 0 && !take_from(files_, {file, request.args.file_generation})) {
        if (buffer != 0)
            here ? buffers_.untake_here(buffer) : buffers_.untake(buffer);
        tell_of_untaken();
        return {ErrorCode::invalid_argument,
                "this file is not registered (any more); register it, and use() its new handle"};
    }
    const char* wrong = nullptr;
    if (buffer != 0 && !lies_within(request, buffers_.item(buffer)))
        wrong = "data and length do not lie within the registered buffer";
    else if (file != 0 && files_.item(file).fd != request.fd)
        wrong = "fd is not that of the registered file; call use() after it was set";
    if (wrong == nullptr)
        return {};
    untake(request, here);
    return {ErrorCode::invalid_argument, wrong};
}

void RegisteredTables::untake(const Request& request, bool here) noexcept {
    if (const std::uint32_t place = buffer_place_of(request))
        here ? buffers_.untake_here(place) : buffers_.untake(place);
    if (const std::uint32_t place = file_place_of(request))
        here ? files_.untake_here(place) : files_.untake(place);
    tell_of_untaken();
}

void RegisteredTables::tell_of_untaken() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);  // [model: reg-7] pairs with retire()
    if (retiring_.load(std::memory_order_relaxed) != 0)
        send_sweep();
}

void RegisteredTables::put_back(const Request& request) noexcept {
    if (const std::uint32_t place = buffer_place_of(request))
        buffers_.put_back(place);
    if (const std::uint32_t place = file_place_of(request))
        files_.put_back(place);
    some_are_back_ = true;
}

void RegisteredTables::look_for_retired() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);  // [model: reg-8] pairs with retire()
    if (retiring_.load(std::memory_order_relaxed) != 0)
        sweep();
}

// -- both: places ----------------------------------------------------------------------------

void RegisteredTables::close() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
}

RegisteredTables::Registered RegisteredTables::add(TableKind kind, const TableItem* items,
                                                   std::size_t count,
                                                   TableHandle* handles) noexcept {
    Registered result;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        PlaceTable& table = table_of(kind);
        if (closed_) {
            result.code = ErrorCode::shutting_down;
            return result;
        }
        try {
            table.make();
        } catch (const std::bad_alloc&) {
            result.code = ErrorCode::no_memory;
            return result;
        }
        sweep_locked();
        bool has_places = table.find_unused(handles, count);
        if (!has_places || (count != 0 && kernel_places(kind) != 0 &&
                            handles[count - 1].place > kernel_places(kind))) {
            result.fallback = ErrorCode::queue_full;
        } else if (kernel_places(kind) == 0) {
            result.fallback = ErrorCode::unsupported;
        } else if (const int rc = fill(kind, items, handles, count, has_places); rc < 0) {
            result.fallback = ErrorCode::system;
            result.sys_errno = -rc;
        }
        for (std::size_t i = 0; i < count && has_places; ++i)
            table.occupy(handles[i], items[i], result.fallback == ErrorCode::none);
        if (!has_places)
            std::fill(handles, handles + count, TableHandle());
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);  // [model: reg-10] pairs with sweep()
    if (missed_.load(std::memory_order_relaxed))
        sweep();
    return result;
}

void RegisteredTables::retire(TableKind kind, const TableHandle* handles,
                              std::size_t count) noexcept {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::uint32_t retired = 0;
        for (std::size_t i = 0; i < count; ++i)
            retired += table_of(kind).retire(handles[i]) ? 1 : 0;
        retiring_.fetch_add(retired, std::memory_order_relaxed);
        if (closed_)
            sweep_locked();  // without the kernel
    }
    // Now whoever puts one of them back sees that it is retired, or the sweep sees that it is back.
    // [model: reg-5] Pairs with put_back() and untake().
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (retiring_.load(std::memory_order_relaxed) != 0)
        send_sweep();
}

void RegisteredTables::send_sweep() noexcept {
    // acquire: pairs with sweep_.done. One that is on its way will see what was retired before.
    if (sweep_sent_.exchange(true, std::memory_order_acq_rel))
        return;
    kernel_.send(kernel_.user, sweep_);
}

// Who has the mutex looks at the note when it has unlocked it. The note is left once: who answers
// another's leaves none, or two could go on for ever.
void RegisteredTables::sweep() noexcept {
    missed_.store(true, std::memory_order_relaxed);  // [model: reg-2]
    do {
        std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with those behind each unlock
        if (!mutex_.try_lock())
            return;
        missed_.store(false, std::memory_order_relaxed);
        sweep_locked();
        mutex_.unlock();
        std::atomic_thread_fence(std::memory_order_seq_cst);
    } while (missed_.load(std::memory_order_relaxed));
}

void RegisteredTables::sweep_locked() noexcept {
    for (const TableKind kind : {TableKind::buffers, TableKind::files}) {
        const std::uint32_t swept = table_of(kind).sweep(
            [&](std::uint32_t first, std::uint32_t count) { return clear(kind, first, count); });
        retiring_.fetch_sub(swept, std::memory_order_relaxed);
    }
}

std::uint32_t RegisteredTables::clear(TableKind kind, std::uint32_t first,
                                      std::uint32_t count) noexcept {
    static constexpr std::array<TableItem, 64> kEmpty{};
    if (closed_)
        return count;  // the kernel's table is gone, or will be
    std::uint32_t cleared = 0;
    while (cleared < count) {
        const std::uint32_t part = std::min<std::uint32_t>(count - cleared, kEmpty.size());
        const int rc = kernel_.update(kernel_.user, kind, first + cleared, kEmpty.data(), part);
        if (rc <= 0)
            break;
        cleared += static_cast<std::uint32_t>(rc);
    }
    return cleared;
}

int RegisteredTables::fill(TableKind kind, const TableItem* items, const TableHandle* handles,
                           std::size_t count, bool& has_places) noexcept {
    std::size_t filled = 0;
    int rc = 0;
    // Places side by side in one call. It may take a part of them without a reason: the rest, asked
    // for by itself, has one.
    while (filled < count) {
        std::size_t end = filled + 1;
        while (end < count && handles[end].place == handles[end - 1].place + 1)
            ++end;
        rc = kernel_.update(kernel_.user, kind, handles[filled].place - 1, items + filled,
                            static_cast<std::uint32_t>(end - filled));
        if (rc <= 0)
            break;
        filled += static_cast<std::size_t>(rc);
    }
    if (filled == count)
        return 0;
    // None of them, then.
    std::size_t cleared = 0;
    while (cleared < filled && clear(kind, handles[cleared].place - 1, 1) == 1)
        ++cleared;
    // What the kernel keeps for now waits for a sweep that can clear it.
    has_places = cleared == filled;
    for (; cleared < filled; ++cleared) {
        table_of(kind).occupy(handles[cleared], items[cleared], true);
        table_of(kind).retire(handles[cleared]);
        retiring_.fetch_add(1, std::memory_order_relaxed);
    }
    return rc < 0 ? rc : -EIO;
}

}  // namespace v0
}  // namespace ioengine
