"""The man pages: every command, every key, and nothing that man stumbles over."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from liveagent import __version__
from liveagent.cli import main as command
from liveagent.manual import PAGES, escape
from liveagent.options import rows
from liveagent.settings import AgentSettings
from liveagent.tasks.wipe.options import WipeOptions
from tests.conftest import need


def render(page: str) -> str:
    """A page as a terminal shows it; what the formatter says against it is a failure."""
    need(shutil.which("groff"), "groff")
    argv = ["groff", "-man", "-Tutf8", "-P-cbou", "-rLL=100n", "-ww", "-K", "utf8"]
    done = subprocess.run(argv, input=PAGES[page](), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout


def test_each_command_is_described() -> None:
    """What can be typed is on the page, with its options and its sentence."""
    page = render("liveagent.8")
    plain = re.sub(r"\s+", " ", page)
    for name, one in command.commands.items():
        assert f"liveagent {name} " in plain
        assert one.get_short_help_str(1000).split(".")[0].split(":")[0] in re.sub(r"‐ ", "", plain), name
    assert "--dry-run" in plain and "--validate-as" in plain and f"liveagent {__version__}" in plain
    assert "124 a task's limit reached" in plain


def test_each_key_is_described() -> None:
    """What can be set is on the page, the agent's keys and those of the tasks; a secret's default is not."""
    page = render("liveagent.conf.5")
    for row in (*rows(AgentSettings), *rows(WipeOptions)):
        assert re.search(rf"^ +{re.escape(row.name)} = ", page, re.MULTILINE), row.name
    assert "countdown = duration" in page and "Default: 30." in page
    assert "[wipe]" in page and "destructive = any | serial | signed | never" in page


@pytest.mark.parametrize("text", [".TH not a title", "'quoted", "a\\b", "--dry-run"])
def test_text_stays_text(text: str) -> None:
    """A line that begins like a command of the formatter, and a backslash, come out as they were written."""
    argv = ["groff", "-man", "-Tascii", "-P-cbou", "-ww"]
    page = f".TH X 1\n{escape(text)}\n"
    done = subprocess.run(argv, input=page, capture_output=True, text=True, timeout=60)
    assert text in done.stdout and done.stderr == ""


def test_usage() -> None:
    """An unknown page is said to be one, with those that there are."""
    argv = [sys.executable, "-m", "liveagent.manual", "liveagent.7"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "liveagent.8|liveagent.conf.5" in done.stderr
