"""Centre and mirror, real nginx with the shipped files: what is served, kept, refused, and asked for how often."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import REPOSITORY, need
from tests.delivery.web import (
    JOB,
    LINKS,
    MIB,
    NAMES,
    SHIPPED,
    SLICE,
    Authority,
    Lab,
    Reply,
    get,
    is_open,
    list_files,
    make_content,
    read_disk,
)

BIG = 20 * MIB
DOCUMENT = REPOSITORY / "docs" / "mirrors.md"
SQUASHFS = "/live-main/speedtest.squashfs"
# More than nginx takes for its round of a cache, which is ten seconds.
ROUND = 30.0


@pytest.fixture
def lab(tmp_path: Path, authority: Authority) -> Iterator[Lab]:
    """A tree with builds 41 and 42, of which 42 is released; nothing is started."""
    made = Lab(tmp_path, authority)
    made.tree.lay(41)
    made.tree.lay(42)
    made.tree.release(42)
    yield made
    made.close()


def numbered(number: int, name: str = "speedtest-{}.squashfs") -> str:
    return f"/live-main/builds/{JOB}/{number}/{name.format(number)}"


# -- names and numbers ----------------------------------------------------------------------------


def test_nginx_finds_nothing_wrong(lab: Lab) -> None:
    """The shipped files are what nginx itself takes, without a warning."""
    said = lab.centre.check() + lab.make_mirror().check()
    bare = lab.make_mirror(HTTPS=None, CERTIFICATE=None, CERTIFICATE_KEY=None, SCHEME="http")
    assert "[warn]" not in said + bare.check()


def test_every_word_is_explained() -> None:
    """docs/mirrors.md has a row for each word that is to be filled in, and for no other."""
    words = set(re.findall(r"@([A-Z_]+)@", "".join(file.read_text() for file in SHIPPED.glob("*.conf"))))
    explained = re.findall(r"^\| `@([A-Z_]+)@`", DOCUMENT.read_text(), re.M)
    assert sorted(explained) == sorted(words)


@pytest.mark.parametrize("shipped", ["central.conf", "mirror.conf"])
def test_the_documented_command_fills_in_every_word(tmp_path: Path, shipped: str) -> None:
    """What is pasted from docs/mirrors.md makes a file without a word that is still to be filled in."""
    [command] = re.findall(rf"^(sed (?:.*\\\n)+.*{shipped}) > /etc/nginx/conf.d/{shipped}$", DOCUMENT.read_text(), re.M)
    argv = ["sh", "-euc", f"{command} > {tmp_path}/made"]
    subprocess.run(argv, cwd=REPOSITORY, check=True, timeout=30)
    made = (tmp_path / "made").read_text()
    assert not re.findall(r"@[A-Z_]+@", made)
    assert made.count("\n") == (SHIPPED / shipped).read_text().count("\n")


@pytest.mark.parametrize("through", ["centre", "mirror"])
def test_a_roll_back_shows_at_the_next_request(lab: Lab, through: str) -> None:
    """Every name without a number is the old build's at the very next request, also where sizes and times agree."""
    mirror = lab.start_both()
    port = (lab.centre if through == "centre" else mirror).http
    for name in NAMES:
        before = get(port, f"/live-main/{name}")
        assert before.body == lab.tree.read(42, name)
        assert before.headers["cache-control"] == "no-cache"
        assert before.headers["content-location"].startswith(numbered(42, ""))
        assert before.headers["etag"] == f'"{before.headers["content-location"]}"'
        assert "last-modified" not in before.headers
        lab.tree.release(41)
        after = get(port, f"/live-main/{name}", If_None_Match=before.headers["etag"])
        assert (after.status, after.body) == (200, lab.tree.read(41, name))
        dated = get(port, f"/live-main/{name}", If_Modified_Since="Tue, 14 Nov 2023 22:13:20 GMT")
        assert (dated.status, dated.body) == (200, lab.tree.read(41, name))
        lab.tree.release(42)
        assert get(port, f"/live-main/{name}").body == lab.tree.read(42, name)


@pytest.mark.parametrize("through", ["centre", "mirror"])
def test_a_download_that_goes_on_never_mixes_builds(lab: Lab, through: str) -> None:
    """If-Range with an ETag of the build before gets all of the other build, never the rest of it."""
    mirror = lab.start_both()
    port = (lab.centre if through == "centre" else mirror).http
    begun = get(port, SQUASHFS, Range="bytes=0-999").headers["etag"]
    rest = get(port, SQUASHFS, Range="bytes=1000-", If_Range=begun)
    assert (rest.status, rest.body) == (206, lab.tree.read(42, "speedtest.squashfs")[1000:])
    lab.tree.release(41)
    for word in (begun, "Tue, 14 Nov 2023 22:13:20 GMT"):
        anew = get(port, SQUASHFS, Range="bytes=1000-", If_Range=word)
        assert (anew.status, anew.body) == (200, lab.tree.read(41, "speedtest.squashfs"))


def test_links_and_numbers_are_one_copy(lab: Lab) -> None:
    """A file is fetched once, by whichever of its names it is asked for."""
    mirror = lab.start_both()
    name = numbered(42)
    for path in (SQUASHFS, name, numbered(42, "speedtest.squashfs"), "/live-main/current/speedtest.squashfs"):
        assert get(mirror.http, path).body == lab.tree.read(42, "speedtest.squashfs")
    assert get(mirror.http, name).headers["cache-control"] == "public, max-age=31536000, immutable"
    lab.centre.stop()
    assert len(lab.centre.read_log("speedtest-42.squashfs")) == 1


def test_redirects_for_who_follows_them(lab: Lab) -> None:
    """The redirect and the plain answer name the number, move with a roll-back, and pass through a second mirror."""
    first = lab.start_both()
    second = lab.make_mirror(first.https, CENTRE_NAME="mirror.test")
    second.start()
    for number in (42, 41):
        lab.tree.release(number)
        for port in (lab.centre.http, first.http, second.http):
            reply = get(port, f"/redirect{SQUASHFS}")
            assert (reply.status, reply.headers["location"]) == (302, numbered(number))
            assert reply.headers["cache-control"] == "no-cache"
            assert get(port, f"/resolve{SQUASHFS}").body.decode() == f"{numbered(number)}\n"
            assert get(port, SQUASHFS).body == lab.tree.read(number, "speedtest.squashfs")


# -- one fetch, in slices -------------------------------------------------------------------------


def fetch_at_once(port: int, path: str, count: int) -> list[Reply]:
    """The answers to several clients that ask in the same moment."""
    replies: list[Reply] = []
    gate = threading.Barrier(count)

    def ask() -> None:
        gate.wait(timeout=30)
        replies.append(get(port, path))

    clients = [threading.Thread(target=ask) for _ in range(count)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return replies


def test_clients_at_once_cause_one_fetch(tmp_path: Path, authority: Authority) -> None:
    """Twelve clients of one new build, by name and while the centre is slow, make the centre send it once."""
    lab = Lab(tmp_path, authority)
    lab.tree.lay(42, squashfs=BIG)
    lab.tree.release(42)
    lab.centre = lab.make_centre(more="limit_rate 24m;")
    with contextlib.closing(lab):
        mirror = lab.start_both()
        replies = fetch_at_once(mirror.http, SQUASHFS, 12)
        content = lab.tree.read(42, "speedtest.squashfs")
        assert [reply.body == content for reply in replies] == [True] * 12
        lab.centre.stop()
        asked = lab.centre.read_log("speedtest-42.squashfs")
        assert sorted(line["range"] for line in asked) == [
            "bytes=0-8388607",
            "bytes=16777216-25165823",
            "bytes=8388608-16777215",
        ]
        assert sum(int(line["bytes"]) for line in asked) == BIG


def test_range_first(lab: Lab) -> None:
    """A first request for a part fetches the slices that hold it, and all other forms of Range work then."""
    lab.tree.lay(43, squashfs=BIG)
    mirror = lab.start_both()
    content = lab.tree.read(43, "speedtest.squashfs")
    path = numbered(43)
    across = get(mirror.http, path, Range=f"bytes={SLICE - 10}-{SLICE + 9}")
    assert (across.status, across.body) == (206, content[SLICE - 10 : SLICE + 10])
    assert across.headers["content-range"] == f"bytes {SLICE - 10}-{SLICE + 9}/{BIG}"
    last = get(mirror.http, path, Range="bytes=-5")
    assert (last.status, last.body) == (206, content[-5:])
    assert get(mirror.http, path, Range=f"bytes={BIG}-").status == 416
    head = get(mirror.http, path, method="HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(BIG), b"")
    assert get(mirror.http, path).body == content
    lab.centre.stop()
    asked = [line["range"] for line in lab.centre.read_log(path) if line["status"] == "206"]
    assert sorted(asked) == ["bytes=0-8388607", "bytes=16777216-25165823", "bytes=8388608-16777215"]


# -- a centre that fails --------------------------------------------------------------------------


class _Broken(socketserver.StreamRequestHandler):
    """Answers for one file, by HTTP and in slices, and does not keep what it promises."""

    def handle(self) -> None:
        lines = []
        while (line := self.rfile.readline().strip()) != b"":
            lines.append(line.decode())
        server = self.server
        assert isinstance(server, BrokenCentre)
        if not lines:
            return
        if server.silent:
            server.released.wait(timeout=60)
            return
        if not server.content:
            self.wfile.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        wanted = next(line.split("bytes=")[1] for line in lines if line.lower().startswith("range:"))
        first = int(wanted.split("-")[0])
        part = server.content[first : first + SLICE]
        self.wfile.write(
            f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(part)}\r\nConnection: close\r\n"
            f"Content-Range: bytes {first}-{first + len(part) - 1}/{len(server.content)}\r\n\r\n".encode()
        )
        self.wfile.write(part[: max(0, server.cut - first)])


class BrokenCentre(socketserver.ThreadingTCPServer):
    """A centre that breaks off once it sent `cut` bytes of its file; without content it answers 500, or nothing."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, content: bytes = b"", cut: int = 0, silent: bool = False) -> None:
        super().__init__(("127.0.0.1", port), _Broken)
        self.content, self.cut, self.silent = content, cut, silent
        self.released = threading.Event()

    def __enter__(self) -> BrokenCentre:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


CUTS = {"after the header": 0, "in the first slice": SLICE // 2, "in the second slice": SLICE + 1000}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_transfer_that_is_cut_is_not_served_as_whole_nor_kept(lab: Lab, cut: int) -> None:
    """Clients get an error, or see at once that it broke off; nothing of the torn slice is sent, and nothing stays."""
    lab.tree.lay(43, squashfs=BIG)
    content = lab.tree.read(43, "speedtest.squashfs")
    mirror = lab.make_mirror(lab.centre.http, SCHEME="http")
    mirror.start()
    whole = cut // SLICE  # slices that arrived
    with BrokenCentre(lab.centre.http, content, cut):
        started = time.monotonic()
        for reply in fetch_at_once(mirror.http, numbered(43), 2):
            if whole:
                assert (reply.status, reply.whole) == (200, False)
                assert reply.body == content[: len(reply.body)] and len(reply.body) <= whole * SLICE
            else:
                assert reply.status == 502
        # A client that waits for the rest would wait much longer.
        assert time.monotonic() - started < 4
    kept = [path.stat().st_size for path in list_files(lab.place / "cache1" / "files")]
    assert len(kept) == whole and all(size > SLICE for size in kept)
    assert not list(list_files(lab.place / "temporary1"))
    lab.centre.start()
    again = get(mirror.http, numbered(43))
    assert (again.status, again.whole, len(again.body)) == (200, True, BIG), mirror.errors
    assert again.body == content


def test_a_mirror_that_is_cut_off_serves_what_it_has(lab: Lab) -> None:
    """With the centre gone, numbers and names are served as last known, also after the mirror itself was restarted."""
    mirror = lab.start_both()
    seen = {name: get(mirror.http, f"/live-main/{name}").body for name in NAMES}
    lab.centre.stop()
    for _ in range(2):
        for name, body in seen.items():
            reply = get(mirror.http, f"/live-main/{name}")
            assert (reply.status, reply.body) == (200, body), name
        assert get(mirror.http, numbered(42)).body == seen["speedtest.squashfs"]
        assert get(mirror.http, f"/redirect{SQUASHFS}").status == 502  # nobody had asked for it
        unknown = get(mirror.http, "/live-other/initrd")
        assert unknown.status == 503 and b"cannot reach the centre" in unknown.body
        assert get(mirror.http, numbered(41)).status == 502
        mirror.stop()
        mirror.start()
    lab.tree.release(41)
    lab.centre.start()
    assert get(mirror.http, SQUASHFS).body == lab.tree.read(41, "speedtest.squashfs")


def test_a_centre_that_hangs_does_not_hang_a_server_that_boots(lab: Lab) -> None:
    """A centre that takes the connection and says nothing costs some seconds; then the last known answer is served."""
    mirror = lab.make_mirror(lab.centre.http, SCHEME="http")
    lab.centre.start()
    mirror.start()
    body = get(mirror.http, SQUASHFS).body
    lab.centre.stop()
    started = time.monotonic()
    with BrokenCentre(lab.centre.http, silent=True):
        assert get(mirror.http, SQUASHFS).body == body
    assert time.monotonic() - started < 9


def test_errors_are_forgotten_soon(lab: Lab) -> None:
    """A file that was missing and a centre that failed are asked for again within seconds, without a restart."""
    mirror = lab.make_mirror(lab.centre.http, SCHEME="http")
    mirror.start()
    with BrokenCentre(lab.centre.http):
        assert get(mirror.http, numbered(42)).status == 502
    lab.centre.start()
    assert get(mirror.http, numbered(42)).status == 200
    assert get(mirror.http, numbered(43)).status == 404
    lab.tree.lay(43)
    deadline = time.monotonic() + 5
    while (reply := get(mirror.http, numbered(43))).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert reply.body == lab.tree.read(43, "speedtest.squashfs")


# -- disks ----------------------------------------------------------------------------------------


def test_the_cache_keeps_to_its_bound(lab: Lab) -> None:
    """What is kept beyond KEEP goes, the oldest first, and what goes is fetched again when somebody wants it."""
    for number in (43, 44, 45):
        lab.tree.lay(number, squashfs=BIG)
    lab.centre.start()
    mirror = lab.make_mirror(KEEP="24m")
    mirror.start()
    for number in (43, 44, 45):
        assert len(get(mirror.http, numbered(number)).body) == BIG
    cache = lab.place / "cache1"
    deadline = time.monotonic() + ROUND
    while read_disk(cache) > 25 * MIB:
        assert time.monotonic() < deadline, "more than its bound is kept"
        time.sleep(0.1)
    assert get(mirror.http, numbered(43)).body == lab.tree.read(43, "speedtest.squashfs")


def test_a_full_disk_at_the_mirror_costs_the_copy_alone(lab: Lab) -> None:
    """Clients get every file whole while nothing more can be kept, and a roll-back shows as ever."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    lab.tree.lay(43, squashfs=BIG)
    lab.centre.start()
    mirror = lab.make_mirror(LEAVE="0")
    cache = lab.place / "cache1"
    # Its own mount namespace: the file system goes when nginx does.
    mount = f'mount -t tmpfs -o size=12m tmpfs {cache} && exec "$@"'
    mirror.start(within=["unshare", "--mount", "sh", "-c", mount, "sh"])
    inside = Path(f"/proc/{mirror.pid}/root{cache}")
    assert get(mirror.http, f"/live-main/{LINKS[0]}").status == 200
    with contextlib.suppress(OSError), (inside / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    assert os.statvfs(inside).f_bavail == 0
    for _ in range(2):
        reply = get(mirror.http, numbered(43))
        assert (reply.status, reply.whole) == (200, True)
        assert reply.body == lab.tree.read(43, "speedtest.squashfs")
    lab.tree.release(41)
    assert get(mirror.http, SQUASHFS).body == lab.tree.read(41, "speedtest.squashfs")
    assert "No space left on device" in mirror.errors
    mirror.stop()
    assert not list(cache.iterdir())


# -- HTTPS ----------------------------------------------------------------------------------------


def test_https_both_ways(lab: Lab, authority: Authority) -> None:
    """Client to mirror and mirror to centre are HTTPS under a private CA, for names, parts and large files."""
    lab.tree.lay(43, squashfs=BIG)
    mirror = lab.start_both()
    assert get(mirror.https, numbered(43), context=authority.context).body == lab.tree.read(43, "speedtest.squashfs")
    assert get(mirror.https, "/live-main/initrd", context=authority.context).body == lab.tree.read(42, "initrd")
    assert get(lab.centre.https, "/live-main/initrd", context=authority.context).body == lab.tree.read(42, "initrd")


@pytest.mark.parametrize("wrong", ["another CA", "another name"])
def test_a_wrong_centre_is_refused(lab: Lab, authority: Authority, tmp_path: Path, wrong: str) -> None:
    """A centre whose certificate is by another CA, or for another name, gives nothing; what was had before stays."""
    mirror = lab.start_both()
    known = get(mirror.http, "/live-main/initrd").body
    lab.centre.stop()
    lab.tree.release(41)
    by = Authority(tmp_path / "other") if wrong == "another CA" else authority
    name = "centre.test" if wrong == "another CA" else "elsewhere.test"
    impostor = lab.make_centre(by.issue(name), https=lab.centre.https)
    impostor.start()
    assert get(mirror.http, numbered(41)).status == 502
    assert get(mirror.http, "/live-main/initrd").body == known
    assert "SSL certificate" in mirror.errors


# -- what is not served ---------------------------------------------------------------------------


def test_what_lies_elsewhere_is_not_served(lab: Lab) -> None:
    """Paths that climb, hidden files, links that leave the tree, folders and other methods get nothing, anywhere."""
    secret = lab.place / "secret"
    secret.write_text("not for you")
    folder = lab.tree.branch / "builds" / JOB / "42"
    (lab.tree.branch / "builds" / JOB / ".incoming-43-abc").mkdir()
    (lab.tree.branch / "builds" / JOB / ".incoming-43-abc" / "speedtest-43.squashfs").write_text("not yet")
    (folder / ".hidden").write_text("not for you")
    (folder / "leak").symlink_to(secret)
    (lab.tree.branch / "leak").symlink_to(secret)
    (lab.tree.branch / "builds" / "leak").symlink_to(lab.place)
    (lab.tree.root / "live-leak").symlink_to(lab.place)
    (lab.place / "builds" / "x" / "1").mkdir(parents=True)
    (lab.place / "builds" / "x" / "1" / "file").write_text("not for you")
    (lab.tree.root / "rpm" / "el9").mkdir(parents=True)
    (lab.tree.root / "rpm" / "el9" / "leak.rpm").symlink_to(secret)
    (lab.tree.root / "rpm" / "el9" / "leak.txt").symlink_to(secret)
    (folder / "initrd").unlink()
    (folder / "initrd").symlink_to(secret)
    paths = [
        "/../secret",
        "/live-main/../../secret",
        "/live-main/%2e%2e/%2e%2e/secret",
        "/live-main/..%2f..%2fsecret",
        f"/live-main/builds/{JOB}/42/../../../../../secret",
        "/rpm/../../secret",
        f"/live-main/builds/{JOB}/.incoming-43-abc/speedtest-43.squashfs",
        numbered(42, ".hidden"),
        numbered(42, "leak"),
        numbered(42, "initrd"),
        "/live-main/initrd",
        "/live-main/leak",
        "/live-main/builds/leak/secret",
        "/live-leak/secret",
        "/live-leak/builds/x/1/file",
        "/rpm/el9/leak.rpm",
        "/rpm/el9/leak.txt",
        "/live-main/",
        f"/live-main/builds/{JOB}/42/",
        "/rpm/el9/",
        "/",
        "/.now/live-main/builds/speedtest/42/vmlinuz",
        "/.resolve",
        "/live-main/current%0d%0aX:1/vmlinuz",
    ]
    mirror = lab.start_both()
    for port in (lab.centre.http, mirror.http):
        for path in paths:
            reply = get(port, path)
            assert reply.status in (400, 403, 404) and b"not " not in reply.body.lower().replace(
                b"404 not found", b""
            ), (
                path,
                reply,
            )
        for method in ("PUT", "POST", "DELETE"):
            assert get(port, "/live-main/vmlinuz", method=method).status == 405
        assert get(port, "/live-main/vmlinuz").status == 200


# -- RPM repositories -----------------------------------------------------------------------------


def test_repositories_go_through_the_mirror(lab: Lab) -> None:
    """repomd.xml is the centre's each time; packages and hashed metadata are fetched once; cut off, all are there."""
    repository = lab.tree.root / "rpm" / "el9"
    (repository / "repodata").mkdir(parents=True)
    digest = "0f" * 32
    package = "/rpm/el9/Packages/l/liveagent-1.0~rc1^git2-1.el9.noarch.rpm"
    metadata = f"/rpm/el9/repodata/{digest}-primary.xml.gz"
    for path in (package, metadata):
        (lab.tree.root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (lab.tree.root / path[1:]).write_bytes(make_content(path, 70_000))
    (repository / "treeinfo").write_text("one")
    mirror = lab.start_both()
    for word in ("one", "two"):
        for name in ("repomd.xml", "repomd.xml.asc", "repomd.xml.key"):
            file = repository / "repodata" / name
            file.write_text(f"{name} {word}")
            os.utime(file, (1_700_000_000, 1_700_000_000))
            reply = get(mirror.http, f"/rpm/el9/repodata/{name}", If_Modified_Since="Tue, 14 Nov 2023 22:13:20 GMT")
            assert (reply.status, reply.body.decode()) == (200, f"{name} {word}")
            assert reply.headers["cache-control"] == "no-cache"
        (repository / "treeinfo").write_text(word)
        assert get(mirror.http, "/rpm/el9/treeinfo").body.decode() == word
        for path in (package, metadata):
            assert get(mirror.http, path.replace("^", "%5E")).body == make_content(path, 70_000)
    assert get(mirror.http, "/rpm/el9/treeinfo", Range="bytes=1-").body == b"wo"
    lab.centre.stop()
    assert len(lab.centre.read_log("liveagent-1.0")) == len(lab.centre.read_log("primary.xml.gz")) == 1
    assert get(mirror.http, package).body == make_content(package, 70_000)
    assert get(mirror.http, "/rpm/el9/repodata/repomd.xml").body == b"repomd.xml two"
    assert get(mirror.http, "/rpm/el9/treeinfo").status == 502


def test_nothing_is_left_running(lab: Lab) -> None:
    """What the tests start ends with them: the ports are closed, and no process of theirs is left."""
    mirror = lab.start_both()
    ports = [lab.centre.http, lab.centre.https, mirror.http, mirror.https]
    lab.close()
    assert [is_open(port) for port in ports] == [False] * 4
    listed = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in listed if str(lab.place) in line]
