// SPDX-License-Identifier: MIT
//
// Real things that fail: the failing file system, mounted for as long as an object lives, and loop
// devices. Both need root, or are not valid() and say why.
#ifndef IOENGINE_TESTS_DEVICES_DEVICES_HPP
#define IOENGINE_TESTS_DEVICES_DEVICES_HPP

#include "tests/support/temp_file.hpp"

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <unistd.h>

namespace devices {

// fault-fs in a process of its own, which ends with this one.
class FaultFs {
  public:
    FaultFs();
    FaultFs(const FaultFs&) = delete;
    FaultFs& operator=(const FaultFs&) = delete;
    ~FaultFs();

    bool valid() const { return why_not_.empty(); }
    const std::string& why_not() const { return why_not_; }
    test::Fd open(const std::string& name, int flags) const;

  private:
    void start();

    std::string directory_;
    std::string why_not_;
    pid_t server_ = -1;
    const pid_t owner_ = ::getpid();
};

// A block device over a file.
class LoopDevice {
  public:
    explicit LoopDevice(int backing);
    LoopDevice(const LoopDevice&) = delete;
    LoopDevice& operator=(const LoopDevice&) = delete;
    ~LoopDevice();

    bool valid() const { return why_not_.empty(); }
    const std::string& why_not() const { return why_not_; }
    test::Fd open(int flags) const;
    // Reads and writes its file by direct I/O. 0 or -errno.
    int go_direct() const;
    // Neighbouring requests stay what they are. 0 or -errno.
    int keep_apart() const;
    // Lets it do so many reads, and writes, a second; 0: as many as it can. 0 or -errno.
    int throttle(std::uint64_t per_second);

  private:
    std::string path_;
    std::string why_not_;
    test::Fd device_;
};

}  // namespace devices

#endif  // IOENGINE_TESTS_DEVICES_DEVICES_HPP
