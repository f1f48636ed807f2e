#!/bin/bash
# shellcheck disable=SC2154  # dracut sets initdir and moddir
# Checks the live image before anything of it is mounted. Only where it is asked for: dracut --add liveagent-image

check() {
    require_binaries sha256sum ssh-keygen || return 1
    return 255
}

depends() {
    echo livenet dmsquash-live url-lib
}

install() {
    inst_multiple sha256sum ssh-keygen cat cut grep mktemp rm tr
    # Who may sign a build; without the file only a sum on the command line counts. And the smallest number that may boot.
    inst_multiple -o /etc/liveagent/image_signers /etc/liveagent/image_least
    # Both ways to the image, over the network and from a disk, end in this program, and it gets the image's path.
    # This module comes after the one that has put it there.
    [ -e "$initdir/sbin/dmsquash-live-root" ] || {
        derror "liveagent-image: dmsquash-live has not been installed before it"
        return 1
    }
    mv "$initdir/sbin/dmsquash-live-root" "$initdir/sbin/dmsquash-live-root.unchecked"
    inst_simple "$moddir/check-image.sh" /sbin/dmsquash-live-root
}
