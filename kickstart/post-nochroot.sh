#!/usr/bin/env bash
# Runs beside the image's root, on the build host: what the build has to know of it, for build.json.
# Where the builder does not say where the root is, it is at anaconda's place.
set -euo pipefail
root=${INSTALL_ROOT:-${ANA_INSTALL_PATH:-/mnt/sysimage}}
out=${IMAGE_OUTPUT:-$root/root/build}

mkdir -p "$out"
# In one order, so that two lists of the same packages are the same.
if [ -d "$root/var/lib/dpkg" ]; then
    dpkg-query --admindir="$root/var/lib/dpkg" --show --showformat '${Package} ${Version} ${Architecture}\n' | LC_ALL=C sort > "$out/packages.txt"
else
    rpm --root "$root" -qa --queryformat '%{NAME} %{EVR} %{ARCH}\n' | LC_ALL=C sort > "$out/packages.txt"
fi
[ -s "$out/packages.txt" ]
for kernel in "$root"/lib/modules/*/vmlinuz "$root"/boot/vmlinuz-*; do
    [ -f "$kernel" ] || continue
    version=${kernel#"$root"/lib/modules/}
    version=${version%/vmlinuz}
    version=${version#"$root"/boot/vmlinuz-}
    case $version in *rescue*) continue ;; esac
    cp "$kernel" "$out/vmlinuz-$version"
done
