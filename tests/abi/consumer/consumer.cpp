// SPDX-License-Identifier: MIT
//
// The least a program outside the tree does: writes a file and reads it back.
#include <cstring>
#include <fcntl.h>
#include <future>
#include <ioengine/ioengine.hpp>

int main(int, char** argv) {
    auto io = ioengine::IOContext<>::create();
    const int fd = ::open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char sent[] = "through the engine and back", got[sizeof(sent)] = {};
    std::promise<bool> written;
    if (!io ||
        !io->write(fd, sent, 0, [&](ioengine::Result r) noexcept { written.set_value(r.ok()); }))
        return 2;
    if (!written.get_future().get() || !io->read(fd, got, 0, [](ioengine::Result) noexcept {}))
        return 3;
    return io->shutdown().clean && std::memcmp(sent, got, sizeof(sent)) == 0 ? 0 : 1;
}
