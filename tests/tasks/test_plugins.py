"""Tasks that other Python packages bring: installed by pip, found by their entry point, run like any other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

Done = subprocess.CompletedProcess


def liveagent(target: Path, *words: str) -> Done[str]:
    """The command, with what is installed in `target`."""
    place = target.parent
    argv = [sys.executable, "-m", "liveagent", "--state", str(place / "state"), *words]
    environment = {**os.environ, "PYTHONPATH": str(target), "LIVEAGENT_RUNTIME_DIR": str(place / "run")}
    environment.pop("SPEEDISO", None)
    return subprocess.run(
        argv, env=environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, installed as an image's build would."""
    place = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(REPOSITORY / "tests" / "plugin", place / "source")
    target = place / "target"
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*argv, "--target", str(target), str(source)], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return target


def test_it_is_listed_and_shown(installed: Path) -> None:
    """Its name, its sentence and its options are there like those of a built-in."""
    rows = {row["task"]: row for row in json.loads(liveagent(installed, "list", "--json").stdout)}
    assert rows["entropy"]["usable"] and "make keys" in rows["entropy"]["summary"]
    assert "entropy" not in liveagent(installed.parent / "nothing", "list").stdout
    shown = json.loads(liveagent(installed, "show", "entropy", "--json").stdout)
    assert [(one["option"], one["default"]) for one in shown["options"]] == [("least", "128")]


@pytest.mark.parametrize(("least", "verdict", "status"), [("1", "pass", 0), ("4096", "fail", 1)])
def test_it_runs(installed: Path, least: str, verdict: str, status: int) -> None:
    """Its options are typed, its verdict is the run's, and its finding carries the figures."""
    done = liveagent(installed, "run", "entropy", "--least", least, "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["verdict"]) == (status, verdict)
    bits = result["tasks"][0]["data"]["bits"]
    found = [one["measured"] for one in result["tasks"][0]["findings"]]
    assert found == ([] if verdict == "pass" else [{"bits": bits, "least": 4096}])


def test_a_wrong_option_is_a_fault(installed: Path) -> None:
    """As with any task, nothing runs."""
    done = liveagent(installed, "run", "entropy", "--least", "0")
    assert done.returncode == 2 and "not between 1 and 4096" in done.stderr


TASK = """
from liveagent.events import Verdict
from liveagent.tasks import Outcome, Task
class Broken(Task):
    name = "other"
    summary = "none"
    def run(self, context, options):
        return Outcome(Verdict.PASS, "ran")
"""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise OSError('no')", "its package cannot be loaded: OSError('no')"),
        ("import sys; sys.exit(0)", "its package cannot be loaded: SystemExit(0)"),
        ("import nowhere_to_be_found", "No module named"),
        (f"{TASK}TASK = Broken", "is no Task but"),
        (f"{TASK}TASK = Broken()", "its package calls it other"),
    ],
)
def test_a_package_that_is_broken(tmp_path: Path, source: str, words: str) -> None:
    """It is named with the reason, it is a fault of a plan that names it, and everything else goes on."""
    target = tmp_path / "target"
    (target / "broken-1.0.dist-info").mkdir(parents=True)
    (target / "broken.py").write_text(source)
    (target / "broken-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (target / "broken-1.0.dist-info" / "entry_points.txt").write_text("[liveagent.tasks]\nbroken = broken:TASK\n")
    rows = {row["task"]: row for row in json.loads(liveagent(target, "list", "--json").stdout)}
    assert rows["wipe"]["usable"] and not rows["broken"]["usable"] and words in rows["broken"]["summary"]
    done = liveagent(target, "run", "broken")
    assert done.returncode == 2 and "broken cannot be run" in done.stderr and "Traceback" not in done.stderr
