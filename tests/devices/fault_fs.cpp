// SPDX-License-Identifier: MIT
//
// fault-fs MOUNTPOINT: a file system in user space (FUSE) whose files fail in ways that regular
// ones do not at will. Each is kFileBytes long, byte i of it is byte_at(i), and what is written is
// kept until the end. What a file does wrong is its name:
//
//   good        nothing
//   bad-sector  block 5 cannot be read or written: EIO, for any transfer that touches it
//   no-data     the same with ENODATA, which is what the kernel makes of a medium error
//   short       a read gives at most 1000 bytes
//   empty       reads from block 5 on give nothing, although the file is longer
//   held        a read is not answered before somebody writes to `release`
//   release     lets go of what is held, and of nothing that comes later
//   full        writes from block 5 on have no space: ENOSPC
//   unsynced    an fsync after a write fails once, with EIO
//
// Nothing is cached (FOPEN_DIRECT_IO), so each transfer of the engine comes here as it is.
#define FUSE_USE_VERSION 31

#include "tests/devices/fault_fs.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fuse3/fuse.h>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

struct File {
    std::mutex mutex;  // the rest
    std::vector<unsigned char> bytes;
    bool unsynced = false;
};

// Never changes after main() has filled it, so it needs no lock.
std::map<std::string, File>& files() {
    static std::map<std::string, File> all;
    return all;
}

File* find(const char* path) {
    const auto found = files().find(path + 1);  // behind the slash
    return found == files().end() ? nullptr : &found->second;
}

bool is(const char* path, const char* name) {
    return std::strcmp(path + 1, name) == 0;
}

class Holder {
  public:
    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        const unsigned seen = releases_;
        released_.wait(lock, [&] { return releases_ != seen; });
    }
    void let_go() {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++releases_;
        released_.notify_all();
    }

  private:
    std::mutex mutex_;  // the rest
    std::condition_variable released_;
    unsigned releases_ = 0;
};

Holder& holder() {
    static Holder instance;
    return instance;
}

// -errno for a transfer of these bytes, or 0.
int failure_of(const char* path, std::size_t bytes, off_t offset) {
    const auto begin = static_cast<std::uint64_t>(offset);
    if (is(path, "held"))
        holder().wait();
    if (is(path, "release"))
        holder().let_go();
    const bool touches_bad =
        begin < (fault_fs::kBadBlock + 1) * fault_fs::kBlock && begin + bytes > fault_fs::kBadByte;
    if (touches_bad && is(path, "bad-sector"))
        return -EIO;
    if (touches_bad && is(path, "no-data"))
        return -ENODATA;
    return 0;
}

int get_attributes(const char* path, struct stat* out, fuse_file_info* /*info*/) {
    std::memset(out, 0, sizeof *out);
    if (std::strcmp(path, "/") == 0) {
        out->st_mode = S_IFDIR | 0755;
        out->st_nlink = 2;
        return 0;
    }
    if (find(path) == nullptr)
        return -ENOENT;
    out->st_mode = S_IFREG | 0644;
    out->st_nlink = 1;
    out->st_size = static_cast<off_t>(fault_fs::kFileBytes);
    return 0;
}

int open_file(const char* path, fuse_file_info* info) {
    if (find(path) == nullptr)
        return -ENOENT;
    info->direct_io = 1;
    return 0;
}

int read_file(const char* path, char* out, std::size_t bytes, off_t offset,
              fuse_file_info* /*info*/) {
    if (const int failure = failure_of(path, bytes, offset))
        return failure;
    File& file = *find(path);
    const std::lock_guard<std::mutex> lock(file.mutex);
    const auto begin = static_cast<std::uint64_t>(offset);
    if (begin >= file.bytes.size() || (is(path, "empty") && begin >= fault_fs::kBadByte))
        return 0;
    std::size_t given = std::min<std::uint64_t>(bytes, file.bytes.size() - begin);
    if (is(path, "short"))
        given = std::min(given, fault_fs::kShortBytes);
    std::memcpy(out, file.bytes.data() + begin, given);
    return static_cast<int>(given);
}

int write_file(const char* path, const char* data, std::size_t bytes, off_t offset,
               fuse_file_info* /*info*/) {
    if (const int failure = failure_of(path, bytes, offset))
        return failure;
    File& file = *find(path);
    const std::lock_guard<std::mutex> lock(file.mutex);
    const auto begin = static_cast<std::uint64_t>(offset);
    const bool fits = begin <= file.bytes.size() && bytes <= file.bytes.size() - begin;
    if (!fits || (is(path, "full") && begin + bytes > fault_fs::kBadByte))
        return -ENOSPC;
    std::memcpy(file.bytes.data() + begin, data, bytes);
    file.unsynced = true;
    return static_cast<int>(bytes);
}

int sync_file(const char* path, int /*data_only*/, fuse_file_info* /*info*/) {
    File& file = *find(path);
    const std::lock_guard<std::mutex> lock(file.mutex);
    const bool fails = std::exchange(file.unsynced, false) && is(path, "unsynced");
    return fails ? -EIO : 0;
}

}  // namespace

int main(int argc, char** argv) {
    for (const char* name : {"good", "bad-sector", "no-data", "short", "empty", "held", "release",
                             "full", "unsynced"}) {
        std::vector<unsigned char>& bytes = files()[name].bytes;
        bytes.resize(fault_fs::kFileBytes);
        for (std::size_t i = 0; i < bytes.size(); ++i)
            bytes[i] = fault_fs::byte_at(i);
    }
    fuse_operations operations{};
    operations.getattr = get_attributes;
    operations.open = open_file;
    operations.read = read_file;
    operations.write = write_file;
    operations.fsync = sync_file;
    return ::fuse_main(argc, argv, &operations, nullptr);
}
