/* SPDX-License-Identifier: MIT
 *
 * Which symbols leave the library, and the version of these headers.
 */
#ifndef IOENGINE_EXPORT_H
#define IOENGINE_EXPORT_H

#define IOENGINE_VERSION_MAJOR 0
#define IOENGINE_VERSION_MINOR 1
#define IOENGINE_VERSION_PATCH 0

/* One number to compare: 0.1.0 is 100. */
#define IOENGINE_VERSION                                                                           \
    (IOENGINE_VERSION_MAJOR * 10000 + IOENGINE_VERSION_MINOR * 100 + IOENGINE_VERSION_PATCH)

#define IOENGINE_API __attribute__((visibility("default")))

#endif /* IOENGINE_EXPORT_H */
