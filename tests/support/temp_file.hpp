// SPDX-License-Identifier: MIT
//
// TempFile: a file without a name on a real file system, opened buffered and for direct I/O.
//
// The directory is the first of IOENGINE_TEST_DIR, TMPDIR, the working directory (meson's build
// directory), /var/tmp, /tmp that takes O_DIRECT and is no memory or overlay file system; if there
// is none, the first that can be written to. It is printed once.
#ifndef IOENGINE_TESTS_SUPPORT_TEMP_FILE_HPP
#define IOENGINE_TESTS_SUPPORT_TEMP_FILE_HPP

#include <cstddef>
#include <cstdint>
#include <string>

namespace test {

// A file descriptor, closed at the end of scope.
class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept;
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { close(); }

    int get() const { return fd_; }
    bool valid() const { return fd_ >= 0; }
    int release() {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }
    void close();

  private:
    int fd_ = -1;
};

class TempFile {
  public:
    // A sparse file of `bytes` bytes. Throws when it cannot be made.
    explicit TempFile(std::uint64_t bytes = 0);

    int fd() const { return buffered_.get(); }
    // Opened with O_DIRECT, or without where the file system refuses it: see direct().
    int direct_fd() const { return direct_.get(); }
    bool direct() const { return is_direct_; }
    std::uint64_t size() const;

    // The same file, opened once more with these open(2) flags.
    Fd reopen(int flags) const;

    // Synchronous, through the buffered descriptor; throws unless all of it was moved.
    void put(const void* data, std::size_t bytes, std::uint64_t offset) const;
    void get(void* data, std::size_t bytes, std::uint64_t offset) const;

    static const std::string& directory();
    // Such as "ext4", or the magic number in hexadecimal.
    static const std::string& file_system();

  private:
    Fd buffered_;
    Fd direct_;
    bool is_direct_ = false;
};

// A pipe whose ends are closed at the end of scope. A read of it blocks until feed() or
// close_write_end().
class Pipe {
  public:
    Pipe();
    int read_end() const { return read_.get(); }
    int write_end() const { return write_.get(); }
    void feed(const void* data, std::size_t bytes) const;
    void close_write_end() { write_.close(); }

  private:
    Fd read_;
    Fd write_;
};

// Ends a pipe's blocked reads when the scope is left early. Declare it after the context, so that
// the context's destructor does not wait for ever.
class PipeEnder {
  public:
    explicit PipeEnder(Pipe& pipe) : pipe_(pipe) {}
    PipeEnder(const PipeEnder&) = delete;
    PipeEnder& operator=(const PipeEnder&) = delete;
    ~PipeEnder() { pipe_.close_write_end(); }

  private:
    Pipe& pipe_;
};

// A file on a tmpfs of `bytes` bytes of its own, mounted nowhere: it vanishes with the descriptor.
// Not valid() where the user may not mount.
Fd open_on_small_file_system(std::uint64_t bytes);

}  // namespace test

#endif  // IOENGINE_TESTS_SUPPORT_TEMP_FILE_HPP
