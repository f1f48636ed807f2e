"""The initramfs is made in the image's own tree: for the kernel that is meant, with all that was asked for, or not.

The tree's dracut is a script here; the boot lab makes its initramfs by the same command with a real one.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kickstart.trees import EPOCH, KERNEL, attempt, fail, make_tree, need_root
from tests.vm.names import KICKSTART

NEWER = "5.14.0-570.el9.x86_64"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    need_root()
    return make_tree(tmp_path / "tree")


def build(tree: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """By default with a list of one driver, into `out` beside the tree."""
    drivers = tree.with_name("drivers")
    if not drivers.exists():
        drivers.write_text("# network\ne1000e # a comment\n\nmpt3sas\nahci\n")
    return attempt(
        "build-initramfs", tree, "--build", "42", "--out", tree.with_name("out"), "--drivers", drivers, *words
    )


def files(tree: Path) -> list[str]:
    """What lies in `out`, hidden files as well."""
    out = tree.with_name("out")
    return sorted(path.name for path in out.iterdir()) if out.exists() else []


# -- what comes out -----------------------------------------------------------------------------------


def test_names_and_kernel(tree: Path) -> None:
    """Both files, named and numbered, readable for a web server; the kernel is that of the tree."""
    done = build(tree)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tree) == [f"initrd-{KERNEL}-42.img", f"vmlinuz-{KERNEL}"]
    out = tree.with_name("out")
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in out.iterdir())
    assert (out / f"vmlinuz-{KERNEL}").read_text() == f"kernel {KERNEL}\n"


def test_what_dracut_is_asked_for(tree: Path) -> None:
    """No host's own, the same for the same input, all modules, drivers that can be loaded, pci.ids, this kernel."""
    assert build(tree).returncode == 0
    words = (tree.with_name("out") / f"initrd-{KERNEL}-42.img").read_text().splitlines()
    assert {"--no-hostonly", "--reproducible", f"epoch {EPOCH}"} <= set(words) and words[-2] == KERNEL
    asked = dict(zip(words, words[1:]))
    wanted = {"livenet", "dmsquash-live", "bash", "network", "rescue", "kernel-modules", "ssh-client", "base"}
    assert set(asked["--add"].split()) == {*wanted, "liveagent-image"}
    assert {"mdraid", "lvm", "multipath"} <= set(asked["--omit"].split())
    assert asked["--add-drivers"] == "e1000e mpt3sas" and asked["--install"] == "/usr/share/hwdata/pci.ids"


def test_only_drivers(tree: Path) -> None:
    """The list can also be all that there is of drivers for disks."""
    assert build(tree, "--only-drivers").returncode == 0
    words = (tree.with_name("out") / f"initrd-{KERNEL}-42.img").read_text().splitlines()
    assert "--drivers" in words and "--add-drivers" not in words


def test_kernel_that_is_named(tmp_path: Path) -> None:
    """Of several kernels the named one; one that is not there, or none named, ends it with those that are there."""
    need_root()
    tree = make_tree(tmp_path / "tree", KERNEL, NEWER)
    fail(build(tree), f"--kernel has to name one of the tree's kernels; there is {KERNEL}, {NEWER}")
    fail(build(tree, "--kernel", "6.1.0"), f"kernel 6.1.0 is not in the tree; there is {KERNEL}, {NEWER}")
    assert files(tree) == []
    assert build(tree, "--kernel", NEWER).returncode == 0
    assert files(tree) == [f"initrd-{NEWER}-42.img", f"vmlinuz-{NEWER}"]


def test_kernel_without_a_file(tree: Path) -> None:
    """Modules that no kernel belongs to, or a link that leads to another machine's, are no kernel."""
    kernel = tree / f"usr/lib/modules/{KERNEL}/vmlinuz"
    kernel.unlink()
    kernel.symlink_to("/bin/sh")
    fail(build(tree), "there is none with its modules")


def test_driver_that_the_kernel_lacks(tree: Path) -> None:
    """EL drops old ones: that is said, and is no fault. A line that is no name is one."""
    tree.with_name("drivers").write_text("hpsa\nE1000E\ne1000e\nmpt3sas\n")
    done = build(tree)
    assert done.returncode == 0 and f"kernel {KERNEL} does not have hpsa, E1000E" in done.stderr
    tree.with_name("drivers").write_text("e1000e mpt3sas\n")
    fail(build(tree, "--out", tree.with_name("other")), "a line that is no module's name: 'e1000e mpt3sas'")


def test_list_of_drivers() -> None:
    """The list that a build takes: names only, each once, those that a server needs for its image among them."""
    lines = (KICKSTART / "drivers.list").read_text().splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    assert len(names) == len(set(names)) and all(name.replace("_", "").replace("-", "").isalnum() for name in names)
    assert {"igb", "ixgbe", "i40e", "ice", "tg3", "bnxt_en", "mlx5_core", "megaraid_sas", "mpt3sas"} <= set(names)


# -- what does not come out ----------------------------------------------------------------------------


def test_tree_without_the_check(tree: Path) -> None:
    """Without liveagent-dracut nothing would be checked at the boot: its package is named, before dracut runs."""
    (tree / "usr/lib/dracut/modules.d/91liveagent-image").rename(tree / "elsewhere")
    fail(build(tree), "has no dracut module liveagent-image: install liveagent-dracut")
    assert files(tree) == []
    # A module that is not in the tree can lie over it.
    assert build(tree, "--module-dir", KICKSTART / "dracut").returncode == 0
    assert files(tree) == [f"initrd-{KERNEL}-42.img", f"vmlinuz-{KERNEL}"]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("ssh-client", "lacks the dracut module ssh-client"),
        ("usr/sbin/dmsquash-live-root.unchecked", "lacks the check of the image"),
        ("usr/lib/modules/1/kernel/drivers/x/mpt3sas", "lacks the driver mpt3sas"),
        ("usr/share/hwdata/pci.ids", "lacks usr/share/hwdata/pci.ids"),
    ],
)
def test_exit_status_is_not_believed(tree: Path, what: str, says: str) -> None:
    """dracut ends well without what it could not install: the initramfs itself is looked at."""
    (tree / "etc/lacks").write_text(f"{what}\n")
    fail(build(tree), says)
    assert files(tree) == []


def test_no_authority(tree: Path) -> None:
    """An initramfs that can check no HTTPS server's certificate is one, and somebody should know."""
    (tree / "etc/lacks").write_text("etc/ssl/certs/ca-certificates.crt\n")
    done = build(tree)
    assert done.returncode == 0 and "fetches no image over HTTPS" in done.stderr


def test_dracut_fails(tree: Path) -> None:
    """Its own words are shown, and nothing is left."""
    (tree / "etc/dracut-fails").write_text("module 'network' cannot be installed")
    fail(build(tree), "dracut ended with 1")
    assert "dracut: module 'network' cannot be installed" in build(tree).stderr and files(tree) == []


def test_disk_that_is_full(tree: Path, small_disk: Path) -> None:
    """Nothing stays on a disk that has no room for both files."""
    (tree / f"usr/lib/modules/{KERNEL}/vmlinuz").write_bytes(b"x" * (4 << 20))
    fail(build(tree, "--out", small_disk), "No space left on device")
    assert list(small_disk.iterdir()) == []


def test_nothing_is_written_over(tree: Path) -> None:
    """A number has one initramfs."""
    assert build(tree).returncode == 0
    fail(build(tree), "is there already")


@pytest.mark.parametrize("words", [("--build", "0"), ("--build", "4x"), ("--module-dir", "/nonexistent")], ids=" ".join)
def test_bad_words(tree: Path, words: tuple[str, ...]) -> None:
    """What cannot be meant is said before anything runs."""
    done = build(tree, *words)
    assert done.returncode == 2 and words[1] in done.stderr and files(tree) == []


# -- the room that dracut runs in ---------------------------------------------------------------------------


def inside(tree: Path, script: str) -> subprocess.CompletedProcess[str]:
    work = tree.with_name("work")
    work.mkdir(exist_ok=True)
    return attempt("in-tree", tree, work, "sh", "-c", script)


def test_tree_stays_as_it_is(tree: Path) -> None:
    """Only what is written to /var/tmp stays, and it stays outside."""
    before = sorted(str(path) for path in tree.rglob("*"))
    for place in ("", "etc", "usr", "var"):
        assert inside(tree, f"echo x > /{place}/new").returncode != 0
    assert inside(tree, "echo x > /tmp/new && echo kept > /var/tmp/new").returncode == 0
    assert tree.with_name("work").joinpath("new").read_text() == "kept\n"
    assert sorted(str(path) for path in tree.rglob("*")) == before
    assert str(tree) not in Path("/proc/self/mounts").read_text()


def test_machine_is_not_seen(tree: Path, tmp_path: Path) -> None:
    """No disk, no device of the machine, no network, no process and no file of it; and /proc takes no setting."""
    assert inside(tree, "echo /dev/*").stdout.split() == sorted(
        f"/dev/{name}" for name in ("fd", "full", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero")
    )
    assert inside(tree, "ls /sys").stdout == ""
    assert [line.split(":")[0].strip() for line in inside(tree, "tail -n +3 /proc/net/dev").stdout.splitlines()] == [
        "lo"
    ]
    assert inside(tree, "echo $$").stdout == "1\n"
    assert inside(tree, f"ls -d {tmp_path}").returncode != 0
    assert inside(tree, "echo 1 > /proc/sys/vm/drop_caches").returncode != 0
