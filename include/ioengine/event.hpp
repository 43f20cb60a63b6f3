// SPDX-License-Identifier: MIT
//
// IOEvent<C>: a Request together with the user's callback. IOCallback: the default C, any closure
// up to 48 bytes, stored inline.
//
// C is any type that can be called with (IOEvent<C>&) or with (Result). This is where the
// callback's type ends: the library below sees Request* and one function pointer.
#ifndef IOENGINE_EVENT_HPP
#define IOENGINE_EVENT_HPP

#include <ioengine/engine.hpp>
#include <ioengine/request.hpp>

#include <cstddef>
#include <exception>
#include <new>
#include <type_traits>
#include <utility>

namespace ioengine {
inline namespace v0 {

namespace detail {

// Runs a callback; an exception that leaves it is caught, logged and counted, not passed on.
template <class Call>
void contain(Call&& call) noexcept {
#if defined(__cpp_exceptions)
    try {
        call();
    } catch (const std::exception& thrown) {
        callback_threw(thrown.what());
    } catch (...) {
        callback_threw("not a std::exception");
    }
#else
    call();
#endif
}

}  // namespace detail

// A request in caller-owned storage with its callback beside it. Nothing is allocated.
//
// Keep it at a fixed address from submit until the callback. Neither copied nor moved.
template <class C>
struct IOEvent : Request {
    static_assert(std::is_invocable<C&, IOEvent&>::value || std::is_invocable<C&, Result>::value,
                  "the callback must be callable with (IOEvent<C>&) or with (ioengine::Result)");

    C callback;

    template <class... Args>
    explicit IOEvent(Args&&... parts) : callback(std::forward<Args>(parts)...) {
        complete = &IOEvent::run;
    }
    IOEvent(const IOEvent&) = delete;
    IOEvent& operator=(const IOEvent&) = delete;

    // Calls `callback`. Public for code that delivers events itself; the engine calls it by
    // pointer.
    static void run(Request* request) noexcept {
        IOEvent& event = *static_cast<IOEvent*>(request);
        detail::contain([&event] {
            if constexpr (std::is_invocable<C&, IOEvent&>::value)
                event.callback(event);
            else
                event.callback(event.outcome());
        });
    }
};

// Holds any callable of up to 48 bytes that takes a Result; larger ones do not compile. Empty until
// a callable is put in. Not copied, not moved: it lives in the event that calls it.
class IOCallback {
  public:
    static constexpr std::size_t kCapacity = 48;

    IOCallback() noexcept = default;
    template <class F, class = std::enable_if_t<!std::is_same<std::decay_t<F>, IOCallback>::value>>
    explicit IOCallback(F&& closure) {
        using Closure = std::decay_t<F>;
        static_assert(
            sizeof(Closure) <= kCapacity,
            "ioengine: this closure captures more than 48 bytes; capture a pointer to the "
            "state instead, or give IOContext a callback type of your own");
        static_assert(alignof(Closure) <= alignof(std::max_align_t),
                      "ioengine: this closure is over-aligned; capture a pointer instead");
        static_assert(std::is_invocable<Closure&, Result>::value,
                      "ioengine: the closure must be callable with (ioengine::Result)");
        new (static_cast<void*>(storage_)) Closure(std::forward<F>(closure));
        act_ = [](void* storage, const Result* result) {
            Closure& held = *static_cast<Closure*>(storage);
            if (result != nullptr)
                held(*result);
            else
                held.~Closure();
        };
    }
    ~IOCallback() {
        if (act_ != nullptr)
            act_(storage_, nullptr);
    }
    IOCallback(const IOCallback&) = delete;
    IOCallback& operator=(const IOCallback&) = delete;

    void operator()(Result result) {
        if (act_ != nullptr)
            act_(storage_, &result);
    }

    // The callable inside; Closure must be the type that was put in.
    template <class Closure>
    Closure& target() noexcept {
        return *std::launder(reinterpret_cast<Closure*>(storage_));
    }

  private:
    alignas(std::max_align_t) unsigned char storage_[kCapacity];
    void (*act_)(void* storage, const Result* result) = nullptr;  // null result: destroy
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_EVENT_HPP
