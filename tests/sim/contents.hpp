// SPDX-License-Identifier: MIT
//
// Contents: what the bytes of the simulated files must be, kept apart from the files themselves.
//
// A write in flight has its range for itself, reads in flight share theirs. So when a request
// completes, the bytes of its range are exactly known: before a write completes they are the old
// ones, or, of a write that failed, each byte is the old or the new one.
#pragma once

#include "drivers/sim/world.hpp"
#include "tests/sim/subject.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sim {

class Contents {
  public:
    struct File {
        int fd = -1;
        ioengine::SimFile::Kind kind = ioengine::SimFile::Kind::regular;
        bool direct = false;
        bool appended_to = false;  // written at its end only, one write at a time
        std::uint64_t capacity = 0;
        std::uint64_t end = 0;               // as far as completed requests have moved it
        std::vector<unsigned char> bytes;    // `capacity` of them; zero behind the end
        std::vector<std::uint16_t> readers;  // in flight, by unit of kUnit bytes
        std::vector<unsigned char> writer;   // 1: a writer is in flight, by unit
        bool append_in_flight = false;
    };

    // Makes the files, in the world and here. `polled`: also some whose transfers can be polled.
    Contents(ioengine::SimWorld& world, ioengine::SimRandom& random, bool polled);

    std::size_t count() const noexcept { return files_.size(); }
    File& file(std::size_t i) noexcept { return files_[i]; }
    File* find(int fd) noexcept;

    // False if somebody else's range is in the way. A range goes by the subject's at and bytes.
    bool hold(Subject& subject) noexcept;
    void let_go(Subject& subject) noexcept;

    // A request has completed with `result`: compares, and takes over what is new. Fails.
    void settle(Subject& subject, std::int64_t result);
    // If the process ended here: what was acknowledged is in the files. Fails.
    void check_acknowledged() const;
    // Everything has completed: the files are what they must be. Fails.
    void check_all();

  private:
    static constexpr std::uint64_t kUnit = 512;
    struct Units {
        std::size_t first;
        std::size_t last;  // behind the last one
    };

    void add(ioengine::SimFile file, bool appended_to, ioengine::SimRandom& random);
    static Units units_of(const File& file, const Subject& subject) noexcept;
    void settle_read(const File& file, const Subject& subject, std::uint64_t bytes_read);
    void settle_write(File& file, Subject& subject, std::uint64_t bytes_written);
    void settle_append(File& file, Subject& subject, std::uint64_t bytes_written, bool failed);
    void settle_allocate(File& file, const Subject& subject, bool done);

    ioengine::SimWorld& world_;
    std::vector<File> files_;
};

}  // namespace sim
