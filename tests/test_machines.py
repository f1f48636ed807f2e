"""Recorded machines, played back: what the agent makes of a whole server without standing before it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from liveagent.boot import make_request, read_sources
from liveagent.events import Verdict
from liveagent.host import NotRecorded
from liveagent.machine import probe_machine
from liveagent.machine.disks import Transport
from liveagent.machine.form import make_form
from liveagent.machine.inventory import Inventory, probe_inventory
from liveagent.machine.schema import make_schema
from liveagent.plan import make_plan
from liveagent.recording import Replay
from liveagent.tasks import Registry
from liveagent.tasks.hwdiag.difference import Match, compare
from liveagent.tasks.hwdiag.expectation import parse_expectation
from liveagent.tasks.hwdiag.ordered import render_expectation
from liveagent.tasks.hwdiag.policy import Policy
from liveagent.tasks.hwdiag.work import judge
from liveagent.tasks.wipe import TASK
from liveagent.tasks.wipe.options import WipeOptions

MACHINES = Path(__file__).parent / "machines"


@pytest.fixture
def lab() -> Replay:
    return Replay(MACHINES / "lab-pxe")


def test_identity_and_live_image(lab: Replay) -> None:
    """A live image that came over HTTP is known as one, and none of the disks is its medium."""
    machine = probe_machine(lab)
    assert machine.identity.serial == "LABIDLE"
    assert machine.identity.boot_mac == "52:54:00:77:00:0a"
    assert machine.live.is_live and machine.live.disks == () and machine.live.image == "speedtest 7 (lab)"
    assert [address for nic in machine.nics for address in nic.addresses] == ["10.77.0.10"]


def test_disks(lab: Replay) -> None:
    """Every disk by its transport and serial; the image's own loop device is seen as mounted; no layer stands there."""
    machine = probe_machine(lab)
    assert machine.layers == () and machine.encode()["layers"] == []
    disks = {disk.name: disk for disk in machine.disks}
    assert [(disk.serial, disk.transport, disk.nvme_namespace) for disk in disks.values() if disk.serial] == [
        ("NVME0101", Transport.NVME, 1),
        ("TWIN0101", Transport.NVME, 1),
        ("TWIN0101", Transport.NVME, 2),
        ("SCSI0101", Transport.SCSI, None),
        ("PULL0101", Transport.SCSI, None),
        ("SATA0101", Transport.SATA, None),
        ("USB0101", Transport.USB, None),
    ]
    assert [use.by for use in disks["loop0"].uses] == ["/run/rootfsbase"]


def test_what_a_wipe_would_do(lab: Replay) -> None:
    """A dry run on the recorded server: each drive by its own words, both namespaces of one, the USB disk left out."""
    preview = TASK.preview(lab, probe_machine(lab), WipeOptions())
    rows = {row["path"]: row for row in preview.data["wipe"]}
    formatted = ["/dev/nvme0n1", "/dev/nvme1n1", "/dev/nvme1n2"]
    assert [path for path in rows if rows[path]["technique"] == "nvme-format-user"] == formatted
    assert {rows[path]["method"] for path in formatted} == {"purge"}
    others = [path for path in rows if path not in formatted]
    assert {(rows[path]["technique"], rows[path]["method"]) for path in others} == {("overwrite", "clear")}
    assert len(others) == 3 and "Security Erase" in rows["/dev/sdc"]["why"]
    assert not preview.data["refused"]
    assert [row["serial"] for row in preview.data["skipped"]] == ["USB0101"]
    assert preview.verdict is Verdict.PASS


def test_purge_alone_refuses_what_has_none(lab: Replay) -> None:
    """`method=purge` on the recorded server: what cannot be purged is refused, with the drive's own reason."""
    preview = TASK.preview(lab, probe_machine(lab), WipeOptions(method="purge"))
    assert {row["serial"] for row in preview.data["wipe"]} == {"NVME0101", "TWIN0101"}
    assert {row["reasons"][0]["code"] for row in preview.data["refused"]} == {"wipe.method.no_purge"}
    assert preview.verdict is Verdict.REFUSED


def test_what_it_was_booted_for(lab: Replay) -> None:
    """No word on its command line: idle, with no fault."""
    request = make_request({}, *read_sources(lab, ""))
    assert make_plan(request, Registry(lab)).is_idle


def test_nobody_is_asked_what_was_not_recorded(lab: Replay) -> None:
    """A reply that nobody recorded is an error, and no device is ever opened."""
    with pytest.raises(NotRecorded):
        lab.run(["smartctl", "-j", "-x", "/dev/sda"], timeout=5)
    with pytest.raises(NotRecorded):
        lab.open("/dev/sda", 0)


# -- a diagnosis ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Inventory:
    return probe_inventory(Replay(MACHINES / "lab-diag"))


def test_a_diagnosis_of_a_recorded_server(server: Inventory) -> None:
    """Every part is there, none fails or is silent, and a sound server has nothing but remarks."""
    assert not server.failed and not server.silent
    assert [(dimm.slot, dimm.size, dimm.serial) for dimm in server.memory.dimms] == [  # type: ignore[union-attr]
        (f"DIMM_{channel}1", 768 << 20, f"8CE0000{number}") for number, channel in enumerate("ABCD")
    ]
    assert [(node.id, node.cpus) for node in server.cpu.nodes] == [("0", "0"), ("1", "1")]  # type: ignore[union-attr]
    assert [(disk.serial, disk.kind) for disk in server.disks] == [
        *((f"DIAG000{number}", "nvme") for number in range(3)),
        ("DIAG-sata", "hdd"),
        ("DIAG-scsi", "hdd"),
    ]
    assert [(sensor.name, sensor.value) for sensor in server.bmc.sensors] == [("Inlet Temp", 24), ("FAN1", 5600)]  # type: ignore[union-attr]
    found = judge(server, Policy())
    assert {finding.verdict for finding in found} == {Verdict.PASS}
    document = json.loads(json.dumps(server.encode()))
    jsonschema.validate(document, make_schema())


def test_what_a_recorded_server_has_more_than_it_should(server: Inventory) -> None:
    """Taken for a good one it holds to what is expected of it; with a module less it does not, and that alone."""
    document = json.loads(json.dumps(server.encode()))
    expected = parse_expectation(yaml.safe_load(render_expectation(document)), make_form(make_schema()))
    assert {one.match for one in compare(expected, document)} == {Match.HELD}
    document["memory"]["dimms"].pop()
    wrong = [one for one in compare(expected, document) if one.match is not Match.HELD]
    assert [(one.match, one.path) for one in wrong] == [(Match.MISSING, "memory.dimms")]
