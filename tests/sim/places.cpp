// SPDX-License-Identifier: MIT
#include "tests/sim/places.hpp"

#include "tests/sim/failure.hpp"

#include <algorithm>
#include <cerrno>

namespace sim {

using ioengine::Errand;
using ioengine::ErrorCode;
using ioengine::KernelTables;
using ioengine::RegisteredTables;
using ioengine::TableHandle;
using ioengine::TableItem;

namespace {

bool is_empty(const TableItem& item) noexcept {
    return item.data == nullptr && item.fd < 0;
}

}  // namespace

Places::Places(const Scene& scene, ioengine::IoSharedContext& context, Contents& contents,
               const SubjectPool& pool, History& history, std::uint64_t seed)
    : scene_(scene), context_(context), contents_(contents), pool_(pool), history_(history),
      random_(seed) {
    adding_.owner = this;
    adding_.done = [](Errand& self, bool runs) noexcept {
        static_cast<Adding&>(self).owner->added(runs);
    };
}

void Places::serve(const Kernel& kernel) {
    kernel_ = kernel;
    table(Kind::buffers).resize(kernel.buffer_places);
    table(Kind::files).resize(kernel.file_places);
    KernelTables tables;
    tables.user = this;
    tables.update = [](void* self, Kind kind, std::uint32_t first, const TableItem* items,
                       std::uint32_t count) noexcept {
        return static_cast<Places*>(self)->update(kind, first, items, count);
    };
    tables.send = [](void* self, Errand& errand) noexcept {
        const Kernel& way = static_cast<Places*>(self)->kernel_;
        static_cast<void>(way.visit(way.user, errand));
    };
    tables.buffer_places = kernel.buffer_places;
    tables.file_places = kernel.file_places;
    context_.registered.serve(tables);
}

// Now and then the kernel takes a part of them, or none.
int Places::update(Kind kind, std::uint32_t first, const TableItem* items, std::uint32_t count) {
    const bool clears = is_empty(items[0]);
    const int rc = kernel_.update(kernel_.user, kind, first, items, count);
    const auto filled = static_cast<std::uint32_t>(std::max(rc, 0));
    if (filled < count) {
        if (scene_.ring.tables_refuse_ppm == 0 || (rc < 0 && rc != -ENOMEM))
            fail("%u places from %u on cannot be filled: %d", count, first, rc);
        keeps_some_ |= clears;
        was_refused_ = true;
    }
    for (std::uint32_t i = 0; i < filled; ++i) {
        TableItem& place = table(kind)[first + i];
        if (!clears && !is_empty(place))
            fail("place %u is filled, and was not empty", first + i);
        place = items[i];
    }
    return rc;
}

void Places::act() {
    if (is_adding_)
        return;
    if (!alive_.empty() && random_.coin())
        retire();
    else
        add();
}

// -- registering -----------------------------------------------------------------------------

TableItem Places::any_item(Kind kind) {
    TableItem item;
    if (kind == Kind::files) {
        item.fd = contents_.file(random_.below(contents_.count())).fd;
    } else {
        item.data = pool_.memory();
        item.size = random_.coin() ? pool_.bytes() : pool_.bytes() / 2;
    }
    return item;
}

void Places::add() {
    adding_.kind = random_.coin() ? Kind::buffers : Kind::files;
    adding_.items.clear();
    for (std::uint64_t left = random_.between(1, 4); left != 0; --left)
        adding_.items.push_back(any_item(adding_.kind));
    is_adding_ = true;
    if (!kernel_.visit(kernel_.user, adding_))
        is_adding_ = false;
}

void Places::added(bool runs) {
    is_adding_ = false;
    if (!runs)
        return;
    const std::size_t count = adding_.items.size();
    std::vector<TableHandle> handles(count);
    was_refused_ = false;
    const RegisteredTables::Registered result =
        context_.registered.add(adding_.kind, adding_.items.data(), count, handles.data());
    history_.add(Event::registered, count, static_cast<std::int64_t>(adding_.kind),
                 static_cast<std::int64_t>(result.fallback));
    if (result.code != ErrorCode::none)
        fail("registering is refused with code %d", static_cast<int>(result.code));
    const bool has_table =
        (adding_.kind == Kind::buffers ? kernel_.buffer_places : kernel_.file_places) != 0;
    if (result.fallback == ErrorCode::unsupported
            ? has_table
            : result.fallback == ErrorCode::system && (!has_table || !was_refused_))
        fail("what was registered is not in force, for no reason: code %d",
             static_cast<int>(result.fallback));
    for (std::size_t i = 0; i < count; ++i)
        if (handles[i].place != 0)
            alive_.push_back({adding_.kind, handles[i], adding_.items[i]});
}

// Several of one kind at once.
void Places::retire() {
    const Kind kind = alive_[random_.below(alive_.size())].kind;
    std::vector<TableHandle> handles;
    for (std::uint64_t left = random_.between(1, 5); left != 0; --left) {
        const auto found = std::find_if(alive_.begin(), alive_.end(),
                                        [kind](const Known& one) { return one.kind == kind; });
        if (found == alive_.end())
            break;
        handles.push_back(found->handle);
        stale_[retired_count_++ % stale_.size()] = *found;
        alive_.erase(found);
    }
    history_.add(Event::unregistered, handles.size(), static_cast<std::int64_t>(kind));
    context_.registered.retire(kind, handles.data(), handles.size());
}

// -- requests that name them -------------------------------------------------------------------

const Places::Known* Places::any_known(Kind kind) {
    if (random_.chance(50'000) && retired_count_ != 0) {
        const Known& old =
            stale_[random_.below(std::min<std::uint64_t>(retired_count_, stale_.size()))];
        return old.kind == kind ? &old : nullptr;
    }
    if (alive_.empty())
        return nullptr;
    const Known& one = alive_[random_.below(alive_.size())];
    return one.kind == kind ? &one : nullptr;
}

void Places::lend(Subject& subject) {
    if (!random_.chance(scene_.names_registered_ppm))
        return;
    const bool moves = ioengine::moves_bytes(subject.asked);
    if (!moves && !ioengine::is_flush(subject.asked))
        return;
    if (const Known* const buffer = moves ? any_known(Kind::buffers) : nullptr)
        subject.use(ioengine::BufferHandle{buffer->handle.place, buffer->handle.generation});
    const Known* const file = any_known(Kind::files);
    if (file == nullptr || (file->item.fd != subject.file && !random_.chance(50'000)))
        return;
    subject.use(ioengine::FileHandle{file->item.fd, file->handle.place, file->handle.generation});
    subject.fd = subject.file;
}

const Places::Known* Places::alive(Kind kind, const TableHandle& handle) const {
    for (const Known& one : alive_)
        if (one.kind == kind && one.handle.place == handle.place &&
            one.handle.generation == handle.generation)
            return &one;
    return nullptr;
}

bool Places::are_wrong(const Subject& subject) const {
    if (const std::uint32_t place = ioengine::buffer_place_of(subject)) {
        const Known* const buffer = alive(Kind::buffers, {place, subject.args.buffer_generation});
        if (buffer == nullptr)
            return true;
        const auto* const begin = static_cast<const unsigned char*>(buffer->item.data);
        const auto* const data = static_cast<const unsigned char*>(subject.data);
        if (!ioengine::is_vectored(subject.action) && subject.length != 0 &&
            data + subject.length > begin + buffer->item.size)
            return true;
    }
    if (const std::uint32_t place = ioengine::file_place_of(subject)) {
        const Known* const file = alive(Kind::files, {place, subject.args.file_generation});
        return file == nullptr || file->item.fd != subject.fd;
    }
    return false;
}

// -- the end ---------------------------------------------------------------------------------

void Places::check_quiet() const {
    if (is_adding_)
        fail("a wake-up was lost: a thread waits for what it registers, and all sleep");
    std::size_t filled = 0;
    for (const std::vector<TableItem>& places : in_kernel_)
        filled += static_cast<std::size_t>(std::count_if(
            places.begin(), places.end(), [](const TableItem& item) { return !is_empty(item); }));
    std::size_t expected = 0;
    for (const Known& one : alive_)
        expected +=
            (one.kind == Kind::buffers ? context_.registered.buffer_in_kernel(one.handle.place)
                                       : context_.registered.file_in_kernel(one.handle.place))
                ? 1
                : 0;
    if (filled < expected || (filled > expected && !keeps_some_))
        fail("%zu places are filled in the kernel's tables, %zu are registered there", filled,
             expected);
}

void Places::end() {
    if (is_adding_)
        fail("a thread waits for what it registers, and the engine's threads have left");
    context_.registered.close();
    while (!alive_.empty())
        retire();
}

}  // namespace sim
