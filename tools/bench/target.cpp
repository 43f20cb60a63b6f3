// SPDX-License-Identifier: MIT
//
// Creates, fills, opens and deletes the target.
#include "tools/bench/target.hpp"

#include "tools/bench/arena.hpp"
#include "tools/bench/failure.hpp"
#include "tools/bench/filesystem.hpp"
#include "tools/bench/verifier.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace bench {

namespace {

constexpr std::uint64_t kDefaultBytes = std::uint64_t{256} << 20;
constexpr std::size_t kFillBytes = std::size_t{1} << 20;

// The files that must not outlive the program, however it ends.
std::array<const char* volatile, 4> files_to_delete = {};
constexpr int kEndingSignals[] = {SIGINT, SIGTERM, SIGHUP};

void delete_files() {
    for (const char* const path : files_to_delete)
        if (path != nullptr)
            unlink(path);
}

void delete_files_and_end(int number) {
    delete_files();
    signal(number, SIG_DFL);
    raise(number);
}

void guard_file(const char* path) {
    const auto place = std::find(files_to_delete.begin(), files_to_delete.end(), nullptr);
    if (place == files_to_delete.end())
        throw Failure(kExitUnavailable, "too many targets at once");
    *place = path;
    static const int registered = std::at_quick_exit(delete_files);
    static_cast<void>(registered);
    for (const int number : kEndingSignals)
        signal(number, delete_files_and_end);
}

void end_guard(const char* path) {
    std::replace(files_to_delete.begin(), files_to_delete.end(), path,
                 static_cast<const char*>(nullptr));
}

Failure cannot(const std::string& what, const std::string& path, int error,
               const std::string& hint) {
    return {kExitUnavailable,
            "cannot " + what + " " + path + ": " + errno_text(error) + "; " + hint};
}

void write_fully(int fd, const std::byte* data, std::size_t bytes, std::uint64_t offset,
                 const std::string& path) {
    while (bytes > 0) {
        const ssize_t put = pwrite(fd, data, bytes, static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            throw cannot("fill", path, put < 0 ? errno : ENOSPC, "make room or lower --size");
        data += put;
        bytes -= static_cast<std::size_t>(put);
        offset += static_cast<std::uint64_t>(put);
    }
}

std::uint64_t block_device_bytes(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    std::uint64_t bytes = 0;
    const bool known = fd >= 0 && ioctl(fd, BLKGETSIZE64, &bytes) == 0;
    const int error = errno;
    if (fd >= 0)
        close(fd);
    if (!known)
        throw cannot("read the size of", path, error, "check its permissions");
    return bytes;
}

// Character devices that behave like memory without end; others would be a mistake.
void require_known_character_device(dev_t device, Rw rw) {
    constexpr unsigned kMemoryMajor = 1;
    constexpr unsigned kNull = 3;
    constexpr unsigned kZero = 5;
    constexpr unsigned kFull = 7;
    const bool memory = major(device) == kMemoryMajor;
    const unsigned number = minor(device);
    if (memory && number == kZero)
        return;
    if (memory && (number == kNull || number == kFull) && !reads(rw))
        return;
    throw Failure(kExitUsage, "this character device cannot serve that load; use /dev/zero for "
                              "reads, /dev/null for writes, a file or a block device");
}

}  // namespace

Target::Target(const BenchOptions& options)
    : path_(options.target), block_bytes_(options.block_bytes), rw_(options.rw) {
    struct stat found;
    if (stat(path_.c_str(), &found) == 0)
        inspect_existing(options, found.st_mode, found.st_rdev);
    else if (errno == ENOENT)
        create(options);
    else
        throw cannot("look at", path_, errno, "name a target that can be reached");
}

Target::~Target() {
    if (fd_ >= 0)
        close(fd_);
    if (created_) {
        unlink(path_.c_str());
        end_guard(path_.c_str());
    }
}

void Target::inspect_existing(const BenchOptions& options, mode_t mode, dev_t device) {
    filesystem_ = S_ISREG(mode) ? filesystem_name(path_) : "none";
    if (options.verify && !S_ISCHR(mode) && !writes(rw_))
        throw Failure(kExitUsage, "--verify with reads only would have to fill " + path_ +
                                      " first; name a target that does not exist yet, or use "
                                      "--rw randrw, which overwrites it");
    if (S_ISREG(mode)) {
        struct stat found;
        if (stat(path_.c_str(), &found) != 0)
            throw cannot("look at", path_, errno, "name a target that can be reached");
        settle_size(options, static_cast<std::uint64_t>(found.st_size));
    } else if (S_ISBLK(mode)) {
        kind_ = TargetKind::block_device;
        settle_size(options, block_device_bytes(path_));
    } else if (S_ISCHR(mode)) {
        kind_ = TargetKind::character_device;
        require_known_character_device(device, rw_);
        if (options.verify)
            throw Failure(kExitUsage, "--verify needs a target that keeps what is written: a file "
                                      "or a block device");
        settle_size(options, options.size_bytes.value_or(kDefaultBytes));
    } else {
        throw Failure(kExitUsage, path_ + " is neither a file nor a device; name one of these");
    }
}

void Target::create(const BenchOptions& options) {
    // First, because an object whose constructor throws deletes nothing.
    settle_size(options, options.size_bytes.value_or(kDefaultBytes));
    const int fd = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        throw cannot("create", path_, errno, "name a target in a directory you may write to");
    created_ = true;
    guard_file(path_.c_str());
    close(fd);
    filesystem_ = filesystem_name(path_);
}

void Target::settle_size(const BenchOptions& options, std::uint64_t available_bytes) {
    const std::uint64_t wanted = options.size_bytes.value_or(available_bytes);
    if (wanted > available_bytes)
        throw Failure(kExitUsage, path_ + " holds " + std::to_string(available_bytes) +
                                      " bytes, less than --size; lower --size, or name a target "
                                      "that does not exist yet");
    blocks_ = wanted / block_bytes_;
    if (blocks_ == 0)
        throw Failure(kExitUsage, path_ + " is smaller than one block; lower --bs or name a "
                                          "target that does not exist yet");
    // A verified request must always find a block that no other is using.
    if (options.verify && blocks_ <= options.depth)
        throw Failure(kExitUsage, "--verify needs more blocks than --depth, here are " +
                                      std::to_string(blocks_) + "; raise --size or lower --depth");
}

void Target::lay_out(const Verifier* verifier) {
    if (!created_ && verifier == nullptr)
        return;
    const int fd = open_or_throw(O_RDWR);
    const std::uint64_t chunk_blocks = std::max<std::uint64_t>(1, kFillBytes / block_bytes_);
    Arena arena(1, chunk_blocks * block_bytes_);
    std::byte* data = arena.buffer(0);
    Random filler(1);
    for (std::size_t at = 0; at + 8 <= arena.size(); at += 8)
        reinterpret_cast<std::uint64_t*>(data)[at / 8] = filler.next();
    try {
        for (std::uint64_t first = 0; first < blocks_; first += chunk_blocks) {
            const std::uint64_t count = std::min(chunk_blocks, blocks_ - first);
            for (std::uint64_t i = 0; verifier != nullptr && i < count; ++i)
                verifier->fill_first(data + i * block_bytes_, first + i);
            write_fully(fd, data, count * block_bytes_, first * block_bytes_, path_);
        }
        if (fsync(fd) != 0)
            throw cannot("flush", path_, errno, "the storage reports an error");
    } catch (...) {
        close(fd);
        throw;
    }
    // So that buffered reads, where O_DIRECT is refused, begin on equal terms.
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

void Target::open_for_run() {
    int flags = writes(rw_) ? O_RDWR : O_RDONLY;
    // A mounted block device refuses O_EXCL: nothing else stops us from writing over it.
    if (kind_ == TargetKind::block_device && writes(rw_))
        flags |= O_EXCL;
    // Without O_NONBLOCK io_uring hands requests for tmpfs and memory devices to worker threads.
    const bool memory = kind_ == TargetKind::character_device || filesystem_ == "tmpfs";
    const int nonblock = memory ? O_NONBLOCK : 0;
    access_ = memory ? "O_NONBLOCK" : "buffered";

    if (kind_ != TargetKind::character_device) {
        fd_ = open(path_.c_str(), flags | nonblock | O_DIRECT | O_CLOEXEC);
        const int refused = fd_ < 0 ? errno : refusal_of_direct_read();
        if (refused == 0) {
            direct_ = true;
            access_ = memory ? "O_DIRECT, O_NONBLOCK" : "O_DIRECT";
            return;
        }
        if (fd_ >= 0)
            close(fd_);
        fd_ = -1;
        access_ += " (O_DIRECT refused: " + errno_text(refused) + ")";
    }
    fd_ = open_or_throw(flags | nonblock);
}

const char* Target::kind_name() const noexcept {
    switch (kind_) {
    case TargetKind::regular_file:
        return "file";
    case TargetKind::block_device:
        return "block device";
    case TargetKind::character_device:
        return "character device";
    }
    return "unknown";
}

int Target::open_or_throw(int flags) const {
    const int fd = open(path_.c_str(), flags | O_CLOEXEC);
    if (fd < 0)
        throw cannot("open", path_, errno,
                     errno == EBUSY ? "it is in use, probably mounted"
                                    : "check its permissions or name another target");
    return fd;
}

// Opening proves little: a block size below the device's is refused only by the transfer itself.
int Target::refusal_of_direct_read() const {
    Arena arena(1, block_bytes_);
    const ssize_t got = pread(fd_, arena.buffer(0), block_bytes_, 0);
    return got < 0 ? errno : 0;
}

}  // namespace bench
