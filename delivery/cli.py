"""What a person, or a build job, types."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, NoReturn

from delivery.address import Access, open_place, parse_address
from delivery.build import Build, read_build
from delivery.layout import Name, check_job, make_folder, make_pin, parse_number
from delivery.listing import probe_listing, render_listing, render_size
from delivery.lock import WAIT, break_lock, hold
from delivery.place import Fault, NotThere, Place
from delivery.publish import Order, probe_branch, publish
from delivery.release import Moved, make_mark, move, readmit, verify, withdraw
from delivery.signature import check_signatures
from delivery.tree import KEEP, Tree, choose_earlier, choose_target, describe_builds, probe_folders, probe_tree

DONE, FAILED, USAGE = 0, 1, 2
PLACE = "DELIVER_TO"
SIGNERS = "DELIVER_SIGNERS"

ABOUT = """\
Brings numbered builds of the live image to the centre, and says which one the unversioned names lead to.

A PLACE is a folder of this machine, ssh://USER@HOST[:PORT]/PATH (rsync), or ftp:// or ftps://USER@HOST[:PORT]/PATH.
The password for FTP comes from DELIVER_FTP_PASSWORD or ~/.netrc. DELIVER_TO stands in for --to, DELIVER_SIGNERS for
--signers: with it a build is refused that nobody who may has signed."""

AFTER = """\
  deliver warm-up ...   fetch a build through the mirrors before it is released (deliver warm-up --help)

Exit status: 0 done, 1 failed and said why, 2 typed wrongly. What failed moved no link, unless it says so."""


class _Usage(Exception):
    """Typed so that it cannot be meant."""


def main(argv: Sequence[str]) -> int:
    """Run a command; the exit status."""
    # Mirrors are asked over HTTP, and know nothing of places: that command reads its own words.
    if argv[:1] == ["warm-up"]:
        from delivery import warm_up

        return int(warm_up.main(list(argv[1:])))
    given = make_parser().parse_args(argv)
    # Killed by its job, a publisher still takes its upload and its lock away.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        return _run(given)
    except Fault as error:
        tell(f"deliver: {error}")
        return FAILED
    except _Usage as error:
        tell(f"deliver: {error}")
        return USAGE
    except KeyboardInterrupt:
        tell("deliver: stopped; `deliver list` says what is live")
        return FAILED
    except OSError as error:
        tell(f"deliver: {error.filename or 'this machine'}: {error.strerror or error}")
        return FAILED


def _stop(number: int, _: object) -> NoReturn:
    # Once: what is tidied up afterwards is not to be stopped again half-way.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def tell(line: str) -> None:
    """A line for a person; stdout is kept for results."""
    print(line, file=sys.stderr, flush=True)


def _run(given: argparse.Namespace) -> int:
    try:
        if not given.to:
            raise Fault(f"--to PLACE is missing, and {PLACE} is not set")
        address = parse_address(given.to)
        folder = make_folder(given.branch) if given.branch is not None else ""
        if getattr(given, "job", None) is not None:
            check_job(given.job)
    except Fault as error:
        raise _Usage(str(error)) from None
    # Before anything far away is asked: a build that is not right here is not right there.
    build = _read_build(given) if given.command == "publish" else None
    with open_place(address, Access(given.ssh_config, given.ca)) as place:
        if getattr(given, "break_lock", False):
            owner = break_lock(place, folder)
            tell(f"the lock of {owner} was broken" if owner else "there was no lock to break")
        if build:
            return _publish(place, build, given)
        if given.command == "list":
            return _list(place, folder, given)
        _check_branch(place, folder, given.branch)
        commands: dict[str, Callable[[Place, str, argparse.Namespace], int]] = {
            "release": _move, "rollback": _move, "pin": _pin, "unpin": _pin
        }  # fmt: skip
        return commands[given.command](place, folder, given)


def _read_build(given: argparse.Namespace) -> Build:
    build = read_build(Path(given.dir))
    check_signatures(f"build {build.number}", build.texts, given.signers, tell)
    return build


def _check_branch(place: Place, folder: str, branch: str) -> None:
    try:
        owner = probe_branch(place, folder)
    except NotThere:
        there = ", ".join(probe_folders(place)) or "nothing"
        raise NotThere(
            f"{place.describe(folder)} is not there: nothing of {branch!r} is published; there is {there}"
        ) from None
    if owner not in (None, branch):
        raise Fault(f"{place.describe(folder)} belongs to the branch {owner!r}, not to {branch!r}")


# -- commands ---------------------------------------------------------------------------------------


def _publish(place: Place, build: Build, given: argparse.Namespace) -> int:
    order = Order(given.branch, given.job, not given.no_release, given.keep, given.wait)
    tell(f"build {build.number} is whole: {len(build.files)} files, {render_size(build.size)}")
    published = publish(place, build, order, tell)
    folder, name = make_folder(given.branch), published.name
    if published.moved:
        _say_moved(place, given, published.moved)
    else:
        print(f"{folder}: build {name} is at {place.describe(folder)}/{name.path}, and is not live yet")
        print(f"To release it: {_make_command('release', place, given, name)}")
    if published.removed:
        print(f"Removed, since {given.keep} are kept: {', '.join(str(old) for old in published.removed)}")
    return DONE


def _move(place: Place, folder: str, given: argparse.Namespace) -> int:
    """`release N`, `rollback [N]`."""
    target = _choose(probe_tree(place, folder), given)
    while True:
        # It takes seconds, and others may have the lock meanwhile; a numbered build does not change.
        verify(place, folder, target, given.signers, tell)
        with hold(place, folder, f"{given.command} to {target}", tell, given.wait) as held:
            tree = probe_tree(place, folder)
            verified, target = target, _choose(tree, given)
            if target == verified:
                moved = move(held, target, tree.current)
                readmit(place, tree, target)
                if given.command == "rollback":
                    withdraw(place, tree, moved, tell)
                _say_moved(place, given, moved)
                return DONE
        tell(f"{folder} leads to {tree.current} meanwhile, so that the one to go back to is {target}, not {verified}")


def _choose(tree: Tree, given: argparse.Namespace) -> Name:
    """Where `release` and `rollback` lead, as the tree is now."""
    job = given.job or ""
    return choose_target(tree, given.number, job) if given.number else choose_earlier(tree, job)


def _pin(place: Place, folder: str, given: argparse.Namespace) -> int:
    """`pin N`, `unpin N`."""
    with hold(place, folder, f"{given.command} {given.number}", tell, given.wait):
        name = choose_target(probe_tree(place, folder), given.number, given.job or "")
        mark = f"{folder}/{make_pin(name)}"
        if given.command == "pin":
            place.write(mark, make_mark())
        else:
            place.remove(mark)
        print(f"{folder}: {describe_builds(probe_tree(place, folder), name.job)}")
    return DONE


def _list(place: Place, folder: str, given: argparse.Namespace) -> int:
    folders = [folder] if folder else probe_folders(place)
    try:
        links = place.find_links()
    except Fault as error:
        tell(f"Failed to look for links, ignoring; no publication removes anything meanwhile: {error}")
        links = {}
    branches = [probe_listing(place, folder, links, given.keep) for folder in folders]
    if given.json:
        print(json.dumps({"place": place.url, "branches": [branch.encode() for branch in branches]}, indent=2))
    else:
        print("\n".join(render_listing(place, branches)))
    return DONE


# -- words ------------------------------------------------------------------------------------------


def _say_moved(place: Place, given: argparse.Namespace, moved: Moved) -> None:
    was = f" (before: {moved.before})" if moved.before else ""
    print(f"{moved.folder}: build {moved.now} is live at {place.describe(moved.folder)}{was}")
    if moved.before and moved.before != moved.now:
        back = "release" if given.command == "rollback" else "rollback"
        print(f"To go back: {_make_command(back, place, given, moved.before)}")


def _make_command(command: str, place: Place, given: argparse.Namespace, name: Name) -> str:
    words = ["deliver", command, str(name.number), "--job", name.job, "--branch", given.branch, "--to", place.url]
    return " ".join(shlex.quote(word) for word in words)


def make_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        prog="deliver", description=ABOUT, epilog=AFTER, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, about: str, moves: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        command.add_argument(
            "--to", "--at", metavar="PLACE", default=os.environ.get(PLACE), help=f"the place (or {PLACE})"
        )
        command.add_argument("--branch", required=moves, help="the git branch: its tree is live-BRANCH")
        command.add_argument("--ssh-config", metavar="FILE", default="", help="for ssh://, instead of the user's own")
        command.add_argument("--ca", metavar="FILE", default="", help="the CA of an ftps:// server's certificate")
        if moves:
            command.add_argument(
                "--wait", type=float, default=WAIT, metavar="SECONDS", help="for the tree's lock (%(default)s)"
            )
            command.add_argument("--break-lock", action="store_true", help="take the lock from whoever has it")
        return command

    def add_signers(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--signers", metavar="FILE", default=os.environ.get(SIGNERS, ""),
            help=f"who may sign a build: an OpenSSH allowed-signers file (or {SIGNERS})",
        )  # fmt: skip

    def add_keep(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--keep", type=_count, default=KEEP, metavar="COUNT", help="good builds of a job (%(default)s)"
        )

    command = add("publish", "check a build, send it, verify it there and release it")
    command.add_argument("dir", metavar="DIR", help="the build's folder, with build.json and SHA256SUMS")
    command.add_argument("--job", required=True, help="the job that made it")
    command.add_argument("--no-release", action="store_true", help="leave the links where they are")
    add_keep(command)
    add_signers(command)
    command = add("release", "move all unversioned names to a build that is at the centre")
    command.add_argument("number", type=_number, metavar="N")
    command.add_argument("--job", help="that of the current build unless named")
    add_signers(command)
    command = add("rollback", "move all unversioned names back, to build N or the last good one before the current")
    command.add_argument("number", type=_number, metavar="N", nargs="?")
    command.add_argument("--job", help="that of the current build unless named")
    add_signers(command)
    for name, about in (("pin", "keep a build whatever is published later"), ("unpin", "no longer keep it")):
        command = add(name, about)
        command.add_argument("number", type=_number, metavar="N")
        command.add_argument("--job", help="that of the current build unless named")
    command = add("list", "show what is live where", moves=False)
    command.add_argument("--json", action="store_true", help="one document for programs")
    add_keep(command)
    return parser


def _number(text: str) -> int:
    number = parse_number(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no build number")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: at least 1 is kept")
    return int(text)
