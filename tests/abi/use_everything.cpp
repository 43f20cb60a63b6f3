// SPDX-License-Identifier: MIT
//
// Uses every template and inline function of the public headers once, so that headers.sh can
// compile them in each dialect. Never linked.
#include <ioengine/ioengine.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace use_everything {

struct PageRead {
    ioengine::AlignedBuffer* page = nullptr;
    int* seen = nullptr;
    void operator()(ioengine::IOEvent<PageRead>& event) noexcept {
        *seen = event.outcome().error();
    }
};

struct OnResult {
    void operator()(ioengine::Result) noexcept {}
};

int one_call(ioengine::IOContext<>& io, int fd, ioengine::AlignedBuffer& page);
int one_call(ioengine::IOContext<>& io, int fd, ioengine::AlignedBuffer& page) {
    unsigned char array[16] = {};
    std::string text = "text";
    const std::vector<int> numbers = {1, 2, 3};
    const auto callback = [](ioengine::Result result) noexcept { static_cast<void>(result.raw()); };
    int refused = 0;
    refused += !io.read(fd, page, 0, callback);
    refused += !io.read(fd, array, 0, callback);
    refused += !io.read(fd, ioengine::Bytes(array, 8), 0, callback);
    refused += !io.read(fd, text, 0, [&refused](ioengine::Result result) noexcept {
        refused += result.ok() ? 0 : 1;
    });
    refused += !io.write(fd, page, 0, callback);
    refused += !io.write(fd, numbers, 0, callback);
    refused += !io.write(fd, ioengine::ConstBytes(array, 8), 0, callback);
    refused += !io.readv(fd, nullptr, 0, 0, callback);
    refused += !io.writev(fd, nullptr, 0, 0, callback);
    refused += !io.fsync(fd, callback);
    refused += !io.fdatasync(fd, callback);
    refused += !io.nop(callback);
    refused += !io.call(
        [fd](ioengine::Request& request) {
            request.prepare_fallocate(fd, 0, 0, 4096);
            request.channel = ioengine::Channel::prio;
        },
        callback);
    return refused;
}

int own_events(int fd, ioengine::AlignedBuffer& page);
int own_events(int fd, ioengine::AlignedBuffer& page) {
    auto workers = ioengine::IOWorkers::create(2);
    if (!workers)
        return workers.error().sys_errno;
    auto made = ioengine::IOContext<PageRead>::create(64, *workers);
    if (!made)
        return static_cast<int>(made.error().code);
    ioengine::IOContext<PageRead> io = std::move(*made);
    int seen = 0;
    ioengine::IOEvent<PageRead> event{PageRead{&page, &seen}};
    event.prepare_read(fd, page.data(), page.size(), 0);
    event.prepare_write(fd, page.data(), page.size(), 0);
    event.prepare_readv(fd, nullptr, 0, 0);
    event.prepare_writev(fd, nullptr, 0, 0);
    event.prepare_fsync(fd);
    event.prepare_fdatasync(fd);
    event.prepare_sync_file_range(fd, 0, 0, 0);
    event.prepare_nop();
    int refused = 0;
    refused += !io.submit(event, ioengine::Channel::prio);
    refused += !io.submit_wait(event);
    refused += !io.submit_wait_for(event, std::chrono::milliseconds(5));
    refused += !io.nop(PageRead{&page, &seen});
    ioengine::IOEvent<OnResult> other;
    other.prepare_nop();
    refused += !io.submit(other);

    const ioengine::Text dump = io.dump();
    const ioengine::Stats stats = io.stats();
    const ioengine::Text report = ioengine::to_text(io.report());
    const ioengine::Text json = ioengine::to_json(ioengine::probe());
    const ioengine::ShutdownReport end = io.shutdown(std::chrono::seconds(5));
    return refused + (stats.pending == 0) + end.clean + (dump.size() + report.size() > 0) +
           (json.c_str()[0] == '{') + io.shutdown().clean + (io.engine() != nullptr);
}

int set_up();
int set_up() {
    ioengine::Options options;
    options.backend = ioengine::Backend::aio;
    options.sink = [](void*, ioengine::Delivery delivery) {
        if (delivery.request().result >= 0)
            delivery.run();
    };
    options.log = [](void*, ioengine::LogLevel, const char*) {};
    auto made = ioengine::IOContext<>::create(options);
    auto page = ioengine::AlignedBuffer::create(4096, 512);
    if (!made || !page)
        return ioengine::error_code_name(ioengine::ErrorCode::system)[0];
    ioengine::IOContext<> moved = std::move(made).value();
    const int refused = one_call(moved, 0, *page) + own_events(0, page.value());
    return refused + ioengine::version()[0] + ioengine::backend_name(moved.report().backend)[0];
}

int waiting_and_merging(ioengine::IOContext<>& io, int fd, ioengine::AlignedBuffer& page);
int waiting_and_merging(ioengine::IOContext<>& io, int fd, ioengine::AlignedBuffer& page) {
    int refused = 0;
    ioengine::Request request;
    request.prepare_read(fd, page.data(), page.size(), 0);
    refused += !io.perform(request, ioengine::Channel::prio);
    refused += io.wait(request) != ioengine::ErrorCode::none;
    refused += io.wait_for(request, std::chrono::seconds(1), ioengine::Wait::help) !=
               ioengine::ErrorCode::none;
    ioengine::Group group(io);
    ioengine::Result result;
    refused += !group.submit(request);
    refused += !group.read(fd, page, 0, &result);
    refused += !group.write(fd, page, 0);
    refused += !group.fsync(fd);
    refused += !group.fdatasync(fd);
    group.start();
    refused += group.wait(request) != ioengine::ErrorCode::none;
    refused += group.wait_for(std::chrono::seconds(1)) != ioengine::ErrorCode::none;
    refused += group.wait(ioengine::Wait::help) != ioengine::ErrorCode::none;

    ioengine::IOMergeSubmitter reads(io, fd, ioengine::IOAction::read, 1 << 17);
    request.prepare_read(fd, page.data(), page.size(), 0);
    refused += !reads.add(request);
    refused += !reads.flush(fd);
    refused += !reads.flush();
    for (ioengine::Request* const left : reads.buffer())
        refused += left->fd;
    reads.take_back();
    return refused + (reads.buffer().full() ? 1 : 0) + (group.done() ? 0 : 1) +
           static_cast<int>(group.failed()) + (group.outcome().ok() ? 0 : 1);
}

int registering(ioengine::IOContext<>& io, int fd, ioengine::AlignedBuffer& page);
int registering(ioengine::IOContext<>& io, int fd, ioengine::AlignedBuffer& page) {
    const std::vector<ioengine::Bytes> pages = {page};
    const int fds[2] = {fd, fd};
    auto buffers = io.register_buffers(pages);
    auto files = io.register_files(fds);
    auto more = io.register_files({fd});
    auto others = io.register_buffers({ioengine::Bytes(page)});
    auto pool = ioengine::BufferPool::create(io, 4, 4096);
    if (!buffers || !files || !more || !others || !pool)
        return -1;
    int refused = buffers->in_force() ? 0 : buffers->note().sys_errno;
    refused += files->update(1, fd) ? 0 : 1;
    refused += buffers->update(0, page) ? 0 : 1;
    more->reset();
    const ioengine::PooledBuffer taken = pool->take();
    ioengine::Request request;
    request.prepare_read(fd, taken.data(), taken.size(), 0);
    request.use(taken.handle());
    request.use((*files)[0]);
    request.use((*buffers)[0]);
    if (taken)
        pool->give(taken);
    ioengine::RegisteredFiles moved = *std::move(files);
    return refused + static_cast<int>(moved.size() + taken.index()) + (pool->in_force() ? 0 : 1) +
           (pool->note().code == ioengine::ErrorCode::none ? 0 : 1);
}

}  // namespace use_everything
