// SPDX-License-Identifier: MIT
//
// Implements temp_file.hpp: choosing the directory, opening the files.

#include "tests/support/temp_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <vector>

namespace test {
namespace {

[[noreturn]] void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

struct Place {
    std::string directory;
    std::string file_system;
};

std::string name_of_file_system(const std::string& directory) {
    struct statfs info {};
    if (::statfs(directory.c_str(), &info) != 0)
        return "unknown";
    switch (static_cast<std::uint32_t>(info.f_type)) {
    case EXT4_SUPER_MAGIC:
        return "ext4";
    case 0x58465342:  // no constant in older headers
        return "xfs";
    case BTRFS_SUPER_MAGIC:
        return "btrfs";
    case TMPFS_MAGIC:
        return "tmpfs";
    case RAMFS_MAGIC:
        return "ramfs";
    case OVERLAYFS_SUPER_MAGIC:
        return "overlayfs";
    default:
        char text[24];
        std::snprintf(text, sizeof(text), "0x%lx", static_cast<unsigned long>(info.f_type));
        return text;
    }
}

// An unlinked file; -1 if the directory cannot be written to.
int open_unnamed(const std::string& directory) {
    std::string path = directory + "/ioengine-test-XXXXXX";
    const int fd = ::mkostemp(path.data(), O_CLOEXEC);
    if (fd >= 0)
        ::unlink(path.c_str());
    return fd;
}

int open_again(int fd, int flags) {
    char path[40];
    std::snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return ::open(path, flags | O_CLOEXEC);
}

bool takes_direct_io(const std::string& directory) {
    const Fd file(open_unnamed(directory));
    return file.valid() && Fd(open_again(file.get(), O_RDWR | O_DIRECT)).valid();
}

Place choose_place() {
    std::vector<std::string> candidates;
    for (const char* variable : {"IOENGINE_TEST_DIR", "TMPDIR"})
        if (const char* value = std::getenv(variable))
            if (*value != '\0')
                candidates.emplace_back(value);
    for (const char* fixed : {".", "/var/tmp", "/tmp"})
        candidates.emplace_back(fixed);

    const std::string* chosen = nullptr;
    for (const std::string& directory : candidates) {
        const std::string name = name_of_file_system(directory);
        if (name != "tmpfs" && name != "ramfs" && name != "overlayfs" &&
            takes_direct_io(directory)) {
            chosen = &directory;
            break;
        }
    }
    for (std::size_t i = 0; chosen == nullptr && i < candidates.size(); ++i)
        if (Fd(open_unnamed(candidates[i])).valid())
            chosen = &candidates[i];
    if (chosen == nullptr)
        throw std::runtime_error("no directory can be written to; set IOENGINE_TEST_DIR");

    Place place{*chosen, name_of_file_system(*chosen)};
    std::printf("test files: %s in \"%s\"\n", place.file_system.c_str(), place.directory.c_str());
    return place;
}

const Place& place() {
    static const Place chosen = choose_place();
    return chosen;
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = other.release();
    }
    return *this;
}

void Fd::close() {
    if (fd_ >= 0)
        ::close(fd_);
    fd_ = -1;
}

TempFile::TempFile(std::uint64_t bytes) : buffered_(open_unnamed(directory())) {
    if (!buffered_.valid())
        fail("a temporary file in " + directory());
    if (::ftruncate(buffered_.get(), static_cast<off_t>(bytes)) != 0)
        fail("ftruncate");
    direct_ = Fd(open_again(buffered_.get(), O_RDWR | O_DIRECT));
    is_direct_ = direct_.valid();
    if (!is_direct_)
        direct_ = reopen(O_RDWR);
}

std::uint64_t TempFile::size() const {
    struct stat info {};
    if (::fstat(fd(), &info) != 0)
        fail("fstat");
    return static_cast<std::uint64_t>(info.st_size);
}

Fd TempFile::reopen(int flags) const {
    Fd again(open_again(fd(), flags));
    if (!again.valid())
        fail("opening a temporary file again");
    return again;
}

void TempFile::put(const void* data, std::size_t bytes, std::uint64_t offset) const {
    if (::pwrite(fd(), data, bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes))
        fail("pwrite");
}

void TempFile::get(void* data, std::size_t bytes, std::uint64_t offset) const {
    if (::pread(fd(), data, bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes))
        fail("pread");
}

const std::string& TempFile::directory() {
    return place().directory;
}
const std::string& TempFile::file_system() {
    return place().file_system;
}

Pipe::Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        fail("pipe2");
    read_ = Fd(ends[0]);
    write_ = Fd(ends[1]);
}

void Pipe::feed(const void* data, std::size_t bytes) const {
    if (::write(write_end(), data, bytes) != static_cast<ssize_t>(bytes))
        fail("feeding a pipe");
}

// fsopen(2) and friends, Linux 5.2; called by number for C libraries older than glibc 2.36.
Fd open_on_small_file_system(std::uint64_t bytes) {
    const Fd file_system(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
    if (!file_system.valid())
        return Fd();
    const std::string size = std::to_string(bytes);
    if (::syscall(SYS_fsconfig, file_system.get(), FSCONFIG_SET_STRING, "size", size.c_str(), 0) !=
            0 ||
        ::syscall(SYS_fsconfig, file_system.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
        return Fd();
    const Fd mount(static_cast<int>(::syscall(SYS_fsmount, file_system.get(), FSMOUNT_CLOEXEC, 0)));
    if (!mount.valid())
        return Fd();
    return Fd(::openat(mount.get(), "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

}  // namespace test
