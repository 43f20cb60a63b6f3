# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Which Debian packages the project needs, and how they get there. Sourced by the scripts beside it.
#
# On Debian 12 `pkg-config` is an empty package that brings `pkgconf`, which holds the program; in
# later releases there is only the latter. So `pkgconf` is what is looked for and installed.

readonly PACKAGES_CORE=(
    g++ meson ninja-build pkgconf
    liburing-dev libaio-dev libconcurrentqueue-dev libspdlog-dev
    nlohmann-json3-dev libcli11-dev
)
readonly PACKAGES_CHECK=(
    catch2 clang clang-format clang-tidy libclang-rt-14-dev libc++-dev libc++abi-dev
    libseccomp-dev libfuse3-dev spin valgrind cmake fio sysbench strace shellcheck git ca-certificates binutils gcc
)

# For tests/guests, which `tools/check --full` runs.
readonly PACKAGES_GUESTS=(qemu-system-x86 busybox-static kmod cpio xz-utils dmsetup e2fsprogs)

readonly PACKAGES_COVERAGE=(catch2 gcovr libseccomp-dev libfuse3-dev fio sysbench)

# Exit code of every script that cannot set itself up.
readonly EXIT_UNAVAILABLE=69

# Prints those of its arguments that are not installed. Needs neither network nor root.
missing_packages() {
    local package
    for package in "$@"; do
        if [[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" \
            != installed ]]; then
            printf '%s\n' "$package"
        fi
    done
}

# Runs a command as root: directly, or by a sudo that asks nothing. Returns 1 if there is no way.
as_root() {
    if [[ "$(id -u)" == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

# ensure_packages core|check|full|coverage: installs what is missing; ends the script with 69 where it cannot.
ensure_packages() {
    local wanted=("${PACKAGES_CORE[@]}")
    case "$1" in
    check) wanted+=("${PACKAGES_CHECK[@]}") ;;
    full) wanted+=("${PACKAGES_CHECK[@]}" "${PACKAGES_GUESTS[@]}") ;;
    coverage) wanted+=("${PACKAGES_COVERAGE[@]}") ;;
    esac
    if ! command -v dpkg-query >/dev/null; then
        printf 'This is not Debian. Needed, by their names there: %s\n' "${wanted[*]}" >&2
        exit "$EXIT_UNAVAILABLE"
    fi

    local missing
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    if ((${#missing[@]} == 0)); then
        return 0
    fi
    local line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    if ! as_root true; then
        printf 'Packages are missing. As root, run: %s\n' "$line" >&2
        exit "$EXIT_UNAVAILABLE"
    fi
    printf 'Installing %s\n' "${missing[*]}" >&2
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2 ||
        ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
            --no-install-recommends "${missing[@]}" >&2; then
        printf 'Installing failed. When the cause is removed, run as root: %s\n' "$line" >&2
        exit "$EXIT_UNAVAILABLE"
    fi
}
