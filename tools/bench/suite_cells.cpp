// SPDX-License-Identifier: MIT
//
// The matrix: which loads, against whom, and what must be reached.
#include "tools/bench/suite.hpp"

#include "tools/bench/format.hpp"

#include <ioengine/ioengine.hpp>

namespace bench {

namespace {

using ioengine::Backend;
using ioengine::Lending;
using ioengine::Threading;

Side engine_as(const char* name) {
    Side side;
    side.name = name;
    return side;
}
Side hand_written(Side::Kind kind, const char* name) {
    Side side = engine_as(name);
    side.kind = kind;
    return side;
}
Side raw() {
    return hand_written(Side::Kind::raw, "raw");
}
Side strict() {
    return hand_written(Side::Kind::strict, "strict");
}
// Ours with what raw has.
Side fixed(const char* name = "ioengine", Threading threading = Threading::split) {
    Side side = engine_as(name);
    side.fixed = true;
    side.threading = threading;
    return side;
}

void add_chains(std::vector<Cell>& cells, Backend backend) {
    for (const Place place : {Place::memory, Place::disk})
        for (const std::uint32_t depth : {1u, 8u, 32u, 128u}) {
            Cell cell{"chain",     place,   Rw::randread, depth, 1,
                      Mode::chain, backend, fixed(),      raw(), {}};
            cell.goal.rate = depth == 1 ? 0.90 : 0.95;
            cells.push_back(cell);
        }
    Cell cost{"cost", Place::zero, Rw::randread, 32, 1, Mode::chain, backend, fixed(), raw(), {}};
    cost.goal.added = 130;
    cells.push_back(cost);
}

// One thread for both roles: the host's, or the engine's.
void add_driven(std::vector<Cell>& cells, Backend backend) {
    for (const Threading threading : {Threading::caller, Threading::owner}) {
        const bool caller = threading == Threading::caller;
        const Side ours = fixed(caller ? "caller" : "owner", threading);
        Cell cell{"cost", Place::zero, Rw::randread, 1, 1, Mode::chain, backend, ours, raw(), {}};
        if (caller)
            cell.goal.added = 80;
        for (const std::uint32_t depth : {1u, 32u}) {
            cell.depth = depth;
            cells.push_back(cell);
        }
        cell.group = "chain";
        cell.place = Place::memory;
        for (const std::uint32_t depth : {1u, 8u, 32u, 128u}) {
            cell.depth = depth;
            cell.goal = {};
            if (caller)
                cell.goal.rate = depth == 1 ? 0.95 : 0.97;
            cells.push_back(cell);
        }
        cell.place = Place::disk;
        for (const std::uint32_t depth : {1u, 8u, 32u, 128u}) {
            cell.depth = depth;
            cell.goal.rate = 0.97;
            cell.goal.cpu = 1.05;
            cells.push_back(cell);
        }
    }
}

void add_waits(std::vector<Cell>& cells, Backend backend) {
    Cell cell{"wait", Place::memory, Rw::randread, 1, 1, Mode::wait, backend, fixed(), raw(), {}};
    cell.goal.rate = 0.93;
    cells.push_back(cell);
    cell.place = Place::disk;
    cell.goal.rate = 0.90;
    cells.push_back(cell);
    cell.place = Place::memory;
    cell.depth = 8;
    cell.producers = 2;
    cell.goal = {};
    cells.push_back(cell);
}

void add_wakes(std::vector<Cell>& cells, Backend backend) {
    Cell cell{"wake", Place::disk, Rw::randread, 1, 1, Mode::wake, backend, {}, raw(), {}};
    cell.ours = fixed("callers");
    cell.ours.lending = Lending::callers;
    if (backend == Backend::aio)
        cell.goal.rate = 0.88;
    cells.push_back(cell);
    cell.ours = {};
    cell.theirs = strict();
    cell.goal.rate = 1.0;
    cells.push_back(cell);
    cell.ours = fixed();
    cell.theirs = raw();
    cell.depth = 32;
    cell.goal.rate = 0.95;
    cells.push_back(cell);
    cell.ours = fixed("owner", Threading::owner);
    cell.goal = {};
    for (const std::uint32_t depth : {1u, 32u}) {
        cell.depth = depth;
        cells.push_back(cell);
    }
}

// Ours against ours without it.
void add_options(std::vector<Cell>& cells, Backend backend) {
    Cell cap{"cap",   Place::disk,         Rw::randread,          32, 1, Mode::chain,
             backend, engine_as("capped"), engine_as("uncapped"), {}};
    cap.theirs.disable = "reap_cap";
    cap.goal.rate = 1.1;
    cells.push_back(cap);
    cap.place = Place::zero;
    cap.goal.rate = 0.98;
    cells.push_back(cap);

    Cell spin{"spin",  Place::disk,           Rw::randread,          1, 1, Mode::chain,
              backend, engine_as("spinning"), engine_as("sleeping"), {}};
    spin.ours.spin_us = 60;
    spin.goal.rate = 1.4;
    cells.push_back(spin);

    Cell merge{"merge",
               Place::disk,
               Rw::write,
               32,
               1,
               Mode::chain,
               backend,
               engine_as("merging"),
               engine_as("unmerged"),
               {}};
    merge.ours.merge = true;
    merge.goal.rate = 1.9;
    merge.goal.cpu = 0.35;
    cells.push_back(merge);
    merge.depth = 128;
    cells.push_back(merge);
    merge.depth = 32;
    merge.rw = Rw::randread;
    merge.goal = {};
    merge.goal.rate = 0.98;
    cells.push_back(merge);
    merge.place = Place::zero;
    cells.push_back(merge);
}

}  // namespace

const char* place_name(Place place) noexcept {
    switch (place) {
    case Place::zero:
        return "/dev/zero";
    case Place::memory:
        return "tmpfs";
    case Place::disk:
        return "disk";
    }
    return "unknown";
}

std::vector<Cell> suite_cells() {
    std::vector<Cell> cells;
    for (const Backend backend : {Backend::uring, Backend::aio}) {
        add_chains(cells, backend);
        add_driven(cells, backend);
        add_waits(cells, backend);
        add_wakes(cells, backend);
        add_options(cells, backend);
    }
    return cells;
}

std::string describe(const Cell& cell) {
    std::string load = format("depth %u", cell.depth);
    if (cell.producers != 1)
        load += format(", %u threads", cell.producers);
    return format("%-5s %-5s %-9s %-8s %-19s %s / %s", cell.group.c_str(),
                  ioengine::backend_name(cell.backend), place_name(cell.place), rw_name(cell.rw),
                  load.c_str(), cell.ours.name.c_str(), cell.theirs.name.c_str());
}

}  // namespace bench
