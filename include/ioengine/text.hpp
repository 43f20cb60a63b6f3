// SPDX-License-Identifier: MIT
//
// Text: a string made by the library and freed by it, since std::string must not cross the ABI.
#ifndef IOENGINE_TEXT_HPP
#define IOENGINE_TEXT_HPP

#include <ioengine/export.h>

#include <cstddef>
#include <utility>

namespace ioengine {
inline namespace v0 {

namespace abi {
IOENGINE_API void text_free(char* data) noexcept;
}

// Owns a NUL-terminated text. Movable. Empty if memory was short when it was made.
class Text {
  public:
    Text() noexcept = default;
    Text(char* data, std::size_t size) noexcept : data_(data), size_(size) {}
    Text(Text&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Text& operator=(Text&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    Text(const Text&) = delete;
    Text& operator=(const Text&) = delete;
    ~Text() {
        if (data_ != nullptr)
            abi::text_free(data_);
    }

    const char* c_str() const noexcept { return data_ != nullptr ? data_ : ""; }
    std::size_t size() const noexcept { return size_; }

  private:
    char* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace v0
}  // namespace ioengine

#endif  // IOENGINE_TEXT_HPP
