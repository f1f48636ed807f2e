"""The packages: built twice, listed, signed, installed into an empty root, run from there, upgraded, removed."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from liveagent import __version__
from liveagent.host import Host
from liveagent.tasks import Registry, Task
from tests.conftest import need

REPO = Path(__file__).parents[2]
SPEC = REPO / "rpm" / "liveagent.spec"
PLAIN = "/usr/bin/python3"
# Which package of EL holds a tool that a task names.
PACKAGES = {
    "blkid": "util-linux", "dd": "coreutils", "dmidecode": "dmidecode", "dmsetup": "device-mapper",
    "ethtool": "ethtool", "hdparm": "hdparm", "ipmitool": "ipmitool", "mdadm": "mdadm",
    "nvme": "nvme-cli", "partx": "util-linux", "sg_logs": "sg3_utils", "sg_sanitize": "sg3_utils",
    "smartctl": "smartmontools",
}  # fmt: skip


def run(*argv: str, cwd: Path | None = None, **environment: str) -> str:
    """What a command prints; a failure shows what it said."""
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def copy_tree(target: Path) -> Path:
    """The files that are tracked, as they stand, in a repository of their own."""
    for name in run("git", "ls-files", "-z", cwd=REPO).split("\0"):
        if name and (REPO / name).is_file() and not name.startswith("tests/machines/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, target / name)
    run("git", "init", "--quiet", cwd=target)
    run("git", "add", "--all", cwd=target)
    author = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    dates = {"GIT_AUTHOR_DATE": "@1750000000 +0000", "GIT_COMMITTER_DATE": "@1750000000 +0000"}
    run("git", *author, "commit", "--quiet", "--message", "as it stands", cwd=target, **dates)
    return target


@dataclasses.dataclass(frozen=True)
class Built:
    """A tree and what was built from it; `sources` are those of the dependencies."""

    tree: Path
    directory: Path
    sources: Path

    def packages(self, directory: Path | None = None) -> dict[str, Path]:
        """The packages by name."""
        files = (directory or self.directory).glob("*.rpm")
        return {run("rpm", "-qp", "--nosignature", "--queryformat", "%{NAME}", str(file)): file for file in files}

    def again(self, directory: Path, **environment: str) -> dict[str, Path]:
        """Another build of the tree, as it is now."""
        run(str(self.tree / "rpm" / "build"), str(directory), PYTHON=sys.executable, SOURCES=str(self.sources),
            **environment)  # fmt: skip
        return self.packages(directory)

    def files(self, name: str) -> set[str]:
        return set(run("rpm", "-qpl", "--nosignature", str(self.packages()[name])).split())


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A key without a passphrase, in a keyring of its own: what a build is given to sign with."""
    need(shutil.which("gpg"), "gpg")
    # gpg-agent's socket has a path of 108 bytes at most.
    home = Path("/tmp") / f"gpg-{os.getpid()}"
    home.mkdir(mode=0o700)
    environment = {"GNUPGHOME": str(home), "RPM_SIGN_KEY": "builds@liveagent.invalid"}
    name = f"Builds <{environment['RPM_SIGN_KEY']}>"
    run("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", name, "rsa3072", "sign", **environment)
    yield environment
    run("gpgconf", "--kill", "all", **environment)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def built(gpg: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One signed build; the sources of the dependencies are fetched once."""
    for tool in ("rpmbuild", "createrepo_c", "rpmlint", "git"):
        need(shutil.which(tool), tool)
    place = tmp_path_factory.mktemp("rpm")
    tree = copy_tree(place / "tree")
    run(str(tree / "rpm" / "build"), str(place / "out"), PYTHON=sys.executable, RELEASE="7", **gpg)
    sources = place / "sources"
    sources.mkdir()
    (source,) = (place / "out" / "source").glob("python-pydbus-*.src.rpm")
    with (sources / "archive").open("wb") as stream:
        subprocess.run(["rpm2archive", "-n", "-"], input=source.read_bytes(), stdout=stream, check=True, timeout=60)
    run("tar", "-xf", "archive", cwd=sources)
    return Built(tree, place / "out", sources)


def test_each_file_is_in_one_package(built: Built) -> None:
    """An image takes the agent without the receiver, a desk the command without the service, and nothing is lost."""
    ours = {"liveagent", "python3-liveagent", "liveagent-receive", "liveagent-image", "liveagent-dracut"}
    assert set(built.packages()) == {*ours, "python3-pydbus"}
    agent, library, receiver = (built.files(name) for name in ("liveagent", "python3-liveagent", "liveagent-receive"))
    modules = set(run("git", "ls-files", "liveagent", cwd=built.tree).split())
    there = {name.partition("-packages/")[2] for name in library | receiver}
    assert modules <= there
    assert {name for name in receiver if name.endswith(".py")}.isdisjoint(library)
    assert {Path(name).name for name in receiver if name.endswith(".py")} == {"receive.py"}
    assert "/usr/lib/systemd/system/liveagent.service" in agent
    assert {"/etc/liveagent/conf.d", "/etc/liveagent/tasks.d", "/usr/libexec/liveagent/tasks.d"} <= agent
    assert {"/usr/bin/liveagent", "/usr/share/man/man8/liveagent.8", "/usr/share/man/man5/liveagent.conf.5",
            "/usr/share/bash-completion/completions/liveagent", "/usr/share/zsh/site-functions/_liveagent",
            "/usr/share/fish/vendor_completions.d/liveagent.fish"} <= library  # fmt: skip
    assert "/usr/lib/systemd/system/liveagent-receive.service" in receiver
    assert "/usr/libexec/liveagent/image-access" in built.files("liveagent-image")
    assert "/usr/lib/dracut/modules.d/91liveagent-image/check-image.sh" in built.files("liveagent-dracut")
    # pip's note of the directory that it was built in.
    assert not [name for name in agent | library | receiver if "direct_url" in name]


def test_build_number_is_the_release(built: Built) -> None:
    """A package says which build it is of."""
    shown = run(
        "rpm", "-qp", "--nosignature", "--queryformat", "%{VERSION} %{RELEASE}", str(built.packages()["liveagent"])
    )
    assert shown == f"{__version__} 7"


def test_packages_and_repository_are_signed(built: Built, gpg: Mapping[str, str], tmp_path: Path) -> None:
    """With the key beside the repository, and nothing else, rpm and dnf can check what they install."""
    database = f"--dbpath={tmp_path}"
    key = built.directory / "RPM-GPG-KEY-liveagent"
    run("rpmkeys", database, "--import", str(key))
    for package in built.packages().values():
        said = run("rpmkeys", database, "--checksig", "--verbose", str(package))
        assert re.search(r"Header V4 RSA/SHA\d+ Signature, key ID \w+: OK", said), said
    index = built.directory / "repodata" / "repomd.xml"
    run("gpg", "--batch", "--verify", f"{index}.asc", str(index), **gpg)
    altered = tmp_path / "altered.rpm"
    data = bytearray(built.packages()["liveagent"].read_bytes())
    data[-100] ^= 1
    altered.write_bytes(data)
    done = subprocess.run(["rpmkeys", database, "--checksig", str(altered)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0


def test_repository_lists_what_it_holds(built: Built) -> None:
    """dnf reads the metadata, never the directory; the source packages are not among what is installed."""
    (primary,) = (built.directory / "repodata").glob("*primary.xml.gz")
    root = ElementTree.fromstring(gzip.decompress(primary.read_bytes()))
    space = {"c": "http://linux.duke.edu/metadata/common"}
    names = [element.text for element in root.iterfind("c:package/c:name", space)]
    places = [element.attrib["href"] for element in root.iterfind("c:package/c:location", space)]
    assert sorted(map(str, names)) == sorted(built.packages())
    assert all((built.directory / place).is_file() for place in places)


def install(root: Path, *packages: Path, how: str = "-i") -> str:
    """What rpm does to an empty root, where nothing of a distribution is."""
    argv = ["rpm", "--root", str(root), how, "--nodeps", "--nosignature", "--define", "_dbpath /var/lib/rpm"]
    return run(*argv, *map(str, packages))


def start(root: Path, *words: str) -> str:
    """The command of a root, with nothing of the agent from anywhere else."""
    (sitelib,) = root.glob("usr/lib/python3*/*-packages")
    argv = [PLAIN, str(root / "usr/bin/liveagent"), *words]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(sitelib), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, env=environment, cwd=root, capture_output=True, text=True, timeout=60)
    return f"{done.stdout}{done.stderr}"


def test_install_upgrade_remove(built: Built, tmp_path: Path) -> None:
    """From an empty root to nothing again: it runs from there, and a configuration that somebody changed is his."""
    root = tmp_path / "root"
    packages = built.packages()
    install(root, packages["liveagent"], packages["python3-liveagent"])
    assert start(root, "--version") == f"liveagent {__version__}\n"
    assert "wipe" in start(root, "list")
    # The receiver is another package, and what is missing is said in a person's words.
    assert "install the package liveagent-receive" in start(root, "receive", "--listen", "nowhere")
    install(root, packages["liveagent-receive"])
    assert "say ADDR:PORT" in start(root, "receive", "--listen", "nowhere")

    conf = root / "etc/liveagent/liveagent.conf"
    assert conf.stat().st_mode & 0o777 == 0o600
    conf.write_text("[agent]\norganisation = Nordhafen\n")
    (built.tree / "rpm" / "liveagent.conf").write_text("[agent]\n# another default\n")
    newer = built.again(tmp_path / "newer", RELEASE="8")
    install(root, newer["liveagent"], newer["python3-liveagent"], newer["liveagent-receive"], how="-U")
    assert conf.read_text() == "[agent]\norganisation = Nordhafen\n"
    assert "another default" in conf.with_name("liveagent.conf.rpmnew").read_text()
    assert start(root, "--version") == f"liveagent {__version__}\n"

    run("rpm", "--root", str(root), "-e", "--nodeps", "--define", "_dbpath /var/lib/rpm",
        "liveagent", "python3-liveagent", "liveagent-receive")  # fmt: skip
    assert not (root / "usr/bin/liveagent").exists() and not list(root.glob("usr/lib/python3*/*-packages/liveagent"))
    assert conf.with_name("liveagent.conf.rpmsave").read_text() == "[agent]\norganisation = Nordhafen\n"


def test_same_commit_same_packages(built: Built, tmp_path: Path) -> None:
    """Two builds, at two times and in two directories, are the same to the byte."""
    digests = []
    for name in ("first", "second"):
        packages = built.again(tmp_path / name)
        digests.append({name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in packages.items()})
    assert digests[0] == digests[1]


def test_source_that_was_exchanged_is_not_built(built: Built, tmp_path: Path) -> None:
    """What is fetched is what was looked at once: another archive of that name stops the build, and nothing is out."""
    sources = tmp_path / "sources"
    sources.mkdir()
    (archive,) = built.sources.glob("pydbus-*.tar.gz")
    (sources / archive.name).write_bytes(archive.read_bytes() + b" ")
    argv = [str(built.tree / "rpm" / "build"), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHON": sys.executable, "SOURCES": str(sources)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 1 and "is not the one that rpm/sources.sha256 names" in done.stderr
    assert not list((tmp_path / "out").glob("*.rpm"))


def test_rpmlint(built: Built) -> None:
    """Nothing is said that rpm/rpmlint.toml does not explain."""
    specs = [str(spec) for spec in (REPO / "rpm").glob("*.spec")]
    said = run("rpmlint", "--config", str(REPO / "rpm" / "rpmlint.toml"), *specs, *map(str, built.packages().values()))
    assert re.search(r"0 errors, 0 warnings", said), said


def read_requires(package: str) -> set[str]:
    """What a package of the spec requires, without versions; the first is named by no %package."""
    parts = re.split(r"^%package +(?:-n +)?(\S+)$", SPEC.read_text().partition("%prep")[0], flags=re.MULTILINE)
    texts = dict(zip(["liveagent", *parts[1::2]], parts[::2]))
    return set(re.findall(r"^Requires: +(\S+)", texts[package], re.MULTILINE))


def test_every_tool_of_a_task_is_required() -> None:
    """An image that has the agent has what its tasks call."""
    registry = Registry(Host("/nonexistent"))
    tasks = [task for name in registry.names() if isinstance(task := registry.find(name), Task)]
    tools = {tool for task in tasks for tool in task.tools}
    assert "nvme" in tools and tools <= set(PACKAGES)
    assert {PACKAGES[tool] for tool in tools} <= read_requires("liveagent")


def test_spec_and_project_agree() -> None:
    """One version, and the same libraries at the same least versions, in both places."""
    text = SPEC.read_text()
    assert re.search(rf"^Version: +{re.escape(__version__)}$", text, re.MULTILINE)
    parser = ConfigParser()
    parser.read(REPO / "setup.cfg")
    wanted = {f"python3-{line.replace('>=', ' >= ')}" for line in parser["options"]["install_requires"].split()}
    library = text.partition("%package -n python3-liveagent")[2].partition("%description")[0]
    assert wanted <= set(re.findall(r"^Requires: +(.+)$", library, re.MULTILINE))


def test_setuptools_of_el_9_packs_the_same(tmp_path: Path) -> None:
    """It does not read [project] of pyproject.toml: what it packs by setup.cfg is what a later one packs."""
    tree = copy_tree(tmp_path / "tree")
    contents = []
    for name, packages in (("old", ["setuptools==53.0.0", "wheel==0.36.2"]), ("new", ["setuptools>=61,<80", "wheel"])):
        target = tmp_path / name
        run(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target",
            str(target), *packages)  # fmt: skip
        shutil.rmtree(tree / "build", ignore_errors=True)
        script = "import setuptools; setuptools.setup()"
        run(sys.executable, "-W", "ignore", "-c", script, "-q", "bdist_wheel", "--dist-dir", str(target / "dist"),
            cwd=tree, PYTHONPATH=str(target))  # fmt: skip
        (wheel,) = (target / "dist").glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            contents.append({name for name in archive.namelist() if ".dist-info/" not in name})
            (entries,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
            assert "liveagent = liveagent.__main__:main" in archive.read(entries).decode()
    assert contents[0] == contents[1] and len(contents[0]) > 50
