"""Bonds, several network interfaces as one: how each leg is, and what they agreed with the switch; from /proc."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from liveagent.machine.look import Look, Why
from liveagent.machine.sysfs import to_number

BONDING = "/proc/net/bonding"
NOBODY = "00:00:00:00:00:00"


@dataclasses.dataclass(frozen=True)
class BondLeg:
    """An interface in a bond. `status` is the kernel's: up, down, going down, going back.

    `speed_mbit` in megabits a second, None where not known. `failures`: how often the link was lost since it is in the
    bond. `mac` is its permanent address, `aggregator` the LACP group that it is in, None without LACP.
    """

    name: str
    status: str
    speed_mbit: int | None
    duplex: str
    failures: int | None
    mac: str
    aggregator: int | None

    @property
    def is_up(self) -> bool:
        return self.status == "up"


@dataclasses.dataclass(frozen=True)
class Bond:
    """Several interfaces as one. `id` is its name, `mode` as the kernel says it.

    `status` is up or down. `active` is the leg that is used, where one alone is. Of LACP: `lacp_rate` (slow, fast), the
    active `aggregator` with the number of its `ports`, and the switch's address as `partner`, which is all zeros where
    no switch answers; None and "" without LACP, or where the kernel does not tell.
    """

    id: str
    mode: str
    status: str
    hash_policy: str
    primary: str
    active: str
    lacp_rate: str
    aggregator: int | None
    ports: int | None
    partner: str
    legs: tuple[BondLeg, ...]

    @property
    def has_lacp(self) -> bool:
        return "802.3ad" in self.mode


class BadBonding(ValueError):
    """A text that is no bond's description."""


def parse_bonding(name: str, text: str) -> Bond:
    """A file of /proc/net/bonding. Raises BadBonding for what has no mode (drivers/net/bonding/bond_procfs.c)."""
    head, *rest = re.split(r"^Slave Interface:", text, flags=re.MULTILINE)
    fields = _parse_fields(head)
    if "Bonding Mode" not in fields:
        raise BadBonding("no bonding mode")
    return Bond(
        id=name,
        mode=fields["Bonding Mode"],
        status=fields.get("MII Status", ""),
        hash_policy=fields.get("Transmit Hash Policy", ""),
        primary=_name(fields.get("Primary Slave", "")),
        active=_name(fields.get("Currently Active Slave", "")),
        lacp_rate=fields.get("LACP rate", ""),
        aggregator=to_number(fields.get("Aggregator ID", "")),
        ports=to_number(fields.get("Number of ports", "")),
        partner=fields.get("Partner Mac Address", "").lower(),
        legs=tuple(_make_leg(_parse_fields(f"Slave Interface:{part}")) for part in rest),
    )


def _parse_fields(text: str) -> Mapping[str, str]:
    """`Name: value`; the first of a name counts, since what a leg repeats of its partner stands below it."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _name(text: str) -> str:
    """The interface of `eth0 (primary_reselect always)`; "" for None."""
    word = text.partition(" ")[0]
    return "" if word == "None" else word


def _make_leg(fields: Mapping[str, str]) -> BondLeg:
    speed = re.fullmatch(r"(\d{1,7}) Mbps", fields.get("Speed", ""), re.ASCII)
    duplex = fields.get("Duplex", "")
    return BondLeg(
        name=fields.get("Slave Interface", ""),
        status=fields.get("MII Status", ""),
        speed_mbit=int(speed.group(1)) or None if speed else None,
        duplex=duplex if duplex in ("full", "half") else "",
        failures=to_number(fields.get("Link Failure Count", "")),
        mac=fields.get("Permanent HW addr", "").lower(),
        aggregator=to_number(fields.get("Aggregator ID", "")),
    )


def list_legs(bonds: Sequence[Bond]) -> Mapping[str, BondLeg]:
    """Every leg of every bond, by the interface's name."""
    return {leg.name: leg for bond in bonds for leg in bond.legs}


def probe_bonds(look: Look) -> tuple[Bond, ...]:
    """Every bond, by name."""
    host = look.host
    bonds = []
    names = host.list(BONDING)
    if not names:
        look.note("bonds", Why.ABSENT, "no interfaces are bonded")
    for name in names:
        try:
            bonds.append(parse_bonding(name, host.read(f"{BONDING}/{name}")))
        except PermissionError:
            look.note(f"bonds.{name}", Why.NO_RIGHTS, f"{BONDING}/{name} may not be read")
        except (OSError, BadBonding) as error:
            look.note(f"bonds.{name}", Why.NOT_UNDERSTOOD, str(error))
    return tuple(bonds)
