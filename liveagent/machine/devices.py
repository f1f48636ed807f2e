"""All drives of a server, looked at side by side: one that hangs costs the others nothing."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from liveagent.host import Host
from liveagent.machine.device import Answer, Device, add_page, drop_doubles, fold_paths, make_device, make_hidden
from liveagent.machine.disks import Survey, Transport, list_disks, probe_survey, probe_surveyed
from liveagent.machine.drive import ASKED
from liveagent.machine.hidden import Target, find_controller, probe_targets
from liveagent.machine.link import probe_link
from liveagent.machine.look import Job, Look, Missing, Why, look_side_by_side
from liveagent.machine.raid import describe_volume, probe_controllers
from liveagent.machine.selftest import SelfTests, parse_nvme_tests, parse_scsi_tests
from liveagent.machine.smart_nvme import NvmeHealth, parse_firmware_slots, parse_limits
from liveagent.machine.smart_scsi import ScsiHealth, parse_non_medium, parse_pending
from liveagent.machine.smartctl import BadPage, Page, describe_status, parse_page
from liveagent.machine.temperatures import Temperatures

# A drive answers in a second or two; one that has to spin up first takes some more.
QUESTION_TIMEOUT = 20.0
DRIVE_LIMIT = 45.0
# The children wait for drives and not for the processor, so there may be more of them than elsewhere.
WORKERS = 32
# They are no drives, and come and go with the image that runs.
LEFT_OUT = (Transport.LOOP, Transport.VIRTUAL)
NO_RIGHTS = ("permission denied", "operation not permitted")


def probe_devices(look: Look, limit: float = DRIVE_LIMIT) -> tuple[Device, ...]:
    """Every drive: what the kernel shows, by name, and then what is behind RAID controllers. Raises Cancelled."""
    survey = probe_survey(look.host)
    names = [name for name in list_disks(look.host) if not name.startswith("loop")]
    targets = probe_targets(look)
    cards = frozenset(probe_controllers(look.host))
    jobs = [
        Job(f"disks.{name}", functools.partial(probe_device, name=name, survey=survey, cards=cards), limit)
        for name in names
    ]
    jobs += [Job(f"disks.{one.name}", functools.partial(probe_hidden, target=one), limit) for one in targets]
    looked = look_side_by_side(look.host, jobs, WORKERS)
    look.missing += looked.missing
    lost = {*looked.silent, *looked.failed}
    shown = [looked.values.get(f"disks.{name}") or (_lose(name) if f"disks.{name}" in lost else None) for name in names]
    hidden = [looked.values.get(f"disks.{one.name}") or (_lose_hidden(one) if one.listed else None) for one in targets]
    devices = fold_paths([device for device in shown if device])
    return drop_doubles(devices, [device for device in hidden if device])


def _lose(name: str) -> Device:
    """A drive that let even its own files below /sys wait."""
    return Device(id=name, name=name, kind="unknown", path=f"/dev/{name}", paths=(name,), answer=Answer.SILENT)


def _lose_hidden(target: Target) -> Device:
    return Device(
        id=f"{target.controller} {target.name}",
        name=target.name,
        kind="unknown",
        path=target.path,
        smartctl=target.words,
        behind=target.controller,
        answer=Answer.SILENT,
    )


def probe_device(look: Look, name: str, survey: Survey, cards: frozenset[str] = frozenset()) -> Device | None:
    """A drive that the kernel shows; None where the name is no drive's. `cards`: addresses of RAID controllers."""
    disk = probe_surveyed(look.host, name, survey)
    if disk is None or disk.transport in LEFT_OUT:
        return None
    controller = disk.nvme_controllers[0] if disk.nvme_controllers else ""
    device = make_device(
        disk,
        volume=describe_volume(disk.vendor, disk.model),
        link=probe_link(look.host, name, controller),
        enclosure=_probe_enclosure(look.host, name),
    )
    part = f"disks.{name}.health"
    if disk.transport not in ASKED:
        look.note(part, Why.ABSENT, f"a disk on {disk.transport.value} is not asked")
        return device
    if device.volume:
        look.note(part, Why.ABSENT, f"{device.volume}; its drives are asked one by one")
        return device
    return ask_device(look, device, controller, is_hidden=find_controller(look.host, f"/sys/block/{name}") in cards)


def ask_device(look: Look, device: Device, controller: str = "", is_hidden: bool = False) -> Device:
    """The same drive with what it says of itself. `controller` is the one of an NVMe namespace.

    `is_hidden`: it is what a RAID controller shows; smartctl refuses to take that for a drive.
    """
    part = f"disks.{device.name}.health"
    answer, page = ask_page(look, part, [device.path])
    if page is None and answer is Answer.REFUSED and is_hidden:
        look.missing[-1] = Missing(part, Why.ABSENT, "a RAID controller shows it; its drives are asked one by one")
        answer = Answer.NOT_ASKED
    if page is None:
        return dataclasses.replace(device, answer=answer)
    device = add_page(device, page)
    if device.answer is Answer.NONE:
        look.note(part, Why.ABSENT, "the drive tells nothing of its health")
    _note_wear(look, device)
    if controller:
        return _ask_nvme(look, device, controller)
    return _ask_scsi(look, device) if page.protocol == "SCSI" and device.health else device


def ask_page(look: Look, part: str, words: Sequence[str]) -> tuple[Answer, Page | None]:
    """All that smartctl reads of a drive; `words` are its path, and its kind where it is behind a controller."""
    argv = ["smartctl", "--json=c", "--xall", *words]
    said = look.ask(part, argv, timeout=QUESTION_TIMEOUT, success=None)
    if said is None:
        was_silent = any(note.part == part and note.why is Why.NO_ANSWER for note in look.missing)
        return (Answer.SILENT if was_silent else Answer.NOT_ASKED), None
    try:
        page = parse_page(said.stdout)
    except BadPage as error:
        look.note(part, Why.NOT_UNDERSTOOD, f"smartctl printed {error}")
        return Answer.GARBLED, None
    if not page.was_asked:
        words_of_it = "; ".join(page.messages or describe_status(page.status or 0))
        is_barred = any(phrase in words_of_it.lower() for phrase in NO_RIGHTS)
        look.note(part, Why.NO_RIGHTS if is_barred else Why.NOT_UNDERSTOOD, words_of_it)
        return (Answer.NOT_ASKED if is_barred else Answer.REFUSED), None
    return Answer.GIVEN, page


def probe_hidden(look: Look, target: Target) -> Device | None:
    """A drive behind a controller; None where nothing is at a place that was only tried."""
    part = f"disks.{target.name}.health"
    answer, page = ask_page(look, part, target.words)
    if page is None:
        if target.listed or answer is Answer.SILENT:
            return dataclasses.replace(_lose_hidden(target), answer=answer)
        look.missing.clear()  # an empty place is nothing that was not measured
        return None
    device = add_page(make_hidden(target, page), page)
    _note_wear(look, device)
    return device


def _note_wear(look: Look, device: Device) -> None:
    """Makers of SATA drives count it each in their own attribute: of most it cannot be read, and nobody looked."""
    if device.kind == "ssd" and device.health and device.health.percentage_used is None:
        part = f"disks.{device.name}.health.percentage_used"
        look.note(part, Why.NOT_UNDERSTOOD, "the drive tells its wear in no attribute or page that is known")


def _ask_nvme(look: Look, device: Device, controller: str) -> Device:
    """What the controller of a namespace says: its limits, its firmware, its self-tests."""
    part, path = f"disks.{device.name}.nvme", f"/dev/{controller}"
    limits = parse_limits(look.text(part, ["nvme", "id-ctrl", path, "--output-format=json"]))
    if limits is None:
        return device
    slots = parse_firmware_slots(look.text(part, ["nvme", "fw-log", path, "--output-format=json"]))
    tests = SelfTests(offered=limits.self_test)
    if limits.self_test:
        said = parse_nvme_tests(look.text(part, ["nvme", "self-test-log", path, "--output-format=json"]))
        tests = dataclasses.replace(said or tests, offered=True, long=limits.long_test)
    warm = device.temperatures or Temperatures()
    return dataclasses.replace(
        device,
        temperatures=dataclasses.replace(
            warm, warning=warm.warning or limits.warning, critical=warm.critical or limits.critical
        ),
        nvme=dataclasses.replace(device.nvme or NvmeHealth(), firmware_slots=slots),
        self_tests=tests,
    )


def _ask_scsi(look: Look, device: Device) -> Device:
    """What no smartctl prints as JSON, and what older ones do not."""
    part = f"disks.{device.name}.scsi"
    non_medium = parse_non_medium(look.text(part, ["sg_logs", "--page=0x6", device.path], success=None))
    tests = device.self_tests
    if tests is None:
        tests = parse_scsi_tests(look.text(part, ["sg_logs", "--page=0x10", device.path], success=None))
    scsi = device.scsi or ScsiHealth()
    pending = scsi.pending
    if pending is None:
        pending = parse_pending(look.text(part, ["sg_logs", "--page=0x15,0x1", device.path], success=None))
    scsi = dataclasses.replace(scsi, non_medium=non_medium, pending=pending)
    return dataclasses.replace(device, scsi=scsi, self_tests=tests)


def _probe_enclosure(host: Host, name: str) -> str:
    """The logical id of the enclosure that a disk sits in (SES), or else its address; "" where it is in none."""
    device = host.resolve(f"/sys/block/{name}/device")
    for entry in host.list(device):
        if entry.startswith("enclosure_device:"):
            enclosure = host.resolve(f"{device}/{entry}").rpartition("/")[0]
            return host.read_or(f"{enclosure}/id") or enclosure.rpartition("/")[2]
    return ""
