// SPDX-License-Identifier: MIT
//
// Scripts of registered buffers and files, and of pools of such buffers.
#include "tests/nth/scripts.hpp"

#include <cstring>

namespace nth {

using ioengine::Bytes;

void registered(Stage& stage, Context& io) {
    {
        auto memory = io.register_buffers({Bytes(stage.buffer(0), kOps * kBlock)});
        auto files = io.register_files({stage.files.source, stage.files.scratch_direct});
        stage.granted(memory ? ErrorCode::none : memory.error().code);
        stage.granted(files ? ErrorCode::none : files.error().code);
        for (std::size_t i = 0; i < 12; ++i) {
            Stage::Event& event = i % 2 == 0 ? stage.read(i) : stage.write(i, true);
            if (memory)
                event.use((*memory)[0]);
            if (files)
                event.use((*files)[i % 2]);
            stage.accepted(i, io.submit(event));
            if (i == 5)
                stage.wait(io);
        }
        if (files)
            static_cast<void>(files->update(0, stage.files.source_direct));
    }
    // Unregistered under requests in flight.
    stage.wait(io);
    reads(stage, io, 12, 2);
    stage.wait(io);
}

void a_pool(Stage& stage, Context& io) {
    auto pool = ioengine::BufferPool::create(io, 3, kBlock);
    stage.granted(pool ? ErrorCode::none : pool.error().code);
    if (!pool)
        return;
    for (std::size_t round = 0; round < 2; ++round) {
        ioengine::PooledBuffer taken[3];
        for (std::size_t k = 0; k < 3; ++k) {
            const std::size_t i = 3 * round + k;
            taken[k] = pool->take();
            stage.require(static_cast<bool>(taken[k]), "what was given back can be taken");
            stage.expect_read(i);
            Stage::Event& event = stage.event(i);
            event.prepare_read(stage.files.source_direct, taken[k].data(), kBlock, i * kBlock);
            event.use(taken[k].handle());
            stage.accepted(i, io.submit(event));
        }
        stage.require(!pool->take(), "no more than there are can be taken");
        stage.wait(io);
        for (std::size_t k = 0; k < 3; ++k) {
            std::memcpy(stage.buffer(3 * round + k), taken[k].data(), kBlock);
            pool->give(taken[k]);
        }
    }
}

}  // namespace nth
