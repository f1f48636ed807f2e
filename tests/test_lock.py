"""One run at a time, one boot plan a boot: tried between real processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from liveagent.lock import BootMark, Busy, Holder, Lock
from tests.conftest import REPOSITORY

HOLD = """
import sys, time
from pathlib import Path
from liveagent.lock import Lock
with Lock(Path(sys.argv[1])).held("RUN-1", "wipe,burnin", Path("/runs/RUN-1")):
    print("held", flush=True)
    time.sleep(600)
"""
BOOT = "8c6d5a5e-0000-4000-8000-000000000001"
OTHER_BOOT = "8c6d5a5e-0000-4000-8000-000000000002"


@contextlib.contextmanager
def another_process(runtime: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until it is ended."""
    argv = [sys.executable, "-c", HOLD, str(runtime)]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()
            process.wait(30)


def hold(lock: Lock, run: str = "RUN-2") -> contextlib.AbstractContextManager[None]:
    return lock.held(run, "wipe", Path("/runs") / run)


def test_one_at_a_time(tmp_path: Path) -> None:
    """A second run does not begin, and is told who is on and what to do."""
    lock = Lock(tmp_path)
    with another_process(tmp_path) as process:
        with pytest.raises(Busy) as caught, hold(lock):
            pytest.fail("two runs at once")
        assert caught.value.holder == Holder(process.pid, "RUN-1", "wipe,burnin", "/runs/RUN-1") == lock.holder()
        for word in ("RUN-1", "wipe,burnin", str(process.pid), "liveagent cancel"):
            assert word in str(caught.value)
        # Being told no does not take the text away from the others.
        assert lock.holder() is not None


def test_killed_holder(tmp_path: Path) -> None:
    """flock decides: what a killed agent left in the file holds nobody up, and names nobody."""
    with another_process(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        assert "RUN-1" in (tmp_path / "lock").read_text()
        assert Lock(tmp_path).holder() is None
        with hold(Lock(tmp_path)):
            assert Lock(tmp_path).holder() == Holder(os.getpid(), "RUN-2", "wipe", "/runs/RUN-2")


def test_free_again(tmp_path: Path) -> None:
    """After a run, also one that raised, the next can begin."""
    lock = Lock(tmp_path / "made" / "when needed")
    assert lock.holder() is None
    with pytest.raises(ZeroDivisionError), hold(lock):
        raise ZeroDivisionError
    assert lock.holder() is None
    with hold(lock, "RUN-3"):
        with pytest.raises(Busy, match="RUN-3"), hold(lock):
            pytest.fail("two runs at once")
        holder = lock.holder()
        assert holder and holder.run == "RUN-3"
    assert lock.holder() is None


def test_threads_of_one_process(tmp_path: Path) -> None:
    """The lock holds between threads as well: of eight that come at once one has it."""
    barrier, taken, busy = threading.Barrier(8), threading.Semaphore(0), threading.Semaphore(0)
    done = threading.Event()

    def run() -> None:
        barrier.wait(30)
        try:
            with hold(Lock(tmp_path)):
                taken.release()
                done.wait(30)
        except Busy:
            busy.release()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(7):
        assert busy.acquire(timeout=30)
    assert taken.acquire(timeout=30)
    done.set()
    for thread in threads:
        thread.join(30)
    assert not taken.acquire(blocking=False)


def test_status_does_not_hold_a_run_up(tmp_path: Path) -> None:
    """Who asks who is on takes the lock for a moment; a run that begins then is not refused."""
    lock = Lock(tmp_path)
    with hold(lock):
        pass
    with (tmp_path / "lock").open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        timer = threading.Timer(0.03, fcntl.flock, (asking, fcntl.LOCK_UN))
        timer.start()
        with hold(lock):
            holder = lock.holder()
        timer.join()
    assert holder and holder.run == "RUN-2"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1}', "\N{REPLACEMENT CHARACTER}"])
def test_text_that_tells_nothing(tmp_path: Path, text: str) -> None:
    """Whatever stands in the file, it is flock that decides."""
    (tmp_path / "lock").write_text(text, encoding="utf-8")
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another process"), hold(Lock(tmp_path)):
            pytest.fail("two runs at once")
    with hold(Lock(tmp_path)):
        holder = Lock(tmp_path).holder()
    assert holder and holder.run == "RUN-2"


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """Without a lock nothing runs; the error says where."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as caught, hold(Lock(tmp_path / "file" / "run")):
        pytest.fail("a run without a lock")
    assert str(tmp_path / "file") in str(caught.value.filename)


def test_cancel_reaches_the_holder(tmp_path: Path) -> None:
    """Cancel is a SIGUSR1 to the process that holds the lock, and to no other."""
    with another_process(tmp_path) as process:
        holder = Lock(tmp_path).holder()
        assert holder
        holder.cancel()
        assert process.wait(30) == -signal.SIGUSR1


# -- the mark ---------------------------------------------------------------------------------------


def test_mark(tmp_path: Path) -> None:
    """What was noted in this boot is read again, by any process, and as a whole."""
    mark = BootMark(tmp_path / "made", BOOT)
    assert mark.read() is None
    mark.write("RUN-1", Path("/runs/RUN-1"))
    assert BootMark(tmp_path / "made", BOOT).read() == {"boot_id": BOOT, "run": "RUN-1", "directory": "/runs/RUN-1"}
    assert os.listdir(tmp_path / "made") == ["boot-plan"]


def test_mark_of_another_boot(tmp_path: Path) -> None:
    """A runtime directory that outlived the boot does not keep the next boot from its plan."""
    BootMark(tmp_path, OTHER_BOOT).write("RUN-1", Path("/runs/RUN-1"))
    mark = BootMark(tmp_path, BOOT)
    assert mark.read() is None
    mark.write("RUN-2", Path("/runs/RUN-2"))
    assert json.loads(mark.path.read_text())["boot_id"] == BOOT


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"1", b'"text"', b"\xff\xfe", b"{}", b'{"run": "RUN-1"}', b'{"boot_id": ""}']
)
def test_mark_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    """A mark that says nothing counts as taken: better nothing runs than the same twice."""
    mark = BootMark(tmp_path, BOOT)
    mark.path.write_bytes(content)
    assert mark.read() is not None


def test_mark_that_is_no_file(tmp_path: Path) -> None:
    """So does one that cannot be opened."""
    mark = BootMark(tmp_path, BOOT)
    mark.path.mkdir()
    assert mark.read() is not None


def test_unknown_boot(tmp_path: Path) -> None:
    """Where this boot has no name, any mark counts."""
    BootMark(tmp_path, BOOT).write("RUN-1", Path("/runs/RUN-1"))
    assert BootMark(tmp_path, "").read() is not None


def test_mark_that_cannot_be_written(tmp_path: Path) -> None:
    """Then it raises, and nothing may run."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        BootMark(tmp_path / "file", BOOT).write("RUN-1", Path("/runs/RUN-1"))
