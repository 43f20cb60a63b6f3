#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The scripts beside the tools: what they say, and how packages are looked for. Nothing is
# installed: programs of the system are played by stand-ins.
# shellcheck disable=SC2317,SC2154,SC2034  # checks are called by name; sourced files set variables
# shellcheck disable=SC2016  # the texts of stand-ins expand when those run
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=../abi/common.sh disable=SC1091
. "$here/../abi/common.sh"
begin scripts
# shellcheck source=cli.sh disable=SC1091
. "$here/cli.sh"

# stand_in NAME BODY: a program of that name that comes first in PATH.
stand_ins=$work/bin
mkdir -p "$stand_ins"
stand_in() {
    printf '#!/bin/bash\n%s\n' "$2" >"$stand_ins/$1"
    chmod +x "$stand_ins/$1"
}
ensure() {
    rm -f "$work/apt-get.log"
    run env PATH="$stand_ins:$PATH" LOG="$work/apt-get.log" \
        bash -euo pipefail -c '. "$1"; ensure_packages "$2"; echo ready' - \
        "$root/tools/packages.sh" "$1"
}
all_installed='printf installed'
# libaio-dev is the one that is missing.
one_missing='case "$*" in *libaio-dev*) exit 1 ;; *) printf installed ;; esac'
nobody='case "$1" in -u) echo 1000 ;; esac'
superuser='echo 0'
apt_notes='printf "%s\n" "$*" >>"$LOG"'

nothing_missing_needs_nothing() {
    stand_in dpkg-query "$all_installed"
    stand_in id "$nobody"
    stand_in sudo 'exit 1'
    stand_in apt-get "$apt_notes"
    ensure check
    expect_code 0
    grep -q ready "$out"
    [ ! -e "$work/apt-get.log" ]
}

root_installs_what_is_missing() {
    stand_in dpkg-query "$one_missing"
    stand_in id "$superuser"
    stand_in apt-get "$apt_notes"
    ensure core
    expect_code 0
    grep -q ready "$out"
    grep -q 'update' "$work/apt-get.log"
    grep -q 'install .*libaio-dev$' "$work/apt-get.log"
    not grep -q 'liburing-dev' "$work/apt-get.log"
}

sudo_installs_what_is_missing() {
    stand_in dpkg-query "$one_missing"
    stand_in id "$nobody"
    stand_in sudo '[ "$1" = -n ] && shift; exec "$@"'
    stand_in apt-get "$apt_notes"
    ensure core
    expect_code 0
    grep -q 'install .*libaio-dev$' "$work/apt-get.log"
}

nobody_is_told_the_line() {
    stand_in dpkg-query "$one_missing"
    stand_in id "$nobody"
    stand_in sudo 'exit 1'
    stand_in apt-get "$apt_notes"
    ensure core
    expect_code 69
    not grep -q ready "$out"
    [ ! -e "$work/apt-get.log" ]
    grep -q 'apt-get install -y --no-install-recommends libaio-dev$' "$err"
    [ "$(wc -l <"$err")" -eq 1 ]
}

failed_installation_is_69() {
    stand_in dpkg-query "$one_missing"
    stand_in id "$superuser"
    stand_in apt-get 'case "$*" in *install*) exit 100 ;; esac'
    ensure core
    expect_code 69
    not grep -q ready "$out"
    grep -q 'apt-get install .*libaio-dev$' "$err"
}

check_wants_more_than_run() {
    # Nothing but fio is missing: only tools/check asks for it.
    stand_in dpkg-query 'case "$*" in *" fio"*) exit 1 ;; *) printf installed ;; esac'
    stand_in id "$nobody"
    stand_in sudo 'exit 1'
    ensure core
    expect_code 0
    ensure check
    expect_code 69
    grep -q ' fio$' "$err"
}

script_help() {
    succeeds bash "$root/tools/run" --help
    grep -q 'Usage: tools/run' "$out"
    grep -q 'Exit codes' "$out"
}

check "packages that are all installed need neither root nor network" nothing_missing_needs_nothing
check "as root exactly what is missing is installed" root_installs_what_is_missing
check "by sudo exactly what is missing is installed" sudo_installs_what_is_missing
check "without root the exact line is printed and the exit code is 69" nobody_is_told_the_line
check "an installation that fails is 69 and says how to repeat it" failed_installation_is_69
check "tools/check wants more packages than tools/run" check_wants_more_than_run
check "tools/run --help explains itself" script_help
check "tools/run refuses an unknown argument" \
    fails_with 2 'unknown argument' bash "$root/tools/run" --nonsense
finish
