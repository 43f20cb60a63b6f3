// SPDX-License-Identifier: MIT
//
// Target: the file or device under test, from creating and filling it to deleting it again.
#ifndef TOOLS_BENCH_TARGET_HPP
#define TOOLS_BENCH_TARGET_HPP

#include "tools/bench/options.hpp"

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace bench {

class Verifier;

enum class TargetKind : std::uint8_t { regular_file, block_device, character_device };

// Not moved: its destructor deletes what its constructor created, and so does a signal that ends
// the program.
class Target {
  public:
    // Finds or creates it. Throws Failure if the options do not fit what is there.
    explicit Target(const BenchOptions& options);
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    ~Target();

    // Writes every byte that will be used if the run needs that: a file made here, or any run with
    // a verifier, whose pattern it then gets. Returns after fsync(2).
    void lay_out(const Verifier* verifier);
    // Opens it for the run, for direct I/O where that works.
    void open_for_run();

    const std::string& path() const noexcept { return path_; }
    TargetKind kind() const noexcept { return kind_; }
    const char* kind_name() const noexcept;
    // "none" for a device.
    const std::string& filesystem() const noexcept { return filesystem_; }
    // How it is open: "O_DIRECT", "buffered (why)".
    const std::string& access() const noexcept { return access_; }
    bool direct() const noexcept { return direct_; }
    int fd() const noexcept { return fd_; }
    std::uint64_t size_bytes() const noexcept { return blocks_ * block_bytes_; }
    std::uint64_t blocks() const noexcept { return blocks_; }

  private:
    void inspect_existing(const BenchOptions& options, mode_t mode, dev_t device);
    void create(const BenchOptions& options);
    void settle_size(const BenchOptions& options, std::uint64_t available_bytes);
    int open_or_throw(int flags) const;
    int refusal_of_direct_read() const;

    const std::string path_;
    const std::uint64_t block_bytes_;
    const Rw rw_;
    TargetKind kind_ = TargetKind::regular_file;
    std::string filesystem_;
    std::string access_;
    std::uint64_t blocks_ = 0;
    int fd_ = -1;
    bool created_ = false;
    bool direct_ = false;
};

}  // namespace bench

#endif  // TOOLS_BENCH_TARGET_HPP
