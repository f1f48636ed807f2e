"""The RAID controllers of a server, each by the tool of its maker."""

from __future__ import annotations

from liveagent.machine.arcconf import probe_arcconf
from liveagent.machine.controller import RaidController
from liveagent.machine.look import Look, Why
from liveagent.machine.raid import probe_controllers
from liveagent.machine.ssacli import probe_ssacli
from liveagent.machine.storcli import probe_storcli


def probe_raid_controllers(look: Look) -> tuple[RaidController, ...]:
    """Every RAID controller, as far as its maker's tool is installed; () where there is none."""
    drivers = probe_controllers(look.host)
    if not drivers:
        return ()
    names = set(drivers.values())
    found: list[RaidController] = []
    if names & {"megaraid_sas", "mpi3mr", "megaraid"}:
        found += probe_storcli(look)
    if names & {"hpsa", "cciss", "smartpqi"}:
        found += probe_ssacli(look)
    if names & {"aacraid", "smartpqi"}:
        found += probe_arcconf(look)
    # The tools have many names, and are seldom installed under more than one: what is said of the card itself counts.
    look.missing[:] = [note for note in look.missing if note.part != "raid" or note.why is not Why.NO_TOOL]
    # A card that two makers' tools know has one serial.
    found = list({one.serial or one.address or str(number): one for number, one in enumerate(found)}.values())
    told = {controller.address for controller in found}
    # Older releases of arcconf tell no address: where it speaks, its drivers' controllers count as told.
    speaks = {"aacraid", "smartpqi"} if "" in told else set()
    for address, driver in drivers.items():
        if address not in told and driver not in speaks:
            detail = f"{driver or 'no driver'}: no tool of its maker's lists it"
            look.note(f"raid.{address}", Why.NO_TOOL if driver else Why.NO_DRIVER, detail)
    return tuple(found)
