# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Other kernels, from Debian's packages: fetched and unpacked, never installed. Sourced by run.
#
# A kernel that is ready is a directory with vmlinuz, modules.cpio (an initramfs to be put behind
# that of the programs) and `package`, its exact name.

# What guests load, if it is not built in.
readonly MODULES=(virtio_pci virtio_blk nvme ext4 dm_mod dm_flakey dm_delay null_blk scsi_debug sd_mod
    loop fuse)

# package_of KERNEL: the package that holds it now. Nothing where this Debian does not offer it.
package_of() {
    local meta
    case $1 in
    6.1) meta=linux-image-cloud-amd64 ;;
    6.1-rt) meta=linux-image-rt-amd64 ;;
    6.12) meta=linux-image-6.12-cloud-amd64 ;;
    6.12-rt) meta=linux-image-6.12-rt-amd64 ;;
    *) return 0 ;;
    esac
    # In other releases the package without a number is another kernel.
    apt-cache depends "$meta" 2>/dev/null |
        sed -n "s/^ *Depends: \(linux-image-${1%-rt}[.].*-amd64\)$/\1/p" | head -n 1
}

# fetch_kernel KERNEL DIRECTORY: makes the directory ready. Prints why it cannot.
fetch_kernel() {
    local kernel=$1 ready=$2 package unpacked
    package=$(package_of "$kernel")
    if [[ -f $ready/package && ($package == "" || $package == "$(<"$ready/package")") ]]; then
        return 0
    fi
    if [[ -z $package ]]; then
        echo "no package of Linux $kernel is offered here"
        return 1
    fi
    unpacked=$(mktemp -d "$ready.XXXXXX")
    if ! (cd "$unpacked" && apt-get -qq download "$package" &&
        dpkg -x "$package"_*.deb . && pack_kernel .) >"$unpacked.log" 2>&1; then
        echo "$package cannot be fetched and unpacked: $(tail -n 1 "$unpacked.log")"
        rm -rf "$unpacked" "$unpacked.log"
        # An older one will do.
        [[ -f $ready/package ]]
        return
    fi
    echo "$package" >"$unpacked/ready/package"
    rm -rf "$ready"
    mv "$unpacked/ready" "$ready"
    rm -rf "$unpacked" "$unpacked.log"
}

# pack_kernel UNPACKED: the parts of a package that a guest needs, into UNPACKED/ready.
pack_kernel() {
    local root=$1 release module file name
    release=$(ls "$root/lib/modules")
    mkdir -p "$root/ready" "$root/tree/modules"
    mv "$root"/boot/vmlinuz-* "$root/ready/vmlinuz"
    depmod -b "$root" "$release"
    for module in "${MODULES[@]}"; do
        # One line for each file, in the order in which they are to be loaded. `builtin` is another
        # kind of line.
        modprobe -C /dev/null -d "$root" -S "$release" --show-depends "$module" |
            sed -n 's/^insmod \([^ ]*\).*/\1/p' |
            while read -r file; do
                name=$(basename "${file%.xz}")
                if [[ ! -f $root/tree/modules/$name ]]; then
                    case $file in
                    *.xz) xz -dc "$file" >"$root/tree/modules/$name" ;;
                    *) cp "$file" "$root/tree/modules/$name" ;;
                    esac
                fi
                echo "$name"
            done >"$root/tree/modules/$module.order"
    done
    pack "$root/tree" >"$root/ready/modules.cpio"
}

# pack DIRECTORY: as an initramfs, to standard output.
pack() {
    (cd "$1" && find . | LC_ALL=C sort | cpio --quiet --create --format=newc --owner=0:0)
}
