"""`SPEEDISO=hwdiag` on a server that is built as ordered, and on one that is not: those findings, and no others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from liveagent.machine.inventory import probe_inventory
from liveagent.machine.schema import make_schema
from liveagent.recording import Replay
from liveagent.report.banner import render_banner
from tests.machine import ipmi_simulator as sim

from .contract import FINISHED, result_of, task_of
from .disks import Disk, make_disk
from .guest import Guest, Hardware
from .lab import Lab
from .smbios import Dimm, write_dimms

pytestmark = [pytest.mark.vm_long, pytest.mark.timeout(1200)]

MIB = 1024 * 1024
SERIAL = "LABDIAG"
MODULE = 768  # MiB
SLOTS = ("DIMM_A1", "DIMM_B1", "DIMM_C1", "DIMM_D1")
FAN = sim.Analog(2, "FAN1", (29, 1), sim.FAN, sim.RPM, 56, {"lnr": 3, "lcr": 5}, 100)
BOOT_TIMEOUT = 400.0
# One of four modules taken, the third disk half as large, the second card out, hot at the inlet, and a logged fault.
WRONG = {
    ("bmc.sel.critical", "Memory UnCorrectable ECC | DIMM2, DIMM5; CPU 2 DIMM 1"),
    ("sensor.critical", "Inlet Temp"),
    ("expect.missing", "memory.dimms"),
    ("expect.differs", "nvme2n1 DIAG0002"),
    ("expect.missing", "nics"),
}


# What a guest cannot show, and says so.
NOT_MEASURED = {
    *("bonds", "bmc.power", "clock.offset", "disks.sda.health", "gpus", "infiniband", "lldp.enp0s3", "memory.ecc"),
    *("pci.aer", "power_supplies"),
}


def make_inlet(celsius: int) -> sim.Analog:
    limits = {"unc": 42, "ucr": 47, "unr": 52}
    return sim.Analog(1, "Inlet Temp", (64, 1), sim.TEMPERATURE, sim.CELSIUS, celsius, limits)


def make_fru(serial: str) -> dict[int, tuple[str, tuple[int, int], bytes]]:
    product = ("Lab", "Boot Lab", "BL-1", "1", serial)
    return {0: ("", (7, 1), sim.make_fru(product=product))}


@contextmanager
def build(
    lab: Lab, place: Path, words: str, *, modules: int, sizes: tuple[int, ...], nics: int, inlet: int, log_fault: bool
) -> Iterator[Guest]:
    """A server of these parts, booted with these words."""
    disks: list[Disk] = [
        make_disk(lab.disk_folder(), "nvme", f"DIAG000{number}", size=size * MIB) for number, size in enumerate(sizes)
    ]
    disks += [make_disk(lab.disk_folder(), kind, f"DIAG-{kind}") for kind in ("sata", "scsi")]
    dimms = tuple(
        Dimm(slot, MODULE if number < modules else 0, serial=f"8CE{number:05d}") for number, slot in enumerate(SLOTS)
    )
    cards = [f"e1000e,mac=52:54:00:d1:a9:{number:02x}" for number in range(1, nics)]
    place.mkdir(parents=True, exist_ok=True)
    users = ()
    with sim.run_simulator(place, (make_inlet(inlet), FAN), make_fru(SERIAL), users, inside=lab.network.command) as bmc:
        bmc.set_clock(time.time())
        if log_fault:
            bmc.log(sim.MEMORY, 0, sim.SPECIFIC, (0xA1, 0xFF, 0x12))
        more = [
            *write_dimms(place, dimms),
            *split_nodes(MODULE * modules),
            *bmc.qemu,
            *(word for card in cards for word in ("-device", card)),
        ]
        hardware = Hardware(serial=SERIAL, disks=tuple(disks), memory=MODULE * modules, more=tuple(more))
        with lab.boot(place.name, words, hardware) as guest:
            yield guest


def split_nodes(memory: int) -> tuple[str, ...]:
    """Two NUMA nodes with a processor and half of the memory (MiB) each."""
    nodes: list[str] = []
    for number in (0, 1):
        nodes += ["-object", f"memory-backend-ram,id=node{number},size={memory // 2}M"]
        nodes += ["-numa", f"node,nodeid={number},cpus={number},memdev=node{number}"]
    return tuple(nodes)


def read_ipmi_sensors(guest: Guest) -> dict[str, float]:
    """What a second tool reads of the BMC."""
    rows = (line.split("|") for line in guest.run("ipmitool sensor").splitlines())
    return {row[0].strip(): float(row[1]) for row in rows if row[1].strip().replace(".", "").isdigit()}


def check_against_second_tools(guest: Guest, inventory: dict[str, Any]) -> None:
    """Facts by the tools that the agent does not ask for them."""
    assert inventory["cpu"]["threads"] == int(guest.run("nproc"))
    blocks = json.loads(guest.run("lsblk --json --bytes --nodeps --output NAME,SIZE,SERIAL"))["blockdevices"]
    sizes = {row["serial"]: row["size"] for row in blocks if row["serial"]}
    assert {disk["serial"]: disk["size"] for disk in inventory["disks"] if disk["serial"] in sizes} == sizes
    nodes = guest.run("lscpu --parse=NODE,CPU | grep -v '^#'").split()
    assert [f"{node['id']},{node['cpus']}" for node in inventory["cpu"]["nodes"]] == sorted(nodes)
    assert len(inventory["pci"]) == len(guest.run("lspci -D").splitlines())
    total = int(guest.run("free --bytes").splitlines()[1].split()[1])
    assert inventory["memory"]["usable"] == total
    macs = {nic["mac"] for nic in inventory["nics"]}
    assert macs == set(guest.run("cat /sys/class/net/e*/address").split())
    temperatures = {one["name"]: one["value"] for one in inventory["bmc"]["sensors"]}
    assert read_ipmi_sensors(guest).items() <= temperatures.items()


def check_recording(guest: Guest, inventory: dict[str, Any]) -> None:
    """A recording of the server, played back elsewhere, is the same server."""
    guest.run("liveagent record /run/recorded", timeout=400)
    place = guest.folder / "recorded"
    guest.fetch_tree("/run/recorded", place)
    played = json.loads(json.dumps(probe_inventory(Replay(place)).encode()))
    for part in ("identity", "memory", "pci", "usb", "md", "raid", "power_supplies"):
        assert played[part] == inventory[part], part
    for part in ("cpu", "disks", "nics", "bmc"):
        assert bool(played[part]) and list_ids(played[part]) == list_ids(inventory[part]), part


def list_ids(part: Any) -> list[str]:
    """The ids of all that a part of an inventory has; what it measured moves on."""
    if isinstance(part, dict):
        own = [str(part["id"])] if "id" in part else []
        return own + [found for value in part.values() for found in list_ids(value)]
    return [found for value in part for found in list_ids(value)] if isinstance(part, list) else []


def test_as_ordered_and_not(lab: Lab, tmp_path: Path) -> None:
    """The first boot makes the expectation of a good server; the second lacks a module, a card, half a disk."""
    as_ordered = {"modules": 4, "sizes": (64, 64, 128), "nics": 2, "inlet": 24, "log_fault": False}
    with build(lab, tmp_path / "hwdiag-good", "", **as_ordered) as guest:  # type: ignore[arg-type]
        guest.wait_ssh()
        inventory = json.loads(guest.run("liveagent inventory --json", timeout=240))
        jsonschema.validate(inventory, make_schema())
        assert not inventory["failed"] and not inventory["silent"]
        check_against_second_tools(guest, inventory)
        expectation = guest.run("liveagent inventory --as-expectation", timeout=240)
        guest.put(expectation, "/run/expectation.yaml")
        done = guest.attempt("liveagent run hwdiag --expect /run/expectation.yaml --json", timeout=400)
        result = json.loads(done.stdout)
        (guest.folder / "result.json").write_text(json.dumps(result, indent=2))
        (guest.folder / "page.txt").write_text(guest.run("liveagent report"))
        found = [one for one in task_of(result, "hwdiag")["findings"] if one["verdict"] != "pass"]
        assert found == [], found
        lab.note(f"hwdiag took {inventory['took']}")
        check_recording(guest, inventory)
        guest.cut_power()
    receiver = lab.receiver("hwdiag")
    receiver.documents["/expectation.yaml"] = expectation.encode()
    words = (
        f"systemd.setenv=SPEEDISO=hwdiag liveagent.callback={receiver.url}"
        f" liveagent.hwdiag.expect={receiver.document_url('/expectation.yaml')}"
    )
    not_so = {"modules": 3, "sizes": (64, 64, 64), "nics": 1, "inlet": 49, "log_fault": True}
    with build(lab, tmp_path / "hwdiag-bad", words, **not_so) as guest:  # type: ignore[arg-type]
        events = receiver.wait_for(FINISHED, BOOT_TIMEOUT)
        guest.wait_ssh()
        screen, page = guest.screen(), guest.attempt("liveagent report").stdout
        (guest.folder / "screen.txt").write_text(screen)
        (guest.folder / "page.txt").write_text(page)
        task = task_of(result_of(events), "hwdiag")
        (guest.folder / "task.json").write_text(json.dumps(task, indent=2))
    assert task["verdict"] == "fail"
    found = {(one["code"], one["part"]) for one in task["findings"] if one["verdict"] != "pass"}
    assert found == WRONG
    jsonschema.validate(task["data"]["inventory"], make_schema())
    assert {text.partition(":")[0] for text in task["data"]["not_measured"]} == NOT_MEASURED
    # The page for the rack, and the console that somebody stands before: whose it is, how it ended, what is wrong.
    for text in (page, screen):
        assert SERIAL in text and "Lab Boot Lab" in text
        assert all(f"FAIL: {part.split(' |')[0]}" in text for _, part in WRONG)
    assert all(f"[{code}]" in page for code, _ in WRONG) and all(
        f"not measured: {part}" in page for part in NOT_MEASURED
    )
    assert all(line.strip() in screen for line in render_banner("fail"))
