// SPDX-License-Identifier: MIT
//
// RegisteredBuffers, RegisteredFiles: memory and open files that the kernel knows beforehand, so
// that it need not look them up for every request.
//
//     auto files = io.register_files({data_fd, log_fd});
//     auto memory = io.register_buffers({ioengine::Bytes(arena.data(), arena.size())});
//     if (!files || !memory) return fail(...);
//     request.prepare_read(data_fd, arena.data() + 4096, 4096, offset);
//     request.use((*memory)[0]);
//     request.use((*files)[0]);
//
// The same on every backend, with or without a kernel that can do it: where something is not in
// force, requests that use it go as ordinary ones, with the same result. in_force() and note() say
// so, the report (`registered_buffers`, `registered_files`) and Stats::fixed_* as well. Requests
// with and without may be mixed. Those with are not merged with others.
//
// It is yours to keep files open and memory mapped until they are unregistered; nothing checks it.
// A file that was closed is read and written on all the same where it is in force, and where it is
// not the number's next owner is: the one thing that is not the same everywhere. Registering locks
// the memory (ulimit -l) and holds up the context's requests meanwhile; do it at the beginning, in
// large pieces, of at most 1 GiB each. Unregistering while requests are in flight is allowed: they
// end as they would have, handles are refused (invalid_argument) from then on, and the kernel lets
// go of memory and file with the last of them.
//
// Threads: register and unregister from any, also from callbacks. With Threading::owner and caller
// the kernel takes it from the driving thread only; registering from another waits until that comes
// by (Threading::caller: keep it coming by), which a callback on a worker must not: would_deadlock;
// unregistering never waits. What is registered may outlive its context.
#ifndef IOENGINE_REGISTERED_HPP
#define IOENGINE_REGISTERED_HPP

#include <ioengine/buffer.hpp>
#include <ioengine/error.hpp>
#include <ioengine/export.h>
#include <ioengine/request.hpp>

#include <cstddef>
#include <utility>

namespace ioengine {
inline namespace v0 {

class Engine;

namespace abi {
// A batch of buffers, or of files. One thread at a time; may outlive the engine.
struct Registration;
// Null and *error if that makes no sense or cannot be: invalid_argument (an empty buffer, a
// descriptor that is not open), no_memory, shutting_down, forked, would_deadlock.
IOENGINE_API Registration* buffers_register(Engine* engine, const Bytes* buffers, std::size_t count,
                                            Error* error) noexcept;
IOENGINE_API Registration* files_register(Engine* engine, const int* files, std::size_t count,
                                          Error* error) noexcept;
// Element i becomes another one. False and *error: it is as it was.
IOENGINE_API bool buffers_update(Registration* batch, std::size_t i, Bytes buffer,
                                 Error* error) noexcept;
IOENGINE_API bool files_update(Registration* batch, std::size_t i, int file, Error* error) noexcept;
IOENGINE_API BufferHandle registered_buffer(const Registration* batch, std::size_t i) noexcept;
IOENGINE_API FileHandle registered_file(const Registration* batch, std::size_t i) noexcept;
IOENGINE_API std::size_t registered_count(const Registration* batch) noexcept;
// Why it is not in force; code none if it is.
IOENGINE_API const Error& registered_note(const Registration* batch) noexcept;
IOENGINE_API void unregister(Registration* batch) noexcept;
}  // namespace abi

namespace detail {

template <class T>
struct List {
    const T* data;
    std::size_t count;
};
template <class T, class Container>
List<T> list_of(const Container& container) noexcept {
    return {container.data(), container.size()};
}
template <class T, std::size_t N>
List<T> list_of(const T (&array)[N]) noexcept {
    return {array, N};
}

// What the two have in common. Movable; the destructor unregisters.
class Registered {
  public:
    Registered(Registered&& other) noexcept : batch_(std::exchange(other.batch_, nullptr)) {}
    Registered& operator=(Registered&& other) noexcept {
        std::swap(batch_, other.batch_);
        return *this;
    }
    Registered(const Registered&) = delete;
    Registered& operator=(const Registered&) = delete;
    ~Registered() { reset(); }

    // Unregisters all. Nothing is left here.
    void reset() noexcept {
        if (batch_ != nullptr)
            abi::unregister(std::exchange(batch_, nullptr));
    }
    std::size_t size() const noexcept {
        return batch_ != nullptr ? abi::registered_count(batch_) : 0;
    }
    // Does the kernel know all of it, as long as the context lives? It is all or none, but for
    // update().
    bool in_force() const noexcept { return batch_ != nullptr && note().code == ErrorCode::none; }
    // Why it is not in force: unsupported (this backend or kernel, IOENGINE_DISABLE), queue_full
    // (no place left: Options::registered_*), system (the kernel's answer: ENOMEM for ulimit -l).
    // Code none if it is. Not after reset().
    const Error& note() const noexcept { return abi::registered_note(batch_); }

  protected:
    explicit Registered(abi::Registration* batch) noexcept : batch_(batch) {}
    abi::Registration* batch_;
};

}  // namespace detail

class RegisteredBuffers : public detail::Registered {
  public:
    // See IOContext::register_buffers(). All of them, or none are in force. Allocates.
    static Expected<RegisteredBuffers> create(Engine* engine, const Bytes* buffers,
                                              std::size_t count) noexcept {
        Error error;
        abi::Registration* batch = abi::buffers_register(engine, buffers, count, &error);
        if (batch == nullptr)
            return error;
        return RegisteredBuffers(batch);
    }
    // For Request::use(). i < size().
    BufferHandle operator[](std::size_t i) const noexcept {
        return abi::registered_buffer(batch_, i);
    }
    // Element i becomes this buffer, with a new handle, which is returned; the old one is stale.
    // As unregistering and registering one; refused: all is as it was.
    Expected<BufferHandle> update(std::size_t i, Bytes buffer) noexcept {
        Error error;
        if (!abi::buffers_update(batch_, i, buffer, &error))
            return error;
        return (*this)[i];
    }

  private:
    using Registered::Registered;
};

class RegisteredFiles : public detail::Registered {
  public:
    // See IOContext::register_files(). The descriptors stay the caller's.
    static Expected<RegisteredFiles> create(Engine* engine, const int* files,
                                            std::size_t count) noexcept {
        Error error;
        abi::Registration* batch = abi::files_register(engine, files, count, &error);
        if (batch == nullptr)
            return error;
        return RegisteredFiles(batch);
    }
    // For Request::use(). i < size().
    FileHandle operator[](std::size_t i) const noexcept { return abi::registered_file(batch_, i); }
    // As RegisteredBuffers::update().
    Expected<FileHandle> update(std::size_t i, int file) noexcept {
        Error error;
        if (!abi::files_update(batch_, i, file, &error))
            return error;
        return (*this)[i];
    }

  private:
    using Registered::Registered;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_REGISTERED_HPP
