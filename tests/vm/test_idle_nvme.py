"""One NVMe controller with two namespaces: each is erased by a Format of its own, and neither takes the other along."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from .by_hand import run_wipe
from .contract import disk_rows
from .disks import Disk, count_traces, file_hash, refill
from .guest import Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

SERIAL = "TWIN0101"


@dataclass(frozen=True)
class Namespaces:
    """Both namespaces by their paths in the guest, and every other disk of the machine as `except` has them."""

    disks: dict[str, Disk]
    others: tuple[str, ...]

    def path(self, number: int) -> str:
        """The path of the namespace of this id."""
        (found,) = (path for path, disk in self.disks.items() if disk.namespace == number)
        return found


@pytest.fixture
def namespaces(idle_guest: Guest, idle_disks: dict[str, Disk]) -> Namespaces:
    """Both namespaces, full of their patterns again."""
    # By the id that the kernel was told, not by the number in a name, which is only the order in which they came.
    shown = json.loads(idle_guest.run("lsblk --nodeps --json --bytes --output PATH,SERIAL,TYPE,SIZE"))["blockdevices"]
    # Without a size it is a device of nbd that nobody uses.
    paths = {row["path"]: row["serial"] for row in shown if row["type"] == "disk" and int(row["size"])}
    disks = {}
    for path in (path for path, serial in paths.items() if serial == SERIAL):
        number = int(idle_guest.get(f"/sys/block/{path.rpartition('/')[2]}/nsid"))
        disks[path] = idle_disks[f"{SERIAL}-n{number}"]
    for disk in disks.values():
        refill(disk)
    assert len(disks) == 2, shown
    return Namespaces(disks, tuple(path for path in paths if path not in disks))


def test_both_namespaces_are_formatted_in_one_run(idle_guest: Guest, namespaces: Namespaces) -> None:
    """`all` reaches every namespace of a controller, each by a Format that names it, and no trace is left of either."""
    code, result = run_wipe(idle_guest, "--disks", "all", "--except", ",".join(namespaces.others))
    assert code == 0, result["summary"]
    rows = {row["path"]: row for row in disk_rows(result) if row["serial"] == SERIAL}
    assert set(rows) == set(namespaces.disks)
    for path, disk in namespaces.disks.items():
        assert (rows[path]["verdict"], rows[path]["status"]) == ("pass", "erased"), rows[path]
        assert rows[path]["technique"].startswith("nvme-format"), rows[path]
        assert count_traces(disk) == 0, path


def test_excepted_namespace_lives(idle_guest: Guest, namespaces: Namespaces) -> None:
    """A namespace that somebody excepted survives the erasure of its neighbour on the same drive, to the last byte."""
    kept, erased = namespaces.path(2), namespaces.path(1)
    before = file_hash(namespaces.disks[kept].path)
    code, result = run_wipe(idle_guest, "--disks", "all", "--except", ",".join((*namespaces.others, kept)))
    assert code == 0, result["summary"]
    rows = {row["path"]: row for row in disk_rows(result)}
    assert rows[kept]["verdict"] == "skipped"
    assert rows[erased]["status"] == "erased", rows[erased]
    assert count_traces(namespaces.disks[erased]) == 0
    assert file_hash(namespaces.disks[kept].path) == before


def test_serial_of_two_namespaces_means_neither(idle_guest: Guest, namespaces: Namespaces) -> None:
    """One serial that is two disks is a question, not an answer: nothing is written."""
    before = {path: file_hash(disk.path) for path, disk in namespaces.disks.items()}
    code, result = run_wipe(idle_guest, "--disks", f"serial:{SERIAL}")
    assert (code, result["verdict"]) == (4, "refused"), result["summary"]
    assert {path: file_hash(disk.path) for path, disk in namespaces.disks.items()} == before
