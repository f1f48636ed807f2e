"""Self-tests on request: started, watched, ended and judged alike for ATA, SCSI and NVMe drives."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Sequence

from liveagent.events import Finding
from liveagent.host import Cancelled, CommandError, Host
from liveagent.machine.device import Answer, Device
from liveagent.machine.disks import Transport
from liveagent.machine.inventory import Inventory
from liveagent.machine.selftest import (
    SelfTest,
    SelfTests,
    TestResult,
    parse_nvme_tests,
    parse_scsi_tests,
    read_ata_tests,
    read_scsi_tests,
)
from liveagent.machine.smartctl import BadPage, describe_status, parse_page
from liveagent.tasks import Context
from liveagent.tasks.hwdiag.checks.smart import TEST_FAILED, TEST_NOT_OFFERED, TEST_PASSED, TEST_UNKNOWN

log = logging.getLogger(__name__)

QUESTION_TIMEOUT = 30.0
# ACS-4 and NVM Express allow a short test two minutes; of a long one without an estimate a large disk's day is assumed.
SHORT, LONG = 120.0, 24 * 3600.0
# A drive may be busy for a question or two.
UNANSWERED = 5
ABORT_TIMEOUT = 60.0
TESTED = (Transport.NVME, Transport.SATA, Transport.SAS, Transport.SCSI)
# smartctl(8), exit status: what says that the test did not begin. The rest is about the drive's past.
NOT_BEGUN = 0b111


@dataclasses.dataclass(frozen=True)
class Pace:
    """Seconds: between two questions in a short and in a long test, and until a drive says that it tests itself.

    A drive has its estimate times `patience`, and `grace`: the estimate is for one that does nothing else, and this
    one may have been busy before.
    """

    short: float = 5.0
    long: float = 60.0
    begin: float = 30.0
    patience: float = 2.0
    grace: float = 600.0
    watching: float = 0.2


def run_selftests(context: Context, inventory: Inventory, kind: str, pace: Pace = Pace()) -> list[Finding]:
    """Have every drive test itself, side by side; `kind` is short or long. Raises Cancelled once all were told to end.

    Takes as long as the slowest drive says, and twice that at most.
    """
    devices = choose_drives(inventory.disks)
    able = [device for device in devices if device.self_tests and device.self_tests.offered]
    watches = [Watch(context, device, kind, pace) for device in able]
    threads = [
        threading.Thread(target=watch.run, name=f"selftest-{watch.device.name}", daemon=True) for watch in watches
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + max((watch.limit for watch in watches), default=0.0) + ABORT_TIMEOUT
    while any(thread.is_alive() for thread in threads) and time.monotonic() < end:
        if context.cancel.wait(pace.watching):
            end = min(end, time.monotonic() + ABORT_TIMEOUT)
            _join(threads, end)
            break
    # Those that watch see it as well, and may all be gone before this loop does.
    if context.cancel.is_set():
        raise Cancelled("cancelled")
    unable = [device for device in devices if device not in able]
    found = [watch.finding for watch in watches]
    return found + [_tell_unable(device) for device in unable]


def _tell_unable(device: Device) -> Finding:
    """A drive without a self-test has not failed one; of one that was not asked nobody knows."""
    if device.self_tests is None or device.self_tests.offered is None:
        return TEST_UNKNOWN.found(device.label, "whether it has a self-test is not known: none was begun")
    return TEST_NOT_OFFERED.found(device.label, "it has no self-test: not measured")


def _join(threads: Sequence[threading.Thread], end: float) -> None:
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0.0))


def choose_drives(devices: Sequence[Device]) -> list[Device]:
    """The drives that can be asked, each once: namespaces of one controller are tested together. Pure."""
    chosen: dict[object, Device] = {}
    for device in devices:
        if device.transport in TESTED and not device.volume and device.answer in (Answer.GIVEN, Answer.NONE):
            chosen.setdefault(device.controllers[:1] or device.name, device)
    return list(chosen.values())


def find_new(before: Sequence[SelfTest], after: Sequence[SelfTest]) -> SelfTest | None:
    """The newest entry of a log where it was not there before. Pure.

    A log that is full drops its oldest entry, so it has changed, and is no longer than it was.
    """
    return after[0] if after and tuple(after) != tuple(before) else None


class NotBegun(Exception):
    """The drive did not take the command, or does not test itself."""


class Watch:
    """One drive's self-test, from its start to its result; `run` never raises, `finding` says what became of it."""

    def __init__(self, context: Context, device: Device, kind: str, pace: Pace) -> None:
        tests = device.self_tests or SelfTests()
        given = tests.short if kind == "short" else tests.long
        self.device = device
        self.estimate = float(given or (SHORT if kind == "short" else LONG))
        self.limit = self.estimate * pace.patience + pace.grace
        self._pace = pace
        self.finding = TEST_UNKNOWN.found(device.label, f"the {kind} self-test did not end, and was left behind")
        self._context = context
        self._kind = kind
        self._drive = _Drive(device)

    def run(self) -> None:
        try:
            self.finding = self._test(self._context.host)
        except Cancelled:
            self._abort()
        except (NotBegun, CommandError) as error:
            self.finding = TEST_UNKNOWN.found(self.device.label, f"the {self._kind} self-test did not begin: {error}")
        except Exception as error:  # what is wrong with one drive's answers must not cost the others their tests
            log.exception("Failed to watch the self-test of %s", self.device.name)
            self.finding = TEST_UNKNOWN.found(self.device.label, f"Failed to watch the self-test: {error}")

    def _test(self, host: Host) -> Finding:
        before = self._drive.ask(host)
        if before is None:
            raise NotBegun("the drive tells nothing of its self-tests")
        was_running = bool(before.running)
        if not was_running:
            self._drive.start(host, self._kind)
        started = time.monotonic()
        unanswered = 0
        while time.monotonic() - started < self.limit:
            host.pause(
                min(self._pace.short if self._kind == "short" else self._pace.long, max(self.estimate / 20, 0.2))
            )
            now = self._drive.ask(host)
            unanswered = unanswered + 1 if now is None else 0
            if unanswered >= UNANSWERED:
                return TEST_UNKNOWN.found(self.device.label, "the drive no longer answers; its self-test is unknown")
            if now is None:
                continue
            new = find_new(before.log, now.log)
            if new and not now.running:
                return self._judge(new, was_running)
            spent = time.monotonic() - started
            if not now.running and spent > self._pace.begin:
                raise NotBegun("neither does one run, nor is there a new one in the drive's log")
            self._tell(now, spent)
        self._abort()
        summary = f"the {self._kind} self-test did not end within {self.limit:.0f} s, and was ended: run it again"
        return TEST_UNKNOWN.found(self.device.label, summary, limit=self.limit)

    def _tell(self, now: SelfTests, spent: float) -> None:
        """How far it is: by the drive's word, or else by its estimate."""
        done = 100.0 - now.remaining if now.remaining is not None else min(100 * spent / self.estimate, 99.0)
        left = max(self.estimate - spent, self.estimate * (100 - done) / 100)
        self._context.progress(self.device.name, done, 100.0, "%", "self-test", eta=round(left))

    def _judge(self, test: SelfTest, was_running: bool) -> Finding:
        label, whose = self.device.label, "that ran already" if was_running else "that was asked for"
        measured = {"says": test.says, "hours": test.hours, "lba": test.lba}
        if test.result is TestResult.PASSED:
            return TEST_PASSED.found(label, f"the {test.kind} self-test {whose} passed", **measured)
        if test.result is TestResult.FAILED:
            at = f" at block {test.lba}" if test.lba is not None else ""
            summary = f"the {test.kind} self-test {whose} failed: {test.says}{at}: replace the drive"
            return TEST_FAILED.found(label, summary, **measured)
        summary = f"the {test.kind} self-test {whose} says nothing of the drive: {test.says}; run it again"
        return TEST_UNKNOWN.found(label, summary, **measured)

    def _abort(self) -> None:
        """End the test; by a door of its own, since the run's is closed once it is cancelled."""
        try:
            self._drive.abort(self._context.host.cancelled_by(threading.Event()))
        except (NotBegun, CommandError) as error:
            log.warning("Failed to end the self-test of %s, ignoring: %s", self.device.name, error)


class _Drive:
    """The commands of one drive, by its protocol."""

    def __init__(self, device: Device) -> None:
        self._is_nvme = device.transport is Transport.NVME and bool(device.controllers)
        self._path = f"/dev/{device.controllers[0]}" if self._is_nvme else device.path
        self._words = device.smartctl
        self._is_hidden = len(device.smartctl) > 1

    def start(self, host: Host, kind: str) -> None:
        """Raises NotBegun where the drive refuses."""
        if self._is_nvme:
            self._tell_nvme(host, {"short": "1", "long": "2"}[kind])
        else:
            self._tell_smartctl(host, f"--test={kind}")

    def abort(self, host: Host) -> None:
        if self._is_nvme:
            self._tell_nvme(host, "0xf")
        else:
            self._tell_smartctl(host, "--abort")

    def ask(self, host: Host) -> SelfTests | None:
        """What the drive says of its tests now; None where it does not answer."""
        try:
            if self._is_nvme:
                argv = ["nvme", "self-test-log", self._path, "--output-format=json"]
                return parse_nvme_tests(host.run(argv, timeout=QUESTION_TIMEOUT, success=None).stdout)
            argv = ["smartctl", "--json=c", "--capabilities", "--log=selftest", *self._words]
            page = parse_page(host.run(argv, timeout=QUESTION_TIMEOUT, success=None).stdout)
            if page.protocol != "SCSI" or self._is_hidden:
                return read_scsi_tests(page) if page.protocol == "SCSI" else read_ata_tests(page)
            # Before release 7.3 smartctl had nothing of it in JSON.
            argv = ["sg_logs", "--page=0x10", self._path]
            return read_scsi_tests(page) or parse_scsi_tests(
                host.run(argv, timeout=QUESTION_TIMEOUT, success=None).stdout
            )
        except (CommandError, BadPage):
            return None

    def _tell_smartctl(self, host: Host, what: str) -> None:
        said = host.run(["smartctl", "--json=c", what, *self._words], timeout=QUESTION_TIMEOUT, success=None)
        status = (said.status if said.status is not None else NOT_BEGUN) & NOT_BEGUN
        if status:
            try:
                messages = parse_page(said.stdout).messages
            except BadPage:
                messages = ()
            raise NotBegun("; ".join(messages or describe_status(status)))

    def _tell_nvme(self, host: Host, code: str) -> None:
        # All namespaces: a controller tests itself as a whole.
        argv = ["nvme", "device-self-test", self._path, "--namespace-id=0xffffffff", f"--self-test-code={code}"]
        said = host.run(argv, timeout=QUESTION_TIMEOUT, success=None)
        if said.status != 0:
            words = (said.stderr.strip() or said.stdout.strip()).splitlines()
            raise NotBegun(words[-1][:200] if words else f"nvme ended with {said.status}")
