// SPDX-License-Identifier: MIT
//
// Set-up flags that the headers we are built with may be too old for. Whether the kernel that runs
// knows them is found out by asking it.
#pragma once

#include <liburing.h>

#ifndef IORING_FEAT_SQPOLL_NONFIXED  // 5.11
#define IORING_FEAT_SQPOLL_NONFIXED (1U << 7)
#endif
#ifndef IORING_FEAT_NATIVE_WORKERS  // 5.12
#define IORING_FEAT_NATIVE_WORKERS (1U << 9)
#endif
#ifndef IORING_SETUP_SUBMIT_ALL  // Linux 5.18
#define IORING_SETUP_SUBMIT_ALL (1U << 7)
#endif
#ifndef IORING_SQ_TASKRUN  // 5.19
#define IORING_SQ_TASKRUN (1U << 2)
#endif
#ifndef IORING_SETUP_COOP_TASKRUN  // 5.19
#define IORING_SETUP_COOP_TASKRUN (1U << 8)
#endif
#ifndef IORING_SETUP_TASKRUN_FLAG  // 5.19
#define IORING_SETUP_TASKRUN_FLAG (1U << 9)
#endif
#ifndef IORING_SETUP_SINGLE_ISSUER  // 6.0
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN  // 6.1
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif
