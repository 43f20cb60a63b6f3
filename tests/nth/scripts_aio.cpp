// SPDX-License-Identifier: MIT
//
// Scripts over libaio's functions, as libioengine-aio.so has them.
#include "tests/nth/scripts.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <libaio.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

namespace nth {

namespace {

class Aio {
  public:
    Aio(Stage& stage, int events) : stage_(stage) {
        if (::setenv("IOENGINE_BACKEND", ioengine::backend_name(stage.backend()), 1) != 0 ||
            ::setenv("IOENGINE_LOG", "off", 1) != 0)
            return;
        const int rc = io_setup(events, &context_);
        if (rc == 0)
            return;
        ioengine::Error error;
        error.code = ErrorCode::no_memory;
        error.sys_errno = -rc;
        std::snprintf(error.message, sizeof error.message, "io_setup");
        stage.require(rc < 0 && context_ == nullptr, "a refused context stays null");
        stage.no_context(error);
    }
    Aio(const Aio&) = delete;
    Aio& operator=(const Aio&) = delete;
    ~Aio() {
        if (context_ != nullptr)
            stage_.require(io_destroy(context_) == 0, "io_destroy gives 0");
    }

    bool valid() const { return context_ != nullptr; }
    iocb& control(std::size_t i) { return controls_[i]; }

    // Those from `first` on, in one call.
    void submit(std::size_t first, std::size_t count) {
        iocb* list[kOps];
        for (std::size_t i = 0; i < count; ++i) {
            list[i] = &controls_[first + i];
            list[i]->data = list[i];
        }
        const int rc = io_submit(context_, static_cast<long>(count), list);
        stage_.require(rc != 0, "io_submit takes something, or says why not");
        for (std::size_t i = 0; i < count; ++i) {
            const bool taken = rc > 0 && i < static_cast<std::size_t>(rc);
            stage_.accepted(first + i,
                            taken ? Acceptance() : Acceptance(ErrorCode::queue_full, "io_submit"));
            to_come_ += taken;
        }
    }

    // All that are to come; with a mask, as long as that can be had.
    void fetch(const sigset_t* mask = nullptr) {
        while (to_come_ > 0) {
            io_event events[kOps];
            const int got = mask != nullptr
                                ? io_pgetevents(context_, to_come_, to_come_, events, nullptr,
                                                const_cast<sigset_t*>(mask))
                                : io_getevents(context_, to_come_, to_come_, events, nullptr);
            if (got == -ENOMEM)
                mask = nullptr;
            stage_.require(got > 0 || got == -EINTR || got == -ENOMEM, "events come");
            for (int i = 0; i < got; ++i) {
                const auto* const control = static_cast<const iocb*>(events[i].data);
                stage_.ended(static_cast<std::size_t>(control - controls_),
                             Result(static_cast<std::int64_t>(events[i].res)));
            }
            to_come_ -= got > 0 ? got : 0;
        }
    }

  private:
    Stage& stage_;
    io_context_t context_ = nullptr;
    iocb controls_[kOps] = {};
    long to_come_ = 0;
};

}  // namespace

void aio_transfers(Stage& stage) {
    Aio aio(stage, 8);
    if (!aio.valid())
        return;
    for (std::size_t i = 0; i < 8; ++i) {
        const auto offset = static_cast<long long>(i * kBlock);
        if (i < 6) {
            stage.expect_read(i);
            io_prep_pread(&aio.control(i), stage.files.source_direct, stage.buffer(i), kBlock,
                          offset);
        } else {
            stage.expect_write(i);
            io_prep_pwrite(&aio.control(i), stage.files.scratch, stage.buffer(i), kBlock, offset);
        }
    }
    aio.submit(0, 8);
    aio.fetch();
}

void aio_vectors(Stage& stage) {
    Aio aio(stage, 4);
    if (!aio.valid())
        return;
    sigset_t none;
    ::sigemptyset(&none);
    iovec vectors[4];
    for (std::size_t i = 0; i < 4; ++i) {
        // Ever more of them: the copy grows.
        const std::size_t part = kBlock / 4;
        for (std::size_t v = 0; v < i + 1; ++v)
            vectors[v] = {stage.buffer(i) + v * part, v < i ? part : kBlock - i * part};
        stage.expect_read(i);
        io_prep_preadv(&aio.control(i), stage.files.source, vectors, static_cast<int>(i + 1),
                       static_cast<long long>(i * kBlock));
        aio.submit(i, 1);
        aio.fetch(&none);
    }
}

void aio_polls(Stage& stage) {
    int pipe[2];
    if (::pipe(pipe) != 0)
        return;
    {
        Aio aio(stage, 4);
        if (aio.valid() && ::write(pipe[1], "x", 1) == 1) {
            for (std::size_t i = 0; i < 3; ++i) {
                stage.op(i, POLLIN);
                io_prep_poll(&aio.control(i), pipe[0], POLLIN);
            }
            aio.submit(0, 3);
            aio.fetch();
        }
    }
    ::close(pipe[0]);
    ::close(pipe[1]);
}

}  // namespace nth
