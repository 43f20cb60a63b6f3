// SPDX-License-Identifier: MIT
//
// ioengine: reads, writes and flushes from any thread, through Linux AIO or io_uring, with exactly
// one callback per accepted request. This header includes all of it; start reading at context.hpp.
#ifndef IOENGINE_IOENGINE_HPP
#define IOENGINE_IOENGINE_HPP

#include <ioengine/buffer.hpp>
#include <ioengine/buffer_pool.hpp>
#include <ioengine/context.hpp>
#include <ioengine/engine.hpp>
#include <ioengine/error.hpp>
#include <ioengine/event.hpp>
#include <ioengine/export.h>
#include <ioengine/group.hpp>
#include <ioengine/merge.hpp>
#include <ioengine/merge_buffer.hpp>
#include <ioengine/options.hpp>
#include <ioengine/probe.hpp>
#include <ioengine/registered.hpp>
#include <ioengine/request.hpp>
#include <ioengine/stats.hpp>
#include <ioengine/text.hpp>
#include <ioengine/workers.hpp>

#endif  // IOENGINE_IOENGINE_HPP
