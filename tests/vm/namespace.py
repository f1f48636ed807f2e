"""Does things inside a network namespace: sockets and children belong to that of the thread that makes them."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import Callable, TypeVar

Result = TypeVar("Result")

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # linux/sched.h


def run_inside(name: str, function: Callable[[], Result]) -> Result:
    """What `function` returns, or raises, inside the namespace of this name; what it opens or starts stays there."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with open(NAMESPACES / name) as namespace:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns {name}")
            results.append(function())
        except BaseException as error:  # raised again by the one who waits
            errors.append(error)

    # A namespace belongs to a thread: one that ends right after this takes nobody else along.
    helper = threading.Thread(target=enter, name=f"inside-{name}")
    helper.start()
    helper.join()
    if errors:
        raise errors[0]
    return results[0]
