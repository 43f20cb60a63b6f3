// SPDX-License-Identifier: MIT
//
// Disks of a guest that fail as they are told: device-mapper tables, null_blk, scsi_debug, NVMe.
//
// A constructor that cannot have its disk fails the test: a guest was made for it. On the host the
// tests are skipped, see require_guest().
#ifndef IOENGINE_TESTS_GUESTS_DISKS_HPP
#define IOENGINE_TESTS_GUESTS_DISKS_HPP

#include "tests/support/temp_file.hpp"

#include <cstdint>
#include <string>

namespace guests {

// Skips the test where nobody made a guest for it.
void require_guest();
// In a shell; the test fails unless it succeeds, or says that it does not in time.
void run(const std::string& command);
bool try_to_run(const std::string& command);
void write_file(const std::string& path, const std::string& text);
std::string read_line(const std::string& path);
test::Fd open_disk(const std::string& path, int flags);

constexpr std::uint64_t kSector = 512;

// A device of the device mapper over the scratch disk, whose first sectors hold the blocks that
// Transfers writes. `table` is what dmsetup(8) takes, with %s for the scratch disk.
class Mapped {
  public:
    explicit Mapped(const std::string& table);
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    ~Mapped();

    // Whether this kernel knows such a table.
    static bool can_be(const std::string& table);
    const std::string& path() const { return path_; }
    // From now on what is submitted waits in the device.
    void suspend();
    // What waits goes on, by a new table if there is one.
    void resume(const std::string& table = "");

  private:
    const std::string path_ = "/dev/mapper/ioengine";
    bool suspended_ = false;
};
// Its sectors begin .. end - 1 and nothing else, one line of a table.
std::string linear(std::uint64_t begin, std::uint64_t end);
std::string dead(std::uint64_t begin, std::uint64_t end);
std::string flakey(std::uint64_t sectors, const std::string& feature);

// A disk of 8 MiB in memory, made by null_blk; each attribute is "name=value", see
// Documentation/block/null_blk.rst.
class NullDisk {
  public:
    explicit NullDisk(const std::string& attributes);
    NullDisk(const NullDisk&) = delete;
    NullDisk& operator=(const NullDisk&) = delete;
    ~NullDisk();

    const std::string& path() const { return path_; }
    // It vanishes, with what is in it.
    void switch_off();

  private:
    const std::string directory_ = "/sys/kernel/config/nullb/ioengine";
    std::string path_;
};

// A disk of 8 MiB of scsi_debug, whose blocks 128 and following are unreadable for kBadSectors
// sectors, and whose requests take so many milliseconds.
class ScsiDisk {
  public:
    static constexpr std::uint64_t kBadBlock = 128;
    static constexpr std::uint64_t kBadSectors = 8;

    explicit ScsiDisk(bool medium_error, unsigned delay_ms = 0);
    ScsiDisk(const ScsiDisk&) = delete;
    ScsiDisk& operator=(const ScsiDisk&) = delete;
    ~ScsiDisk();

    const std::string& path() const { return path_; }
    void remove();

  private:
    std::string name_;
    std::string path_;
};

// The slow NVMe disk: 500 requests a second, a limit of QEMU's.
class NvmeDisk {
  public:
    NvmeDisk();
    NvmeDisk(const NvmeDisk&) = delete;
    NvmeDisk& operator=(const NvmeDisk&) = delete;
    ~NvmeDisk();

    const std::string& path() const { return path_; }
    // The controller is reset; its requests are done again.
    void reset();
    void remove();

  private:
    const std::string controller_;  // such as "nvme2"
    const std::string name_;        // of its disk, such as "nvme2n1"
    const std::string path_ = "/dev/" + name_;
    bool removed_ = false;
};

}  // namespace guests

#endif  // IOENGINE_TESTS_GUESTS_DISKS_HPP
