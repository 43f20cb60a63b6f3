// SPDX-License-Identifier: MIT
//
// SimFile: a file as an array of bytes, with the manners of what it stands for.
#pragma once

#include "lib/short_io.hpp"

#include <ioengine/request.hpp>

#include <cstddef>
#include <cstdint>
#include <sys/uio.h>
#include <vector>

namespace ioengine {
inline namespace v0 {

struct SimFile {
    enum class Kind : std::uint8_t {
        regular,  // has an end, which writes move
        block,    // a fixed number of bytes; nobody is told how many
        stream,   // read and written at offsets all the same, but short whenever it likes
        signal,   // /dev/null: reads give 0
    };

    Kind kind = Kind::regular;
    bool direct = false;        // O_DIRECT: everything must be a multiple of kSimBlock
    bool whole_writes = false;  // a write that does not fit fails, instead of being short
    std::uint64_t capacity = 0;
    std::vector<unsigned char> bytes;  // its size is the end of the file
    bool can_be_polled = false;        // its device, if it is direct

    std::uint64_t end() const noexcept { return bytes.size(); }
};
constexpr std::uint32_t kSimBlock = 512;

// Bytes from `data` to the file, or from the file to `data`, in the order of the segments, at most
// `bytes_max`; how many, or -errno. Fails as the file would, never by injection.
std::int64_t read_from(const SimFile& file, const std::vector<iovec>& segments,
                       std::uint64_t offset, std::uint64_t bytes_max) noexcept;
std::int64_t write_to(SimFile& file, const std::vector<iovec>& segments, std::uint64_t offset,
                      std::uint64_t bytes_max) noexcept;
// fallocate(2): extends, or with FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE zeroes. 0 or -errno.
std::int64_t allocate(SimFile& file, int mode, std::uint64_t offset, std::uint64_t bytes) noexcept;
// -EINVAL if the file is direct and cannot serve this shape, else 0.
int misalignment(const SimFile& file, const iovec* segments, std::size_t count,
                 std::uint64_t offset) noexcept;

// The open files of a world. Numbers begin far above what the process itself has open.
class SimFiles {
  public:
    static constexpr int kFirst = 1 << 20;

    int add(SimFile file) {
        files_.push_back(std::move(file));
        return kFirst + static_cast<int>(files_.size()) - 1;
    }
    // The number that the engine's own reads go to; a real one, which is never used.
    void open_signal(int fd) noexcept { signal_fd_ = fd; }
    // Null if nothing is open by that number.
    SimFile* find(int fd) noexcept {
        if (fd == signal_fd_)
            return fd >= 0 ? &signal_ : nullptr;
        const auto index = static_cast<std::size_t>(static_cast<long>(fd) - kFirst);
        return fd >= kFirst && index < files_.size() ? &files_[index] : nullptr;
    }
    // What a seam to the kernel answers; see drivers/files.hpp for the real one.
    FileShape shape_of(int fd) noexcept;
    int alignment_refusal(const Request& request) noexcept;
    bool is_stream(int fd) noexcept;
    bool is_direct(int fd) noexcept;

  private:
    std::vector<SimFile> files_;
    SimFile signal_{SimFile::Kind::signal, false, false, 0, {}, false};
    int signal_fd_ = -1;
};

// The memory of a request or of one piece of it: the buffer, or a copy of the iovecs.
void list_segments(bool vectored, void* data, std::uint64_t size, std::vector<iovec>& out);
std::uint64_t bytes_in(const std::vector<iovec>& segments) noexcept;

}  // namespace v0
}  // namespace ioengine
