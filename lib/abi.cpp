// SPDX-License-Identifier: MIT
//
// The functions that the headers call: a thin layer over Engine, without classes or exceptions.
#include "lib/check.hpp"
#include "lib/engine.hpp"
#include "lib/request_state.hpp"

#include <ioengine/merge_buffer.hpp>

#include <utility>

namespace ioengine {
inline namespace v0 {

namespace abi {

Engine* engine_create(const Options& options, std::uint32_t header_version, Error* error) noexcept {
    return Engine::create(options, header_version, *error);
}
void engine_destroy(Engine* engine) noexcept {
    Engine::destroy(engine);
}
Acceptance engine_submit(Engine* engine, Request& request, Channel channel) noexcept {
    return engine->entrance().submit(request, channel);
}
Acceptance engine_submit_wait(Engine* engine, Request& request, Channel channel,
                              std::int64_t timeout_ns) noexcept {
    return engine->submit_wait(request, channel, timeout_ns);
}
Acceptance engine_gather(Engine* engine, Request& request, Channel channel) noexcept {
    return engine->entrance().gather(request, channel);
}
void engine_ungather(Request* const* members, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i)
        request_state::set_idle(*members[i]);
}
Acceptance engine_submit_merged(Engine* engine, Request* const* members, std::size_t count,
                                Channel channel) noexcept {
    return engine->entrance().submit_merged(members, count, channel);
}
void engine_finish_merged(Engine* engine, Request* const* members, std::size_t count,
                          Channel channel) noexcept {
    engine->finish_merged(members, count, channel);
}
Acceptance engine_perform(Engine* engine, Request& request, Channel channel) noexcept {
    return engine->perform(request, channel);
}
ErrorCode engine_wait(Engine* engine, Request& request, std::int64_t timeout_ns,
                      Wait how) noexcept {
    return engine->wait(request, timeout_ns, how == Wait::help);
}
Acceptance group_submit(GroupCount& group, Request& request, Channel channel) noexcept {
    return group.engine->entrance().submit_counted(request, channel, group.word, &group.staged);
}
void group_start(GroupCount& group) noexcept {
    if (std::exchange(group.staged, 0) != 0)
        group.engine->start();
}
ErrorCode group_wait(GroupCount& group, const Request* one, std::int64_t timeout_ns,
                     Wait how) noexcept {
    if (one != nullptr && (one->complete != nullptr || !request_state::is_in(*one, group.word)))
        return request_state::is_idle(*one) && one->complete == nullptr
                   ? ErrorCode::none
                   : ErrorCode::invalid_argument;
    return group.engine->wait(
        {WaitWord(group.word), one, std::exchange(group.staged, 0), timeout_ns, how == Wait::help});
}
void group_finish(GroupCount& group) noexcept {
    if (group_wait(group, nullptr, kForever, Wait::alone) == ErrorCode::would_deadlock)
        misused("a Group was destroyed inside a callback of its context before its requests were "
                "done; the callback would wait for itself");
}
bool group_is_done(const GroupCount& group) noexcept {
    return WaitWord(const_cast<std::uint32_t&>(group.word)).done();
}
ErrorCode engine_cancel(Engine* engine, const RequestHandle& handle) noexcept {
    if (handle.request == nullptr)
        return ErrorCode::invalid_argument;
    CancelOrder order;
    order.kind = CancelOrder::Kind::one;
    order.one = handle;
    return engine->cancel(order);
}
ErrorCode engine_cancel_file(Engine* engine, int fd) noexcept {
    if (fd < 0)
        return ErrorCode::invalid_argument;
    CancelOrder order;
    order.kind = CancelOrder::Kind::file;
    order.fd = fd;
    return engine->cancel(order);
}
ErrorCode engine_cancel_all(Engine* engine) noexcept {
    return engine->cancel(CancelOrder());
}
ShutdownReport engine_shutdown(Engine* engine, std::int64_t deadline_ns) noexcept {
    return engine->shutdown(deadline_ns);
}
RunReport engine_run(Engine* engine, Run how, std::int64_t timeout_ns) noexcept {
    return engine->run(how, timeout_ns);
}
int engine_completion_fd(Engine* engine) noexcept {
    return engine->completion_fd();
}
Stats engine_stats(const Engine* engine) noexcept {
    return engine->stats();
}
Text engine_dump(const Engine* engine) noexcept {
    return engine->dump();
}
const ProbeReport& engine_report(const Engine* engine) noexcept {
    return engine->report();
}

}  // namespace abi

}  // namespace v0
}  // namespace ioengine
