"""What is special to a place behind ssh: names with spaces and quotes, hosts that are not who they were, dead lines."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest

from delivery.address import Access, open_place, parse_address
from delivery.place import Exists, Fault, Kind, NotThere, Place
from delivery.ssh import SshPlace
from tests.delivery.conftest import Centre, MakeBuild, MakeCentre, wait_for


@pytest.fixture
def far(make_centre: MakeCentre) -> Centre:
    return make_centre("ssh")


def test_path_that_a_shell_would_split(far: Centre, make_build: MakeBuild) -> None:
    """A place's path may hold what a shell and rsync would take apart; it is one path all the way."""
    name = 'it\'s a $(touch x); `id` "place" *'
    (far.path / name).mkdir()
    odd = dataclasses.replace(far, url=f"{far.url}/{quote(name)}", path=far.path / name)
    odd.have(make_build(1), make_build(2))
    assert odd.numbers == [1, 2] and odd.current.endswith("/2")
    assert os.listdir(far.path) == [name]


def test_unknown_host_key(far: Centre, tmp_path: Path) -> None:
    """A host with a key that nobody knows is not talked to."""
    config = tmp_path / "config"
    text = Path(far.access.ssh_config).read_text()
    config.write_text(text.replace("UserKnownHostsFile ", f"UserKnownHostsFile {tmp_path}/none #"))
    with pytest.raises(Fault, match="Failed to reach .*Host key verification failed"):
        open_place(parse_address(far.url), Access(str(config)))
    assert os.listdir(far.path) == []


def test_nobody_there(far: Centre) -> None:
    """A server that does not answer is said with its address, and no folder of ours stays behind."""
    before = set(Path(tempfile.gettempdir()).glob("deliver-*"))
    port = far.url.split(":")[2].split("/")[0]
    with pytest.raises(Fault, match=r"Failed to reach ssh://.*Connection refused"):
        open_place(parse_address(far.url.replace(port, "1")), far.access)
    assert set(Path(tempfile.gettempdir()).glob("deliver-*")) <= before


def test_password_is_never_asked_for(far: Centre, tmp_path: Path) -> None:
    """Without a key there is an error, not a prompt that a build job would wait at."""
    config = tmp_path / "config"
    config.write_text(Path(far.access.ssh_config).read_text().replace("IdentityFile ", "IdentityFile /nowhere #"))
    with pytest.raises(Fault, match="Permission denied"):
        open_place(parse_address(far.url), Access(str(config)))


def test_rsync_is_missing_there(far: Centre, make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without rsync is said, and the folder that was made for the upload is gone again."""
    fake = far.path.parent / "bin"
    fake.mkdir()
    (fake / "rsync").write_text(f'#!/bin/sh\nexec {shutil.which("rsync")} --rsync-path=/nowhere/rsync "$@"\n')
    (fake / "rsync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    with pytest.raises(Fault, match="/nowhere/rsync"):
        far.have(make_build(1))
    assert far.hidden == [] and far.numbers == []


def test_line_goes_dead(far: Centre, make_build: MakeBuild) -> None:
    """A connection that ends in the middle is an error of that step, not a wait without end."""
    with far.open() as place:
        assert isinstance(place, SshPlace) and place._shell
        place._shell.kill()
        with pytest.raises(Fault, match="Failed to reach"):
            place.list_folder("")


def test_nothing_outlives_a_publisher(far: Centre) -> None:
    """The connection of a publisher that is killed ends at both ends."""
    waiting = far.path / "live-main" / ".lock"
    waiting.mkdir(parents=True)
    (waiting.parent / "builds" / "speedtest").mkdir(parents=True)
    publisher = far.start("pin", 1)
    assert publisher.stdout and "waiting for" in publisher.stdout.readline()
    children = Path(f"/proc/{publisher.pid}/task/{publisher.pid}/children").read_text().split()
    assert children
    publisher.kill()
    publisher.communicate(timeout=20)
    wait_for(lambda: not any(is_running(int(pid)) for pid in children), "the end of the connection")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kind", ["local", "ssh", "ftp"])
def test_one_behaviour(make_centre: MakeCentre, monkeypatch: pytest.MonkeyPatch, kind: str, tmp_path: Path) -> None:
    """All ways to a place answer the same questions the same."""
    centre = make_centre(kind)
    for name, value in centre.environment.items():
        monkeypatch.setenv(name, value)
    with centre.open() as place:
        check_behaviour(place, tmp_path)


def check_behaviour(place: Place, scratch: Path) -> None:
    assert place.list_folder("") == {}
    for ask in (place.list_folder, place.read):
        with pytest.raises(NotThere):
            ask("absent")
    place.make_folder("a")
    with pytest.raises(Exists):
        place.make_folder("a")
    place.write("a/mark", b"first\0\n")
    place.write("a/mark", b"second\0\xff'\n")
    assert place.read("a/mark") == b"second\0\xff'\n"
    (scratch / "sent").write_bytes(b"x" * 70000)
    place.send({"sent": scratch / "sent"}, "a")
    entry = place.list_folder("a")["sent"]
    assert (entry.kind, entry.size) == (Kind.FILE, 70000) and abs(
        entry.modified - place.list_folder("")["a"].modified
    ) < 60
    assert list(place.sums("a", ["sent", "absent"])) == ["sent"]
    place.make_folder("b")
    place.write("b/x", b"")
    with pytest.raises(Exists):
        place.rename("a", "b")
    place.link("a", "link")
    place.link("b", "link")
    found = place.list_folder("")["link"]
    assert found.kind is Kind.LINK and found.target.rpartition("/")[2] == "b"
    place.link("../a/mark", "b/way")
    place.link("b", "around")
    assert place.find_links() == {
        "link": "b", "b/way": "a/mark", "around": "b"
    }  # fmt: skip
    # Of a link only the link goes, never what is behind it.
    for path in ("around", "b/way"):
        place.remove_folder(path)
    assert sorted(place.list_folder("b")) == ["x"] and "mark" in place.list_folder("a")
    place.rename("a", "c")
    assert sorted(place.list_folder("")) == ["b", "c", "link"] and sorted(place.list_folder("c")) == ["mark", "sent"]
    for path in ("link", "absent"):
        place.remove(path)
    for path in ("b", "c", "absent"):
        place.remove_folder(path)
    assert place.list_folder("") == {}
