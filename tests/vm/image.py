"""Builds the live image that the lab boots: root tree, initramfs, and a squashfs with the agent in it.

Each layer is kept in the cache under a hash of all that went into it, so a change of the agent costs one
squashfs. Everything is written beside its place and renamed into it; a lock keeps two builds apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import recipe, wheel
from .command import CommandFailed, run
from .names import KICKSTART

BUILD_TIMEOUT = 1800.0  # a slow mirror and one free core
BUILD = "7"  # the number that the lab's image says it has
KEPT = 3  # of each layer, so that two checkouts that share a cache do not build over and over
UNUSED_AFTER = 86400.0  # seconds; nothing younger is pruned, somebody may be booting it


@dataclass(frozen=True)
class Image:
    """All files that a boot needs, and the keys that open the guest."""

    kernel: Path
    initramfs: Path
    squashfs: Path
    sha256: str  # of the squashfs, for the command line
    ssh_key: Path
    known_hosts: Path

    @property
    def access(self) -> str:
        """The word of the command line that lets this lab in."""
        kind, key = self.ssh_key.with_suffix(".pub").read_text().split()[:2]
        return f"image.sshkey={kind}:{key}"


def cache_dir() -> Path:
    """The lab's cache: LIVEAGENT_LAB_CACHE, or liveagent-lab in the user's cache directory."""
    if named := os.environ.get("LIVEAGENT_LAB_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "liveagent-lab"


def build_image(repo: Path) -> Image:
    """Build what is missing and return the image with the agent of this tree."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        for leftover in cache.glob("*.partial"):  # of a build that was killed: we hold the lock, so nobody writes it
            remove(leftover)
        root = build_root(cache)
        boot = build_initramfs(cache, root)
        key = make_ssh_key(cache)
        squashfs = build_squashfs(cache, root, repo)
        sha256 = run(["sha256sum", str(squashfs)], timeout=120).split()[0]
        hosts = boot / "known_hosts"
        prune(cache)
    return Image(boot / "vmlinuz", boot / "initramfs", squashfs, sha256, key, hosts)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the cache; a second build waits here for the first and then finds its layers."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_root(cache: Path) -> Path:
    """Layer 1: the root tree, by mmdebstrap, from the package sources that this machine itself uses."""
    release = recipe.host_release()
    sources = recipe.host_sources(release)
    options = [f"--aptopt={line}" for line in recipe.host_apt_options()]
    options += [f"--dpkgopt=path-exclude={path}" for path in recipe.LEFT_OUT]
    root = cache / f"root-{digest(release, sources, *options, *recipe.packages())}"
    if not used(root):
        partial = root.with_suffix(".partial")
        # INITRD=No: the initramfs is a layer of its own, the one that a kernel package makes would be thrown away.
        run(
            ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", *options]
            + ["--include=" + ",".join(recipe.packages()), release, str(partial), "-"],
            timeout=BUILD_TIMEOUT,
            env={"INITRD": "No", "LC_ALL": "C.UTF-8"},
            stdin=sources,
        )
        # What served the build (a proxy, a mirror) has no place in an image.
        (partial / "etc/apt/apt.conf.d/99mmdebstrap").unlink(missing_ok=True)
        partial.rename(root)
    return root


def build_initramfs(cache: Path, root: Path) -> Path:
    """Layer 2: kernel, initramfs and the host keys' known_hosts, in a directory of their own."""
    modules = KICKSTART / "dracut"
    ours = [path.read_bytes() for path in sorted(modules.rglob("*")) if path.is_file()]
    boot = cache / f"boot-{digest(root.name, recipe.INITRAMFS_SCRIPT, *recipe.DRACUT, *ours)}"
    if used(boot):
        return boot
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    partial = boot.with_suffix(".partial")
    partial.mkdir()
    release = kernel.name.split("-", 1)[1]
    run(
        # A mount namespace of its own: the mounts are gone with it, however this ends.
        ["unshare", "--mount", "--propagation=private", "sh", "-euc", recipe.INITRAMFS_SCRIPT, "initramfs"]
        + [str(root), str(partial), str(modules), *recipe.DRACUT, "/tmp/initramfs", release],
        timeout=BUILD_TIMEOUT,
    )
    shutil.copy(kernel, partial / "vmlinuz")
    keys = (path.read_text() for path in sorted((root / "etc/ssh").glob("ssh_host_*_key.pub")))
    (partial / "known_hosts").write_text("".join("* " + " ".join(key.split()[:2]) + "\n" for key in keys))
    partial.rename(boot)
    return boot


def make_ssh_key(cache: Path) -> Path:
    """The key pair of this lab: nobody else's key opens a guest, and this one opens nothing else."""
    key = cache / "ssh_key"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "liveagent-lab", "-f", str(key)], timeout=30)
    return key


def build_squashfs(cache: Path, root: Path, repo: Path) -> Path:
    """Layer 3: the root tree with the agent of `repo`, the image's and the lab's own files, as a squashfs."""
    source = wheel.source_files(repo)
    files = [*source, *(path for path in sorted(KICKSTART.rglob("*")) if path.is_file())]
    named = [f"{path.relative_to(repo)} {digest(path.read_bytes())}" for path in files]
    lab = [f"{path} {mode:o} {text}" for path, (mode, text) in sorted(recipe.LAB_FILES.items())]
    squashfs = cache / f"live-{digest(root.name, *named, *lab, *recipe.ENABLED, *recipe.DISABLED)}.squashfs"
    if used(squashfs):
        return squashfs
    tree = cache / "tree.partial"
    # Hard links: a second of work for a whole tree. Whoever writes below unlinks first, or the cache would change.
    run(["cp", "--archive", "--link", str(root), str(tree)], timeout=300)
    # These are written through: what is linked there would change in the cache.
    for name in ("etc", "var/log", "var/lib/dbus", "var/lib/systemd"):
        if (root / name).exists():
            remove(tree / name)
            run(["cp", "--archive", str(root / name), str(tree / name)], timeout=120)
    wheel.install(repo, source, tree)
    run(["cp", "--recursive", "--remove-destination", "--preserve=mode", f"{KICKSTART}/image/.", str(tree)], timeout=60)
    install_post(tree)
    for path, (mode, text) in recipe.LAB_FILES.items():
        place(tree / path, text, mode)
    enable(tree)
    partial = squashfs.with_suffix(".partial")
    run(
        ["mksquashfs", str(tree), str(partial), "-noappend", "-no-progress", "-comp", "zstd"]
        + ["-Xcompression-level", "2", "-e", "boot", "var/cache/apt", "var/lib/apt/lists"],
        timeout=600,
    )
    remove(tree)
    partial.rename(squashfs)
    return squashfs


def install_post(tree: Path) -> None:
    """Run the kickstart's own scripts, as a build of the image runs them: in its root, and beside it."""
    words = {"IMAGE_BUILD": BUILD, "IMAGE_COMMIT": "lab", "IMAGE_KEEP_HOST_KEYS": "1"}
    script = (KICKSTART / "post.sh").read_text()
    run(["chroot", str(tree), "bash", "-s"], timeout=300, stdin=script, env=words)
    out = tree.with_name("output.partial")
    beside = {**words, "INSTALL_ROOT": str(tree), "IMAGE_OUTPUT": str(out)}
    run([str(KICKSTART / "post-nochroot.sh")], timeout=300, env=beside)
    listed = (out / "packages.txt").read_text().splitlines()
    if len(listed) < len(recipe.packages()) or not list(out.glob("vmlinuz-*")):
        raise CommandFailed(
            f"{KICKSTART}/post-nochroot.sh named {len(listed)} packages, and copied no kernel or too few"
        )
    remove(out)


def place(path: Path, text: str, mode: int) -> None:
    """Put a file into a hard-linked tree without writing through the link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)


def enable(tree: Path) -> None:
    """Enable and disable units as an image build would, with the image's own systemctl."""
    chroot = ["chroot", str(tree)]
    for unit in recipe.ENABLED:
        run([*chroot, "systemctl", "enable", unit], timeout=60)
    run([*chroot, "systemctl", "mask", *recipe.DISABLED], timeout=60)
    # Without this the guest compiles every module of the agent at every boot, in memory, on an emulated CPU.
    run(
        [*chroot, "python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", wheel.PACKAGES],
        timeout=300,
    )


def digest(*parts: str | bytes) -> str:
    """A short name for all these parts in this order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    return total.hexdigest()[:16]


def used(layer: Path) -> bool:
    """Whether the layer is there; if so its time says that somebody wanted it now."""
    if not layer.exists():
        return False
    os.utime(layer)
    return True


def prune(cache: Path) -> None:
    """Remove layers that nobody has wanted for a day, keeping the youngest few of each."""
    for pattern in ("root-*", "boot-*", "live-*.squashfs"):
        layers = sorted(cache.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in layers[KEPT:]:
            if time.time() - old.stat().st_mtime > UNUSED_AFTER:
                remove(old)


def remove(path: Path) -> None:
    """Remove a layer, but never through a mount that somebody forgot in it."""
    mounts = Path("/proc/self/mounts").read_text()
    if f" {path}/" in mounts:
        raise CommandFailed(f"{path}: something is mounted below it; unmount it, then run again")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
