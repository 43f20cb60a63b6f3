// SPDX-License-Identifier: MIT
//
// PolledFiles: what is remembered of open files, by number: can their transfers be polled?
//
//   unknown   the next direct read is tried on the polled ring, all else goes the ordinary way
//   trying    that read is under way
//   accepted  a read came back with data: reads and writes are polled
//   refused   the kernel would not; after some transfers it is tried again
//
// Only a read proves anything, as on Linux 6.18 writes of a file on ext4 pass where the device
// cannot be polled, and reads fail. Setting up a ring proves nothing at all.
//
// All of it is a hint. Numbers are closed and given to other files, and files that share a place
// here push each other out. A wrong hint costs a transfer that is refused before anything is done
// (EOPNOTSUPP) and goes again the ordinary way, or one that is not polled and could have been. That
// a refusal is forgotten in time is for numbers that have become another file's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ioengine {
inline namespace v0 {

class PolledFiles {
  public:
    enum class State : std::uint8_t { unknown, trying, accepted, refused };

    // Transfers that go the ordinary way before a file that was refused is tried again.
    static constexpr std::uint32_t kRefusedFor = 1024;

    // Is this transfer to be polled? `proves`: it is a read that would be a trial.
    bool take(int fd, bool proves) noexcept {
        File& file = at(fd);
        if (file.fd != fd)
            file = {fd, State::unknown, 0};
        if (file.state == State::refused && ++file.transfers >= kRefusedFor)
            file.state = State::unknown;
        if (file.state != State::unknown)
            return file.state == State::accepted;
        if (proves)
            file.state = State::trying;
        return proves;
    }

    State state_of(int fd) noexcept { return at(fd).fd == fd ? at(fd).state : State::unknown; }
    void become(int fd, State state) noexcept { at(fd) = {fd, state, 0}; }

  private:
    struct File {
        int fd = -1;
        State state = State::unknown;
        std::uint32_t transfers = 0;  // since it was refused
    };
    static constexpr std::size_t kPlaces = 256;  // a power of two; 3 KiB

    File& at(int fd) noexcept { return files_[static_cast<unsigned>(fd) % kPlaces]; }

    std::array<File, kPlaces> files_{};
};

}  // namespace v0
}  // namespace ioengine
