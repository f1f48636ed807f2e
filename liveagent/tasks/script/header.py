"""The metadata in a script's comments (MAAS script metadata 1.0), and what is not done of it."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping

from liveagent.events import JSON
from liveagent.options import suggest
from liveagent.plain_yaml import BadYAML, parse_yaml
from liveagent.tasks.script.parameters import BadHeader, Parameter, Type, parse_parameters

# A script that does not say how long it takes; a day is more than any of them should.
LIMIT = 24 * 3600.0
# As MAAS takes them: any case, any number of dashes, and whatever follows these.
_MARKER = rb"(?im)^[ \t]*#[ \t]*-+[ \t]*%s[ \t]+MAAS[ \t]+(\S+)[ \t]+script[ \t]+metadata[ \t]*-+[^\n]*$"
START = re.compile(_MARKER % b"Start")
END = re.compile(_MARKER % b"End")
# A comment that means to be one of these: a header that is not found protects nothing.
ALMOST = re.compile(rb"(?im)^[ \t]*#[^\n]*maas[^\n]*script\W*metadata[^\n]*$")
VERSION = "1.0"
# How much of a file is looked through: a script may carry an archive of gigabytes behind its text.
HEADER_LIMIT = 256 * 1024
# What a header may say that means nothing here, and what a person should know of that ("" where nothing).
PASSED_OVER: Mapping[str, str] = {
    "tags": "",
    "comment": "",
    "type": "",
    "script_type": "it is run when it is named",
    "hardware_type": "",
    "recommission": "there is no inventory to take again",
    "for_hardware": "it is run on any machine",
    "packages": "nothing is installed: the image has to carry them",
    "apply_configured_networking": "the network stays as it is",
}
KEYS = (
    *("name", "title", "description", "timeout", "parallel", "destructive", "may_reboot", "parameters", "results"),
    *PASSED_OVER,
)


class Parallel(enum.Enum):
    """Which runs may go side by side. Tasks never do, so `instance` and `any` are the same: the runs of one script."""

    DISABLED = "disabled"
    INSTANCE = "instance"
    ANY = "any"


@dataclasses.dataclass(frozen=True)
class Header:
    """What a script says of itself; a script without a header is one that says nothing.

    `timeout` in seconds, None for no limit. `results` are titles and descriptions by name.
    """

    name: str = ""
    title: str = ""
    description: str = ""
    timeout: float | None = LIMIT
    parallel: Parallel = Parallel.DISABLED
    destructive: bool = False
    may_reboot: bool = False
    parameters: tuple[Parameter, ...] = ()
    results: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def target(self) -> Parameter | None:
        """The parameter that names the disks or interfaces, one run each."""
        return next((one for one in self.parameters if one.type.is_target), None)

    @property
    def runtime(self) -> Parameter | None:
        return next((one for one in self.parameters if one.type is Type.RUNTIME), None)


def parse_header(script: bytes) -> Header | None:
    """The header of a script, given its first HEADER_LIMIT bytes; None where it carries none. Raises BadHeader."""
    start = START.search(script)
    almost = ALMOST.search(script, 0, start.start() if start else len(script))
    if almost:
        shown = almost[0].decode("utf-8", "replace").strip()[:80]
        raise BadHeader(f"{shown!r} is no first line of script metadata (# --- Start MAAS 1.0 script metadata ---)")
    if not start:
        return None
    version = start[1].decode("utf-8", "replace")
    if version != VERSION:
        raise BadHeader(f"its script metadata are of version {version[:20]}; {VERSION} is read")
    end = END.search(script, start.end())
    if not end:
        limit = f" in its first {HEADER_LIMIT // 1024} KiB" if len(script) >= HEADER_LIMIT else ""
        raise BadHeader(f"its script metadata have no end{limit} (# --- End MAAS 1.0 script metadata ---)")
    lines = []
    for line in script[start.end() : end.start()].splitlines():
        bare = line.lstrip()
        if bare and not bare.startswith(b"#"):
            raise BadHeader(f"in its script metadata, {line.decode('utf-8', 'replace')[:60]!r} is no comment")
        lines.append(bare[1:])
    try:
        document = parse_yaml(b"\n".join(lines).decode("utf-8"))
    except UnicodeDecodeError:
        raise BadHeader("its script metadata are not UTF-8") from None
    except BadYAML as error:
        raise BadHeader(f"its script metadata are no YAML: {error}") from None
    return make_header({} if document is None else document)


def make_header(document: JSON) -> Header:
    """The header of its YAML. Raises BadHeader: what is not understood may be what protects a disk."""
    if not isinstance(document, dict):
        raise BadHeader("its script metadata are no mapping of keys to values")
    for key in document:
        if key not in KEYS:
            raise BadHeader(f"{key} is no key of script metadata{suggest(key, KEYS)}")
    known = [one.value for one in Parallel]
    parallel = document.get("parallel") or Parallel.DISABLED.value
    if parallel not in known:
        raise BadHeader(f"parallel is {parallel!r}, and none of {', '.join(known)}")
    timeout = LIMIT if document.get("timeout") is None else parse_timeout(document["timeout"])
    given = timeout if document.get("timeout") is not None else None
    return Header(
        name=_text(document, "name"),
        title=_text(document, "title"),
        description=_text(document, "description"),
        timeout=timeout,
        parallel=Parallel(parallel),
        destructive=_flag(document, "destructive"),
        may_reboot=_flag(document, "may_reboot"),
        parameters=parse_parameters(document.get("parameters") or {}, given),
        results=parse_results(document.get("results") or {}),
        notes=tuple(
            f"{key} is passed over: {words}" for key, words in PASSED_OVER.items() if words and document.get(key)
        ),
    )


def parse_timeout(value: JSON) -> float | None:
    """Seconds, or `[[HH:]MM:]SS`; 0 is no limit. Raises BadHeader."""
    wrong = BadHeader(f"timeout is {value!r}, and neither seconds nor HH:MM:SS")
    # YAML itself takes 14:00:00 for a number to the base 60, which are the same seconds.
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise wrong
    parts = str(value).strip().split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"\d{1,7}(\.\d+)?", part) for part in parts):
        raise wrong
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + float(part)
    return seconds or None


def parse_results(document: JSON) -> Mapping[str, Mapping[str, str]]:
    """`results` as a list of names, or as a mapping of names to a title, or to title and description."""
    if isinstance(document, list):
        if any(isinstance(name, (dict, list)) for name in document):
            raise BadHeader("results are a list, and not of names alone")
        document = {str(name): {} for name in document}
    if not isinstance(document, dict):
        raise BadHeader("results are neither a list of names nor a mapping")
    found = {}
    for name, fields in document.items():
        fields = {"title": fields} if isinstance(fields, str) else fields or {}
        if not isinstance(fields, dict):
            raise BadHeader(f"result {name} has no title or description, but {fields!r}")
        found[name] = {key: str(fields[key]).strip() for key in ("title", "description") if fields.get(key)}
    return found


def _text(document: Mapping[str, JSON], key: str) -> str:
    value = document.get(key)
    if isinstance(value, (dict, list)):
        raise BadHeader(f"{key} is no text")
    return "" if value is None else " ".join(str(value).split())


def _flag(document: Mapping[str, JSON], key: str) -> bool:
    value = document.get(key) or False
    if not isinstance(value, bool):
        raise BadHeader(f"{key} is {value!r}, and has to be true or false")
    return value
