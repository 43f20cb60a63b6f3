// SPDX-License-Identifier: MIT
//
// Log: a write-ahead log with group commit, which write_ahead_log.cpp and store.cpp share.
//
// Append, then fdatasync, then acknowledge. What was acknowledged survives a crash; what a crash
// tore is found by its checksum and cut off at the next open. Records that come while a batch is in
// flight share the next write and flush.
#ifndef EXAMPLES_LOG_HPP
#define EXAMPLES_LOG_HPP

#include <ioengine/ioengine.hpp>

#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <string>
#include <string_view>
#include <unistd.h>

// In front of each record, in the byte order of the machine.
struct RecordHeader {
    std::uint64_t checksum;  // of all that follows, payload included
    std::uint64_t sequence;  // 1, 2, 3, ...: what an older, longer log left behind never fits
    std::uint64_t length;    // bytes of payload
};

constexpr std::size_t kWaitingBytesMax = 4 << 20;  // else a fast producer would fill the memory

// FNV-1a, 64 bits: enough to find a torn write, no defence against a forger.
inline std::uint64_t checksum(std::string_view covered) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char byte : covered)
        hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    return hash;
}

// Makes the names in it durable. 0, or -1 and errno.
inline int sync_directory_of(const std::string& path) {
    const std::string parent = path.substr(0, path.rfind('/') + 1) + ".";
    const int directory = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int result = ::fsync(directory);
    const int error = errno;
    ::close(directory);
    errno = error;
    return result;
}

class Log {
  public:
    explicit Log(ioengine::IOContext<>& io) : io_(io) {}
    // Callbacks use this object, its buffers and its descriptor: it stays until the last has run.
    ~Log() {
        wait_durable();
        if (fd_ >= 0)
            ::close(fd_);
    }

    // Opens or creates the log, visits its records, cuts a torn tail off. 0 or an errno.
    template <class Visit>
    int open(const std::string& path, Visit visit) {
        fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        const off_t size = fd_ < 0 ? -1 : ::lseek(fd_, 0, SEEK_END);
        if (size < 0)
            return errno;
        // One read, however long: the engine continues short ones.
        std::string content(static_cast<std::size_t>(size), '\0');
        std::size_t bytes = 0;
        busy_ = true;
        if (!io_.read(fd_, content, 0, [this, &bytes](ioengine::Result result) noexcept {
                const std::lock_guard lock(mutex_);
                bytes = result.bytes();
                finish(result.error());
            }))
            finish(ENOBUFS);
        wait_durable();
        if (error_ != 0)
            return error_;
        content.resize(bytes);

        for (RecordHeader header; content.size() - end_ >= sizeof(header);) {
            std::memcpy(&header, &content[end_], sizeof(header));
            const std::size_t begin = end_ + sizeof(header);
            const std::size_t covered = sizeof(header) - sizeof(header.checksum) + header.length;
            if (header.sequence != last_ + 1 || header.length > content.size() - begin ||
                header.checksum != checksum({&content[begin + header.length] - covered, covered}))
                break;
            visit(content.substr(begin, header.length));
            end_ = begin + header.length;
            last_ = durable_ = header.sequence;
        }
        if (end_ < content.size()) {
            cut_ = content.size() - end_;
            if (::ftruncate(fd_, static_cast<off_t>(end_)) != 0)
                return errno;
        }
        // The cut, and the name of a new file, come before anything that is called durable.
        return sync_directory_of(path) == 0 && ::fsync(fd_) == 0 ? 0 : errno;
    }

    // What the last open() cut off, in bytes.
    std::size_t cut() const { return cut_; }

    // Takes a record; false once the log has failed. A record is safe when wait_durable() says so.
    bool append(const std::string& payload) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return waiting_.size() < kWaitingBytesMax || error_ != 0; });
        if (error_ != 0)
            return false;
        const RecordHeader header = {0, ++last_, payload.size()};
        std::string record(reinterpret_cast<const char*>(&header), sizeof(header));
        record += payload;
        const std::uint64_t sum = checksum(std::string_view(record).substr(sizeof(sum)));
        std::memcpy(record.data(), &sum, sizeof(sum));
        waiting_ += record;
        if (!busy_)
            start_batch();
        return true;
    }

    // Waits until all is durable, or the log has failed. What it returns may be acknowledged.
    std::uint64_t wait_durable() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !busy_; });
        return durable_;
    }

  private:
    // Under the mutex. From here `writing_` is the engine's until the write's callback.
    void start_batch() noexcept {
        busy_ = true;
        writing_.swap(waiting_);
        writing_last_ = last_;
        if (!io_.write(fd_, writing_, end_, [this](ioengine::Result r) noexcept { on_written(r); }))
            finish(ENOBUFS);
    }

    // A flush covers only writes that have completed: it is submitted here, not beside the write.
    void on_written(ioengine::Result result) noexcept {
        const std::lock_guard lock(mutex_);
        if (!result.ok() || result.bytes() != writing_.size())
            return finish(result.ok() ? ENOSPC : result.error());
        end_ += result.bytes();
        writing_.clear();
        if (!io_.fdatasync(fd_, [this](ioengine::Result r) noexcept { on_flushed(r); }))
            finish(ENOBUFS);
    }

    void on_flushed(ioengine::Result result) noexcept {
        const std::lock_guard lock(mutex_);
        if (result.ok())
            durable_ = writing_last_;
        finish(result.error());
        if (result.ok() && !waiting_.empty())
            start_batch();
    }

    // Under the mutex. An error is for good: after a failed flush nobody knows what is on the disk,
    // and a second one that succeeds would not say.
    void finish(int error) noexcept {
        error_ = error;
        busy_ = false;
        changed_.notify_all();
    }

    ioengine::IOContext<>& io_;
    int fd_ = -1;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::string waiting_;             // records for the next batch
    std::string writing_;             // the batch in flight
    std::size_t end_ = 0;             // where the next batch goes, in bytes
    std::uint64_t last_ = 0;          // sequence of the newest record
    std::uint64_t writing_last_ = 0;  // of the newest in flight
    std::uint64_t durable_ = 0;       // of the newest that is durable
    int error_ = 0;                   // errno of the first failure
    bool busy_ = false;               // a batch is in flight
    std::size_t cut_ = 0;
};

#endif  // EXAMPLES_LOG_HPP
