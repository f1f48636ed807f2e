"""Taking apart what stands on the disks that are wiped: which layers, in which order, and by what commands.

Nothing here writes to a disk: arrays are stopped and volumes closed, their members stay as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Callable

from liveagent.host import CommandError, CommandNotFound, Completed, Host
from liveagent.machine.stack import Layer, find_owner, sort_layers
from liveagent.machine.use import UseKind
from liveagent.tasks.wipe.guards import Reason

# What is taken apart, and the word for it. Of other device-mapper devices it is not known what they are for.
VERBS = {
    UseKind.MD: "stop",
    UseKind.LVM: "deactivate",
    UseKind.CRYPT: "close",
    UseKind.MULTIPATH: "remove",
    UseKind.BCACHE: "stop",
    UseKind.ZFS: "export",
}
# Closing waits for what is still to be written; a pool writes all that it has in memory.
TIMEOUT = 120.0
SETTLE = 10
# udev may put together again what was taken apart, and does so within its next few events.
ROUNDS = 3
BCACHE_WAIT = 30.0
POLL = 0.1


@dataclasses.dataclass(frozen=True)
class Dismantling:
    """`steps` are taken apart, topmost first. `held` are disks, by name, that must not be wiped after all."""

    steps: tuple[Layer, ...] = ()
    held: Mapping[str, tuple[Reason, ...]] = dataclasses.field(default_factory=dict)


def choose_steps(layers: Sequence[Layer], wanted: Collection[str]) -> Dismantling:
    """What has to be taken apart before the disks `wanted` (kernel names) can be wiped. Pure.

    A layer that is in use, of an unknown sort, or that reaches another disk holds all its disks. Each disk that
    falls out takes along those that it shares a layer with, until nothing falls any more.
    """
    left = set(wanted)
    held: dict[str, tuple[Reason, ...]] = {}
    while True:
        fallen: dict[str, list[Reason]] = {}
        for layer, text in _find_obstacles(layers, left, wanted):
            for disk in left.intersection(layer.disks):
                fallen.setdefault(disk, []).append(Reason(f"wipe.guard.{layer.kind.value}", text))
        if not fallen:
            break
        held.update({disk: tuple(dict.fromkeys(reasons)) for disk, reasons in fallen.items()})
        left -= set(fallen)
    return Dismantling(tuple(layer for layer in sort_layers(layers) if left.intersection(layer.disks)), held)


def _find_obstacles(layers: Sequence[Layer], left: Collection[str], wanted: Collection[str]) -> list[tuple[Layer, str]]:
    """Each layer that cannot be taken apart, with the reason."""
    by_name = {layer.name: layer for layer in layers}
    found = []
    for layer in layers:
        found += [(layer, f"{layer.words} {use}") for use in layer.in_use]
        if layer.kind not in VERBS:
            found.append((layer, f"{layer.words} is of a sort that is not taken apart"))
        foreign = set(layer.disks).difference(left)
        below = [owner for device in layer.below if (owner := find_owner(device, by_name))]
        # What a layer below reaches, this one reaches too: said once, of the lowest.
        for disk in sorted(foreign.difference(*(owner.disks for owner in below))):
            why = "is refused" if disk in wanted else "is not to be wiped"
            found.append((layer, f"{layer.words} also stands on {disk}, which {why}"))
    return found


def render_steps(steps: Sequence[Layer]) -> list[str]:
    """What is done, for people: `close dm-crypt luks-home`, `stop md127 (RAID1)`."""
    return [f"{VERBS.get(layer.kind, 'remove')} {layer.words}" for layer in steps]


def take_apart(host: Host, layer: Layer) -> None:
    """Stop or close one layer; nothing is written to its disks by that. Raises CommandError, where it is busy say."""
    if layer.kind is UseKind.MD:
        host.run(["mdadm", "--stop", layer.path], timeout=TIMEOUT)
    elif layer.kind is UseKind.ZFS:
        host.run(["zpool", "export", layer.label], timeout=TIMEOUT)
    elif layer.kind is UseKind.BCACHE:
        _stop_bcache(host, layer)
    elif layer.kind is not UseKind.MULTIPATH or not _flush_map(host, layer):
        # --retry: udev may be looking at it at this moment.
        host.run(["dmsetup", "remove", "--retry", layer.label or layer.name], timeout=TIMEOUT)


def _flush_map(host: Host, layer: Layer) -> bool:
    """Have multipath itself remove its map, so that its daemon knows; whether the map is gone."""
    with contextlib.suppress(CommandNotFound):
        host.run(["multipath", "-f", layer.label or layer.name], timeout=TIMEOUT, success=None)
    return not host.exists(f"/sys/block/{layer.name}")


def _stop_bcache(host: Host, layer: Layer) -> None:
    """The kernel takes the order at once, and carries it out when nothing has the device open any more."""
    is_device = not layer.path.startswith("/sys/")
    directory = f"/sys/block/{layer.name}" if is_device else layer.path
    stop = f"{directory}/bcache/stop" if is_device else f"{directory}/stop"
    try:
        host.write(stop, "1")
    except OSError as error:
        raise _make_error(f"{layer.words} cannot be stopped: {error.strerror}", "write", stop) from None
    for _ in range(round(BCACHE_WAIT / POLL)):
        if not host.exists(directory):
            return
        host.pause(POLL)
    raise _make_error(f"{layer.words} did not stop within {BCACHE_WAIT:g} s", "write", stop)


def take_all_apart(
    host: Host,
    steps: Sequence[Layer],
    probe: Callable[[Host], Sequence[Layer]],
    wanted: Collection[str] = (),
) -> Iterator[str]:
    """Take apart all that stands on the disks of `steps`, and of `wanted`; each thing as it is done, for people.

    It looks with `probe` before and after, since time has passed since the steps were chosen, names change, and
    udev may assemble anew: what came back is taken apart again, three times at most. Raises CommandError where a
    layer is in use by now, reaches another disk, is busy, or always comes back; nothing was erased then.
    """
    disks = {disk for layer in steps for disk in layer.disks} | set(wanted)
    for number in range(ROUNDS + 1):
        _settle(host)
        found = choose_steps(probe(host), disks)
        if found.held:
            texts = dict.fromkeys(reason.text for reasons in found.held.values() for reason in reasons)
            raise _make_error(f"what stands on the disks has changed: {'; '.join(texts)}", "take apart")
        if not found.steps:
            return
        if number < ROUNDS:
            for layer, text in zip(found.steps, render_steps(found.steps)):
                take_apart(host, layer)
                yield text
    names = ", ".join(layer.words for layer in found.steps)
    raise _make_error(f"{names} came back each of {ROUNDS} times", "take apart")


def _settle(host: Host) -> None:
    """Wait until udev has nothing left to do; where it does not run there is nothing to wait for."""
    with contextlib.suppress(CommandError):
        host.run(["udevadm", "settle", f"--timeout={SETTLE}"], timeout=2 * SETTLE, success=None)


def _make_error(text: str, *argv: str) -> CommandError:
    """A failure that no command printed, in the form in which a command's arrives."""
    return CommandError(text, Completed(argv, None, "", "", 0.0))
