"""Builds to publish, and centres to publish to: a folder, a real sshd and a real proftpd of the test's own."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import hashlib
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable

import pytest

from delivery.address import Access, open_place, parse_address
from delivery.build import read_build
from delivery.ftp import PASSWORD
from delivery.place import Place
from delivery.publish import Order, publish
from delivery.tree import KEEP
from tests.conftest import REPOSITORY, need
from tests.delivery.web import Authority

DELIVER = REPOSITORY / "delivery" / "deliver"
KERNEL = "5.14.0-503.el9.x86_64"
JOB, BRANCH, TREE = "speedtest", "main", "live-main"
NAMES = ("vmlinuz", "initrd", "speedtest.squashfs", "build.json", "SHA256SUMS")
SECRET = "a-password-of-this-test-alone"

MakeBuild = Callable[..., Path]


def list_sums(folder: Path) -> None:
    """Write SHA256SUMS of what is in a folder."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture
def make_build(tmp_path: Path) -> MakeBuild:
    """Makes the folder of a build as the build host leaves it."""

    def make(number: int, iso: bool = False, size: int = 1000, mark: str = "") -> Path:
        folder = tmp_path / f"build-{number}{mark}"
        folder.mkdir()
        files = {f"speedtest-{number}.squashfs": "squashfs", f"initrd-{KERNEL}-{number}.img": "initrd"}
        files.update({f"vmlinuz-{KERNEL}": "kernel"}, **({f"speedtest-{number}.iso": "iso"} if iso else {}))
        for name, word in files.items():
            line = f"{word} {number} {mark}\n".encode()
            (folder / name).write_bytes(line * ((size if word == "squashfs" else 1000) // len(line)))
        document = {"number": number, "kernel": KERNEL, "commit": "c0ffee", "date": f"2026-11-{number % 28 + 1:02}"}
        (folder / "build.json").write_text(json.dumps(document))
        list_sums(folder)
        return folder

    return make


@dataclasses.dataclass(frozen=True)
class Centre:
    """A place to publish to. `path`: where its folder really lies; `words`: options that every command needs."""

    kind: str
    url: str
    path: Path
    words: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    access: Access = Access()

    @property
    def tree(self) -> Path:
        return self.path / TREE

    @property
    def current(self) -> str:
        """`builds/JOB/N`, by whatever link leads there; "" where nothing is live."""
        with contextlib.suppress(FileNotFoundError):
            return os.path.relpath((self.tree / "current").resolve(strict=True), self.tree.resolve())
        return ""

    @property
    def numbers(self) -> list[int]:
        """The builds there are of the usual job."""
        folder = self.tree / "builds" / JOB
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []

    @property
    def hidden(self) -> list[str]:
        """What is left of uploads, removals, locks and links on their way."""
        marks = (".branch", ".highest", ".pin-", ".withdrawn-")
        found = [path for path in self.tree.rglob(".*") if not path.name.startswith(marks)]
        return sorted(str(path.relative_to(self.tree)) for path in found)

    def argv(self, command: str, *words: object, branch: str = BRANCH) -> list[str]:
        named = [] if command == "list" else ["--branch", branch]
        return [sys.executable, str(DELIVER), command, *map(str, words), "--to", self.url, *named, *self.words]

    def start(self, command: str, *words: object, branch: str = BRANCH) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(command, *words, branch=branch), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env={**os.environ, **self.environment},
        )  # fmt: skip

    def deliver(self, command: str, *words: object, branch: str = BRANCH) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(command, *words, branch=branch), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, env={**os.environ, **self.environment},
        )  # fmt: skip

    def publish(self, build: Path, *words: object) -> subprocess.CompletedProcess[str]:
        return self.deliver("publish", build, "--job", JOB, *words)

    def have(self, *builds: Path, keep: int = KEEP) -> None:
        """Publish builds, one after the other, to begin from."""
        with self.open() as place:
            for build in builds:
                publish(place, read_build(build), Order(BRANCH, JOB, keep=keep), lambda _: None)

    def ok(self, command: str, *words: object) -> str:
        """What a command prints that has to succeed."""
        done = self.deliver(command, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fails(self, command: str, *words: object) -> str:
        """What a command says that has to fail."""
        done = self.deliver(command, *words)
        assert (done.returncode, done.stdout) == (1, ""), done.stdout + done.stderr
        return done.stderr

    def open(self) -> Place:
        return open_place(parse_address(self.url), self.access)

    def below(self, name: str) -> Centre:
        """A folder of this centre as a place of its own."""
        return dataclasses.replace(self, url=f"{self.url}/{name}", path=self.path / name)


def find_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Look until it holds; fail where it does not within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited in vain for {what}")
        time.sleep(0.005)


def answers(port: int, greeting: bytes) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as line:
        return line.recv(100).startswith(greeting)
    return False


@contextlib.contextmanager
def run_server(argv: list[str], port: int, greeting: bytes, log: Path) -> Iterator[None]:
    """A server in the foreground, until it is no longer needed."""
    with log.open("ab") as stream:
        server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        up = lambda: server.poll() is not None or answers(port, greeting)  # noqa: E731
        wait_for(up, f"{argv[0]}: {log.read_text()}")
        assert server.poll() is None, log.read_text()
        yield
    finally:
        server.terminate()
        server.wait(20)


# -- sshd -------------------------------------------------------------------------------------------


def find_program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    need(found, name)
    return str(found)


@pytest.fixture(scope="session")
def sshd() -> Iterator[tuple[str, Path]]:
    """(USER@HOST:PORT, a configuration for ssh that gets in there)."""
    program = find_program("sshd")
    need(shutil.which("rsync"), "rsync")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="delivery-sshd-")))
        if os.geteuid() == 0:
            # sshd wants an empty folder there, which a system without its service lacks. It stays: another run of these
            # tests may have begun to need it.
            os.makedirs("/run/sshd", 0o755, exist_ok=True)
        for key in ("host", "user"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
            subprocess.run(argv, check=True, timeout=30)
        port = find_port()
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
            f"PidFile none\nStrictModes no\nPasswordAuthentication no\nUsePAM no\nPermitRootLogin prohibit-password\n"
            # What this machine's user has in a login script is no part of the test.
            f"SetEnv HOME={folder}\n"
        )
        (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
        (folder / "ssh_config").write_text(
            f"IdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known\n"
            f"GlobalKnownHostsFile none\nStrictHostKeyChecking yes\n"
        )
        argv = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
        stack.enter_context(run_server(argv, port, b"SSH-", folder / "log"))
        yield f"{getpass.getuser()}@127.0.0.1:{port}", folder / "ssh_config"


# -- proftpd ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Ftp:
    """A proftpd of the shipped configuration. `tree`: the folder that its user may write to."""

    port: int
    tree: Path
    log: Path

    def centre(self, path: Path, scheme: str = "ftp") -> Centre:
        url = f"{scheme}://images@127.0.0.1:{self.port}{path}"
        return Centre("ftp", url, path, environment={PASSWORD: SECRET})


def render_proftpd(folder: Path, port: int, edit: Callable[[str], str]) -> str:
    """The shipped configuration, with this test's paths and port in the place of a server's."""
    text = (REPOSITORY / "delivery" / "proftpd.conf").read_text()
    tree = folder / "tree"
    for old, new in {
        r"^Port 21$": f"Port {port}",
        r"^DefaultAddress .*": "DefaultAddress 127.0.0.1\nSocketBindTight on\nDelayEngine off",
        r"^PassivePorts .*": "",
        r"^User nobody\n(#.*\n)?Group nogroup": "" if os.geteuid() else "User nobody\nGroup nogroup",
        r"/srv/images": str(tree),
        r"/etc/proftpd/": f"{folder}/conf/",
        r"/run/proftpd": f"{folder}/conf/run",
        r"/var/log/proftpd": f"{folder}/conf/log",
    }.items():
        text, count = re.subn(old, new, text, flags=re.M)
        assert count, f"the shipped proftpd.conf no longer has {old}"
    return edit(text)


@contextlib.contextmanager
def run_proftpd(edit: Callable[[str], str] = str, options: tuple[str, ...] = ()) -> Iterator[Ftp]:
    """A proftpd of the shipped configuration; `edit` may alter it."""
    program = find_program("proftpd")
    # proftpd wants no folder of users that others may write to, on the way to its files too.
    with tempfile.TemporaryDirectory(prefix="delivery-ftp-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        for part in ("tree", "conf"):
            (folder / part).mkdir(mode=0o755)
        os.chown(folder / "tree", owner.pw_uid, owner.pw_gid)
        argv = [
            find_program("ftpasswd"),
            "--passwd",
            "--sha512",
            "--stdin",
            "--name",
            "images",
            "--shell",
            "/bin/false",
        ]
        argv += ["--uid", str(owner.pw_uid), "--gid", str(owner.pw_gid), "--home", str(folder / "tree")]
        argv += ["--file", str(folder / "conf" / "images.passwd")]
        subprocess.run(argv, input=f"{SECRET}\n", check=True, capture_output=True, text=True, timeout=30)
        port = find_port()
        (folder / "conf" / "proftpd.conf").write_text(render_proftpd(folder, port, edit))
        argv = [program, "--nodaemon", *options, "--config", str(folder / "conf" / "proftpd.conf")]
        with run_server(argv, port, b"220", folder / "conf" / "out"):
            yield Ftp(port, folder / "tree", folder / "conf" / "log.log")


@pytest.fixture(scope="session")
def proftpd() -> Iterator[Ftp]:
    with run_proftpd() as server:
        yield server


# -- centres ----------------------------------------------------------------------------------------

MakeCentre = Callable[[str], Centre]


@pytest.fixture
def make_centre(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeCentre]:
    """Makes an empty folder behind each kind of way."""
    made: list[Path] = []

    def make(kind: str) -> Centre:
        if kind == "ftp":
            server: Ftp = request.getfixturevalue("proftpd")
            path = Path(tempfile.mkdtemp(dir=server.tree))
            os.chown(path, server.tree.stat().st_uid, server.tree.stat().st_gid)
            path.chmod(0o755)
            made.append(path)
            return server.centre(path)
        path = tmp_path / "centre"
        path.mkdir()
        if kind == "ssh":
            login, config = request.getfixturevalue("sshd")
            words = ("--ssh-config", str(config))
            # What a publisher that is killed leaves there goes with the server's folder.
            environment = {"TMPDIR": str(config.parent)}
            return Centre("ssh", f"ssh://{login}{path}", path, words, environment, Access(str(config)))
        return Centre("local", str(path), path)

    yield make
    for path in made:
        shutil.rmtree(path)


@pytest.fixture(params=["local", "ssh", "ftp"])
def centre(request: pytest.FixtureRequest, make_centre: MakeCentre, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """An empty centre, by each way in turn."""
    made = make_centre(request.param)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def near(make_centre: MakeCentre) -> Centre:
    """An empty centre in a folder of this machine, for what is the same by every way."""
    return make_centre("local")


@pytest.fixture
def mount_small() -> Iterator[Callable[[Centre, str], Centre]]:
    """Mounts a small file system in a centre, as a place of its own."""
    need(os.geteuid() == 0, "root, to mount a small file system")
    mounted: list[Path] = []

    def mount(centre: Centre, options: str) -> Centre:
        small = centre.below("small")
        small.path.mkdir()
        owner = centre.path.stat()
        options = f"{options},mode=755,uid={owner.st_uid},gid={owner.st_gid}"
        argv = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(small.path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        need(done.returncode == 0, f"mounts: {done.stderr}")
        mounted.append(small.path)
        return small

    yield mount
    for path in mounted:
        # A session that a client has left may be at home there for a moment more.
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=30)
        path.rmdir()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ca")
