// SPDX-License-Identifier: MIT
//
// Scripts: short programs over the public API, such as users write them.
#ifndef IOENGINE_TESTS_NTH_SCRIPTS_HPP
#define IOENGINE_TESTS_NTH_SCRIPTS_HPP

#include "tests/nth/stage.hpp"

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

#if IOENGINE_TESTS_NTH_AIO
void aio_transfers(Stage& stage);
void aio_vectors(Stage& stage);
void aio_polls(Stage& stage);
#endif

// All of them; the last one has no name.
extern const Script kScripts[];

}  // namespace nth

#endif  // IOENGINE_TESTS_NTH_SCRIPTS_HPP
