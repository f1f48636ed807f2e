"""The house rules that a program can check: format, lint, types, the one door, shell scripts, units, metadata."""

from __future__ import annotations

import ast
import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, need

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = REPOSITORY / "liveagent"
# What runs on a desk, a build host or a centre, without the package.
SCRIPTS = (
    "delivery/deliver",
    "foreman/set-task",
    *(
        f"kickstart/{name}"
        for name in ("build-image", "build-initramfs", "make-build", "make-kickstart", "make-squashfs")
    ),
)
DELIVERY = REPOSITORY / "delivery"
MODULES = sorted(PACKAGE.rglob("*.py"))
# A module beyond this holds a second thing.
LONGEST_MODULE = 420


def check(argv: list[str], **more: object) -> None:
    """Run a checker; what it prints is the failure."""
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(argv)}\n{done.stdout}{done.stderr}", pytrace=False)


@pytest.mark.parametrize("words", [["format", "--check"], ["check"]], ids=" ".join)
def test_ruff(words: list[str]) -> None:
    """One format and one set of lint rules."""
    check([sys.executable, "-m", "ruff", *words, "liveagent", "delivery", "tests", *SCRIPTS])


def test_types() -> None:
    """mypy --strict over the package, as for Python 3.9."""
    check([sys.executable, "-m", "mypy"])


@pytest.mark.parametrize("words", [["-p", "delivery"], *([script] for script in SCRIPTS)], ids=" ".join)
def test_types_beside_the_package(words: list[str]) -> None:
    """The same for what runs without the package."""
    check([sys.executable, "-m", "mypy", "--strict", "--python-version", "3.9", *words])


def test_one_door() -> None:
    """Only host.py starts processes, so that a recorded machine can stand in for a real one."""
    banned = {"subprocess", "pexpect", "multiprocessing"}
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            names |= {node.module} if isinstance(node, ast.ImportFrom) else set()
            found = {str(name).split(".")[0] for name in names} & banned
            assert not found or module.name == "host.py", f"{module} imports {found}"
            if isinstance(node, ast.Attribute) and node.attr in ("system", "popen", "fork"):
                assert not (isinstance(node.value, ast.Name) and node.value.id == "os"), f"{module}: os.{node.attr}"


def test_modules_stay_small() -> None:
    """A module that grows past its ceiling holds a second thing."""
    long = {
        str(module.relative_to(REPOSITORY)): lines
        for module in (*MODULES, *DELIVERY.glob("*.py"))
        if (lines := len(module.read_text().splitlines())) > LONGEST_MODULE
    }
    assert not long


ARROW = ("events", "host", "machine", "tasks", "plan", "engine", "daemon", "cli")


def test_imports_point_one_way() -> None:
    """events ← host ← machine ← tasks ← plan ← engine ← daemon, cli; a sink never imports a task."""
    for module in MODULES:
        room = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imported(module):
            target = name.split(".")[1] if name.startswith("liveagent.") else ""
            if room in ARROW and target in ARROW:
                assert ARROW.index(target) <= ARROW.index(room) or {room, target} == {"daemon", "cli"}, (module, name)
            assert not (room == "report" and target == "tasks"), (module, name)


def imported(module: Path) -> set[str]:
    """The modules that are imported when this one is, lazy imports left out."""
    names: set[str] = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_shell_scripts() -> None:
    """Every shell script is read by shellcheck."""
    need(shutil.which("shellcheck"), "shellcheck")
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, timeout=30)
    files = [REPOSITORY / name for name in listed.stdout.split()]
    scripts = [str(f) for f in files if f.is_file() and (f.suffix == ".sh" or is_shell(f))]
    assert scripts
    check(["shellcheck", *scripts])


def is_shell(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.readline(100).startswith((b"#!/bin/sh", b"#!/usr/bin/env bash", b"#!/bin/bash"))


def test_delivery_needs_nothing_but_python() -> None:
    """It runs on a build host and on a central server: the standard library and itself."""
    known = {*sys.stdlib_module_names, "delivery"} if sys.version_info >= (3, 10) else None
    for module in DELIVERY.glob("*.py"):
        found = {name.split(".")[0] for name in imported(module)}
        assert "liveagent" not in found and (known is None or found <= known), module


@pytest.mark.parametrize("name", ["liveagent.service", "liveagent-receive.service"])
def test_unit(tmp_path: Path, name: str) -> None:
    """systemd itself finds nothing to say about the unit."""
    need(shutil.which("systemd-analyze"), "systemd-analyze")
    # The program is not installed where the tests run: one that exists stands in for it.
    unit = tmp_path / name
    text = (REPOSITORY / "systemd" / name).read_text()
    unit.write_text(text.replace("/usr/bin/liveagent", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if name in line]
    assert not complaints


def test_old_setuptools_is_told_the_same() -> None:
    """setup.cfg says to EL 9's setuptools what pyproject.toml says to everybody else."""
    with (REPOSITORY / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)
    old = configparser.ConfigParser()
    old.read(REPOSITORY / "setup.cfg")
    new = project["project"]
    assert old["metadata"]["name"] == new["name"]
    assert old["metadata"]["description"] == new["description"]
    assert old["metadata"]["license"] == new["license"]["text"]
    assert old["options"]["python_requires"] == new["requires-python"]
    assert old["options"]["install_requires"].split() == [word.replace(" ", "") for word in new["dependencies"]]
    assert old["options"]["packages"].split() == project["tool"]["setuptools"]["packages"]
    entries = [line.replace(" ", "") for line in old["options.entry_points"]["console_scripts"].split("\n") if line]
    assert entries == [f"{name}={target}" for name, target in new["scripts"].items()]
    data = project["tool"]["setuptools"]["package-data"]["liveagent"]
    assert old["options.package_data"]["liveagent"].replace(",", " ").split() == data


def test_every_package_is_shipped() -> None:
    """A package that is not listed would be missing from the wheel and found only in the image."""
    with (REPOSITORY / "pyproject.toml").open("rb") as stream:
        listed = tomllib.load(stream)["tool"]["setuptools"]["packages"]
    there = sorted(".".join(path.parent.relative_to(REPOSITORY).parts) for path in PACKAGE.rglob("__init__.py"))
    assert sorted(listed) == there
