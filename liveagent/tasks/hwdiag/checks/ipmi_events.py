"""What the words of IPMI mean for a server: the table by which states of sensors and entries of the log are judged."""

from __future__ import annotations

import dataclasses
import re

from liveagent.events import Verdict

FAIL, WARN = Verdict.FAIL, Verdict.WARN
SOURCE = "IPMI 2.0, tables 42-2 and 42-3, in ipmitool's words"


@dataclasses.dataclass(frozen=True)
class Meaning:
    """Of a state or event: how bad it is, and what to do. `types` and `words` are whole-match patterns."""

    types: str
    words: str
    verdict: Verdict
    advice: str


# The first that matches counts; what matches none says nothing bad.
MEANINGS = (
    Meaning("Memory", "Uncorrectable ECC|Critical Overtemperature", FAIL, "replace the DIMM"),
    Meaning("Memory", "Parity|Memory Scrub Failed", FAIL, "replace the DIMM"),
    Meaning("Memory", "Correctable ECC logging limit reached", WARN, "test the DIMM under load, or replace it"),
    # Where the firmware handles errors first, the kernel counts none of them.
    Meaning("Memory", "Correctable ECC", WARN, "test the DIMM under load, or replace it"),
    Meaning("Memory", "Memory Device Disabled|Configuration Error", WARN, "look at how the DIMMs are placed"),
    Meaning("Event Logging Disabled", "Correctable memory error logging disabled", WARN, "test the memory under load"),
    Meaning("Processor", "IERR|Uncorrectable machine check exception", FAIL, "test the processor and its DIMMs"),
    Meaning("Processor", "SM BIOS Uncorrectable CPU-complex Error", FAIL, "test the processor and its DIMMs"),
    Meaning("Processor|Chip Set", "Thermal Trip", FAIL, "look at heat sink, paste and fans"),
    Meaning("Processor", "FRB.*", FAIL, "reseat or replace the processor"),
    Meaning("Processor", "Correctable machine check error", WARN, "test the processor under load"),
    Meaning("Processor", "Configuration Error|Throttled", WARN, "look at its cooling, and at the power it gets"),
    Meaning("Critical Interrupt", "PCI [PS]ERR|Bus Uncorrectable error|Bus Fatal Error", FAIL, "reseat the PCI card"),
    Meaning("Critical Interrupt", "Fatal NMI|I/O Channel check NMI", FAIL, "look at the kernel log of that time"),
    Meaning("Critical Interrupt", "Bus Correctable error", WARN, "reseat the PCI card"),
    Meaning("Critical Interrupt", "Bus Degraded|Bus Timeout|EISA failsafe timeout", WARN, "reseat the PCI card"),
    Meaning("Power Supply", "Failure detected", FAIL, "replace the power supply"),
    Meaning("Power Supply", "Predictive failure", WARN, "replace the power supply soon"),
    Meaning("Power Supply", ".*AC lost.*|.*AC out-of-range.*", WARN, "look at its cord, and at the feed"),
    Meaning("Power Supply", "Config Error.*", WARN, "use supplies of one kind"),
    Meaning("Power Unit", "Failure detected|Soft-power control failure", FAIL, "look at supplies and backplane"),
    Meaning("Power Unit", "Predictive failure|240VA power down|Interlock power down", WARN, "look at the supplies"),
    Meaning("Drive Slot / Bay", "Drive Fault|In Failed Array", FAIL, "replace the drive"),
    Meaning("Drive Slot / Bay", "Predictive Failure|In Critical Array|Rebuild Aborted", WARN, "look at the drive"),
    Meaning("Physical Security", ".* intrusion", WARN, "close the chassis, and see who opened it"),
    Meaning("Battery", "Failed", FAIL, "replace the battery"),
    Meaning("Battery", "Low", WARN, "replace the battery"),
    Meaning("System Event", "Undetermined system hardware failure", FAIL, "ask the maker's own diagnosis"),
    Meaning("System Firmwares?", "No usable system memory|BIOS corruption detected|CPU .*mismatch.*", FAIL, "see why"),
    Meaning("System Firmwares?", "Unrecoverable .*(board|controller|IDE|video).*", FAIL, "see what fails at boot"),
    Meaning("OS Critical Stop", "Linux kernel panic|Run-time critical stop", WARN, "find out why the system stopped"),
    Meaning("Watchdog ?2", "Hard reset|Power down|Power cycle", WARN, "find out why the system hung"),
    Meaning("Slot / Connector", "Fault Status", FAIL, "look at what is in the slot"),
    Meaning("Cable / Interconnect", "Config Error", WARN, "look at the cable"),
    Meaning("Management Subsys Health", "Sensor failure|FRU failure|.* unavailable|.* off-line", WARN, "reset the BMC"),
    # Generic: of any sensor.
    Meaning(".*", "Redundancy Lost|Non-Redundant: Insufficient Resources", WARN, "find the part that is missing"),
    Meaning(
        ".*", "Redundancy Degraded.*|Non-Redundant: Sufficient from Redundant", WARN, "find the part that is missing"
    ),
    Meaning(".*", "Predictive Failure Asserted", WARN, "replace it soon"),
    Meaning(".*", "Transition to (Critical|Non-recoverable).*", FAIL, "look at what the sensor watches"),
    Meaning(".*", "Transition to Non-critical.*|Transition to Degraded", WARN, "look at what the sensor watches"),
    Meaning(
        ".*", "(Upper|Lower) (Critical|Non-recoverable) going (high|low)", WARN, "look at what the sensor measures"
    ),
)
# Of these the sensor knows at any time how they are: what it does not say any more is over. Others are a moment, and
# that a BMC took one back at the next boot does not undo it.
LASTING = (
    *("Temperature", "Voltage", "Current", "Fan", "Physical Security", "Power Supply", "Power Unit"),
    *("Cooling Device", "Drive Slot / Bay", "Battery", "Slot / Connector", "Cable / Interconnect"),
)
# What their sensors assert happened some time, and stays so until somebody resets it: the log has it, with its date.
LATCHED = (
    *("Critical Interrupt", "Event Logging Disabled", "Watchdog1", "Watchdog 1", "Watchdog2", "Watchdog 2"),
    *("System Event", "System Firmware", "System Firmwares", "OS Critical Stop", "OS Stop/Shutdown", "Version Change"),
)


def find_meaning(type_: str, words: str) -> Meaning | None:
    """What a state of a sensor of that type means; None where it is nothing bad, or nobody knows."""
    words = words.strip()
    # An upper threshold that is crossed downwards, or a lower one upwards, is the way back.
    if re.fullmatch("Upper .* going low|Lower .* going high", words):
        return None
    return next(
        (one for one in MEANINGS if re.fullmatch(one.types, type_) and re.fullmatch(one.words, words)),
        None,
    )
