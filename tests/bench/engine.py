"""The overwrite engine by itself, in a process of its own: `engine.py PLACE write|verify PATTERN DEVICE…`.

What is timed is what `dd` does too: from the first byte to the last, and the drive's cache put down. Starting Python,
looking at the machine and arming the disks are not in it. Prints JSON: wall seconds, processor seconds, errors.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from pathlib import Path

from liveagent.host import Host
from liveagent.machine.disks import probe_disk
from liveagent.tasks.wipe.flow import Flow, spans
from liveagent.tasks.wipe.guards import Armed, Refusal, arm
from liveagent.tasks.wipe.overwrite import Damage, Medium
from liveagent.tasks.wipe.pattern import make_pattern

KEY = bytes(16)


def is_scratch(device: str, place: str) -> bool:
    """Whether a device is a loop over a file in the bench's own directory; nothing else is ever written to."""
    if not device.startswith("/dev/loop"):
        return False
    backing = Path(f"/sys/block/{Path(device).name}/loop/backing_file")
    return backing.exists() and Path(backing.read_text().strip()).parent == Path(place)


def move(armed: Armed, verb: str, name: str, damage: Damage) -> None:
    pattern = make_pattern(name, KEY)
    with Medium(armed) as medium:
        work = medium.writer(pattern, damage) if verb == "write" else medium.checker(pattern, damage)
        if verb == "verify":
            medium.drop_caches()
        Flow(spans(0, armed.disk.size), work, lambda length: None, lambda: None).run()
        if verb == "write":
            medium.flush()


def main() -> None:
    place, verb, pattern, *devices = sys.argv[1:]
    assert devices and all(is_scratch(device, place) for device in devices)
    host, damage = Host(), Damage()
    with contextlib.ExitStack() as stack:
        armed = []
        for device in devices:
            disk = probe_disk(host, Path(device).name)
            assert disk is not None
            answer = stack.enter_context(arm(host, disk))
            assert not isinstance(answer, Refusal), answer
            armed.append(answer)
        threads = [threading.Thread(target=move, args=(one, verb, pattern, damage)) for one in armed]
        wall, processor = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        figures = [time.perf_counter() - wall, time.process_time() - processor, len(damage.troubles)]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
