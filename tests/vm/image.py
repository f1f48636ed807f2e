"""Builds the live image that the lab boots: root tree, initramfs, and a squashfs with the agent in it.

Each layer is kept in the cache under a hash of all that went into it, so a change of the agent costs one
squashfs. Everything is written beside its place and renamed into it; a lock keeps two builds apart.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.delivery.web import Authority

from . import recipe, wheel
from .command import CommandFailed, run
from .names import KICKSTART

BUILD_TIMEOUT = 1800.0  # a slow mirror and one free core
BUILD, NEXT_BUILD = "7", "8"  # the number that the lab's image says it has, and that of the one that follows
PACKAGES = "root/build/packages.txt"  # where post-nochroot.sh lists them, below the root
KEPT = 3  # of each layer, so that two checkouts that share a cache do not build over and over
UNUSED_AFTER = 86400.0  # seconds; nothing younger is pruned, somebody may be booting it

# Where the lab's initramfs differs from a build's. Debian's dracut picks systemd-networkd by itself, and then livenet
# waits for ever. Of the drivers for disks none: the root comes over the network, and the live system loads them itself.
# Network drivers are all in it. Half the size, which an emulated CPU fetches and unpacks in half the time.
MODULES = "livenet dmsquash-live bash network-legacy base kernel-modules liveagent-image"
OMITTED = "plymouth systemd-networkd network-manager connman mdraid dmraid lvm crypt multipath nvmf resume"
DRIVERS = "virtio_pci\n"
INITRAMFS = (KICKSTART / "build-initramfs", KICKSTART / "in-tree", KICKSTART / "dracut")


@dataclass(frozen=True)
class Keys:
    """What this lab has in the place of a site's keys. They open nothing elsewhere, and nobody else's anything here."""

    ssh: Path  # logs in to guests
    build: Path  # signs builds
    authority: Path  # the folder of the CA that servers have their certificates from

    @property
    def signers(self) -> str:
        """An allowed-signers file: who may sign a build."""
        public = " ".join(self.build.with_suffix(".pub").read_text().split()[:2])
        return f'builds@lab.example.com namespaces="liveagent-build" {public}\n'

    @property
    def words(self) -> dict[str, str]:
        """What the kickstart's scripts are told of them: files in base64."""
        texts = {"IMAGE_CA": (self.authority / "ca.pem").read_text(), "IMAGE_SIGNERS": self.signers}
        return {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}


@dataclass(frozen=True)
class Image:
    """All files that a boot needs, and the keys that open the guest."""

    build: str  # the number that it says it has
    kernel: Path
    initramfs: Path
    squashfs: Path
    sha256: str  # of the squashfs, for the command line
    keys: Keys
    known_hosts: Path

    @property
    def access(self) -> str:
        """The word of the command line that lets this lab in."""
        kind, key = self.keys.ssh.with_suffix(".pub").read_text().split()[:2]
        return f"image.sshkey={kind}:{key}"

    @property
    def release(self) -> str:
        """The kernel's version."""
        return self.kernel.name[len("vmlinuz-") :]

    @property
    def boot_files(self) -> dict[str, Path]:
        """What the lab's own boots fetch, by name."""
        return {"vmlinuz": self.kernel, "initramfs": self.initramfs, "live.squashfs": self.squashfs}

    @property
    def build_files(self) -> dict[str, Path]:
        """The files of the build by the names that they have in one."""
        initramfs, squashfs = f"initrd-{self.release}-{self.build}.img", f"speedtest-{self.build}.squashfs"
        files = {self.kernel.name: self.kernel, initramfs: self.initramfs, squashfs: self.squashfs}
        return {**files, "packages.txt": self.kernel.with_name("packages.txt")}


def cache_dir() -> Path:
    """The lab's cache: LIVEAGENT_LAB_CACHE, or liveagent-lab in the user's cache directory."""
    if named := os.environ.get("LIVEAGENT_LAB_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "liveagent-lab"


def build_image(repo: Path, build: str = BUILD) -> Image:
    """Build what is missing and return the image of this number with the agent of this tree."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        for leftover in cache.glob("*.partial"):  # of a build that was killed: we hold the lock, so nobody writes it
            remove(leftover)
        keys = make_keys(cache)
        root = build_root(cache)
        boot = build_initramfs(cache, root, keys)
        squashfs = build_squashfs(cache, root, repo, {**keys.words, "IMAGE_BUILD": build})
        sha256 = run(["sha256sum", str(squashfs)], timeout=120).split()[0]
        (kernel,), (initramfs,) = boot.glob("vmlinuz-*"), boot.glob("initrd-*.img")
        prune(cache)
    return Image(build, kernel, initramfs, squashfs, sha256, keys, boot / "known_hosts")


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


def build_initramfs(cache: Path, root: Path, keys: Keys) -> Path:
    """Layer 2: kernel, initramfs and the host keys' known_hosts, in a directory of their own.

    It is made after the kickstart's scripts, as in a build: whom the image believes, the initramfs believes as well.
    """
    ours = [path for place in INITRAMFS for path in (place, *sorted(place.rglob("*"))) if path.is_file()]
    read = [path.read_bytes() for path in ours]
    boot = cache / f"boot-{digest(root.name, PACKAGES, MODULES, OMITTED, DRIVERS, *keys.words.values(), *read)}"
    if used(boot):
        return boot
    partial = boot.with_suffix(".partial")
    partial.mkdir()
    drivers = partial / "drivers"
    drivers.write_text(DRIVERS)
    tree = copy_tree(cache, root)
    install_post(tree, {**keys.words, "IMAGE_BUILD": BUILD})
    run(
        [str(KICKSTART / "build-initramfs"), str(tree), "--build", BUILD, "--out", str(partial)]
        + ["--modules", MODULES, "--omit", OMITTED, "--drivers", str(drivers), "--only-drivers"]
        + ["--module-dir", str(KICKSTART / "dracut")],
        timeout=BUILD_TIMEOUT,
    )
    shutil.copy(tree / PACKAGES, partial)
    remove(tree)
    drivers.unlink()
    host_keys = (path.read_text() for path in sorted((root / "etc/ssh").glob("ssh_host_*_key.pub")))
    (partial / "known_hosts").write_text("".join("* " + " ".join(key.split()[:2]) + "\n" for key in host_keys))
    partial.rename(boot)
    return boot


def make_keys(cache: Path) -> Keys:
    """The keys of this lab, made where it has none yet."""
    keys = Keys(cache / "ssh_key", cache / "build_key", cache / "authority")
    for key in (keys.ssh, keys.build):
        if not key.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "liveagent-lab", "-f", str(key)], timeout=30)
    Authority(keys.authority)
    return keys


def copy_tree(cache: Path, root: Path) -> Path:
    """A root tree to work in. Hard links: a second of work. Whoever writes unlinks first, or the cache would change."""
    tree = cache / "tree.partial"
    run(["cp", "--archive", "--link", str(root), str(tree)], timeout=300)
    # These are written through: what is linked there would change in the cache.
    for name in ("etc", "var/log", "var/lib/dbus", "var/lib/systemd"):
        if (root / name).exists():
            remove(tree / name)
            run(["cp", "--archive", str(root / name), str(tree / name)], timeout=120)
    return tree


def build_squashfs(cache: Path, root: Path, repo: Path, words: Mapping[str, str]) -> Path:
    """Layer 3: the root tree with the agent of `repo`, the image's and the lab's own files, as a squashfs."""
    source = wheel.source_files(repo)
    files = [*source, *(path for path in sorted(KICKSTART.rglob("*")) if path.is_file())]
    named = [f"{path.relative_to(repo)} {digest(path.read_bytes())}" for path in files]
    lab = [f"{path} {mode:o} {text}" for path, (mode, text) in sorted(recipe.LAB_FILES.items())]
    parts = (root.name, *named, *lab, *recipe.ENABLED, *recipe.DISABLED, *words.values())
    squashfs = cache / f"live-{digest(*parts)}.squashfs"
    if used(squashfs):
        return squashfs
    tree = copy_tree(cache, root)
    wheel.install(repo, source, tree)
    run(["cp", "--recursive", "--remove-destination", "--preserve=mode", f"{KICKSTART}/image/.", str(tree)], timeout=60)
    install_post(tree, words)
    for path, (mode, text) in recipe.LAB_FILES.items():
        place(tree / path, text, mode)
    enable(tree)
    partial = squashfs.with_suffix(".partial")
    run(
        [str(KICKSTART / "make-squashfs"), str(tree), str(partial), "--compression", "zstd:2"]
        + ["--leave-out", "var/cache/apt", "--leave-out", "var/lib/apt/lists"],
        timeout=600,
    )
    remove(tree)
    partial.rename(squashfs)
    return squashfs


def install_post(tree: Path, words: Mapping[str, str]) -> None:
    """Run the kickstart's own scripts, as a build of the image runs them: in its root, and beside it."""
    words = {**words, "IMAGE_COMMIT": "lab", "IMAGE_KEEP_HOST_KEYS": "1"}
    script = (KICKSTART / "post.sh").read_text()
    run(["chroot", str(tree), "bash", "-s"], timeout=300, stdin=script, env=words)
    run([str(KICKSTART / "post-nochroot.sh")], timeout=300, env={**words, "INSTALL_ROOT": str(tree)})
    listed = (tree / PACKAGES).read_text().splitlines()
    if len(listed) < len(recipe.packages()):
        raise CommandFailed(f"{KICKSTART}/post-nochroot.sh named {len(listed)} packages, which are too few")


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
