"""Puts the agent of the tree under test into the image's root tree: its wheel, its units, its other files."""

from __future__ import annotations

import configparser
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from .command import CommandFailed, run

PACKAGES = "usr/lib/python3/dist-packages"  # Debian's own, the same for each version of Python 3
COMPLETION = "usr/share/bash-completion/completions/liveagent"
SOURCES = ("pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "README.md", "LICENSE", "liveagent", "systemd")
UNITS = {".service", ".socket", ".target", ".timer", ".path"}
ENTRY = "#!/usr/bin/python3\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"


def source_files(repo: Path) -> list[Path]:
    """Every file of the tree that ends up in the image or decides how."""
    found: list[Path] = []
    for name in SOURCES:
        top = repo / name
        inside = sorted(top.rglob("*")) if top.is_dir() else [top]
        found += [path for path in inside if path.is_file() and "__pycache__" not in path.parts]
    if not (repo / "pyproject.toml").is_file():
        raise CommandFailed(f"{repo}: no pyproject.toml, so there is no agent to put into the image")
    return found


def install(repo: Path, source: list[Path], tree: Path) -> None:
    """Build the wheel of these files and unpack it into the tree, as a Debian package would have it."""
    with tempfile.TemporaryDirectory(prefix="liveagent-lab-") as scratch:
        # Built from a copy: setuptools writes into the tree it builds, and takes up what an older build left there.
        copy = Path(scratch) / "source"
        for path in source:
            target = copy / path.relative_to(repo)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", scratch, str(copy)],
            timeout=300,
        )
        (built,) = Path(scratch).glob("*.whl")
        unpack(built, tree)
        # As the package has it: from the command itself.
        ask = [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['liveagent']; from liveagent.__main__ import main; main()",
        ]
        script = run(ask, timeout=60, cwd=copy, env={"_LIVEAGENT_COMPLETE": "bash_source"})
        completion = tree / COMPLETION
        completion.parent.mkdir(parents=True, exist_ok=True)
        completion.write_text(script)
    for path in source:
        if path.parent == repo / "systemd" and (place := system_place(path.name)):
            target = tree / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy(path, target)
            target.chmod(0o644)


def unpack(wheel: Path, tree: Path) -> None:
    """Unpack a pure wheel by hand: pip would write this machine's interpreter and its directories into it."""
    packages = tree / PACKAGES
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
        names = archive.namelist()
    entries = configparser.ConfigParser(delimiters=("=",))
    entries.read([packages / name for name in names if name.endswith(".dist-info/entry_points.txt")])
    scripts = entries["console_scripts"] if entries.has_section("console_scripts") else {}
    for script, where in scripts.items():
        module, function = (part.strip() for part in where.split(":"))
        path = tree / "usr/bin" / script
        path.unlink(missing_ok=True)
        path.write_text(ENTRY.format(module=module, function=function))
        path.chmod(0o755)
    for data in packages.glob("*.data/data"):
        shutil.copytree(data, tree / "usr", dirs_exist_ok=True)
        shutil.rmtree(data.parent)


def system_place(name: str) -> str | None:
    """Where a file of `systemd/` belongs in an installed system."""
    suffix = Path(name).suffix
    if "tmpfiles" in name:
        return "usr/lib/tmpfiles.d/liveagent.conf"
    if "sysusers" in name:
        return "usr/lib/sysusers.d/liveagent.conf"
    if name.startswith("org."):
        folder = "system-services" if suffix == ".service" else "system.d"
        return f"usr/share/dbus-1/{folder}/{name}"
    return f"usr/lib/systemd/system/{name}" if suffix in UNITS else None
