"""What an NVMe drive says of itself. Fields are those of the NVM Express base specification 2.0."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from liveagent.host import Host
from liveagent.machine.disks import Disk
from liveagent.machine.nameplate import clean, clean_serial
from liveagent.machine.question import Questions

# Identify Controller. OACS: bit 1 Format NVM, bit 3 Namespace Management. FNA: bit 0 a format, bit 1 a secure erase
# takes all namespaces along, bit 2 cryptographic erase. RPMBS: bits 2:0 the number of RPMB units.
OACS_FORMAT = 1 << 1
OACS_NAMESPACES = 1 << 3
FNA_ALL = 0b11
FNA_CRYPTO = 1 << 2
RPMBS_UNITS = 0b111
# CMIC: bit 1 the NVM subsystem may have several controllers.
CMIC_SHARED = 1 << 1
# SANICAP: bits 0 to 2, the sanitize operations that are offered.
SANICAP = ("crypto", "block", "overwrite")
# Identify Namespace. FLBAS: bits 3:0 and, above them, 6:5 are the index of the format in use. DPS: bits 2:0 the type
# of protection information. LBADS below 9 is a format that is not there.
DPS_TYPE = 0b111
SMALLEST_LBADS = 9
# Sanitize Status log: SPROG counts to 65536; SCDW10 bits 2:0 are the Sanitize Action of the last command.
SPROG_WHOLE = 65536
ACTIONS = {1: "exit-failure", 2: "block", 3: "overwrite", 4: "crypto"}
NO_ESTIMATE = 0xFFFFFFFF


class SanitizeState(enum.Enum):
    """SSTAT, bits 2:0: 0, 1 or 4 (without deallocation), 2, 3."""

    NEVER = "never"
    COMPLETED = "completed"
    RUNNING = "running"
    FAILED = "failed"


_STATES = {
    0: SanitizeState.NEVER,
    1: SanitizeState.COMPLETED,
    2: SanitizeState.RUNNING,
    3: SanitizeState.FAILED,
    4: SanitizeState.COMPLETED,
}


@dataclasses.dataclass(frozen=True)
class SanitizeLog:
    """The Sanitize Status log.

    `progress` runs from 0 to 1. `action` is that of the last command: block, overwrite, crypto, exit-failure, or ""
    where there was none. `passes`: those that an overwrite has completed. `estimates`: seconds by action, None where
    the drive gives no time. libnvme 1.12 prints zeros whatever the state is: NEVER with the action "" is no evidence.
    """

    state: SanitizeState
    progress: float
    action: str
    passes: int
    estimates: Mapping[str, float | None]


@dataclasses.dataclass(frozen=True)
class NvmeFacts:
    """A drive as one of its controllers describes it, and the namespace that the disk is.

    `controller` is a kernel name, found by topology. `format_all`: a format or a secure erase takes all namespaces
    along. `sanitize`: of "crypto", "block", "overwrite". `namespaces` are all that exist, attached or not;
    `all_listed` is false where the drive may have unattached ones and did not list them. `protection`: the type, 0 for
    none. `rpmb`: there is a replay protected area, which nothing here erases. `shared`: the drive may have further
    controllers, whose namespaces another host may use.
    """

    controller: str
    serial: str
    model: str
    firmware: str
    format: bool
    format_crypto: bool
    format_all: bool
    sanitize: frozenset[str]
    namespaces: tuple[int, ...]
    attached: tuple[int, ...]
    namespace: int
    block_size: int
    metadata_size: int
    protection: int
    rpmb: bool
    log: SanitizeLog | None
    all_listed: bool = True
    shared: bool = False


@dataclasses.dataclass(frozen=True)
class Controller:
    """`nvme id-ctrl`. A field that is missing is an offer that is not made."""

    serial: str
    model: str
    firmware: str
    format: bool
    format_crypto: bool
    format_all: bool
    sanitize: frozenset[str]
    rpmb: bool
    manages_namespaces: bool
    shared: bool


@dataclasses.dataclass(frozen=True)
class Namespace:
    """`nvme id-ns`: the format in use. Sizes in bytes; `metadata_size` a block."""

    block_size: int
    metadata_size: int
    protection: int


def parse_id_ctrl(document: Mapping[str, Any]) -> Controller | None:
    """`nvme id-ctrl --output-format=json`; None where it is something else."""
    if "oacs" not in document or "sn" not in document:
        return None
    oacs, fna, sanicap = (_number(document.get(key)) or 0 for key in ("oacs", "fna", "sanicap"))
    return Controller(
        serial=clean_serial(str(document["sn"])),
        model=clean(str(document.get("mn", ""))),
        firmware=clean(str(document.get("fr", ""))),
        format=bool(oacs & OACS_FORMAT),
        format_crypto=bool(fna & FNA_CRYPTO),
        format_all=bool(fna & FNA_ALL),
        sanitize=frozenset(action for bit, action in enumerate(SANICAP) if sanicap & (1 << bit)),
        rpmb=bool((_number(document.get("rpmbs")) or 0) & RPMBS_UNITS),
        manages_namespaces=bool(oacs & OACS_NAMESPACES),
        shared=bool((_number(document.get("cmic")) or 0) & CMIC_SHARED),
    )


def parse_id_ns(document: Mapping[str, Any]) -> Namespace | None:
    """`nvme id-ns --output-format=json`; None where there is no format in use (a namespace that is not attached)."""
    flbas = _number(document.get("flbas"))
    formats = document.get("lbafs")
    if flbas is None or not isinstance(formats, list):
        return None
    index = (flbas & 0xF) | ((flbas >> 1) & 0x30)
    used = formats[index] if index < len(formats) else None
    size = _number(used.get("ds")) if isinstance(used, dict) else None
    if not isinstance(used, dict) or size is None or not SMALLEST_LBADS <= size < 32:
        return None
    return Namespace(
        block_size=1 << size,
        metadata_size=_number(used.get("ms")) or 0,
        protection=(_number(document.get("dps")) or 0) & DPS_TYPE,
    )


def parse_list_ns(text: str) -> tuple[int, ...]:
    """`nvme list-ns` in its text form, `[   0]:0x1`; the JSON form differs from version to version."""
    return tuple(int(number, 16) for number in re.findall(r"^\[\s*\d+\]:\s*(0x[0-9a-fA-F]+)\s*$", text, re.MULTILINE))


def parse_sanitize_log(text: str) -> SanitizeLog | None:
    """`nvme sanitize-log`, as JSON (nvme-cli 1.x to 2.x) or for people; None where it says nothing usable."""
    values = _parse_log_document(text) or _parse_log_lines(text)
    sprog, sstat = values.get("sprog"), values.get("sstat")
    if sprog is None or sstat is None or sstat & 0b111 not in _STATES or not 0 <= sprog < SPROG_WHOLE:
        return None
    return SanitizeLog(
        state=_STATES[sstat & 0b111],
        progress=sprog / SPROG_WHOLE,
        action=ACTIONS.get((values.get("scdw10") or 0) & 0b111, ""),
        passes=(sstat >> 3) & 0b11111,
        estimates={action: _estimate(values.get(action)) for action in ("block", "overwrite", "crypto")},
    )


def _estimate(seconds: int | None) -> float | None:
    return None if seconds is None or seconds == NO_ESTIMATE else float(seconds)


def _parse_log_document(text: str) -> dict[str, int | None]:
    """The log's fields out of its JSON form, SSTAT put together again; empty where it is not JSON."""
    document = _parse_document(text)
    log = next((part for part in _walk(document) if "sprog" in part), None)
    if log is None:
        return {}
    return {
        "sprog": _number(log["sprog"]),
        "sstat": _parse_sstat(log.get("sstat")),
        "scdw10": _number(log.get("cdw10_info", log.get("scdw10"))),
        "block": _number(log.get("time_block_erase")),
        "overwrite": _number(log.get("time_over_write")),
        "crypto": _number(log.get("time_crypto_erase")),
    }


def _walk(document: Any) -> Iterator[Mapping[str, Any]]:
    """The objects of a document: the log stands below the controller's name, or by itself."""
    if isinstance(document, dict):
        yield document
        for value in document.values():
            yield from _walk(value)


def _parse_sstat(value: Any) -> int | None:
    """SSTAT, as a number or taken apart.

    Taken apart, the state is `"status": "(2) Sanitize in Progress."`; in some versions of nvme-cli the key is the
    state's own words.
    """
    if not isinstance(value, dict):
        return _number(value)
    states = [match for word in value.values() if (match := re.match(r"\((\d+)\)", str(word)))]
    if len(states) != 1:
        return None
    return int(states[0].group(1)) & 0b111 | ((_number(value.get("no_cmplted_passes")) or 0) & 0b11111) << 3


# The labels of the form for people; how wide they are set differs, and -H puts more lines between.
_LABELS = {
    r"Sanitize Progress\s+\(SPROG\)": "sprog",
    r"Sanitize Status\s+\(SSTAT\)": "sstat",
    r"Sanitize Command Dword 10 Information\s+\(SCDW10\)": "scdw10",
    r"Estimated Time For Overwrite": "overwrite",
    r"Estimated Time For Block Erase": "block",
    r"Estimated Time For Crypto Erase": "crypto",
}


def _parse_log_lines(text: str) -> dict[str, int | None]:
    values: dict[str, int | None] = {}
    for label, name in _LABELS.items():
        match = re.search(rf"^\s*{label}\s*:\s*(0x[0-9a-fA-F]+|\d+)\b", text, re.MULTILINE)
        values[name] = _number(match.group(1)) if match else None
    return values


def _number(value: Any) -> int | None:
    """A number, also where a version of nvme-cli writes it as text."""
    if isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _parse_document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def probe_nvme(host: Host, disk: Disk, questions: Questions | None = None) -> NvmeFacts | None:
    """What the drive offers, by the first of its controllers that answers with the disk's serial; None without one."""
    questions = questions or Questions(host)
    if disk.nvme_namespace is None:
        return None
    for name in disk.nvme_controllers:
        controller = parse_id_ctrl(_ask(questions, "id-ctrl", name))
        # A reset may have given the name to another drive. A drive without a serial is known by topology alone.
        if not controller or controller.serial != clean_serial(disk.serial):
            continue
        if not controller.serial and len(disk.nvme_controllers) > 1:
            continue
        facts = _probe_namespaces(questions, name, controller, disk.nvme_namespace)
        if facts:
            return facts
    return None


def _probe_namespaces(questions: Questions, name: str, controller: Controller, namespace: int) -> NvmeFacts | None:
    attached = _list(questions, name)
    # Answered only by drives with namespace management; the others have what is attached.
    existing = _list(questions, name, "--all")
    used = parse_id_ns(_ask(questions, "id-ns", name, f"--namespace-id={namespace}"))
    if attached is None or used is None or namespace not in attached:
        return None
    return NvmeFacts(
        controller=name,
        serial=controller.serial,
        model=controller.model,
        firmware=controller.firmware,
        format=controller.format,
        format_crypto=controller.format_crypto,
        format_all=controller.format_all,
        sanitize=controller.sanitize,
        namespaces=tuple(sorted({*attached, *(existing or ())})),
        attached=attached,
        namespace=namespace,
        block_size=used.block_size,
        metadata_size=used.metadata_size,
        protection=used.protection,
        rpmb=controller.rpmb,
        log=probe_sanitize_log(questions.host, name, questions) if controller.sanitize else None,
        all_listed=existing is not None or not controller.manages_namespaces,
        shared=controller.shared,
    )


def _ask(questions: Questions, command: str, controller: str, *options: str) -> Mapping[str, Any]:
    said = questions.ask(["nvme", command, f"/dev/{controller}", *options, "--output-format=json"])
    document = _parse_document(said.stdout) if said and said.status == 0 else None
    return document if isinstance(document, dict) else {}


def _list(questions: Questions, controller: str, *options: str) -> tuple[int, ...] | None:
    said = questions.ask(["nvme", "list-ns", f"/dev/{controller}", *options])
    return parse_list_ns(said.stdout) if said and said.status == 0 else None


def probe_sanitize_log(host: Host, controller: str, questions: Questions | None = None) -> SanitizeLog | None:
    """The Sanitize Status log by a controller's kernel name; None where the drive has none, or does not answer."""
    argv = ["nvme", "sanitize-log", f"/dev/{controller}", "--output-format=json"]
    said = (questions or Questions(host)).ask(argv)
    return parse_sanitize_log(said.stdout) if said and said.status == 0 else None
