// SPDX-License-Identifier: MIT
//
// A small key-value store that survives kill -9: a table in memory, a log of what was put, and a
// snapshot that replaces the log when that has grown.
//
//     store DIRECTORY < commands     put KEY VALUE -> ok KEY, once it is durable
//                                    get KEY       -> KEY VALUE, or none KEY
//                                    all           -> every KEY VALUE
//                                    checkpoint    -> checkpoint N
//
// Files: log.N has what was put since snapshot.N; CURRENT says which N counts. A checkpoint writes
// snapshot.N+1, many pieces in flight, flushes it, begins log.N+1, and then renames a new CURRENT
// over the old one: before that the old pair counts, after it the new one. IOENGINE_BACKEND chooses
// the backend.
#include "log.hpp"

#include <ioengine/ioengine.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kPiece = 64 << 10;               // of a snapshot, in one write
constexpr std::uint64_t kLogRecordsMax = 2000;         // then a checkpoint
constexpr std::string_view kEnd = "end of snapshot ";  // and the checksum of all before it

class Store {
  public:
    Store(ioengine::IOContext<>& io, std::string directory)
        : io_(io), directory_(std::move(directory)) {}

    // 0 or an errno. Anything but a whole snapshot and a log with at most a torn tail is EILSEQ.
    int open() {
        if (::mkdir(directory_.c_str(), 0755) != 0 && errno != EEXIST)
            return errno;
        std::string number;
        if (const int error = read_file(path("CURRENT"), number); error == 0)
            generation_ = std::strtoull(number.c_str(), nullptr, 10);
        else if (error != ENOENT)
            return error;
        if (generation_ != 0) {
            if (const int error = load_snapshot())
                return error;
        }
        // What a checkpoint had begun when it was interrupted.
        ::unlink(numbered("snapshot", generation_ + 1).c_str());
        ::unlink(numbered("log", generation_ + 1).c_str());
        return begin_log();
    }

    // Durable once commit() says so. False once the log has failed.
    bool put(const std::string& key, const std::string& value) {
        if (!log_->append(key + ' ' + value))
            return false;
        table_[key] = value;
        ++in_log_;
        return true;
    }
    // All that was put is durable, or the log has failed: false.
    bool commit() { return log_->wait_durable() == in_log_; }
    bool wants_checkpoint() const { return in_log_ >= kLogRecordsMax; }

    // 0 or an errno; then the old files still count.
    int checkpoint() {
        const std::uint64_t next = generation_ + 1;
        if (const int error = write_snapshot(numbered("snapshot", next)))
            return error;
        const std::uint64_t old = std::exchange(generation_, next);
        if (const int error = begin_log())
            return error;
        if (const int error = replace_file(path("CURRENT"), std::to_string(next)))
            return error;
        ::unlink(numbered("snapshot", old).c_str());
        ::unlink(numbered("log", old).c_str());
        return 0;
    }

    const std::map<std::string, std::string>& table() const { return table_; }
    std::uint64_t generation() const { return generation_; }

  private:
    std::string path(const std::string& name) const { return directory_ + '/' + name; }
    std::string numbered(const char* name, std::uint64_t number) const {
        return path(name) + '.' + std::to_string(number);
    }
    void apply(const std::string& record) {
        const std::size_t space = record.find(' ');
        table_[record.substr(0, space)] = record.substr(space + 1);
    }
    int begin_log() {
        in_log_ = 0;
        log_ = std::make_unique<Log>(io_);
        return log_->open(numbered("log", generation_), [this](const std::string& record) {
            apply(record);
            ++in_log_;
        });
    }

    // The whole of it, by one read; the engine carries short ones on.
    int read_file(const std::string& name, std::string& content) {
        const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return errno;
        const off_t size = ::lseek(fd, 0, SEEK_END);
        content.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
        ioengine::Request request;
        request.prepare_read(fd, content.data(), content.size(), 0);
        const bool taken = io_.perform(request).accepted();
        ::close(fd);
        if (!taken)
            return ENOBUFS;
        content.resize(request.outcome().bytes());
        return request.outcome().error();
    }

    // Pieces side by side, as many in flight as the context has slots; one flush when all are
    // there.
    int write_file(const std::string& name, const std::string& content) {
        const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
            return errno;
        ioengine::Group group(io_);
        bool taken = true;
        for (std::size_t at = 0; at < content.size() && taken; at += kPiece) {
            const std::string_view piece = std::string_view(content).substr(at, kPiece);
            taken = group.write(fd, {piece.data(), piece.size()}, at).accepted();
        }
        group.wait();
        int error = !taken ? ENOBUFS : group.outcome().error();
        // A flush covers what has completed.
        if (error == 0 && group.fdatasync(fd)) {
            group.wait();
            error = group.outcome().error();
        }
        ::close(fd);
        return error;
    }

    // Readers see the old one or the new one, after a crash as well.
    int replace_file(const std::string& name, const std::string& content) {
        const std::string fresh = name + ".new";
        if (const int error = write_file(fresh, content))
            return error;
        return ::rename(fresh.c_str(), name.c_str()) == 0 && sync_directory_of(name) == 0 ? 0
                                                                                          : errno;
    }

    int write_snapshot(const std::string& name) {
        std::string content;
        for (const auto& [key, value] : table_)
            content.append(key).append(" ").append(value).append("\n");
        const std::uint64_t sum = checksum(content);
        content += kEnd;
        content += std::to_string(sum) + '\n';
        return write_file(name, content);
    }

    int load_snapshot() {
        std::string content;
        if (const int error = read_file(numbered("snapshot", generation_), content))
            return error;
        const std::size_t end = content.rfind(kEnd);
        if (end == std::string::npos)
            return EILSEQ;
        const std::string sum = content.substr(end + kEnd.size());
        content.resize(end);
        if (std::to_string(checksum(content)) + '\n' != sum)
            return EILSEQ;
        for (std::size_t at = 0; at < content.size();) {
            const std::size_t line = content.find('\n', at);
            apply(content.substr(at, line - at));
            at = line + 1;
        }
        return 0;
    }

    ioengine::IOContext<>& io_;
    const std::string directory_;
    std::map<std::string, std::string> table_;
    std::unique_ptr<Log> log_;
    std::uint64_t generation_ = 0;
    std::uint64_t in_log_ = 0;  // records
};

int fail(const std::string& what, int error) {
    std::cerr << "store: " << what << ": " << std::strerror(error) << '\n';
    return 1;
}

// Commands until the input ends. What comes in one go is made durable in one go.
int serve(Store& store) {
    std::vector<std::string> to_acknowledge;
    const auto acknowledge = [&] {
        if (!store.commit())
            return false;
        for (const std::string& key : to_acknowledge)
            std::cout << "ok " << key << '\n';
        to_acknowledge.clear();
        return static_cast<bool>(std::cout.flush());
    };
    for (std::string line; std::getline(std::cin, line);) {
        const std::size_t first = line.find(' ');
        const std::size_t second = first == std::string::npos ? first : line.find(' ', first + 1);
        const std::string verb = line.substr(0, first);
        if (verb == "put" && second != std::string::npos) {
            const std::string key = line.substr(first + 1, second - first - 1);
            if (!store.put(key, line.substr(second + 1)))
                return fail("the log has failed", EIO);
            to_acknowledge.push_back(key);
            if (std::cin.rdbuf()->in_avail() > 0 && to_acknowledge.size() < 64)
                continue;
        }
        if (!acknowledge())
            return fail("the log has failed, or nobody reads", EIO);
        if (verb == "checkpoint" || store.wants_checkpoint()) {
            if (const int error = store.checkpoint())
                return fail("checkpoint", error);
        }
        if (verb == "put" && second != std::string::npos)
            continue;
        if (verb == "checkpoint") {
            std::cout << "checkpoint " << store.generation() << '\n';
        } else if (verb == "all") {
            for (const auto& [key, value] : store.table())
                std::cout << key << ' ' << value << '\n';
        } else if (verb == "get" && first != std::string::npos) {
            const auto found = store.table().find(line.substr(first + 1));
            if (found == store.table().end())
                std::cout << "none " << line.substr(first + 1) << '\n';
            else
                std::cout << found->first << ' ' << found->second << '\n';
        } else {
            std::cout << "unknown " << line << '\n';
        }
        std::cout.flush();
    }
    return acknowledge() ? 0 : fail("the log has failed, or nobody reads", EIO);
}

}  // namespace

int main(int argc, char** argv) {
    std::ios::sync_with_stdio(false);
    if (argc != 2) {
        std::cerr << "usage: store DIRECTORY < commands\n"
                     "commands: put KEY VALUE, get KEY, all, checkpoint\n";
        return 2;
    }
    auto made = ioengine::IOContext<>::create();
    if (!made) {
        std::cerr << "store: " << made.error().message << '\n' << made.error().hint << '\n';
        return 69;
    }
    Store store(*made, argv[1]);  // after the context, so that it goes, and waits, before it
    if (const int error = store.open())
        return fail(argv[1], error);
    return serve(store);
}
