"""`deliver warm-up` against real mirrors: a build is there, whole and right, before anything boots from it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery import warm_up
from delivery.place import Fault
from tests.conftest import need
from tests.delivery.web import JOB, MIB, SHIPPED, Authority, Lab, Nginx, get

BIG = 20 * MIB
FILES = 7  # kernel, initramfs, squashfs, iso, build.json, its signature, SHA256SUMS


@pytest.fixture
def lab(tmp_path: Path, authority: Authority) -> Iterator[Lab]:
    """A centre with the builds 41, released, and 42, new; it runs."""
    made = Lab(tmp_path, authority)
    made.tree.lay(41)
    made.tree.lay(42, squashfs=BIG)
    made.tree.release(41)
    made.centre.start()
    yield made
    made.close()


def start(mirror: Nginx) -> str:
    """The mirror's URL."""
    mirror.start()
    return f"https://127.0.0.1:{mirror.https}"


def make_url(lab: Lab, number: int = 42) -> str:
    return f"https://127.0.0.1:{lab.centre.https}/live-main/builds/{JOB}/{number}"


def run(lab: Lab, *words: str) -> int:
    return warm_up.main([make_url(lab), "--ca", str(lab.authority.file), *words])


def test_a_build_is_at_every_mirror_before_it_is_released(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mirror fetches each file once; then it has it without the centre, and a second run fetches nothing."""
    mirrors = [lab.make_mirror(), lab.make_mirror()]
    urls = [start(mirror) for mirror in mirrors]
    listed = tmp_path / "mirrors"
    listed.write_text(f"# near the racks\n{urls[1]}/  # Helsinki\n\n")
    assert run(lab, "--mirror", urls[0], "--mirrors", str(listed)) == 0
    first = capsys.readouterr()
    lines = first.out.splitlines()
    assert [line.split(": ")[0] for line in lines] == urls and first.err == ""
    assert all(f"{FILES} files right, 20.0 MiB ({FILES} fetched, 0 there already)" in line for line in lines)
    assert run(lab, "--mirror", urls[0]) == 0
    assert f"(0 fetched, {FILES} there already)" in capsys.readouterr().out
    lab.centre.stop()
    # Three slices a mirror.
    assert len(lab.centre.read_log("speedtest-42.squashfs")) == 2 * 3
    for mirror in mirrors:
        reply = get(mirror.http, f"/live-main/builds/{JOB}/42/speedtest-42.squashfs")
        assert reply.body == lab.tree.read(42, "speedtest.squashfs")


def test_a_mirror_that_is_down_is_named(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are warmed all the same, the exit status is 1, and the text says which one, why, and what to do."""
    good, dead = start(lab.make_mirror()), lab.make_mirror()
    down = f"https://127.0.0.1:{dead.https}"
    assert run(lab, "--mirror", down, "--mirror", good) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"{good}: {FILES} files right")
    assert f"{down}: FAILED: Failed to fetch" in said.err
    assert "Connection refused; see that its nginx runs, and run this again" in said.err
    assert "1 of 2 mirrors did not take the build; do not release it yet" in said.err


def test_a_mirror_that_serves_other_bytes_is_found_out(lab: Lab) -> None:
    """A mirror that keeps another file under a number's name is named with the file, before anything boots from it."""
    url = start(lab.make_mirror())
    file = lab.tree.branch / "builds" / JOB / "42" / "speedtest-42.squashfs"
    right = file.read_bytes()
    file.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    [altered] = warm_up.warm_up(make_url(lab), [url], str(lab.authority.file))
    assert "speedtest-42.squashfs is not what SHA256SUMS at the centre says" in altered.fault
    file.write_bytes(right)
    [kept] = warm_up.warm_up(make_url(lab), [url], str(lab.authority.file))
    assert "empty this mirror's cache" in kept.fault


def test_a_mirror_that_keeps_nothing_is_found_out(lab: Lab) -> None:
    """With a full disk the bytes are right, and still the build is not there: that is a failure of the warm-up."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    mirror = lab.make_mirror(LEAVE="0")
    mount = f'mount -t tmpfs -o size=2m tmpfs {lab.place / "cache1"} && exec "$@"'
    mirror.start(within=["unshare", "--mount", "sh", "-c", mount, "sh"])
    [warmed] = warm_up.warm_up(make_url(lab), [f"https://127.0.0.1:{mirror.https}"], str(lab.authority.file))
    assert warmed.fault == "speedtest-42.squashfs was passed on, and is not kept there: is its disk full?"


def test_a_transfer_that_ends_too_early_is_no_file(lab: Lab) -> None:
    """A mirror whose centre goes away in the middle has not taken the build."""
    mirror = lab.make_mirror()
    url = start(mirror)
    name = f"/live-main/builds/{JOB}/42/speedtest-42.squashfs"
    assert get(mirror.http, name, Range="bytes=0-0").status == 206
    sums = lab.tree.branch / "builds" / JOB / "42" / "SHA256SUMS"
    # The squashfs first, so that nothing before it fails.
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if "squashfs" in line))
    lab.centre.stop()
    other = lab.make_centre()
    other.start()
    build = make_url(lab).replace(str(lab.centre.https), str(other.https))
    [warmed] = warm_up.warm_up(build, [url], str(lab.authority.file))
    missing = re.search(
        r"Failed to fetch speedtest-42.squashfs: the connection ended (\d+) bytes too early", warmed.fault
    )
    assert missing and int(missing[1]) >= BIG - 8 * MIB


def test_a_plain_web_server_is_no_failure(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """A mirror that does not say what it has is compared all the same, and the line says that it did not say."""
    assert run(lab, "--mirror", f"http://127.0.0.1:{lab.centre.http}") == 0
    assert f"(0 fetched, 0 there already, {FILES} it does not say of)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "path", "said"),
    [
        (43, "", "has no SHA256SUMS: is it published?"),
        (42, "/live-main", "is no build's URL"),
        (42, "/live-main/current", "is no build's URL"),
    ],
)
def test_a_build_that_is_not_there(lab: Lab, number: int, path: str, said: str) -> None:
    """A build that nobody published, and a URL that names none, are said at once, and no mirror is asked."""
    url = make_url(lab, number)
    if path:
        url = url[: url.index("/live-main")] + path
    mirror = lab.make_mirror()
    with pytest.raises(Fault, match=said.replace("?", r"\?")):
        warm_up.warm_up(url, [start(mirror)], str(lab.authority.file))
    assert mirror.read_log() == []


def test_nobody_is_believed_without_the_ca(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """A private CA that was not named is an error with the option that names it; a file that is none is one too."""
    assert warm_up.main([make_url(lab), "--mirror", "http://127.0.0.1:1"]) == 1
    assert "its certificate cannot be verified" in (said := capsys.readouterr().err) and "--ca names the CA" in said
    assert warm_up.main([make_url(lab), "--mirror", "http://127.0.0.1:1", "--ca", "/nowhere"]) == 1
    assert "/nowhere cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--mirrors", os.devnull]], ids=["none named", "an empty list"])
def test_no_mirror_is_a_mistake(words: list[str]) -> None:
    """A warm-up of nothing must not look like one that went well."""
    with pytest.raises(SystemExit) as ended:
        warm_up.main(["https://centre.test/live-main/builds/speedtest/42", *words])
    assert ended.value.code == 2


@pytest.mark.parametrize("url", ["mirror.test", "ftp://mirror.test", "http://", "http://a:b@mirror.test", "http://h:x"])
def test_a_url_that_is_none(lab: Lab, url: str) -> None:
    """A word that is no server's URL is said as it was typed."""
    with pytest.raises(Fault, match="is no URL of a server"):
        warm_up.warm_up(make_url(lab), [url], str(lab.authority.file))


def test_pieces_are_the_mirrors_slices() -> None:
    """The warm-up asks after pieces of the size that the shipped mirror keeps."""
    assert (SHIPPED / "mirror.conf").read_text().count("slice 8m;") == 2
    assert warm_up.PIECE == 8 * MIB
