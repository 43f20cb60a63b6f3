// SPDX-License-Identifier: MIT
//
// Scripts: short programs over the public API, such as users write them.
#ifndef IOENGINE_TESTS_NTH_SCRIPTS_HPP
#define IOENGINE_TESTS_NTH_SCRIPTS_HPP

#include "tests/nth/stage.hpp"

#include <cstddef>
#include <cstdint>

namespace nth {

// In which threadings it has something to show.
enum class On : std::uint8_t { any, two_threads, one_thread, caller };

struct Script {
    const char* name;
    void (*play)(Stage& stage);
    On on = On::any;

    bool plays_on(Threading threading) const;
};

// -- what scripts share ---------------------------------------------------------------------

// Options of a context with so many slots.
ioengine::Options with(std::uint32_t depth,
                       ioengine::Lending lending = ioengine::Lending::callbacks);
// Submit operations first to first + count - 1.
void reads(Stage& stage, Context& io, std::size_t first, std::size_t count, bool direct = false);
void writes(Stage& stage, Context& io, std::size_t first, std::size_t count, bool direct = false);

// -- those in files of their own ------------------------------------------------------------

void cancelled(Stage& stage, Context& io);
void late(Stage& stage, Context& io);
void early_results(Stage& stage);
void registered(Stage& stage, Context& io);
void a_pool(Stage& stage, Context& io);
#if IOENGINE_TESTS_NTH_AIO
void aio_transfers(Stage& stage);
void aio_vectors(Stage& stage);
void aio_polls(Stage& stage);
#endif

// All of them; the last one has no name.
extern const Script kScripts[];

}  // namespace nth

#endif  // IOENGINE_TESTS_NTH_SCRIPTS_HPP
