"""The TPM: cleared by command where its owner may, else by asking the firmware to do so at the next start."""

from __future__ import annotations

import dataclasses
import re

from liveagent.events import JSON, Verdict
from liveagent.host import Completed, Host
from liveagent.tasks.wipe.extra import Extra, ask, describe_failure, never_began

WHAT = "tpm"
TPM = "/sys/class/tpm/tpm0"
CLEAR_TIMEOUT = 120.0
# The kernel's own resource manager: no other program's session is disturbed, and no daemon has to run.
ENVIRONMENT = {"TPM2TOOLS_TCTI": "device:/dev/tpmrm0"}
HIERARCHIES = {"p": "platform", "l": "lockout"}

# TCG Physical Presence Interface, table 2: operation 5 clears a TPM of either family.
PPI_CLEAR = 5
# What the kernel prints of an operation in `tcg_operations` (Documentation/ABI/testing/sysfs-driver-ppi).
PPI_ASKS, PPI_DOES = 3, 4
PPI_UNWILLING = {0: "does not know how", 1: "takes that order in its own setup only", 2: "does not take that order"}

PROPERTY = re.compile(r"^\s*(\w+):\s*(0x[0-9A-Fa-f]+|\d+)\s*$", re.MULTILINE)
HANDLE = re.compile(r"^- (0x[0-9A-Fa-f]+)\s*$", re.MULTILINE)
# The reason of a refusal stands between the library's messages and the tool's own last word.
DENIAL = re.compile(r"^ERROR: Esys_Clear\(0x[0-9A-Fa-f]+\) - (.+)$", re.MULTILINE)
AUTHORISATIONS = ("ownerAuthSet", "endorsementAuthSet", "lockoutAuthSet")


@dataclasses.dataclass(frozen=True)
class TpmState:
    """What a TPM 2.0 says of itself; None is what could not be read.

    `clock` are milliseconds of its life, which while it runs nothing but a clear sets back to zero. `owned`: which
    of its hierarchies have a password. `persistent`: handles of keys that it keeps.
    """

    clock: int | None = None
    resets: int | None = None
    owned: tuple[str, ...] | None = None
    clear_disabled: bool | None = None
    locked_out: bool | None = None
    persistent: tuple[str, ...] | None = None


def parse_state(properties: str, clock: str, handles: str | None) -> TpmState:
    """What `tpm2_getcap properties-variable`, `tpm2_readclock` and `tpm2_getcap handles-persistent` printed."""
    said = {name: int(value, 0) for name, value in PROPERTY.findall(properties)}
    times = {name: int(value, 0) for name, value in PROPERTY.findall(clock)}
    known = all(name in said for name in AUTHORISATIONS)
    return TpmState(
        clock=times.get("clock"),
        resets=times.get("reset_count"),
        owned=tuple(name[: -len("AuthSet")] for name in AUTHORISATIONS if said[name]) if known else None,
        clear_disabled=bool(said["disableClear"]) if "disableClear" in said else None,
        locked_out=bool(said["inLockout"]) if "inLockout" in said else None,
        persistent=None if handles is None else tuple(HANDLE.findall(handles)),
    )


def choose_hierarchies(state: TpmState) -> tuple[str, ...]:
    """By whose authority a clear is tried, without a password.

    The firmware mostly gives the platform a password that it forgets; trying costs nothing. A wrong try at the
    lockout hierarchy locks it, mostly for a day, so that it is left alone where it has a password.
    """
    lockout_is_open = state.owned is not None and "lockout" not in state.owned
    if lockout_is_open and state.clear_disabled is False and state.locked_out is False:
        return ("p", "l")
    return ("p",)


def is_cleared(before: TpmState, after: TpmState) -> bool:
    """Whether the TPM was cleared between the two looks, as its own clock and passwords show."""
    if before.clock is None or after.clock is None:
        return False
    return after.clock < before.clock and after.resets == 0 and after.owned == ()


def describe_denial(said: Completed) -> str:
    """Why a TPM did not take the command, in its library's words."""
    match = DENIAL.search(said.stderr)
    return match.group(1) if match else describe_failure(said)


def parse_ppi_operation(text: str, operation: int = PPI_CLEAR) -> int | None:
    """What the firmware does with an operation, by the kernel's number; None where it does not say."""
    match = re.search(rf"^{operation} (\d):", text, re.MULTILINE)
    return int(match.group(1)) if match else None


def probe_state(host: Host) -> TpmState:
    """What the TPM says of itself now."""
    answers = [
        ask(host, argv, environment=ENVIRONMENT)
        for argv in (["tpm2_getcap", "properties-variable"], ["tpm2_readclock"], ["tpm2_getcap", "handles-persistent"])
    ]
    properties, clock, handles = (said.stdout if said.status == 0 else None for said in answers)
    return parse_state(properties or "", clock or "", handles)


def describe_tpm(host: Host) -> str:
    """By which ways the TPM would be cleared, for a dry run; only reads."""
    if not host.exists(TPM):
        return "TPM: there is none"
    if probe_family(host) == 2:
        tried = " and ".join(HIERARCHIES[one] for one in choose_hierarchies(probe_state(host)))
        return f"TPM 2.0: would be cleared by {tried} authority, else by the firmware at the next start"
    return "TPM: the firmware would be asked to clear it at the next start"


def probe_family(host: Host) -> int | None:
    """2 for a TPM 2.0, 1 for a 1.2, None where the kernel does not say."""
    text = host.read_or(f"{TPM}/tpm_version_major")
    return int(text) if text.isdigit() else None


def clear_tpm(host: Host) -> Extra:
    """Clear the TPM, and see by its own clock that it is."""
    if not host.exists(TPM):
        return Extra(WHAT, Verdict.SKIPPED, "there is no TPM")
    data: dict[str, JSON] = {"family": probe_family(host), "tried": {}}
    if data["family"] == 2:
        extra = _clear_by_command(host, data)
        if extra:
            return extra
    return _ask_firmware(host, data)


def _clear_by_command(host: Host, data: dict[str, JSON]) -> Extra | None:
    """None where no authority was taken, so that nothing was begun."""
    before = probe_state(host)
    data["before"] = dataclasses.asdict(before)
    for letter in choose_hierarchies(before):
        name = HIERARCHIES[letter]
        argv = ["tpm2_clear", f"--auth-hierarchy={letter}"]
        said = ask(host, argv, CLEAR_TIMEOUT, ENVIRONMENT)
        data["tried"][name] = "done" if said.status == 0 else describe_denial(said)
        if never_began(said):
            return None
        after = probe_state(host)
        data["after"] = dataclasses.asdict(after)
        if is_cleared(before, after):
            return Extra(WHAT, Verdict.PASS, f"the TPM was cleared by {name} authority, and its clock began anew", data)
        if said.status is None or said.status == 0:
            # What may have been begun is not tried by another way, which would hide it.
            summary = f"the TPM was told to clear itself by {name} authority, and that cannot be confirmed"
            return Extra(WHAT, Verdict.UNKNOWN, summary, data)
    return None


def _ask_firmware(host: Host, data: dict[str, JSON]) -> Extra:
    """By the Physical Presence Interface: taken now, carried out at the next start."""
    by_hand = "clear it in the firmware's setup"
    request = f"{TPM}/ppi/request"
    if not host.exists(request):
        return Extra(
            WHAT, Verdict.FAIL, f"the TPM takes no clear from here, and the firmware no order: {by_hand}", data
        )
    answer = parse_ppi_operation(host.read_or(f"{TPM}/ppi/tcg_operations"))
    data["firmware"] = answer
    if answer in PPI_UNWILLING:
        return Extra(WHAT, Verdict.FAIL, f"the firmware {PPI_UNWILLING[answer]}: {by_hand}", data)
    try:
        host.write(request, str(PPI_CLEAR))
    except OSError as error:
        return Extra(WHAT, Verdict.FAIL, f"the firmware did not take the order ({error.strerror}): {by_hand}", data)
    # `5`, with a parameter behind it from version 1.3 of the interface on.
    pending = host.read_or(request).split()[:1] == [str(PPI_CLEAR)]
    if not pending:
        return Extra(WHAT, Verdict.UNKNOWN, "the firmware was asked to clear the TPM, and does not say so", data)
    confirmed = {PPI_DOES: "", PPI_ASKS: ", when somebody confirms it at the console"}
    how = confirmed.get(answer or 0, ", and the firmware may ask somebody to confirm it")
    return Extra(WHAT, Verdict.WARN, f"the TPM is not cleared yet: that takes effect at the next start{how}", data)
