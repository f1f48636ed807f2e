#!/bin/sh
# Installs what the demo, the tests and (with the word `vm`) the boot lab call, where it is missing.
# On Debian by apt. On EL the names are written from the package lists and not tried there yet.
set -eu

missing=""
want() { # want PROGRAM DEBIAN-PACKAGE
    command -v "$1" >/dev/null 2>&1 || [ -e "$1" ] || missing="$missing $2"
}

PATH="$PATH:/usr/sbin:/sbin"
want python3 python3
want blkid util-linux
want losetup mount
want udevadm udev
want sfdisk fdisk
want mkfs.ext4 e2fsprogs
want nvme nvme-cli
want ssh-keygen openssh-client
want ip iproute2
want systemd-analyze systemd
want shellcheck shellcheck
want mkfs.btrfs btrfs-progs
want journalctl systemd
want efibootmgr efibootmgr
want groff groff-base
want git git
# A BMC of the tests' own, and what asks it.
want ipmitool ipmitool
want ipmi_sim openipmi
# A bus of the tests' own. Python's binding to it is made from source: in an image it is the system's.
want dbus-daemon dbus-daemon
want setpriv util-linux
want /usr/lib/python3/dist-packages/pydbus python3-pydbus
want gcc gcc
want pkg-config pkg-config
want /usr/include/cairo/cairo.h libcairo2-dev
want /usr/include/gobject-introspection-1.0/girepository.h libgirepository1.0-dev
[ -n "$(ls /usr/include/python3*/Python.h 2>/dev/null)" ] || missing="$missing python3-dev"
# The screens are captured from a terminal emulator.
want tmux tmux
want ethtool ethtool
# A shell that shows its completions without a terminal.
want fish fish
# The packages are built with the system's own Python, as a distribution does.
want rpmbuild rpm
want createrepo_c createrepo-c
want rpmlint rpmlint
want gpg gnupg
# Foreman's templates are Ruby's; what comes out is read by the loader's own parser.
want nginx nginx
want sshd openssh-server
want rsync rsync
want proftpd proftpd-core
want /usr/lib/proftpd/mod_tls.so proftpd-mod-crypto
want ruby ruby
want grub-script-check grub-common
# A build of the image: root trees of a few programs, squashfs and ISO, a container; and the pipeline's own parser.
want /usr/share/doc/busybox-static busybox-static
want mksquashfs squashfs-tools
want xorriso xorriso
want podman podman
want groovy groovy
for module in click cryptography jinja2 pip psutil pyudev requests rich setuptools wheel yaml; do
    /usr/bin/python3 -c "import $module" 2>/dev/null || missing="$missing python3-$module"
done
python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"

if [ "${1:-}" = vm ]; then
    want qemu-system-x86_64 qemu-system-x86
    want qemu-img qemu-utils
    want /usr/lib/ipxe/qemu/efi-virtio.rom ipxe-qemu
    want dnsmasq dnsmasq-base
    want /usr/lib/PXELINUX/lpxelinux.0 pxelinux
    want /usr/lib/syslinux/modules/bios/ldlinux.c32 syslinux-common
    want /usr/lib/grub/x86_64-efi/monolithic/grubnetx64.efi grub-efi-amd64-bin
    want /usr/share/ovmf/OVMF.fd ovmf
    want mmdebstrap mmdebstrap
    want debugfs e2fsprogs
    want zstd zstd
    # For `make bench`: what an inventory is compared with.
    want lshw lshw
fi

[ -z "$missing" ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "Please install, as root:$missing" >&2
    exit 1
fi
if command -v apt-get >/dev/null 2>&1; then
    echo "Installing:$missing"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    # The tests start servers of their own; the packages' services would only hold ports.
    for service in nginx:nginx proftpd-core:proftpd openipmi:openipmi; do
        case " $missing " in
        *" ${service%:*} "*) systemctl disable --now "${service#*:}" >/dev/null 2>&1 || true ;;
        esac
    done
elif command -v dnf >/dev/null 2>&1; then
    echo "Not tried on EL yet. Please install what stands for these Debian packages:$missing" >&2
    exit 1
else
    echo "Please install:$missing" >&2
    exit 1
fi
