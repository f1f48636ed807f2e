"""Root trees small enough for a test, the ISO that a builder would make of one, and a container to build it in.

A tree holds busybox and, in place of dracut, a script: the real dracut runs in the boot lab, whose initramfs is made by
the same command. In the container a script stands in for livemedia-creator, which nothing but an EL has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conftest import need
from tests.vm.names import KICKSTART

KERNEL = "5.14.0-503.el9.x86_64"
EPOCH = "1764000000"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
BUSYBOX = Path("/bin/busybox")

# Notes what it was asked for, in the file that would be the initramfs; fails where /etc/dracut-fails says so.
DRACUT = """#!/bin/sh
[ ! -e /etc/dracut-fails ] || { echo "dracut: $(cat /etc/dracut-fails)" >&2; exit 1; }
for word; do before=$last last=$word; done
umask 077
printf '%s\\n' "$@" "epoch $SOURCE_DATE_EPOCH" > "$before"
"""
# Lists what was asked for, without what stands in /etc/lacks.
LSINITRD = """#!/bin/sh
while read -r word; do
    case $last in --add) add=$word ;; --add-drivers | --drivers) drivers=$word ;; --install) install=$word ;; esac
    last=$word
done < "$1"
lacks() { grep -qx -- "$1" /etc/lacks; }
printf 'Image: %s: 30M\\n========\\nVersion: stand-in\\n\\ndracut modules:\\n' "$1"
for name in $add; do lacks "$name" || echo "$name"; done
echo ========
entry() { lacks "$1" || echo "-rwxr-xr-x   1 root     root         4321 Jan  1  1970 $1$2"; }
entry usr/sbin/dmsquash-live-root.unchecked
entry etc/ssl/certs/ca-certificates.crt
for name in $drivers; do entry "usr/lib/modules/1/kernel/drivers/x/$name" .ko.xz; done
[ -z "$install" ] || entry "${install#/}"
"""

# Has an ISO ready, for a kickstart that it can read; /fails makes it fail, /waits makes it last.
BUILDER = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in --ks) ks=$2 ;; --resultdir) out=$2 ;; --iso-name) name=$2 ;; esac
    shift
done
grep -q '^%packages' "$ks" || exit 3
[ ! -e /waits ] || exec sleep "$(cat /waits)"
[ ! -e /fails ] || { echo "livemedia-creator: $(cat /fails)" >&2; exit 1; }
mkdir "$out"
[ ! -e /ready.iso ] || cp /ready.iso "$out/$name"
"""
# Where root lacks some rights, podman's own limits cannot be set; a store and a state that no other podman has.
CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
STORAGE = """[storage]
driver = "vfs"
graphroot = "{place}/store"
runroot = "{place}/run"
"""


class Podman:
    """A real podman with a store of its own, and images made of a few files."""

    def __init__(self, place: Path) -> None:
        need(shutil.which("podman"), "podman")
        need_root()
        self.place = place
        (place / "containers.conf").write_text(CONTAINERS)
        (place / "storage.conf").write_text(STORAGE.format(place=place))
        self.env = {
            "CONTAINERS_CONF": str(place / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
        }
        # The mounts of podman's store, and control groups of the kind that it wants, are this test's own.
        script = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"'
        self.within = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")

    def make_image(self, name: str, **files: str | Path) -> str:
        """An image with busybox, the builder and these files in its root; its name."""
        root = self.place / name
        (root / "usr/bin").mkdir(parents=True)
        add_programs(root, **{"livemedia-creator": BUILDER})
        for file, content in files.items():
            shutil.copy(content, root / file) if isinstance(content, Path) else (root / file).write_text(content)
        archive = root.with_suffix(".tar")
        call("tar", "--create", "--file", archive, "--directory", root, ".")
        self.run("podman", "import", "--quiet", archive, f"localhost/{name}")
        return f"localhost/{name}"

    def run(self, *argv: str | Path) -> str:
        words = [*self.within, *(str(word) for word in argv)]
        environment = {"PATH": PATH, **self.env}
        return subprocess.run(words, env=environment, check=True, capture_output=True, text=True, timeout=100).stdout


def need_root() -> None:
    need(os.geteuid() == 0, "root")


def make_tree(tree: Path, *kernels: str) -> Path:
    """An image's root tree with these kernels, by default one."""
    need(BUSYBOX.exists(), "busybox-static")
    for name in ("usr/bin", "dev", "proc", "run", "sys", "tmp", "var/tmp", "boot", "root/build", "usr/share/hwdata"):
        (tree / name).mkdir(parents=True)
    (tree / "etc").mkdir()
    for name, text in (("usr/share/hwdata/pci.ids", "8086  Intel\n"), ("etc/lacks", ""), ("boot/config", "x\n")):
        (tree / name).write_text(text)
    (tree / "root/build/packages.txt").write_text("bash 5.1.8-9.el9 x86_64\n")
    add_programs(tree, dracut=DRACUT, lsinitrd=LSINITRD)
    for module in ("livenet", "dmsquash-live", "bash", "network", "rescue", "kernel-modules", "ssh-client", "base"):
        (tree / f"usr/lib/dracut/modules.d/90{module}").mkdir(parents=True)
    shutil.copytree(KICKSTART / "dracut", tree / "usr/lib/dracut/modules.d", dirs_exist_ok=True)
    for kernel in kernels or (KERNEL,):
        modules = tree / "usr/lib/modules" / kernel
        modules.mkdir(parents=True)
        (modules / "vmlinuz").write_text(f"kernel {kernel}\n")
        (modules / "modules.dep").write_text(
            "kernel/drivers/net/e1000e.ko.xz:\nextra/mpt3sas.ko: kernel/x/raid_class.ko\n"
        )
        (modules / "modules.builtin").write_text("kernel/drivers/ata/ahci.ko\n")
    return tree


def add_programs(tree: Path, **programs: str) -> None:
    """Put busybox into a tree, with all its names, and scripts of these names and texts."""
    shutil.copy(BUSYBOX, tree / "usr/bin/busybox")
    (tree / "bin").symlink_to("usr/bin")
    for name in subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if name != "busybox":
            (tree / "usr/bin" / name).symlink_to("busybox")
    for name, text in programs.items():
        program = tree / "usr/bin" / name
        program.write_text(text)
        program.chmod(0o755)


def make_squashfs(tree: Path, file: Path, nested: bool) -> Path:
    """The tree as a builder packs it: as it is, or in an ext4 of its own."""
    source = tree
    if nested:
        source = file.with_suffix(".nested")
        (source / "LiveOS").mkdir(parents=True)
        rootfs = source / "LiveOS/rootfs.img"
        with rootfs.open("wb") as stream:
            stream.truncate(16 << 20)
        call("mkfs.ext4", "-q", "-d", tree, rootfs)
    call("mksquashfs", source, file, "-noappend", "-no-progress", "-comp", "zstd", "-Xcompression-level", "1")
    return file


def make_iso(tree: Path, iso: Path, nested: bool) -> Path:
    """The ISO that a builder makes, as far as anybody looks into it here."""
    content = iso.with_suffix(".content")
    (content / "LiveOS").mkdir(parents=True)
    make_squashfs(tree, content / "LiveOS/squashfs.img", nested)
    call("xorriso", "-as", "mkisofs", "-quiet", "-V", "speedtest", "-o", iso, content)
    return iso


def call(*argv: str | Path) -> None:
    need(shutil.which(str(argv[0])), str(argv[0]))
    subprocess.run([str(word) for word in argv], check=True, capture_output=True, timeout=100)


def attempt(
    script: str,
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    within: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run one of kickstart/ to its end, as a build does."""
    argv = [*within, str(KICKSTART / script), *(str(word) for word in words)]
    environment = {"PATH": PATH, "SOURCE_DATE_EPOCH": EPOCH, **(env or {})}
    return subprocess.run(argv, env=environment, cwd=cwd, capture_output=True, text=True, timeout=100)


def fail(done: subprocess.CompletedProcess[str], says: str) -> None:
    """It failed, said this, and said it to a person."""
    assert done.returncode not in (0, None) and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
