// SPDX-License-Identifier: MIT
//
// Feature: what may be switched off by name, in Options::disable and IOENGINE_DISABLE.
#pragma once

#include "lib/log.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ioengine {
inline namespace v0 {

enum class Feature : std::uint8_t {
    uring,
    aio,
    submit_all,             // io_uring: one call takes the whole batch, whatever fails in it
    sized_cq,               // io_uring: a completion ring of the size we ask for
    uring_fallocate,        // io_uring's own fallocate; else a helper thread
    uring_sync_file_range,  // likewise
    uring_async_cancel,     // io_uring: requests are asked back at a shutdown deadline
    single_issuer,          // io_uring with one thread: the ring knows that it has one
    defer_taskrun,          // likewise: completions wait until that thread asks for them
    coop_taskrun,           // likewise, on kernels without that: they interrupt nobody
    ring_fd,                // likewise: the ring is known to the kernel by number
    ext_arg,                // io_uring: a wait for completions that knows a limit
    sqpoll,                 // RingMode::sqpoll; asked for by the environment only, it is ignored
    iopoll,                 // RingMode::iopoll; likewise, and with iopoll_sqpoll SQPOLL stays
    attach_wq,              // Options::ring_of
    aio_ring_reap,          // AIO: completions from the shared ring, without a system call
    aio_fsync,              // AIO's own fsync and fdatasync; else a helper thread
    direct_align,           // statx(2) says how direct I/O must be aligned, and it is checked
    callback_lending,       // Lending::callbacks; else Lending::none
    caller_lending,         // Lending::callers; else Lending::callbacks
    merging,                // Options::merge
    registered_buffers,     // io_uring: what is registered is in force; else ordinary requests
    registered_files,       // likewise
    reap_cap,               // a few completions at a time where the device is slow
    quirks,                 // the table of known kernel defects
};

struct FeatureName {
    Feature feature;
    const char* name;
};
constexpr std::array<FeatureName, 25> kFeatureNames{{
    {Feature::uring, "uring"},
    {Feature::aio, "aio"},
    {Feature::submit_all, "submit_all"},
    {Feature::sized_cq, "sized_cq"},
    {Feature::uring_fallocate, "uring_fallocate"},
    {Feature::uring_sync_file_range, "uring_sync_file_range"},
    {Feature::uring_async_cancel, "uring_async_cancel"},
    {Feature::single_issuer, "single_issuer"},
    {Feature::defer_taskrun, "defer_taskrun"},
    {Feature::coop_taskrun, "coop_taskrun"},
    {Feature::ring_fd, "ring_fd"},
    {Feature::ext_arg, "ext_arg"},
    {Feature::sqpoll, "sqpoll"},
    {Feature::iopoll, "iopoll"},
    {Feature::attach_wq, "attach_wq"},
    {Feature::aio_ring_reap, "aio_ring_reap"},
    {Feature::aio_fsync, "aio_fsync"},
    {Feature::direct_align, "direct_align"},
    {Feature::callback_lending, "callback_lending"},
    {Feature::caller_lending, "caller_lending"},
    {Feature::merging, "merging"},
    {Feature::registered_buffers, "registered_buffers"},
    {Feature::registered_files, "registered_files"},
    {Feature::reap_cap, "reap_cap"},
    {Feature::quirks, "quirks"},
}};

class FeatureSet {
  public:
    void add(Feature feature) noexcept { bits_ |= 1u << static_cast<unsigned>(feature); }
    bool has(Feature feature) const noexcept {
        return (bits_ & (1u << static_cast<unsigned>(feature))) != 0;
    }
    // Adds every name of a comma-separated list; logs names that nothing goes by.
    void add_list(std::string_view list, Log& log) noexcept;

  private:
    std::uint32_t bits_ = 0;
};

}  // namespace v0
}  // namespace ioengine
