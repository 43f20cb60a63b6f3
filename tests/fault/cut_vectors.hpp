// SPDX-License-Identifier: MIT
//
// The first bytes of an iovec array as an iovec array, for transfers that shall come out short.
#ifndef IOENGINE_TESTS_FAULT_CUT_VECTORS_HPP
#define IOENGINE_TESTS_FAULT_CUT_VECTORS_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <sys/uio.h>
#include <vector>

namespace test {

inline std::vector<iovec> cut_vectors(const iovec* vectors, std::size_t count,
                                      std::uint64_t bytes) {
    std::vector<iovec> cut;
    for (std::size_t i = 0; i < count && bytes != 0; ++i) {
        cut.push_back(vectors[i]);
        cut.back().iov_len = std::min<std::size_t>(vectors[i].iov_len, bytes);
        bytes -= cut.back().iov_len;
    }
    return cut;
}

}  // namespace test

#endif  // IOENGINE_TESTS_FAULT_CUT_VECTORS_HPP
