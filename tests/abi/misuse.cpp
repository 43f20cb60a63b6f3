// SPDX-License-Identifier: MIT
//
// Mistakes that must not compile, one for each MISUSE_ macro; misuse.sh says which message each
// must give. Without a macro the same calls, made right, compile.
#include <ioengine/ioengine.hpp>

#include <cstddef>
#include <string>

namespace misuse {

template <std::size_t Size>
struct Capture {
    unsigned char bytes[Size];
};

struct OwnCallback {
    void operator()(ioengine::Result) noexcept {}
};

struct ThrowingCopy {
    ThrowingCopy() = default;
    ThrowingCopy(const ThrowingCopy&) {}
    void operator()(ioengine::Result) const {}
};

#if defined(MISUSE_LARGE_CLOSURE)
constexpr std::size_t kCaptured = 49;
#else
constexpr std::size_t kCaptured = 48;
#endif

void call(ioengine::IOContext<>& io, ioengine::IOContext<OwnCallback>& own, int fd) {
    unsigned char page[64] = {};

    const Capture<kCaptured> capture = {};
    const auto accepted =
        io.read(fd, page, 0, [capture](ioengine::Result) noexcept { (void)capture.bytes[0]; });
    (void)accepted.code();

#if defined(MISUSE_OVER_ALIGNED)
    struct alignas(64) Wide {
        void operator()(ioengine::Result) noexcept {}
    };
    (void)io.nop(Wide()).code();
#endif
#if defined(MISUSE_WRONG_PARAMETER)
    (void)io.nop([](std::string*) noexcept {}).code();
#endif
#if defined(MISUSE_WRONG_EVENT_PARAMETER)
    struct TakesText {
        void operator()(std::string&) noexcept {}
    };
    ioengine::IOEvent<TakesText> event;
#endif
#if defined(MISUSE_CLOSURE_FOR_OWN_TYPE)
    (void)own.nop([](ioengine::Result) noexcept {}).code();
#else
    (void)own.nop(OwnCallback()).code();
#endif
#if defined(MISUSE_THROWING_COPY)
    const ThrowingCopy closure;
    (void)io.nop(closure).code();
#endif
#if defined(MISUSE_IGNORED_ACCEPTANCE)
    io.nop([](ioengine::Result) noexcept {});
#endif
#if defined(MISUSE_IGNORED_CREATE)
    ioengine::IOContext<>::create();
#endif
#if defined(MISUSE_COPIED_CONTEXT)
    ioengine::IOContext<> copy = io;
#endif
#if defined(MISUSE_COPIED_EVENT)
    ioengine::IOEvent<OwnCallback> first;
    ioengine::IOEvent<OwnCallback> second = first;
#endif
#if defined(MISUSE_WRITABLE_FROM_CONST)
    const unsigned char constant[64] = {};
    (void)io.read(fd, constant, 0, [](ioengine::Result) noexcept {}).code();
#endif
}

}  // namespace misuse
