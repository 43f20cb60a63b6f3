// SPDX-License-Identifier: MIT
//
// What simulated files do with bytes.
#include "drivers/sim/files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>

namespace ioengine {
inline namespace v0 {

namespace {

// Calls copy(memory, position in the transfer, bytes) for each segment, up to `bytes` in all.
template <class F>
requires std::is_invocable_v<F&, void*, std::uint64_t, std::size_t>
void for_each_part(const std::vector<iovec>& segments, std::uint64_t bytes, F&& copy) {
    std::uint64_t position = 0;
    for (const iovec& segment : segments) {
        const std::uint64_t part = std::min<std::uint64_t>(segment.iov_len, bytes - position);
        if (part != 0)
            copy(segment.iov_base, position, static_cast<std::size_t>(part));
        position += part;
        if (position == bytes)
            return;
    }
}

}  // namespace

void list_segments(bool vectored, void* data, std::uint64_t size, std::vector<iovec>& out) {
    out.clear();
    if (!vectored) {
        out.push_back({data, static_cast<std::size_t>(size)});
        return;
    }
    const auto* vectors = static_cast<const iovec*>(data);
    out.assign(vectors, vectors + size);
}

std::uint64_t bytes_in(const std::vector<iovec>& segments) noexcept {
    std::uint64_t bytes = 0;
    for (const iovec& segment : segments)
        bytes += segment.iov_len;
    return bytes;
}

int misalignment(const SimFile& file, const iovec* segments, std::size_t count,
                 std::uint64_t offset) noexcept {
    if (!file.direct)
        return 0;
    std::uint64_t all = offset;
    for (std::size_t i = 0; i < count; ++i)
        all |= reinterpret_cast<std::uintptr_t>(segments[i].iov_base) | segments[i].iov_len;
    return all % kSimBlock != 0 ? -EINVAL : 0;
}

std::int64_t read_from(const SimFile& file, const std::vector<iovec>& segments,
                       std::uint64_t offset, std::uint64_t bytes_max) noexcept {
    if (offset >= file.end())
        return 0;
    const std::uint64_t bytes = std::min({bytes_max, bytes_in(segments), file.end() - offset});
    for_each_part(segments, bytes, [&](void* memory, std::uint64_t position, std::size_t part) {
        std::memcpy(memory, file.bytes.data() + offset + position, part);
    });
    return static_cast<std::int64_t>(bytes);
}

std::int64_t write_to(SimFile& file, const std::vector<iovec>& segments, std::uint64_t offset,
                      std::uint64_t bytes_max) noexcept {
    const std::uint64_t wanted = bytes_in(segments);
    if (wanted == 0)
        return 0;
    if (offset >= file.capacity || (file.whole_writes && offset + wanted > file.capacity))
        return -ENOSPC;
    const std::uint64_t bytes = std::min({bytes_max, wanted, file.capacity - offset});
    if (offset + bytes > file.end())
        file.bytes.resize(offset + bytes);
    for_each_part(segments, bytes, [&](void* memory, std::uint64_t position, std::size_t part) {
        std::memcpy(file.bytes.data() + offset + position, memory, part);
    });
    return static_cast<std::int64_t>(bytes);
}

std::int64_t allocate(SimFile& file, int mode, std::uint64_t offset, std::uint64_t bytes) noexcept {
    if (file.kind != SimFile::Kind::regular)
        return -ENODEV;
    if (bytes == 0)
        return -EINVAL;
    if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
        if (offset < file.end())
            std::memset(file.bytes.data() + offset, 0,
                        static_cast<std::size_t>(std::min(bytes, file.end() - offset)));
        return 0;
    }
    if (mode != 0)
        return -EOPNOTSUPP;
    if (offset + bytes > file.capacity)
        return -ENOSPC;
    if (offset + bytes > file.end())
        file.bytes.resize(offset + bytes);
    return 0;
}

FileShape SimFiles::shape_of(int fd) noexcept {
    const SimFile* file = find(fd);
    FileShape shape;
    if (file == nullptr)
        return shape;
    shape.transfers_whole =
        file->kind == SimFile::Kind::regular || file->kind == SimFile::Kind::block;
    if (file->kind == SimFile::Kind::regular)
        shape.end = file->end();
    return shape;
}

bool SimFiles::is_stream(int fd) noexcept {
    const SimFile* file = find(fd);
    return file != nullptr && file->kind == SimFile::Kind::stream;
}

bool SimFiles::is_direct(int fd) noexcept {
    const SimFile* file = find(fd);
    return file != nullptr && file->direct && file->kind != SimFile::Kind::stream;
}

int SimFiles::alignment_refusal(const Request& request) noexcept {
    const SimFile* file = find(request.fd);
    if (file == nullptr || !file->direct || !moves_bytes(request.action))
        return 0;
    if (is_vectored(request.action))
        return misalignment(*file, static_cast<const iovec*>(request.data), request.length,
                            request.offset);
    const iovec whole{request.data, request.length};
    return misalignment(*file, &whole, 1, request.offset);
}

}  // namespace v0
}  // namespace ioengine
