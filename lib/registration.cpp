// SPDX-License-Identifier: MIT
//
// Registering and unregistering: the functions of <ioengine/registered.hpp>.
#include "lib/registration.hpp"

#include "lib/settings.hpp"
#include "lib/wait_word.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <utility>

namespace ioengine {
inline namespace v0 {

namespace {

// An errand whose owner waits until it is done.
template <class Work>
class WaitedErrand : public Errand {
  public:
    explicit WaitedErrand(Work& work) noexcept : work_(work) {
        done = [](Errand& self, bool runs) noexcept {
            auto& errand = static_cast<WaitedErrand&>(self);
            if (runs)
                errand.work_();
            errand.ran_ = runs;
            // The last touch: the owner may be gone after it.
            static_cast<void>(WaitWord(errand.word_).count_down());
        };
        WaitWord(word_).count_up();
    }
    // True if it was run, and not given up.
    bool wait() noexcept {
        WaitWord word(word_);
        for (;;) {
            word.announce(false);
            const std::uint32_t seen = word.prepare();
            if (word.done())
                return ran_;
            word.sleep(seen, kForever);
        }
    }

  private:
    Work& work_;
    bool ran_ = false;
    std::uint32_t word_ = 0;
};

void fill_note(Error& note, TableKind kind, const RegisteredTables::Registered& result) noexcept {
    const bool buffers = kind == TableKind::buffers;
    note = Error();
    switch (result.fallback) {
    case ErrorCode::none:
        return;
    case ErrorCode::unsupported:
        fill_error(note, ErrorCode::unsupported, 0,
                   "this backend, kernel or container registers nothing, or it is switched off; "
                   "requests go as ordinary ones",
                   "see registered_buffers and registered_files in the report");
        return;
    case ErrorCode::queue_full:
        fill_error(note, ErrorCode::queue_full, 0,
                   "the table has no place for all of them; requests go as ordinary ones",
                   buffers ? "raise Options::registered_buffers"
                           : "raise Options::registered_files, and the limit on open files");
        return;
    default:
        fill_error(
            note, ErrorCode::system, result.sys_errno,
            "the kernel does not register them all, so none is; requests go as ordinary ones",
            !buffers ? "see errno"
            : result.sys_errno == ENOMEM
                ? "raise the limit on locked memory (ulimit -l)"
                : "register anonymous memory that is mapped, at most 1 GiB at a time");
        return;
    }
}

void fill_refusal(Error& error, ErrorCode code) noexcept {
    switch (code) {
    case ErrorCode::no_memory:
        fill_error(error, code, ENOMEM, "no memory for the table", "");
        return;
    case ErrorCode::forked:
        fill_error(error, code, 0, "this process is a fork of the one that made the context",
                   "create a context of its own");
        return;
    case ErrorCode::would_deadlock:
        fill_error(error, code, 0,
                   "a callback on a worker would wait for the thread that drives the context",
                   "register outside of callbacks, or on that thread");
        return;
    default:  // shutting_down
        fill_error(error, code, 0, "shutdown() has begun; nothing more is registered", "");
        return;
    }
}

bool check_item(TableKind kind, const TableItem& item, Error& error) noexcept {
    if (kind == TableKind::buffers && (item.data == nullptr || item.size == 0)) {
        fill_error(error, ErrorCode::invalid_argument, 0, "a buffer without memory",
                   "give each a pointer and a size above 0");
        return false;
    }
    if (kind == TableKind::files && (item.fd < 0 || ::fcntl(item.fd, F_GETFD) < 0)) {
        fill_error(error, ErrorCode::invalid_argument, EBADF, "a descriptor that is not open",
                   "open it first");
        return false;
    }
    return true;
}

// Registers them, wherever the kernel listens. False and the error: nothing was done.
bool add(Engine& engine, abi::Registration& batch, const TableItem* items, std::size_t count,
         TableHandle* handles, Error& error) noexcept {
    RegisteredTables::Registered result;
    auto work = [&] { result = engine.registered().add(batch.kind, items, count, handles); };
    WaitedErrand errand(work);
    ErrorCode code = engine.visit(errand);
    if (code == ErrorCode::none)
        code = errand.wait() ? result.code : ErrorCode::shutting_down;
    if (code != ErrorCode::none) {
        fill_refusal(error, code);
        return false;
    }
    fill_note(batch.note, batch.kind, result);
    if (result.fallback == ErrorCode::system || result.fallback == ErrorCode::queue_full)
        engine.log().write(LogLevel::warning, "%s (%s)", batch.note.message,
                           result.sys_errno != 0 ? std::strerror(result.sys_errno)
                                                 : batch.note.hint);
    return true;
}

abi::Registration* make_batch(Engine& engine, TableKind kind, const std::vector<TableItem>& items,
                              Error& error) {
    for (const TableItem& item : items)
        if (!check_item(kind, item, error))
            return nullptr;
    auto batch = std::make_unique<abi::Registration>(engine.lifeline(), kind);
    batch->handles.resize(items.size());
    for (const TableItem& item : items)
        if (kind == TableKind::files)
            batch->files.push_back(item.fd);
    if (!add(engine, *batch, items.data(), items.size(), batch->handles.data(), error))
        return nullptr;
    return batch.release();
}

template <class ItemOf>
abi::Registration* make_batch(Engine& engine, TableKind kind, std::size_t count, ItemOf&& item_of,
                              Error& error) noexcept {
    try {
        std::vector<TableItem> items(count);
        for (std::size_t i = 0; i < count; ++i)
            items[i] = item_of(i);
        return make_batch(engine, kind, items, error);
    } catch (const std::bad_alloc&) {
        fill_refusal(error, ErrorCode::no_memory);
        return nullptr;
    }
}

bool update(abi::Registration& batch, std::size_t i, const TableItem& item, Error& error) noexcept {
    if (i >= batch.handles.size()) {
        fill_error(error, ErrorCode::invalid_argument, 0, "there is no such element", "");
        return false;
    }
    if (!check_item(batch.kind, item, error))
        return false;
    Lifeline& lifeline = *batch.lifeline;
    if (!lifeline.gate.enter()) {
        fill_refusal(error, ErrorCode::shutting_down);
        return false;
    }
    const TableHandle old = batch.handles[i];
    const Error note = batch.note;
    TableHandle fresh;
    const bool added = add(lifeline.engine, batch, &item, 1, &fresh, error);
    if (added) {
        lifeline.engine.registered().retire(batch.kind, &old, 1);
        batch.handles[i] = fresh;
        if (batch.kind == TableKind::files)
            batch.files[i] = item.fd;
    }
    // One that is not in force says so for all.
    if (note.code != ErrorCode::none)
        batch.note = note;
    lifeline.gate.leave();
    return added;
}

}  // namespace

namespace abi {

Registration* buffers_register(Engine* engine, const Bytes* buffers, std::size_t count,
                               Error* error) noexcept {
    return make_batch(
        *engine, TableKind::buffers, count,
        [buffers](std::size_t i) {
            return TableItem{buffers[i].data(), buffers[i].size(), -1};
        },
        *error);
}

Registration* files_register(Engine* engine, const int* files, std::size_t count,
                             Error* error) noexcept {
    return make_batch(
        *engine, TableKind::files, count,
        [files](std::size_t i) {
            return TableItem{nullptr, 0, files[i]};
        },
        *error);
}

bool buffers_update(Registration* batch, std::size_t i, Bytes buffer, Error* error) noexcept {
    return update(*batch, i, {buffer.data(), buffer.size(), -1}, *error);
}

bool files_update(Registration* batch, std::size_t i, int file, Error* error) noexcept {
    return update(*batch, i, {nullptr, 0, file}, *error);
}

BufferHandle registered_buffer(const Registration* batch, std::size_t i) noexcept {
    const TableHandle handle = batch->handles[i];
    return {handle.place, handle.generation};
}

FileHandle registered_file(const Registration* batch, std::size_t i) noexcept {
    const TableHandle handle = batch->handles[i];
    return {batch->files[i], handle.place, handle.generation};
}

std::size_t registered_count(const Registration* batch) noexcept {
    return batch->handles.size();
}

const Error& registered_note(const Registration* batch) noexcept {
    return batch->note;
}

void unregister(Registration* batch) noexcept {
    Lifeline& lifeline = *batch->lifeline;
    if (lifeline.gate.enter()) {
        // In a forked child the ring, and what is registered with it, is the parent's.
        if (!lifeline.engine.in_child())
            lifeline.engine.registered().retire(batch->kind, batch->handles.data(),
                                                batch->handles.size());
        lifeline.gate.leave();
    }
    delete batch;
}

}  // namespace abi

// -- the engine's part -----------------------------------------------------------------------

void Engine::serve_registered() {
    KernelTables kernel;
    kernel.update = [](void* user, TableKind kind, std::uint32_t first, const TableItem* items,
                       std::uint32_t count) noexcept {
        return static_cast<Runner*>(user)->update_table(kind, first, items, count);
    };
    kernel.send = [](void* user, Errand& errand) noexcept {
        static_cast<Runner*>(user)->visit(errand, true);
    };
    kernel.user = runner_.get();
    kernel.buffer_places = runner_->table_places(TableKind::buffers);
    kernel.file_places = runner_->table_places(TableKind::files);
    context_.registered.serve(kernel);
    lifeline_ = std::make_shared<Lifeline>(*this);
}

ErrorCode Engine::visit(Errand& errand) noexcept {
    return in_child() ? ErrorCode::forked : runner_->visit(errand, !would_deadlock());
}

void Engine::cut_lifeline() noexcept {
    if (lifeline_ == nullptr)
        return;
    lifeline_->gate.close();
    // Those inside unregister, which waits for nobody, or are told that nothing is registered.
    while (!lifeline_->gate.quiet()) {
        const timespec nap{0, 50'000};
        ::nanosleep(&nap, nullptr);
    }
}

}  // namespace v0
}  // namespace ioengine
