// SPDX-License-Identifier: MIT
//
// Registration: a batch of registered buffers or files, as users hold it.
//
// It may outlive its engine: it holds a share of a Lifeline, whose gate says whether the engine is
// still there, and keeps it there meanwhile.
#pragma once

#include "lib/engine.hpp"
#include "lib/gate.hpp"
#include "lib/registered.hpp"

#include <ioengine/registered.hpp>

#include <cstddef>
#include <memory>
#include <vector>

namespace ioengine {
inline namespace v0 {

struct Lifeline {
    explicit Lifeline(Engine& owner) noexcept : engine(owner) {}
    Engine& engine;  // inside the gate only
    Gate gate;
};

namespace abi {

struct Registration {
    Registration(std::shared_ptr<Lifeline> held, TableKind what) noexcept
        : lifeline(std::move(held)), kind(what) {}

    const std::shared_ptr<Lifeline> lifeline;
    const TableKind kind;
    std::vector<TableHandle> handles;
    std::vector<int> files;  // of files
    Error note;              // why it is not in force
};

}  // namespace abi
}  // namespace v0
}  // namespace ioengine
