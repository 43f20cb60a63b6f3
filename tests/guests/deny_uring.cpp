// SPDX-License-Identifier: MIT
//
// deny-uring PROGRAM [ARGUMENT...]: runs it where io_uring_setup(2) answers EPERM, as container
// runtimes have it.
#include "tests/support/child.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <unistd.h>

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: deny-uring PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    test::deny({{"io_uring_setup", EPERM}});
    ::execv(argv[1], argv + 1);
    std::fprintf(stderr, "deny-uring: %s: %s\n", argv[1], std::strerror(errno));
    return 127;
}
