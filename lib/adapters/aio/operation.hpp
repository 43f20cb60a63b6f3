// SPDX-License-Identifier: MIT
//
// Operation: one iocb of the program's, on its way through the engine.
#pragma once

#include <ioengine/ioengine.hpp>

#include <cstdint>
#include <libaio.h>
#include <memory>
#include <sys/uio.h>

namespace ioengine_aio {

class Queue;
struct Operation;

struct Finish {
    Operation* operation;
    void operator()(ioengine::Result result) const noexcept;
};

struct Operation : ioengine::IOEvent<Finish> {
    Operation() : IOEvent(Finish{this}) {}

    Queue* home = nullptr;
    Operation* next_in_line = nullptr;
    // As they were when it was submitted: the program may change its iocb at once.
    iocb* control = nullptr;
    void* data = nullptr;
    int poll_fd = -1;
    short poll_events = 0;
    int result_fd = -1;  // a copy of the program's eventfd; -1: none
    // The kernel copies a program's vectors, so we have to.
    std::unique_ptr<iovec[]> vectors;
    std::uint64_t vectors_held = 0;
};

// Takes an iocb over into the operation. 0, or -errno as io_submit(2) has it.
int prepare(Operation& operation, iocb& control) noexcept;
inline bool is_poll(const Operation& operation) noexcept {
    return operation.poll_fd >= 0;
}

}  // namespace ioengine_aio
