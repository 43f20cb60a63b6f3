// SPDX-License-Identifier: MIT
//
// Places: a thread of the user's that registers and unregisters buffers and files. It knows which
// handles are alive, and sees what the kernel's tables are told.
//
// The tables of the library are the real ones (lib/registered.hpp). With one thread for both roles
// they are reached by errands, which that thread runs when it comes to it.
#pragma once

#include "lib/errands.hpp"
#include "lib/registered.hpp"
#include "lib/shared_context.hpp"
#include "tests/sim/contents.hpp"
#include "tests/sim/history.hpp"
#include "tests/sim/scene.hpp"
#include "tests/sim/subject.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace sim {

class Places {
  public:
    // The way to the kernel: the driver's tables, and a visit to where the kernel listens (false:
    // nobody is there any more).
    struct Kernel {
        void* user = nullptr;
        int (*update)(void* user, ioengine::TableKind kind, std::uint32_t first,
                      const ioengine::TableItem* items, std::uint32_t count) = nullptr;
        bool (*visit)(void* user, ioengine::Errand& errand) = nullptr;
        std::uint32_t buffer_places = 0;
        std::uint32_t file_places = 0;
    };

    Places(const Scene& scene, ioengine::IoSharedContext& context, Contents& contents,
           const SubjectPool& pool, History& history, std::uint64_t seed);
    // Before anything else.
    void serve(const Kernel& kernel);

    // Registers some, or unregisters some.
    void act();
    // Some requests name registered ones. After prepare_*.
    void lend(Subject& subject);
    // Must a request that names registered ones be refused, as things are now?
    bool are_wrong(const Subject& subject) const;

    // Nothing is in flight and everybody sleeps: nothing is left in the kernel of what was retired.
    // Fails.
    void check_quiet() const;
    // The engine's threads have left. Fails.
    void end();

  private:
    using Kind = ioengine::TableKind;
    struct Known {
        Kind kind = Kind::buffers;
        ioengine::TableHandle handle;
        ioengine::TableItem item;
    };
    struct Adding : ioengine::Errand {
        Places* owner = nullptr;
        Kind kind = Kind::buffers;
        std::vector<ioengine::TableItem> items;
    };

    void add();
    void added(bool runs);
    void retire();
    int update(Kind kind, std::uint32_t first, const ioengine::TableItem* items,
               std::uint32_t count);
    ioengine::TableItem any_item(Kind kind);
    const Known* any_known(Kind kind);
    const Known* alive(Kind kind, const ioengine::TableHandle& handle) const;
    std::vector<ioengine::TableItem>& table(Kind kind) {
        return in_kernel_[kind == Kind::buffers ? 0 : 1];
    }

    const Scene& scene_;
    ioengine::IoSharedContext& context_;
    Contents& contents_;
    const SubjectPool& pool_;
    History& history_;
    ioengine::SimRandom random_;
    Kernel kernel_;

    std::vector<Known> alive_;
    std::array<Known, 8> stale_{};  // some that were retired
    std::uint64_t retired_count_ = 0;
    Adding adding_;
    bool is_adding_ = false;    // the errand is on its way
    bool was_refused_ = false;  // an update, since adding began
    bool keeps_some_ = false;   // a place was to be cleared, and the kernel would not
    std::array<std::vector<ioengine::TableItem>, 2> in_kernel_;
};

}  // namespace sim
