// SPDX-License-Identifier: MIT
//
// Making disks by sysfs, configfs and dmsetup(8).
#include "tests/guests/disks.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/wait.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sstream>
#include <unistd.h>

namespace guests {

namespace {

bool exists(const std::string& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

std::string scratch() {
    return std::getenv("IOENGINE_TEST_SCRATCH");
}

std::string with_scratch(std::string table) {
    for (std::size_t at = table.find("%s"); at != std::string::npos; at = table.find("%s"))
        table.replace(at, 2, scratch());
    return table;
}

// Neighbouring requests stay what they are: else the block layer makes one of them, and a bad
// sector takes all of it along.
void keep_apart(const std::string& name) {
    write_file("/sys/block/" + name + "/queue/nomerges", "2");
}

// The block device of this model that was not there before.
std::string disk_of_scsi_debug() {
    std::string found;
    test::wait_until(
        [&found] {
            for (char letter = 'a'; letter <= 'z' && found.empty(); ++letter) {
                const std::string name = std::string("sd") + letter;
                if (exists("/sys/block/" + name + "/device/model") &&
                    read_line("/sys/block/" + name + "/device/model").rfind("scsi_debug", 0) == 0 &&
                    exists("/dev/" + name))
                    found = name;
            }
            return !found.empty();
        },
        "waiting for a disk of scsi_debug");
    return found;
}

}  // namespace

void require_guest() {
    if (std::getenv("IOENGINE_TEST_SCRATCH") == nullptr)
        SKIP_TEST("disks are made and removed only in a guest of tests/guests");
}

bool try_to_run(const std::string& command) {
    return std::system(command.c_str()) == 0;
}
void run(const std::string& command) {
    INFO(command);
    REQUIRE(try_to_run(command));
}

void write_file(const std::string& path, const std::string& text) {
    INFO(text << " > " << path);
    const test::Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(file.valid());
    REQUIRE(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

std::string read_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

test::Fd open_disk(const std::string& path, int flags) {
    test::Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
    INFO(path);
    REQUIRE(fd.valid());
    return fd;
}

// -- the device mapper -----------------------------------------------------------------------

namespace {

// Nobody runs udev in a guest.
std::string making(const std::string& table) {
    return "printf '%b' '" + with_scratch(table) +
           "' | dmsetup create ioengine --noudevrules --noudevsync && dmsetup mknodes";
}

}  // namespace

bool Mapped::can_be(const std::string& table) {
    return try_to_run(making(table)) &&
           try_to_run("dmsetup remove --retry ioengine --noudevrules --noudevsync");
}

Mapped::Mapped(const std::string& table) {
    run(making(table));
}

Mapped::~Mapped() {
    if (suspended_)
        try_to_run("dmsetup resume ioengine --noudevrules --noudevsync");
    try_to_run("dmsetup remove --force --retry ioengine --noudevrules --noudevsync");
}

// Without a flush: what is in the device is done, what comes waits in it.
void Mapped::suspend() {
    run("dmsetup suspend --noflush --nolockfs ioengine --noudevrules --noudevsync");
    suspended_ = true;
}

void Mapped::resume(const std::string& table) {
    if (!table.empty())
        run("printf '%b' '" + with_scratch(table) + "' | dmsetup load ioengine");
    run("dmsetup resume ioengine --noudevrules --noudevsync");
    suspended_ = false;
}

namespace {

std::string line_of(std::uint64_t begin, std::uint64_t end) {
    return std::to_string(begin) + ' ' + std::to_string(end - begin) + ' ';
}

}  // namespace

std::string linear(std::uint64_t begin, std::uint64_t end) {
    return line_of(begin, end) + "linear %s " + std::to_string(begin) + "\\n";
}
std::string dead(std::uint64_t begin, std::uint64_t end) {
    return line_of(begin, end) + "error\\n";
}
// Out of order for good: no second up, the rest of the week down.
std::string flakey(std::uint64_t sectors, const std::string& feature) {
    return line_of(0, sectors) + "flakey %s 0 0 604800" + (feature.empty() ? "" : " 1 " + feature) +
           "\\n";
}

// -- null_blk --------------------------------------------------------------------------------

NullDisk::NullDisk(const std::string& attributes) {
    run("mkdir " + directory_);
    std::istringstream words("size=8 blocksize=512 memory_backed=1 " + attributes);
    for (std::string word; words >> word;) {
        const std::size_t equal = word.find('=');
        write_file(directory_ + '/' + word.substr(0, equal), word.substr(equal + 1));
    }
    write_file(directory_ + "/power", "1");
    // Its name: its own since 6.2 (null_blk: allow user to set a name), else by its number.
    std::string name = "ioengine";
    if (!exists("/sys/block/" + name))
        name = "nullb" + read_line(directory_ + "/index");
    path_ = "/dev/" + name;
    keep_apart(name);
}

NullDisk::~NullDisk() {
    if (read_line(directory_ + "/power") == "1")
        try_to_run("echo 0 > " + directory_ + "/power");
    try_to_run("rmdir " + directory_);
}

void NullDisk::switch_off() {
    write_file(directory_ + "/power", "0");
}

// -- scsi_debug ------------------------------------------------------------------------------

ScsiDisk::ScsiDisk(bool medium_error, unsigned delay_ms) {
    // load() of init.
    run("for file in $(cat /modules/scsi_debug.order | grep -v scsi_debug.ko); do "
        "insmod /modules/$file 2>/dev/null; done; "
        "insmod /modules/scsi_debug.ko dev_size_mb=8 ndelay=" +
        std::to_string(delay_ms * 1'000'000UL) + " max_queue=64" +
        (medium_error ? " opts=2 medium_error_start=" + std::to_string(kBadBlock * 8) +
                            " medium_error_count=" + std::to_string(kBadSectors)
                      : std::string()));
    name_ = disk_of_scsi_debug();
    path_ = "/dev/" + name_;
    keep_apart(name_);
}

ScsiDisk::~ScsiDisk() {
    test::wait_until([] { return try_to_run("rmmod scsi_debug"); }, "waiting for scsi_debug to go");
}

void ScsiDisk::remove() {
    write_file("/sys/block/" + name_ + "/device/delete", "1");
}

// -- NVMe ------------------------------------------------------------------------------------

namespace {

// The name in /sys/class/nvme of the controller whose serial number is "slow".
std::string slow_controller() {
    for (int i = 0; i < 8; ++i) {
        const std::string name = "nvme" + std::to_string(i);
        if (read_line("/sys/class/nvme/" + name + "/serial").rfind("slow", 0) == 0)
            return name;
    }
    return "";
}

// A disk of the controller that is there for good, or "". Its number grows when it is plugged in
// again while somebody has the old one open.
std::string disk_of(const std::string& controller) {
    for (int i = 1; i < 8 && !controller.empty(); ++i) {
        const std::string name = controller + 'n' + std::to_string(i);
        if (exists("/sys/class/nvme/" + controller + '/' + name + "/queue/nomerges") &&
            exists("/dev/" + name))
            return name;
    }
    return "";
}

std::string wait_for_slow_controller() {
    test::wait_until([] { return !disk_of(slow_controller()).empty(); },
                     "waiting for the slow NVMe disk");
    return slow_controller();
}

}  // namespace

NvmeDisk::NvmeDisk() : controller_(wait_for_slow_controller()), name_(disk_of(controller_)) {
    keep_apart(name_);
}

// For the next test it is plugged in again.
NvmeDisk::~NvmeDisk() {
    if (removed_)
        try_to_run("echo 1 > /sys/bus/pci/rescan");
}

void NvmeDisk::reset() {
    write_file("/sys/class/nvme/" + controller_ + "/reset_controller", "1");
}

void NvmeDisk::remove() {
    removed_ = true;
    write_file("/sys/class/nvme/" + controller_ + "/device/remove", "1");
}

}  // namespace guests
