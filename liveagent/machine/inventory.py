"""The whole of a server, part by part, for a diagnosis: what it is made of, how it is, and what could not be seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from liveagent import __version__
from liveagent.events import JSON, render_time
from liveagent.host import Host
from liveagent.machine.bmc import Bmc, probe_bmc
from liveagent.machine.bonds import Bond, probe_bonds
from liveagent.machine.clock import Clock, probe_clock
from liveagent.machine.controller import RaidController
from liveagent.machine.controllers import probe_raid_controllers
from liveagent.machine.cpu import Cpu, probe_cpu
from liveagent.machine.device import Device
from liveagent.machine.devices import probe_devices
from liveagent.machine.dmi import DMI, Identity, probe_identity
from liveagent.machine.encoding import encode_fields
from liveagent.machine.ethernet import Interface, probe_interfaces
from liveagent.machine.gpu import Gpu
from liveagent.machine.gpus import probe_gpus
from liveagent.machine.hwmon import probe_hwmon
from liveagent.machine.infiniband import RdmaPort, probe_infiniband
from liveagent.machine.kernel_log import KernelLog, probe_kernel_log
from liveagent.machine.live import Live, probe_live
from liveagent.machine.lldp import LISTEN, Neighbour, probe_known_neighbours, probe_neighbours
from liveagent.machine.look import Job, Look, Looked, Missing, Tell, Why, look_side_by_side
from liveagent.machine.md import MdArray, probe_md
from liveagent.machine.memory import Memory, probe_memory
from liveagent.machine.pci import PciDevice, probe_pci
from liveagent.machine.power_supplies import PowerSupply, probe_power_supplies
from liveagent.machine.sensors import Sensor
from liveagent.machine.stack import Layer, probe_layers
from liveagent.machine.system import System, probe_system
from liveagent.machine.usb import UsbDevice, probe_usb

# The form of the document; it counts up when a field changes its meaning or goes.
FORM = 1


@dataclasses.dataclass(frozen=True)
class Inventory:
    """A server at one moment. A part that was not seen is None or empty, and stands in `missing` with the reason.

    `took`: seconds a part. `silent`: parts that did not answer in time; `failed`: parts at which the agent itself
    failed, with what it said.
    """

    taken: str = ""
    identity: Identity | None = None
    system: System | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    clock: Clock | None = None
    kernel_log: KernelLog | None = None
    disks: tuple[Device, ...] = ()
    nics: tuple[Interface, ...] = ()
    bonds: tuple[Bond, ...] = ()
    infiniband: tuple[RdmaPort, ...] = ()
    lldp: tuple[Neighbour, ...] = ()
    pci: tuple[PciDevice, ...] = ()
    usb: tuple[UsbDevice, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    layers: tuple[Layer, ...] = ()
    live: Live | None = None
    md: tuple[MdArray, ...] = ()
    raid: tuple[RaidController, ...] = ()
    bmc: Bmc | None = None
    power_supplies: tuple[PowerSupply, ...] = ()
    sensors: tuple[Sensor, ...] = ()
    missing: tuple[Missing, ...] = ()
    took: Mapping[str, float] = dataclasses.field(default_factory=dict)
    silent: tuple[str, ...] = ()
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_virtual(self) -> bool:
        """Whether it is known to run under a hypervisor, which describes what it was told to."""
        return bool((self.cpu and self.cpu.virtual) or (self.system and self.system.hypervisor))

    def encode(self) -> dict[str, JSON]:
        return {"form": FORM, "agent": __version__, **encode_fields(self)}


def look_at_identity(look: Look) -> Identity:
    """Who this server is; what only root may read is noted, not taken for a serial that nobody set."""
    identity = probe_identity(look.host)
    for name, file in (("serial", "product_serial"), ("uuid", "product_uuid")):
        try:
            look.host.read(f"{DMI}/{file}")
        except PermissionError:
            look.note(f"identity.{name}", Why.NO_RIGHTS, f"only root may read {DMI}/{file}")
        except OSError:
            continue
    return identity


# Each fills the field of its name. Seconds: what a large machine needs, times some.
COLLECTORS: tuple[Job[Any], ...] = (
    Job("identity", look_at_identity, 30.0),
    Job("system", probe_system, 30.0),
    Job("cpu", probe_cpu, 60.0),
    Job("memory", probe_memory, 60.0),
    Job("clock", probe_clock, 30.0),
    Job("kernel_log", probe_kernel_log, 60.0),
    # Two hundred drives that all hang take three minutes.
    Job("disks", probe_devices, 240.0),
    Job("nics", probe_interfaces, 60.0),
    Job("bonds", probe_bonds, 30.0),
    # Each counter is asked of the adapter's firmware.
    Job("infiniband", probe_infiniband, 60.0),
    Job("lldp", probe_known_neighbours, 30.0),
    Job("pci", probe_pci, 60.0),
    Job("usb", probe_usb, 60.0),
    # Two questions to all of NVIDIA's, or one to each where one of them is lost.
    Job("gpus", probe_gpus, 180.0),
    Job("layers", lambda look: probe_layers(look.host), 60.0),
    Job("live", lambda look: probe_live(look.host), 30.0),
    Job("md", probe_md, 30.0),
    Job("raid", probe_raid_controllers, 180.0),
    # A BMC that answers slowly is asked several hundred questions; one that does not answer, a single one.
    Job("bmc", probe_bmc, 180.0),
    Job("power_supplies", probe_power_supplies, 30.0),
    Job("sensors", probe_hwmon, 30.0),
)
# A diagnosis has the half minute that it takes to hear every switch.
LISTENING: tuple[Job[Any], ...] = (
    *(job for job in COLLECTORS if job.name != "lldp"),
    Job("lldp", probe_neighbours, LISTEN + 20),
)


def probe_inventory(host: Host, collectors: tuple[Job[Any], ...] = COLLECTORS, tell: Tell | None = None) -> Inventory:
    """Look at every part, side by side; takes as long as the slowest of them. Raises Cancelled.

    `tell` hears which parts are waited for.
    """
    return make_inventory(render_time(host.now()), look_side_by_side(host, collectors, tell=tell))


def make_inventory(taken: str, looked: Looked[Any]) -> Inventory:
    """An inventory of what was seen; what was not keeps its empty value."""
    missing = tuple(dict.fromkeys(looked.missing))
    return Inventory(
        taken=taken, missing=missing, took=looked.seconds, silent=looked.silent, failed=looked.failed, **looked.values
    )
