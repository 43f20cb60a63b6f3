// SPDX-License-Identifier: MIT
//
// A whole, real context over the fault layer: the engine, its threads, its steps and its drivers as
// they are shipped; only the calls to the kernel pass through a plan.
//
// It works by linking: this binary brings its own make_runner(), which takes the place of the one
// in drivers/choice, so that contexts made here run on a driver over the layer.
#ifndef IOENGINE_TESTS_FAULT_FAULTY_CONTEXT_HPP
#define IOENGINE_TESTS_FAULT_FAULTY_CONTEXT_HPP

#include "tests/fault/plan.hpp"
#include "tests/support/support.hpp"

namespace test {

// The plan must outlive the context, and keeps its log. A context that cannot be made fails the
// test.
Context make_faulty(ioengine::Backend backend, FaultPlan& plan, ioengine::Options options = {});
Context make_faulty(ioengine::Backend backend, FaultPlan& plan, std::uint32_t depth);

// The same, for tests in which it may fail.
ioengine::Expected<Context> try_faulty(ioengine::Backend backend, FaultPlan& plan,
                                       ioengine::Options options = {});

}  // namespace test

#endif  // IOENGINE_TESTS_FAULT_FAULTY_CONTEXT_HPP
