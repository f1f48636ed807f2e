"""`status` at a glance: the service's answer is what the command would say itself, and nothing hangs on it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from liveagent.glance import JSON, NAME, RUNTIME, TEXT, ask
from liveagent.glance.service import Glance
from liveagent.host import Host
from liveagent.lock import Lock
from liveagent.places import Places, choose_places

RUN = "20260101T000000Z-aaaaaa"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    for name in ("LIVEAGENT_STATE_DIR", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIVEAGENT_RUNTIME_DIR", str(tmp_path / "run"))
    return Places(tmp_path / "state", tmp_path / "run")


@pytest.fixture
def glance(places: Places) -> Iterator[Glance]:
    made = Glance(Host(), places)
    made.start()
    yield made
    made.stop()


def look(*words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, *python, "-m", "liveagent", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


@pytest.mark.usefixtures("glance")
def test_the_service_says_what_the_command_says(places: Places) -> None:
    """In a run and at rest, to people and to programs."""
    state = ("--state", str(places.state))
    for words in (("status",), ("status", "--json")):
        assert look(*words).stdout == look(*state, *words).stdout != ""
        with Lock(places.runtime).held(RUN, "wipe", places.runs / RUN):
            asked = look(*words).stdout
            assert RUN in asked and asked == look(*state, *words).stdout
    assert json.loads(ask(JSON) or "")["state"] == "idle"


@pytest.mark.usefixtures("glance")
def test_no_word_is_broken_on_a_terminal() -> None:
    """It is what people type first, on 80 columns. Who pipes it away gets each line whole."""
    wide = ask(TEXT) or ""
    for width in (40, 80):
        narrow = ask(b"text %d\n" % width) or ""
        assert narrow.split() == wide.split() and max(map(len, narrow.splitlines())) < width
    assert ask(b"text 12345\n") is None and ask(b"tex") is None
    assert len(wide.splitlines()) == 1 and len(wide) > 40


def test_the_place_is_the_services() -> None:
    """It is written twice, since to ask for it would cost what is to be saved."""
    assert choose_places("", {}).runtime == Path(RUNTIME)


@pytest.mark.usefixtures("glance")
def test_nothing_heavy_is_imported_to_ask() -> None:
    """That is what it is for."""
    done = look("status", python=("-X", "importtime"))
    assert done.stdout.startswith("idle")
    assert not any(name in done.stderr for name in ("click", "dataclasses", "inspect", "liveagent.cli"))


def test_only_root_and_the_group_may_ask(glance: Glance, places: Places) -> None:
    mode = (places.runtime / NAME).stat().st_mode
    assert stat.S_ISSOCK(mode) and not mode & 0o007
    glance.stop()
    assert not (places.runtime / NAME).exists()


def test_where_nobody_answers_the_command_looks_itself(places: Places) -> None:
    """No service, one that was killed and left its socket, one that hangs, and one that ends in the middle."""
    assert ask(TEXT) is None
    places.runtime.mkdir()
    path = str(places.runtime / NAME)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        assert ask(TEXT) is None
        listening.listen()
        assert ask(TEXT) is None

        def break_off() -> None:
            # The one that gave up waiting comes first.
            for _ in range(2):
                asking, _ = listening.accept()
                with asking, contextlib.suppress(OSError):
                    asking.sendall(b"idle; the last")

        breaking = threading.Thread(target=break_off)
        breaking.start()
        assert ask(TEXT) is None
        breaking.join(10)
    assert look("status").stdout.startswith("idle")
    # Its socket is in nobody's way.
    service = Glance(Host(), places)
    service.start()
    assert (ask(TEXT) or "").startswith("idle")
    service.stop()


@pytest.mark.usefixtures("glance")
def test_another_state_is_not_the_services(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEAGENT_STATE_DIR", str(places.state))
    assert ask(TEXT) is None


@pytest.mark.usefixtures("glance")
def test_who_says_nothing_or_nonsense_is_no_bother(places: Places) -> None:
    path = str(places.runtime / NAME)
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as odd:
        odd.connect(path)
        odd.sendall(os.urandom(64))
        silent.connect(path)
        silent.shutdown(socket.SHUT_WR)
        assert (ask(TEXT) or "").startswith("idle")
