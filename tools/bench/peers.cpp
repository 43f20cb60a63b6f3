// SPDX-License-Identifier: MIT
//
// Instantiates the hand-written loops over the kernel interfaces of this build.
#include "tools/bench/peers.hpp"

#include "tools/bench/failure.hpp"
#include "tools/bench/raw_loop.hpp"
#include "tools/bench/strict_pair.hpp"

#include <ioengine/probe.hpp>

// Each is 0 or 1, from the build.
#if BENCH_HAVE_URING
#include "tools/bench/uring_wire.hpp"
#endif
#if BENCH_HAVE_AIO
#include "tools/bench/aio_wire.hpp"
#endif

#include <string>
#include <type_traits>

namespace bench {

namespace {

// Calls `make` with the type of the wire for that backend.
template <class Make>
std::unique_ptr<Contender> over_wire(ioengine::Backend backend, [[maybe_unused]] Make&& make) {
#if BENCH_HAVE_URING
    if (backend == ioengine::Backend::uring)
        return make(std::type_identity<UringWire>());
#endif
#if BENCH_HAVE_AIO
    if (backend == ioengine::Backend::aio)
        return make(std::type_identity<AioWire>());
#endif
    throw Failure(kExitUnavailable, std::string("this build has no hand-written loop for ") +
                                        ioengine::backend_name(backend) +
                                        "; build with that backend enabled");
}

}  // namespace

std::unique_ptr<Contender> make_raw_loop(const Workload& workload, ioengine::Backend backend) {
    return over_wire(backend, [&]<Wire W>(std::type_identity<W>) -> std::unique_ptr<Contender> {
        return std::make_unique<RawLoop<W>>(workload, ioengine::backend_name(backend));
    });
}

std::unique_ptr<Contender> make_strict_pair(const Workload& workload, ioengine::Backend backend) {
    return over_wire(backend, [&]<Wire W>(std::type_identity<W>) -> std::unique_ptr<Contender> {
        return std::make_unique<StrictPair<W>>(workload, ioengine::backend_name(backend));
    });
}

}  // namespace bench
