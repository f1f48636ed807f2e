"""What this server is: identity, disks, network interfaces, and whether it runs a live image."""

from __future__ import annotations

import dataclasses

from liveagent.events import JSON
from liveagent.host import Host
from liveagent.machine.disks import Disk, probe_disks
from liveagent.machine.dmi import Identity, probe_identity
from liveagent.machine.live import Live, probe_live
from liveagent.machine.nics import Nic, probe_nics
from liveagent.machine.stack import Layer, probe_layers


@dataclasses.dataclass(frozen=True)
class Machine:
    """A server at one moment: what it is, what its disks are used for, and what stands on them."""

    identity: Identity
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    live: Live
    layers: tuple[Layer, ...] = ()

    def encode(self) -> dict[str, JSON]:
        return {
            "identity": self.identity.encode(),
            "disks": [disk.encode() for disk in self.disks],
            "nics": [nic.encode() for nic in self.nics],
            "live": self.live.encode(),
            "layers": [layer.encode() for layer in self.layers],
        }


def probe_machine(host: Host) -> Machine:
    """Look at the whole server. Takes as long as its slowest disk, at most some tens of seconds each."""
    return Machine(
        identity=probe_identity(host),
        disks=probe_disks(host),
        nics=probe_nics(host),
        live=probe_live(host),
        layers=probe_layers(host),
    )
