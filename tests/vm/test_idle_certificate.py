"""The certificate of a lab machine: signed, checked by us and by stock OpenSSH, and worthless once it was altered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .by_hand import run_wipe
from .command import attempt
from .contract import RUNS, disk_row
from .disks import MIB, make_disk
from .guest import Guest
from .lab import Lab

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

SERIAL = "CERT0101"
PRINCIPAL = "technician@lab.example"
NAMESPACE = "liveagent-certificate"
PEOPLE = {
    "operator": "Ada Example",
    "organisation": "Example Hosting",
    "site": "Hall 3, row 12",
    "order": "ORDER-4711",
    "asset_tag": "ASSET-0815",
}
FOLDER = "/run/lab/certificate"


@dataclass(frozen=True)
class Filed:
    """A run's directory: where the guest has it, and the copy on the host."""

    inside: str
    copy: Path
    result: dict[str, Any]


@pytest.fixture(scope="module")
def filed(lab: Lab, idle_guest: Guest) -> Iterator[Filed]:
    """Wipe a disk with a key that was made in the guest, and fetch what the run left."""
    disk = make_disk(lab.disk_folder(), "scsi", SERIAL, size=16 * MIB)
    idle_guest.plug_disks([disk])
    people = "".join(f"{name} = {value}\n" for name, value in PEOPLE.items())
    idle_guest.put(f"[agent]\ncertificate_key = {FOLDER}/key\n{people}", f"{FOLDER}/agent.conf", mode="600")
    idle_guest.run(
        f"cd {FOLDER} && rm -f key key.pub && ssh-keygen -q -t ed25519 -N '' -C lab -f key && "
        f"echo '{PRINCIPAL} namespaces=\"{NAMESPACE}\"' \"$(cut -d' ' -f1,2 key.pub)\" > signers"
    )
    code, result = run_wipe(idle_guest, "--disks", f"serial:{SERIAL}", before=f"--config {FOLDER}/agent.conf")
    assert code == 0, result["summary"]
    copy = lab.folder("certificate")
    inside = f"{RUNS}/{result['run']}"
    idle_guest.fetch_tree(inside, copy)
    (copy / "signers").write_text(idle_guest.get(f"{FOLDER}/signers"))
    yield Filed(inside, copy, result)
    idle_guest.pull_disks([disk])


def names_of(copy: Path) -> list[str]:
    """The certificates of a run: one a disk, one for the machine."""
    return sorted(path.name for path in copy.glob("certificate*.json"))


def test_run_leaves_its_certificates(filed: Filed) -> None:
    """One a disk and one for the machine, each with a signature beside it, and a page for people."""
    assert names_of(filed.copy) == [f"certificate-{SERIAL}.json", "certificate.json"]
    assert all((filed.copy / f"{name}.sig").is_file() for name in names_of(filed.copy))
    page = (filed.copy / "certificate.html").read_text()
    assert all(word in page for word in (SERIAL, "LABIDLE", *PEOPLE.values()))


def test_certificate_says_what_the_result_says(filed: Filed) -> None:
    """The machine, the people, the disk and the seed of its stream stand in the signed documents themselves."""
    row = disk_row(filed.result, SERIAL)
    for name in names_of(filed.copy):
        text = (filed.copy / name).read_text()
        assert json.loads(text)["status"] == row["status"] == "erased"
        assert all(word in text for word in (SERIAL, "LABIDLE", *PEOPLE.values())), text
        assert "validation pending" in text.lower()
    assert row["seed"] in (filed.copy / f"certificate-{SERIAL}.json").read_text()


def test_liveagent_verifies_it(idle_guest: Guest, filed: Filed) -> None:
    """`liveagent verify` finds every certificate of the run good, against the signers that were named."""
    for name in names_of(filed.copy):
        done = idle_guest.attempt(f"liveagent verify {filed.inside}/{name} --signers {FOLDER}/signers")
        assert done.returncode == 0, done.stdout + done.stderr


def test_stock_openssh_verifies_it(filed: Filed) -> None:
    """Nobody needs us to check a signature: the host's own ssh-keygen does."""
    for name in names_of(filed.copy):
        assert verify_by_openssh(filed.copy, name).returncode == 0, name


def test_one_altered_byte_is_found(idle_guest: Guest, filed: Filed, tmp_path: Path) -> None:
    """A certificate in which one byte was changed is worth nothing, to us or to OpenSSH."""
    for name in names_of(filed.copy):
        text = (filed.copy / name).read_text()
        at = text.index(SERIAL)
        altered = f"{text[:at]}X{text[at + 1 :]}"
        folder = f"{FOLDER}/altered"
        idle_guest.run(f"rm -rf {folder}; cp -r {filed.inside} {folder}")
        idle_guest.put(altered, f"{folder}/{name}")
        done = idle_guest.attempt(f"liveagent verify {folder}/{name} --signers {FOLDER}/signers")
        assert done.returncode == 1, done.stdout + done.stderr
        for beside in (f"{name}.sig", "signers"):
            shutil.copy(filed.copy / beside, tmp_path / beside)
        (tmp_path / name).write_text(altered)
        assert verify_by_openssh(tmp_path, name).returncode != 0


def verify_by_openssh(folder: Path, name: str) -> Any:
    """`ssh-keygen -Y verify` over a certificate and the signature beside it."""
    words = ["-I", PRINCIPAL, "-n", NAMESPACE, "-f", str(folder / "signers"), "-s", str(folder / f"{name}.sig")]
    return attempt(["ssh-keygen", "-Y", "verify", *words], timeout=30, stdin=(folder / name).read_text())
