"""`liveagent plan`: what this boot asks for, and what would be done."""

from __future__ import annotations

from liveagent.bootnote import BOOT_ID, KeptDocument
from liveagent.command import frame
from liveagent.command.run import read_boot_environment
from liveagent.events import EXIT_USAGE
from liveagent.lock import BootMark
from liveagent.machine.live import probe_live
from liveagent.order import take_request
from liveagent.plan import Plan, make_plan
from liveagent.tasks import Registry


def show(shell: frame.Shell, as_json: bool) -> int:
    """The plan, or every fault; the exit status."""
    kept = KeptDocument(shell.host, shell.places.runtime)
    request, _ = take_request(shell.host, shell.config, read_boot_environment(shell.host), frame.tell, kept)
    made = make_plan(request, Registry(shell.host))
    if as_json:
        frame.print_json(made.encode())
    else:
        _show_plan(shell, made)
    return EXIT_USAGE if made.faults else 0


def _say(text: str) -> None:
    """A line of the answer: words of a boot and of scripts are in it, and may hold anything."""
    frame.tell(text, err=False)


def _show_plan(shell: frame.Shell, made: Plan) -> None:
    for notice in made.notices:
        _say(f"note: {notice}")
    taken = _find_taken(shell)
    if taken:
        _say(f"note: this boot's plan was taken already, by run {taken}; `liveagent run --as-booted` takes it again")
    holder = frame.find_holder(shell)
    if holder:
        frame.tell_holder(holder, err=False)
    if made.faults:
        _say(f"SPEEDISO={made.word}: nothing would run:")
        for fault in made.faults:
            _say(f"  {fault}")
        return
    for unit in made.units:
        _say(f"{unit}: left to the operator's own {unit}.service")
    if not made.steps:
        _say("idle: this boot asks for no task; the system would stay up with SSH")
        return
    frame.tell_look()
    frame.show_previews(shell, made, err=False)
    if made.is_destructive and not _is_live(shell):
        _say(
            "NOTE: this is not the live system. Booted into it, nothing is mounted, and `all` means every local disk"
            " that is not left out: ask again there, booted without SPEEDISO, to see what would be erased."
        )
    if made.settings.expect_serial:
        _say(f"Everything is refused on a machine whose serial is not {made.settings.expect_serial}.")
    # Of a plan that was taken nothing begins by itself: who takes it again is asked.
    if made.is_destructive and not taken:
        _say(f"A countdown of {made.settings.countdown:g} s is shown before the first destructive task.")
    targets = [url for urls in made.settings.callbacks.values() for url in urls]
    _say(f"reported to: {', '.join(targets) or 'nobody; the result stays on this machine'}")
    _say(f"then: {made.settings.then}")


def _find_taken(shell: frame.Shell) -> str:
    """The run that took this boot's plan; "" where none did, or where another machine or configuration is looked at."""
    if not shell.is_plain:
        return ""
    mark = BootMark(shell.places.runtime, shell.host.read_or(BOOT_ID)).read()
    return str(mark.get("run") or "") if mark else ""


def _is_live(shell: frame.Shell) -> bool:
    return probe_live(shell.host).is_live and shell.host.is_real
