"""Is this machine fit to run the agent: each check is a finding, and what to do stands in it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from liveagent.cmdline import parse_cmdline
from liveagent.events import Finding, Verdict
from liveagent.host import ENVIRONMENT, Host
from liveagent.issue import Issuer
from liveagent.machine import Machine
from liveagent.places import Places
from liveagent.report.console import choose_consoles
from liveagent.settings import AgentSettings
from liveagent.tasks import Registry, Task

# A clock before this is one that was never set.
BUILT_AFTER = 1767225600.0  # 2026-01-01
SPARE = 64 * 1024 * 1024
ASK = 5.0


def examine(host: Host, places: Places, settings: AgentSettings, machine: Machine) -> list[Finding]:
    """Every check, in the order in which a person would repair things."""
    return [
        *check_rights(),
        *check_places(places),
        *check_tools(host),
        *check_clock(host),
        *check_consoles(host, settings),
        *check_callbacks(settings),
        *check_key(host, settings, machine),
        *check_guards(machine),
    ]


def _find(code: str, verdict: Verdict, part: str, summary: str) -> Finding:
    return Finding(f"doctor.{code}", verdict, part, summary)


def check_rights() -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield _find("root", Verdict.PASS, "user", "is root")
    else:
        yield _find("root", Verdict.FAIL, "user", "is not root: serials cannot be read, and no disk can be wiped")


def check_places(places: Places) -> Iterator[Finding]:
    for what, path in (("state", places.state), ("runtime", places.runtime)):
        place = next((parent for parent in (path, *path.parents) if parent.exists()), Path("/"))
        if not os.access(place, os.W_OK):
            yield _find(what, Verdict.FAIL, str(path), "cannot be written: no record of a run would be kept")
            continue
        free = shutil.disk_usage(place).free
        verdict = Verdict.PASS if free > SPARE else Verdict.WARN
        yield _find(what, verdict, str(path), f"can be written, {free // 1024 // 1024} MiB free")


def check_tools(host: Host) -> Iterator[Finding]:
    registry = Registry(host)
    for name in registry.names():
        task = registry.find(name)
        if not isinstance(task, Task):
            yield _find("task", Verdict.WARN, name, f"cannot be run: {task.reason if task else 'not found'}")
            continue
        missing = [tool for tool in task.tools if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None]
        if missing:
            yield _find("tools", Verdict.FAIL, name, f"needs {', '.join(missing)}, which is not installed")
        elif task.tools:
            yield _find("tools", Verdict.PASS, name, f"has {', '.join(task.tools)}")


def check_clock(host: Host) -> Iterator[Finding]:
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(host.now()))
    if host.now() < BUILT_AFTER:
        summary = f"says {shown}: certificates will look not yet valid, and times in reports are wrong"
        yield _find("clock", Verdict.WARN, "clock", summary)
    else:
        yield _find("clock", Verdict.PASS, "clock", f"says {shown}")


def check_consoles(host: Host, settings: AgentSettings) -> Iterator[Finding]:
    line = parse_cmdline(host.read_bytes("/proc/cmdline") if host.exists("/proc/cmdline") else b"")
    for path in choose_consoles(line, settings.consoles):
        try:
            os.close(host.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))
        except OSError as error:
            yield _find("console", Verdict.WARN, path, f"cannot be opened: {error.strerror}")
        else:
            yield _find("console", Verdict.PASS, path, "can be opened")


def check_callbacks(settings: AgentSettings) -> Iterator[Finding]:
    if not settings.callbacks:
        yield _find("callback", Verdict.WARN, "callback", "is not set: results stay on this machine")
    for name, urls in settings.callbacks.items():
        for url in urls:
            yield _ask(name, url, settings.callback_ca)


def _ask(name: str, url: str, ca: str) -> Finding:
    """Whether the server of a receiver answers at all; nothing is sent that it would take for a result."""
    import requests

    from liveagent.scrub import scrub_url

    try:
        answer = requests.request("OPTIONS", url, timeout=ASK, verify=ca or True, allow_redirects=False)
    except (requests.RequestException, OSError) as error:
        return _find("callback", Verdict.FAIL, name, f"{scrub_url(url)} does not answer: {error}")
    return _find("callback", Verdict.PASS, name, f"{scrub_url(url)} answers (HTTP {answer.status_code})")


def check_key(host: Host, settings: AgentSettings, machine: Machine) -> Iterator[Finding]:
    """Whether certificates will be signed, by which key, and what that key is worth."""
    part = "certificate_key"
    if not settings.certificate_key:
        yield _find("key", Verdict.WARN, part, "is not set: certificates are not signed")
        return
    issuer = Issuer(
        host, lambda *_: None, secret=settings.certificate_key, origin=settings.certificate_key_origin,
        is_live=machine.live.is_live,
    )  # fmt: skip
    # A key that can be read may still be one that ssh-keygen does not use.
    key, trouble = issuer.key or {}, issuer.try_key()
    if trouble:
        yield _find("key", Verdict.FAIL, part, f"certificates will not be signed: {trouble}")
        return
    summary = f"signs: {key['fingerprint']}, {key['origin']}"
    if key["note"]:
        yield _find("key", Verdict.WARN, part, f"{summary}. {key['note']}")
    else:
        yield _find("key", Verdict.PASS, part, summary)


def check_guards(machine: Machine) -> Iterator[Finding]:
    """Whether the machine can be told from others, and what protects its disks."""
    if machine.identity.serial is None:
        summary = "has no usable serial: results carry the UUID or the boot MAC, and expect_serial refuses"
        yield _find("serial", Verdict.WARN, "machine", summary)
    else:
        yield _find("serial", Verdict.PASS, "machine", f"serial {machine.identity.serial}")
    live = "is a live image" if machine.live.is_live else "is no live image, so disks are only wiped by name"
    yield _find("live", Verdict.PASS, "system", f"{live} ({machine.live.reason})")
    for disk in machine.disks:
        if disk.transport.is_local and not disk.serial:
            yield _find("disk", Verdict.WARN, disk.path, "has no serial: a result can only name it by its place")
