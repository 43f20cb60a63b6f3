// SPDX-License-Identifier: MIT
//
// Mounting and setting up. Loop devices by ioctl(2), see loop(4); throttling by the block
// controller of cgroups, version 1 (Documentation/admin-guide/cgroup-v1/blkio-controller.rst).
#include "tests/devices/devices.hpp"

#include "tests/support/wait.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

namespace devices {

namespace {

std::string because(const char* what) {
    return std::string(what) + ": " + std::strerror(errno);
}

}  // namespace

// -- the failing file system -----------------------------------------------------------------

FaultFs::FaultFs() {
    if (std::getenv("IOENGINE_TEST_FAULT_FS") == nullptr) {
        why_not_ = "built without libfuse3-dev";
        return;
    }
    if (::access("/dev/fuse", R_OK | W_OK) != 0) {
        why_not_ = because("/dev/fuse");
        return;
    }
    char name[] = "/tmp/ioengine-fault-fs-XXXXXX";
    if (::mkdtemp(name) == nullptr) {
        why_not_ = because("mkdtemp");
        return;
    }
    directory_ = name;
    start();
}

void FaultFs::start() {
    const std::string program = std::getenv("IOENGINE_TEST_FAULT_FS");
    std::fflush(nullptr);
    server_ = ::fork();
    if (server_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        // fuse_main(3) unmounts when a signal ends it; Catch2 has taken this one.
        ::signal(SIGTERM, SIG_DFL);
        ::execl(program.c_str(), program.c_str(), "-f", directory_.c_str(),
                static_cast<char*>(nullptr));
        ::_exit(127);
    }
    const std::string file = directory_ + "/good";
    test::wait_until(
        [&] {
            struct stat about {};
            if (::stat(file.c_str(), &about) == 0)
                return true;
            int status = 0;
            if (::waitpid(server_, &status, WNOHANG) != server_)
                return false;
            server_ = -1;
            why_not_ = "a FUSE file system cannot be mounted here";
            return true;
        },
        "waiting for the failing file system to be mounted");
}

FaultFs::~FaultFs() {
    if (::getpid() != owner_)
        return;  // a child of the test
    if (server_ > 0) {
        ::umount2(directory_.c_str(), MNT_DETACH);
        ::kill(server_, SIGTERM);
        ::waitpid(server_, nullptr, 0);
    }
    if (!directory_.empty())
        ::rmdir(directory_.c_str());
}

test::Fd FaultFs::open(const std::string& name, int flags) const {
    return test::Fd(::open((directory_ + '/' + name).c_str(), flags | O_CLOEXEC));
}

// -- loop devices ----------------------------------------------------------------------------

LoopDevice::LoopDevice(int backing) {
    const test::Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control.valid()) {
        why_not_ = because("/dev/loop-control");
        return;
    }
    // Somebody else may take the free one first.
    for (int tries = 0; tries < 20; ++tries) {
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0) {
            why_not_ = because("LOOP_CTL_GET_FREE");
            return;
        }
        path_ = "/dev/loop" + std::to_string(number);
        ::mknod(path_.c_str(), S_IFBLK | 0600, ::makedev(7, static_cast<unsigned>(number)));
        device_ = test::Fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
        if (device_.valid() && ::ioctl(device_.get(), LOOP_SET_FD, backing) == 0) {
            why_not_.clear();
            return;
        }
        why_not_ = because("LOOP_SET_FD");
    }
}

LoopDevice::~LoopDevice() {
    if (!valid())
        return;
    throttle(0);
    ::ioctl(device_.get(), LOOP_CLR_FD, 0);
}

test::Fd LoopDevice::open(int flags) const {
    return test::Fd(::open(path_.c_str(), flags | O_CLOEXEC));
}

int LoopDevice::go_direct() const {
    return ::ioctl(device_.get(), LOOP_SET_DIRECT_IO, 1UL) == 0 ? 0 : -errno;
}

int LoopDevice::keep_apart() const {
    const std::string path = "/sys/block" + path_.substr(path_.rfind('/')) + "/queue/nomerges";
    const test::Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return file.valid() && ::write(file.get(), "2", 1) == 1 ? 0 : -errno;
}

int LoopDevice::throttle(std::uint64_t per_second) {
    struct stat about {};
    if (::fstat(device_.get(), &about) != 0)
        return -errno;
    char line[64];
    std::snprintf(line, sizeof line, "%u:%u %llu", major(about.st_rdev), minor(about.st_rdev),
                  static_cast<unsigned long long>(per_second));
    for (const char* which : {"read", "write"}) {
        const std::string path =
            std::string("/sys/fs/cgroup/blkio/blkio.throttle.") + which + "_iops_device";
        const test::Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
        if (!file.valid() || ::write(file.get(), line, std::strlen(line)) < 0)
            return -errno;
    }
    return 0;
}

}  // namespace devices
