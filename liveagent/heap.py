"""What the C library keeps of memory that was freed: a service that waits for weeks gives it back.

Another C library than glibc has no such calls, and is left as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

# mallopt(3): the most heaps that there are for threads to have one each.
M_ARENA_MAX = -8


def keep_one() -> None:
    """Have all threads share one heap: a run has dozens, and what each leaves behind is never whole pages."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def give_back() -> None:
    """Return to the system what nobody uses any more."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
