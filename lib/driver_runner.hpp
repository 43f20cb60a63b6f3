// SPDX-License-Identifier: MIT
//
// DriverRunner: what every Runner asks its driver, whoever holds the roles.
#pragma once

#include "lib/driver.hpp"
#include "lib/runner.hpp"

#include <cstdint>
#include <memory>
#include <utility>

namespace ioengine {
inline namespace v0 {

template <Driver D>
class DriverRunner : public Runner {
  public:
    std::uint32_t table_places(TableKind kind) const noexcept final {
        return driver_->table_places(kind);
    }
    int update_table(TableKind kind, std::uint32_t first, const TableItem* items,
                     std::uint32_t count) noexcept final {
        return driver_->update_table(kind, first, items, count);
    }

    std::uint32_t depth() const noexcept final { return driver_->slots().depth(); }
    std::uint32_t slots_in_use() const noexcept final { return driver_->slots().in_use(); }
    bool describe(std::uint32_t i, std::uint64_t now, InFlight& out) const noexcept final {
        return driver_->slots().describe(i, now, out);
    }

  protected:
    explicit DriverRunner(std::unique_ptr<D> driver) noexcept : driver_(std::move(driver)) {}

    const std::unique_ptr<D> driver_;
};

}  // namespace v0
}  // namespace ioengine
