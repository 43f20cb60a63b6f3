// SPDX-License-Identifier: MIT
//
// RegisteredTables: the places of registered buffers and files, and which requests hold them.
//
//   unused --register--> registered --unregister--> retired --sweep()--> unused
//                            |  ^                      ^
//              take(): submit|  |put_back(): note()    | requests that took it before end as ever
//                            v  |                      |
//                          held by requests ----------+
//
// A place is a word, `generation and taken`, a count `done`, and what is registered there. A handle
// is a place with the generation that it had. A request that names it counts itself into the word
// when it is submitted, if the generations agree, and into `done` when its result is known. So
// `taken == done` means that no request of any kind has it: queued, in the kernel, waiting for a
// retry. (With one thread for both roles, that thread counts what it submits by itself, in
// `own_taken`: it sweeps by itself, too, so it is never in the middle of one of the two while it
// does the other.) Unregistering raises the generation: nobody takes it from then on. The place is
// cleared in the kernel, and used again, only when `taken == done`: a request never meets another
// one's file or memory there, nor an empty place. (The kernel keeps the file or memory of requests
// that it has begun until they end: each holds its node, io_put_rsrc_node() in io_uring/rsrc.h of
// Linux 6.18; but not of those that it has not seen yet.)
//
// Who clears it: unregister() if it can, else whoever puts back the last request. Both look at what
// the other writes, with a fence in between, so that one of them sees it: `retiring_` and `done`.
//
// Who may touch what: take() any thread, as its only write the word; take_here() and put_back() the
// poll role, as their only writes `own_taken` and `done`; everything else goes under `mutex_`,
// which nobody waits for while it holds a role: sweep() leaves a note to who has it. What is
// registered in a place changes only while it is unused, so whoever has taken it reads it without a
// lock.
//
// The kernel is told only where it listens (Runner::visit(): a ring of a single issuer answers
// EEXIST to other threads). Without a kernel that can do it all this works the same, and nothing is
// in force.
#pragma once

#include "lib/engine_stats.hpp"
#include "lib/errands.hpp"

#include <ioengine/error.hpp>
#include <ioengine/request.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace ioengine {
inline namespace v0 {

enum class TableKind : std::uint8_t { buffers, files };

constexpr std::uint32_t kBufferPlacesMax = 16384;  // IORING_MAX_REG_BUFFERS, Linux 5.13
constexpr std::uint32_t kFilePlacesMax = 32768;    // IORING_MAX_FIXED_FILES, before it was raised
static_assert(kBufferPlacesMax < Request::kUsesFile, "from 1 on, beside the bit");

// What lies in one place. The empty one clears it.
struct TableItem {
    void* data = nullptr;
    std::uint64_t size = 0;
    int fd = -1;
};

// From 1 on; 0: none.
struct TableHandle {
    std::uint32_t place = 0;
    std::uint32_t generation = 0;
};

// The kernel's tables, as an engine reaches them.
struct KernelTables {
    // Fills `count` places from `first` (from 0 on), where the kernel listens: how many, perhaps
    // not all, or -errno for the first of them. Replaces what was there.
    int (*update)(void* user, TableKind kind, std::uint32_t first, const TableItem* items,
                  std::uint32_t count) noexcept = nullptr;
    // Has `errand` done where the kernel listens, now or later; if that is over, never.
    void (*send)(void* user, Errand& errand) noexcept = nullptr;
    void* user = nullptr;
    std::uint32_t buffer_places = 0;  // 0: it has none
    std::uint32_t file_places = 0;
};

// Which place, from 1 on; 0: none.
constexpr std::uint32_t buffer_place_of(const Request& request) noexcept {
    return request.buffer_index & Request::kPlaceBits;
}
constexpr std::uint32_t file_place_of(const Request& request) noexcept {
    return (request.buffer_index & Request::kUsesFile) != 0 ? request.args.file_place : 0;
}

// A request that names registered ones goes as an ordinary one.
[[gnu::noinline]] inline void count_unused(SubmitCounters& counters,
                                           const Request& request) noexcept {
    counters.fixed_unused.add((buffer_place_of(request) != 0 ? 1u : 0u) +
                              (file_place_of(request) != 0 ? 1u : 0u));
}

// The places of one kind.
class PlaceTable {
  public:
    explicit PlaceTable(std::uint32_t places) noexcept : count_(places) {}

    // -- any thread --------------------------------------------------------------------------

    // False: the handle is stale, or never was one.
    bool take(const TableHandle& handle) noexcept;
    // Of a request that was not accepted after all.
    void untake(std::uint32_t place) noexcept;
    // Only of a place that the caller has taken.
    const TableItem& item(std::uint32_t place) const noexcept { return at(place).item; }
    bool is_in_kernel(std::uint32_t place) const noexcept { return at(place).in_kernel; }

    // -- poll role ---------------------------------------------------------------------------

    void put_back(std::uint32_t place) noexcept;
    // As take() and untake(): by the one thread that has both roles, and sweeps.
    bool take_here(const TableHandle& handle) noexcept;
    void untake_here(std::uint32_t place) noexcept;

    // -- under RegisteredTables::mutex_ ------------------------------------------------------

    // Throws std::bad_alloc.
    void make();
    // The lowest unused places, from the first on. False: there are not so many.
    bool find_unused(TableHandle* handles, std::size_t count) const noexcept;
    void occupy(const TableHandle& handle, const TableItem& item, bool in_kernel) noexcept;
    // Nobody takes it from now on. False: it is not registered under this handle.
    bool retire(const TableHandle& handle) noexcept;
    // Uses those again that no request holds; `clear(first, count)` clears so many of the kernel's
    // places and says how many it could. How many became unused.
    template <class Clear>
    std::uint32_t sweep(Clear&& clear) noexcept;

  private:
    struct Place {
        std::atomic<std::uint64_t> word{kFirstGeneration};  // generation, taken
        TableItem item;
        bool in_kernel = false;
        bool is_used = false;
    };
    static constexpr std::uint64_t kFirstGeneration = std::uint64_t{1} << 32;
    static constexpr std::uint32_t generation_of(std::uint64_t word) noexcept {
        return static_cast<std::uint32_t>(word >> 32);
    }
    // Counts modulo 2^32, which must not run over into the generation.
    static constexpr std::uint64_t with_taken(std::uint64_t word, std::uint32_t more) noexcept {
        return (word & ~std::uint64_t{UINT32_MAX}) | (static_cast<std::uint32_t>(word) + more);
    }
    // Of a place; written by the poll role. Relaxed but for `done`: one thread writes and looks.
    struct Count {
        std::atomic<std::uint32_t> done{0};
        std::atomic<std::uint32_t> own_taken{0};
    };
    void add_taken_here(std::uint32_t place, std::uint32_t more) noexcept {
        std::atomic<std::uint32_t>& own_taken = counts_[place - 1].own_taken;
        own_taken.store(own_taken.load(std::memory_order_relaxed) + more,
                        std::memory_order_relaxed);
    }
    Place& at(std::uint32_t place) const noexcept { return place_list()[place - 1]; }
    // acquire: pairs with make().
    Place* place_list() const noexcept { return published_.load(std::memory_order_acquire); }
    bool is_held(std::uint32_t place) const noexcept;

    const std::uint32_t count_;
    std::atomic<Place*> published_{nullptr};
    std::unique_ptr<Place[]> places_;
    // Apart from the words, which submitters write.
    std::unique_ptr<Count[]> counts_;
    std::unique_ptr<std::uint32_t[]> retired_;  // places, each once
    std::uint32_t retired_count_ = 0;
};

class RegisteredTables {
  public:
    RegisteredTables(std::uint32_t buffer_places, std::uint32_t file_places) noexcept
        : buffers_(buffer_places), files_(file_places) {
        sweep_.owner = this;
        sweep_.done = [](Errand& self, bool runs) noexcept {
            RegisteredTables& tables = *static_cast<Sweep&>(self).owner;
            // [model: reg-3] release: what retired places before it was sent again is seen by that
            // one.
            tables.sweep_sent_.store(false, std::memory_order_release);
            if (runs)
                tables.sweep();
        };
    }

    // -- any thread: requests ----------------------------------------------------------------

    // For a request that names registered ones (buffer_index is not 0): holds them, or says what is
    // wrong. `here`: on the one thread that has both roles.
    Acceptance take(const Request& request, bool here = false) noexcept;
    // It was refused for another reason.
    void untake(const Request& request, bool here = false) noexcept;
    bool buffer_in_kernel(std::uint32_t place) const noexcept {
        return buffers_.is_in_kernel(place);
    }
    bool file_in_kernel(std::uint32_t place) const noexcept { return files_.is_in_kernel(place); }

    // -- poll role ---------------------------------------------------------------------------

    // Its result is known. settle() is called after the last of several.
    void put_back(const Request& request) noexcept;
    void settle() noexcept {
        if (std::exchange(some_are_back_, false))
            look_for_retired();
    }

    // -- any thread: places ------------------------------------------------------------------

    // Before anything is registered.
    void serve(const KernelTables& kernel) noexcept { kernel_ = kernel; }
    // After that nothing is registered, and the kernel's tables are left alone.
    void close() noexcept;

    struct Registered {
        ErrorCode code = ErrorCode::none;  // no_memory, shutting_down: nothing was done
        // Why it is not in force: queue_full (no places; handles are empty), unsupported, system.
        ErrorCode fallback = ErrorCode::none;
        int sys_errno = 0;
    };
    // All of them or none in force. Where the kernel listens.
    Registered add(TableKind kind, const TableItem* items, std::size_t count,
                   TableHandle* handles) noexcept;
    // Handles that are stale are passed over.
    void retire(TableKind kind, const TableHandle* handles, std::size_t count) noexcept;
    // Clears what is retired and held by nobody. Where the kernel listens; waits for nobody.
    void sweep() noexcept;

  private:
    struct Sweep : Errand {
        RegisteredTables* owner = nullptr;
    };
    PlaceTable& table_of(TableKind kind) noexcept {
        return kind == TableKind::buffers ? buffers_ : files_;
    }
    std::uint32_t kernel_places(TableKind kind) const noexcept {
        return kind == TableKind::buffers ? kernel_.buffer_places : kernel_.file_places;
    }
    // 0, or -errno and none of them is filled; but if the kernel keeps some, they have these places
    // no more.
    int fill(TableKind kind, const TableItem* items, const TableHandle* handles, std::size_t count,
             bool& has_places) noexcept;
    // How many of the kernel's places it could clear.
    std::uint32_t clear(TableKind kind, std::uint32_t first, std::uint32_t count) noexcept;
    void sweep_locked() noexcept;
    void look_for_retired() noexcept;
    void tell_of_untaken() noexcept;
    void send_sweep() noexcept;

    PlaceTable buffers_;
    PlaceTable files_;
    KernelTables kernel_;  // constant after serve()
    // Places that are retired. Written under mutex_; the fences say who sees it.
    std::atomic<std::uint32_t> retiring_{0};
    std::mutex mutex_;
    std::atomic<bool> missed_{false};  // somebody wanted to sweep and left it to who has the mutex
    bool closed_ = false;              // under mutex_
    bool some_are_back_ = false;       // poll role's own: since the last settle()
    std::atomic<bool> sweep_sent_{false};
    Sweep sweep_;
};

template <class Clear>
std::uint32_t PlaceTable::sweep(Clear&& clear) noexcept {
    std::uint32_t kept = 0;
    std::uint32_t i = 0;
    const std::uint32_t before = retired_count_;
    while (i < before) {
        const std::uint32_t place = retired_[i];
        if (is_held(place)) {
            retired_[kept++] = place;
            ++i;
            continue;
        }
        std::uint32_t run = 1;
        if (at(place).in_kernel) {
            while (i + run < before && retired_[i + run] == place + run && !is_held(place + run) &&
                   at(place + run).in_kernel)
                ++run;
            const std::uint32_t cleared = clear(place - 1, run);
            if (cleared == 0)
                retired_[kept++] = retired_[i++];  // for the next sweep
            run = cleared;
        }
        for (std::uint32_t k = 0; k < run; ++k, ++i) {
            at(retired_[i]).in_kernel = false;
            at(retired_[i]).is_used = false;
        }
    }
    retired_count_ = kept;
    return before - kept;
}

}  // namespace v0
}  // namespace ioengine
