#!/usr/bin/env bash
# Runs beside the image's root, on the build host: what the build has to know of it, for build.json.
# Where the builder does not say where the root is, it is at anaconda's place.
set -euo pipefail
root=${INSTALL_ROOT:-${ANA_INSTALL_PATH:-/mnt/sysimage}}
out=$root/root/build

mkdir -p "$out"
# In one order, so that two lists of the same packages are the same.
if [ -d "$root/var/lib/dpkg" ]; then
    dpkg-query --admindir="$root/var/lib/dpkg" --show --showformat '${Package} ${Version} ${Architecture}\n' | LC_ALL=C sort > "$out/packages.txt"
else
    rpm --root "$root" -qa --queryformat '%{NAME} %{EVR} %{ARCH}\n' | LC_ALL=C sort > "$out/packages.txt"
fi
[ -s "$out/packages.txt" ]
