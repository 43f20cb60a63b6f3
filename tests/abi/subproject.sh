#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The source tree serves as a meson subproject of another program: subproject.sh MESON CXX...
# shellcheck disable=SC2317,SC2154  # checks are called by name; common.sh sets $work
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
meson=$1
shift
cxx=("$@")
# shellcheck source=common.sh disable=SC1091
. "$here/common.sh"
begin subproject

outer=$work/outer
mkdir -p "$outer/subprojects"
cp "$here/consumer/consumer.cpp" "$here/consumer/meson.build" "$outer"
ln -s "$root" "$outer/subprojects/ioengine"

# Only ioengine comes from the subproject, even if it is installed too; nothing is downloaded. As
# one file it compiles in a fifth of the time.
configures() {
    CXX="${cxx[*]}" "$meson" setup "$work/build" "$outer" --wrap-mode=nodownload \
        --force-fallback-for=ioengine -Dunity=on -Dunity_size=100 \
        -Doptimization=0 -Ddebug=false -Dioengine:tools=disabled
}

# As a part of something else it brings neither tests nor examples.
brings_the_library_only() {
    "$meson" introspect "$work/build" --tests >"$work/tests"
    cat "$work/tests"
    [ "$(tr -d ' \n' <"$work/tests")" = '[]' ]
    "$meson" introspect "$work/build" --targets >"$work/targets"
    ! grep -E '"name": "(read_one|copy_file|write_ahead_log|test-[a-z]+)"' "$work/targets"
}

builds() { ninja -C "$work/build" -j2 consumer; }

runs() {
    "$work/build/consumer" "$work/data"
    grep -q 'through the engine and back' "$work/data"
}

check "another project configures it as a subproject" configures
check "as a subproject it adds neither tests nor examples" brings_the_library_only
check "the other project builds against it" builds
check "the other project's program writes and reads through it" runs
finish
