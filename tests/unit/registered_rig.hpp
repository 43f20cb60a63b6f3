// SPDX-License-Identifier: MIT
//
// FileTables: tables of registered files over a kernel that keeps what it is told.
#ifndef IOENGINE_TESTS_UNIT_REGISTERED_RIG_HPP
#define IOENGINE_TESTS_UNIT_REGISTERED_RIG_HPP

#include "lib/registered.hpp"

#include <cstdint>
#include <vector>

namespace test {

struct FileTables {
    explicit FileTables(std::uint32_t places) : kernel(places, -1), tables(0, places) {
        ioengine::KernelTables calls;
        calls.update = [](void* user, ioengine::TableKind, std::uint32_t first,
                          const ioengine::TableItem* items, std::uint32_t count) noexcept {
            FileTables& self = *static_cast<FileTables*>(user);
            ++self.updates;
            for (std::uint32_t i = 0; i < count; ++i)
                self.kernel[first + i] = items[i].fd;
            return static_cast<int>(count);
        };
        calls.send = [](void*, ioengine::Errand& errand) noexcept { errand.done(errand, true); };
        calls.user = this;
        calls.file_places = places;
        tables.serve(calls);
    }
    FileTables(const FileTables&) = delete;
    FileTables& operator=(const FileTables&) = delete;

    // Place 0: there was none.
    ioengine::TableHandle add(int fd) {
        ioengine::TableHandle handle;
        const ioengine::TableItem item{nullptr, 0, fd};
        tables.add(ioengine::TableKind::files, &item, 1, &handle);
        return handle;
    }
    void retire(const ioengine::TableHandle& handle) {
        tables.retire(ioengine::TableKind::files, &handle, 1);
    }
    bool take(const ioengine::TableHandle& handle, int fd) {
        return static_cast<bool>(tables.take(request(handle, fd)));
    }
    void untake(const ioengine::TableHandle& handle) { tables.untake(request(handle, 0)); }
    void put_back(const ioengine::TableHandle& handle) {
        tables.put_back(request(handle, 0));
        tables.settle();
    }

    static ioengine::Request request(const ioengine::TableHandle& handle, int fd) {
        ioengine::Request request;
        request.prepare_fsync(fd);
        request.use(ioengine::FileHandle{fd, handle.place, handle.generation});
        return request;
    }

    std::vector<int> kernel;    // under the tables' mutex
    std::uint64_t updates = 0;  // likewise
    ioengine::RegisteredTables tables;
};

}  // namespace test

#endif  // IOENGINE_TESTS_UNIT_REGISTERED_RIG_HPP
