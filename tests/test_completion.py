"""What a shell completes: by bash and fish themselves, and by the words that zsh hands over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import need

ROOT = str(Path(__file__).parent / "machines" / "lab-pxe")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, liveagent_path: str) -> Path:
    """A directory with the completions as the package has them, and runs to name."""
    place = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "fish"):
        script = ask(liveagent_path, f"{shell}_source", "", 0)
        (place / f"liveagent.{shell}").write_text(script)
    for run in ("20260102T030405Z-1a2b3c", "20260102T040506Z-2b3c4d"):
        (place / "state" / "runs" / run).mkdir(parents=True)
    (place / "state" / "runs" / run / "certificate.json").touch()
    return place


@pytest.fixture(scope="module")
def liveagent_path() -> str:
    return str(Path(sys.executable).parent / "liveagent")


def ask(program: str, instruction: str, words: str, current: int, **more: str) -> str:
    environment = {**os.environ, "_LIVEAGENT_COMPLETE": instruction, "COMP_WORDS": words, "COMP_CWORD": str(current)}
    done = subprocess.run([program], env={**environment, **more}, capture_output=True, text=True, timeout=60)
    assert not done.stderr
    return done.stdout


# Ctrl-C comes while the command is still being imported, as it does to who is impatient.
INTERRUPTED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "liveagent.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["liveagent", "status"]
from liveagent.__main__ import main
main()
"""


@pytest.mark.parametrize("instruction", ["", "bash_complete"])
def test_who_interrupts_gets_no_traceback(instruction: str, tmp_path: Path) -> None:
    environment = {**os.environ, "LIVEAGENT_STATE_DIR": str(tmp_path)}
    if instruction:
        environment |= {"_LIVEAGENT_COMPLETE": instruction, "COMP_WORDS": "liveagent sta", "COMP_CWORD": "1"}
    argv = ["env", "--default-signal=INT", sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def complete_by_bash(place: Path, program: str, line: str) -> list[str]:
    """What bash would offer at the end of the line; it parts words at `=`, as readline does.

    `compopt` works only where somebody types: "default" stands for what it has bash do, which is to offer files.
    """
    need(Path("/bin/bash").exists(), "bash")
    words = line.replace("=", " = ").split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f'source {place}/liveagent.bash; compopt() {{ COMPREPLY+=("$2"); }};'
        f" COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1};"
        f' _liveagent_completion {program}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    environment = {**os.environ, "LIVEAGENT_STATE_DIR": str(place / "state")}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("liveagent can", {"cancel"}),
        ("liveagent run wi", {"wipe"}),
        ("liveagent run hwdiag,w", {"hwdiag,wipe"}),
        ("liveagent show h", {"hwdiag"}),
        ("liveagent run wipe --no", set()),
        ("liveagent run wipe --dr", {"--dry-run"}),
        ("liveagent run wipe --als", {"--also-overwrite"}),
        ("liveagent run wipe --verify ", {"none", "sample", "full"}),
        ("liveagent run wipe --verify=f", {"full"}),
        ("liveagent run wipe --also-overwrite ", {"yes", "no"}),
        ("liveagent run wipe --then ", {"stay", "reboot", "poweroff"}),
        ("liveagent run hwdiag --selftest s", {"short"}),
        ("liveagent report 20260102T03", {"20260102T030405Z-1a2b3c"}),
        ("liveagent attach ", {"20260102T030405Z-1a2b3c", "20260102T040506Z-2b3c4d"}),
        ("liveagent verify 2026", {"20260102T040506Z-2b3c4d", "default"}),
        ("liveagent verify /", {"default"}),
        (f"liveagent --root {ROOT} run wipe --disks nv", {"nvme0n1", "nvme1n1", "nvme1n2"}),
        (f"liveagent --root {ROOT} run wipe --disks SA", {"SATA0101"}),
        (f"liveagent --root {ROOT} run wipe --except sda,SA", {"sda,SATA0101"}),
    ],
)
def test_bash(place: Path, liveagent_path: str, line: str, offered: set[str]) -> None:
    assert set(complete_by_bash(place, liveagent_path, line)) == offered


def test_options_of_a_task_come_with_those_of_the_command(place: Path, liveagent_path: str) -> None:
    offered = complete_by_bash(place, liveagent_path, "liveagent run wipe --yes --")
    assert {"--disks", "--except", "--method", "--dry-run", "--callback"} <= set(offered)
    assert "--selftest" not in offered


def test_fish_itself_shows_what_a_disk_is(place: Path, liveagent_path: str) -> None:
    """fish and zsh show a text beside each word: model and size are what a person chooses by."""
    done = subprocess.run(["fish", "--version"], capture_output=True, check=False) if _has("fish") else None
    need(done is not None, "fish")
    path = f"{Path(liveagent_path).parent}:{os.environ['PATH']}"
    line = f"liveagent --root {ROOT} run wipe --disks nvme0"
    script = f"source {place}/liveagent.fish; complete -C '{line}'"
    environment = {**os.environ, "PATH": path, "HOME": str(place)}
    shown = subprocess.run(["fish", "--no-config", "-c", script], env=environment, capture_output=True, text=True)
    [row] = [row for row in shown.stdout.splitlines() if row.startswith("nvme0n1")]
    assert "QEMU NVMe Ctrl" in row and "serial" in row


@pytest.mark.parametrize("joined", [False, True])
def test_zsh(liveagent_path: str, joined: bool) -> None:
    """zsh takes a word whole: what stands before `=` has to come back with the value."""
    words = f"liveagent --root {ROOT} run wipe --disks" + ("=SA" if joined else " SA")
    rows = ask(liveagent_path, "zsh_complete", words, len(words.split(" ")) - 1).splitlines()
    assert rows[:2] == ["plain", "--disks=SATA0101" if joined else "SATA0101"]
    assert "QEMU HARDDISK" in rows[2]


@pytest.mark.parametrize("root", ["/nonexistent", ROOT])
def test_a_half_typed_line_is_never_an_error(liveagent_path: str, root: str) -> None:
    for words in ("liveagent 'run", "liveagent run nosuch --x ", "liveagent --root", "liveagent run ,,wipe, --disks ,"):
        ask(liveagent_path, "bash_complete", f"liveagent --root {root} {words[10:]}", len(words.split(" ")) + 1)


def _has(program: str) -> bool:
    from shutil import which

    return which(program) is not None
