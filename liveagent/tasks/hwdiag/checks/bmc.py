"""Whether the BMC answers, can be trusted, and is set up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from liveagent.events import Finding, Verdict
from liveagent.machine.bmc import BmcUser
from liveagent.machine.inventory import Inventory
from liveagent.machine.look import Why
from liveagent.tasks.hwdiag.check import Check, Code
from liveagent.tasks.hwdiag.policy import Limit, Policy

SILENT = Code(
    "bmc.silent",
    Verdict.WARN,
    "the BMC did not answer in time: nothing of it was measured from there on",
    "limits of a question to the BMC",
)
SKEW = Limit("bmc.clock", 300.0, "s", "beyond five minutes Kerberos and signed requests fail (RFC 4120, 8.2)")
CLOCK = Code("bmc.clock", Verdict.WARN, "the BMC's clock is wrong: what it logs cannot be dated", "policy", (SKEW,))
ZONE = Code(
    "bmc.clock_zone",
    Verdict.PASS,
    "the BMC's clock differs by a time zone: it is set to local time",
    "time zones are whole quarters of an hour, UTC−12 to UTC+14",
    (SKEW,),
)
SERIAL = Code(
    "bmc.fru_serial",
    Verdict.WARN,
    "the product serial in the BMC's FRU is not the one in DMI: the board was moved or replaced",
    "both are written for the same server",
)
CIPHER_ZERO = Code(
    "bmc.cipher_zero",
    Verdict.WARN,
    "the BMC lets anyone in without a password (cipher suite 0)",
    "CVE-2013-4782 and its kin of other makers",
)
DEFAULT_USER = Code(
    "bmc.default_user",
    Verdict.PASS,
    "a user with the name that the factory sets is enabled",
    "factory names of Supermicro, Dell, HPE, Lenovo, AMI, Intel",
)
ANONYMOUS = Code(
    "bmc.anonymous", Verdict.PASS, "a user without a name is enabled", "IPMI 2.0, 6.9.1: user 1 may be null"
)
NO_ADDRESS = Code("bmc.no_address", Verdict.PASS, "no LAN channel of the BMC has an address", "IPMI 2.0, table 23-4")
FAULT = Code(
    "bmc.fault",
    Verdict.WARN,
    "the BMC's summary names a fault of drives, fans or power control",
    "IPMI 2.0, table 28-3",
)
FACTORY_NAMES = ("admin", "root", "administrator", "userid")
# Seconds: zones are multiples of a quarter of an hour; what a BMC's clock drifts beside is less than this.
QUARTER, FARTHEST = 900.0, 14 * 3600.0


def find_silent(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    missing = [one for one in inventory.missing if re.match(r"bmc(\.|$)", one.part) and one.why is Why.NO_ANSWER]
    # One that took its whole time is told of by the task itself.
    if missing and "bmc" not in inventory.silent:
        summary = f"the BMC does not answer ({missing[0].detail}); take the server off the power for a minute"
        yield SILENT.found("BMC", summary, question=missing[0].part)


def find_clock(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    bmc = inventory.bmc
    if bmc is None or bmc.clock_is_set is None:
        return
    if not bmc.clock_is_set:
        yield CLOCK.found("BMC clock", "the BMC's clock was never set; set it, or give the BMC an NTP server")
        return
    offset, limit = bmc.clock_offset or 0.0, policy.limit(SKEW)
    if abs(offset) <= limit:
        return
    measured = {"value": offset, "threshold": limit, "unit": "s", "clock": bmc.clock}
    beside = abs(offset) % QUARTER
    if abs(offset) <= FARTHEST and min(beside, QUARTER - beside) <= min(limit, QUARTER / 10):
        summary = f"the BMC's clock is {_span(offset)} the system's, as of another time zone; UTC is what logs need"
        yield ZONE.found("BMC clock", summary, **measured)
    else:
        yield CLOCK.found("BMC clock", f"the BMC's clock is {_span(offset)} the system's; set it", **measured)


def _span(offset: float) -> str:
    days, hours, minutes = (int(abs(offset) // size) for size in (86400, 3600, 60))
    amount = f"{days} days" if days > 1 else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
    return f"{amount} {'ahead of' if offset > 0 else 'behind'}"


def find_serial(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """The server's own FRU against DMI: product against product alone, since a board has a serial of its own."""
    bmc, identity = inventory.bmc, inventory.identity
    if bmc is None or identity is None or identity.serial is None:
        return
    for fru in bmc.frus:
        serial = fru.product.serial if fru.product and fru.number == 0 else None
        if serial and serial.casefold() != identity.serial.casefold():
            summary = (
                f"the BMC has serial {serial}, DMI has {identity.serial}; see which is on the label, and correct it"
            )
            yield SERIAL.found(fru.name, summary, fru=serial, dmi=identity.serial)


def find_access(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    bmc = inventory.bmc
    if bmc is None:
        return
    for lan in bmc.lans:
        if lan.cipher_zero:
            summary = f"channel {lan.channel}: cipher suite 0 is open; close it (lan set {lan.channel} cipher_privs X…)"
            yield CIPHER_ZERO.found(f"BMC channel {lan.channel}", summary, ciphers=list(lan.ciphers))
    if bmc.lans and not any(lan.address or lan.addresses_v6 for lan in bmc.lans):
        yield NO_ADDRESS.found(
            "BMC", "the BMC has no address: it cannot be reached", macs=[lan.mac for lan in bmc.lans]
        )
    for user in bmc.users:
        if not _can_enter(user):
            continue
        if not user.name:
            summary = f"user {user.number} has no name and the privilege {user.privilege}; disable it"
            yield ANONYMOUS.found(f"BMC user {user.id}", summary, privilege=user.privilege)
        elif user.name.casefold() in FACTORY_NAMES and user.privilege == "ADMINISTRATOR":
            summary = f"{user.name} is the factory's administrator; see that it has not the factory's password"
            yield DEFAULT_USER.found(f"BMC user {user.name}", summary, privilege=user.privilege)


def _can_enter(user: BmcUser) -> bool:
    """Whether a user is known to be let in; of one that nobody could ask about, nothing is said."""
    return bool(user.messaging) and user.enabled is not False and user.privilege != "NO ACCESS"


def find_faults(inventory: Inventory, policy: Policy) -> Iterator[Finding]:
    """The chassis' summary bits, which say no part; a sensor that does is better, and stands beside it."""
    chassis = inventory.bmc.chassis if inventory.bmc else None
    if chassis is None:
        return
    faults = {
        "drives": chassis.drive_fault,
        "fans or cooling": chassis.fan_fault,
        "power control": chassis.power_control_fault,
    }
    for name, is_faulty in faults.items():
        if is_faulty:
            yield FAULT.found(
                "chassis", f"the BMC reports a fault of {name}; see which part its web page marks", fault=name
            )


CHECKS = (
    Check((SILENT,), find_silent),
    Check((CLOCK, ZONE), find_clock),
    Check((SERIAL,), find_serial),
    Check((CIPHER_ZERO, DEFAULT_USER, ANONYMOUS, NO_ADDRESS), find_access),
    Check((FAULT,), find_faults),
)
