"""`set-task` and `clear-task` against recorded answers of a real Foreman, served on the loopback address."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import trustme

from tests.conftest import REPOSITORY, need
from tests.foreman.api import LOGIN, TOKEN, Foreman, Recordings, Row
from tests.foreman.boot import LOADERS, TEMPLATES, Server, read_line, render_boots

pytestmark = pytest.mark.corpus

SET, CLEAR = REPOSITORY / "foreman" / "set-task", REPOSITORY / "foreman" / "clear-task"
WORD, SERIAL, BOUND = "hk_speedtest_autotask", "liveagent_expect_serial", "liveagent_host"
ONE, TWO, THREE = (f"node0{number}.lab.example.com" for number in (1, 2, 3))

Serve = Callable[..., Foreman]


@pytest.fixture(scope="module")
def recordings(corpus: Path) -> Recordings:
    """The recorded answers."""
    return Recordings(corpus)


@pytest.fixture
def serve(recordings: Recordings) -> Iterator[Serve]:
    """Starts Foremen that hold the given hosts."""
    started: list[Foreman] = []

    def start(*rows: Row, context: ssl.SSLContext | None = None) -> Foreman:
        started.append(Foreman(recordings, list(rows), context))
        return started[-1]

    yield start
    for foreman in started:
        foreman.close()


def make_environment(foreman: Foreman | str, **more: str) -> dict[str, str]:
    """What a desk's shell would hold. The interpreter of this run comes first, so that each tries the script."""
    url = foreman if isinstance(foreman, str) else foreman.url
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {"FOREMAN_URL": url, "FOREMAN_USER": LOGIN, "FOREMAN_TOKEN": TOKEN, "PATH": path, "HOME": "/nonexistent"}
    return {**given, **more}


def run(
    foreman: Foreman | str, *words: str, typed: str = "", script: Path = SET, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script as an admin would at a desk, with credentials in the environment."""
    given = make_environment(foreman, **environment)
    argv = [str(script), *words]
    return subprocess.run(argv, input=typed, capture_output=True, text=True, timeout=60, env=given)


def list_changes(foreman: Foreman) -> list[tuple[str, str, Any]]:
    """What was changed, in order: (method, place below the host, value)."""
    changes = []
    for _, method, path, body in foreman.writes:
        given = (body or {}).get("parameter") or (body or {}).get("host") or {}
        changes.append(
            (method, path.split("/", 5)[5] if path.count("/") > 4 else "", given.get("value", given.get("build")))
        )
    return changes


def test_a_wipe_is_bound_to_its_host_in_an_order_that_arms_nothing_else(serve: Serve) -> None:
    """The serial of the facts, then the word, and the name that arms it last."""
    foreman = serve(Row(ONE, "SN1", inherited={WORD: "burnin"}), Row(TWO, "SN2"))
    done = run(foreman, "wipe", ONE)
    assert (done.returncode, foreman.rows[TWO].own) == (0, {}), done.stderr
    assert list(foreman.rows[ONE].own.items()) == [(SERIAL, "SN1"), (WORD, "wipe"), (BOUND, ONE)]
    assert [method for method, _, _ in list_changes(foreman)] == ["POST"] * 3
    assert run(foreman, "wipe", ONE).returncode == 0
    assert len(foreman.writes) == 3, "what is so already is not written again"


def test_what_it_sets_is_what_the_templates_boot(serve: Serve) -> None:
    """After set-task every loader boots the wipe for that serial, and after clear-task none does."""
    foreman = serve(Row(ONE, "SN1"))
    base = {"livesystem_url": "http://images.example.test/live"}
    assert run(foreman, "hwdiag,wipe", ONE).returncode == 0
    armed = Server({**base, **foreman.rows[ONE].own}, name=ONE)
    assert run(foreman, ONE, script=CLEAR).returncode == 0
    cleared = Server({**base, **foreman.rows[ONE].own}, name=ONE)
    boots = render_boots([armed, cleared])
    for loader in LOADERS:
        line = read_line(loader, boots[0][loader]).split(" ")
        assert {"systemd.setenv=SPEEDISO=hwdiag,wipe", "liveagent.expect_serial=SN1"} <= set(line)
        assert "systemd.setenv=SPEEDISO=" in read_line(loader, boots[1][loader]).split(" ")


@pytest.mark.parametrize("task", ["wipe", "burnin", "lininstall", "hwdiag,wipe", "our-own"])
def test_no_destructive_word_without_a_serial(serve: Serve, task: str) -> None:
    """A host whose serial is not known, or is a firmware's filler, is refused and left as it was."""
    for serial in ("", "None", "To be filled by O.E.M.", "0123456789"):
        foreman = serve(Row(ONE, serial, own={SERIAL: "SN1", BOUND: TWO}))
        done = run(foreman, task, ONE)
        assert (done.returncode, foreman.writes) == (4, [])
        assert f"refused, nothing was changed: {ONE}: {task} may destroy data, and no serial is known" in done.stderr


def test_a_serial_may_be_typed_and_may_not_contradict_the_facts(serve: Serve) -> None:
    """A typed serial stands in for unknown facts, overrules an older one, and never the facts."""
    foreman = serve(
        Row(ONE, own={SERIAL: "OLD", BOUND: ONE}), Row(TWO, "SN2"), Row(THREE, "SN3", own={SERIAL: "X", BOUND: THREE})
    )
    assert run(foreman, "wipe", ONE, "--serial", "SN1").returncode == 0
    assert foreman.rows[ONE].own == {SERIAL: "SN1", WORD: "wipe", BOUND: ONE}
    written = len(foreman.writes)
    for host, serial in ((TWO, ["--serial", "SN9"]), (THREE, [])):
        done = run(foreman, "wipe", host, *serial)
        assert done.returncode == 4 and f"{host}: " in done.stderr
    assert len(foreman.writes) == written


def test_a_harmless_word_needs_no_serial_and_disarms_first(serve: Serve) -> None:
    """The binding goes before the word changes; what the host's parameters call harmless is harmless, wipe never."""
    foreman = serve(Row(ONE, own={WORD: "wipe", BOUND: ONE}), Row(TWO, inherited={"liveagent_harmless": "ours wipe"}))
    assert run(foreman, "hwdiag,speedtest", ONE).returncode == 0
    assert list_changes(foreman) == [
        ("DELETE", f"parameters/{BOUND}", None),
        ("PUT", f"parameters/{WORD}", "hwdiag,speedtest"),
    ]
    assert run(foreman, "ours", TWO).returncode == 0
    assert run(foreman, "ours,wipe", TWO).returncode == 4


def test_a_dry_run_shows_and_changes_nothing(serve: Serve) -> None:
    """The changes are listed in their order, for one host and for a group, and nothing is asked."""
    foreman = serve(Row(ONE, "SN1", "racks/a"), Row(TWO, "SN2", "racks/a"))
    done = run(foreman, "wipe", "--hostgroup", "racks/a", "--build", "--dry-run")
    assert (done.returncode, done.stderr, foreman.writes) == (0, "", [])
    assert done.stdout.splitlines()[:5] == [
        f"{ONE}  serial SN1",
        f"  {SERIAL} = SN1",
        f"  {WORD} = wipe",
        f"  {BOUND} = {ONE}",
        "  enters build (Foreman deletes its facts and reports)",
    ]


@pytest.mark.parametrize("typed", ["2\n", "4\n", "yes\n", "\n", ""])
def test_a_group_is_counted_by_a_person(serve: Serve, typed: str) -> None:
    """All hosts are listed, and anything but their number changes none of them."""
    rows = [Row(f"node{number:02}.lab.example.com", f"SN{number}", "racks/a") for number in (1, 2, 3)]
    foreman = serve(*rows, Row("other.lab.example.com", "SN9", "racks/b"))
    done = run(foreman, "wipe", "--hostgroup", "racks/a", typed=typed)
    assert (done.returncode, foreman.writes) == (4, [])
    assert [row.name for row in rows if row.name in done.stdout] == [row.name for row in rows]
    done = run(foreman, "wipe", "--hostgroup", "racks/a", typed="3\n")
    assert done.returncode == 0 and all(row.own[WORD] == "wipe" for row in rows), done.stderr
    assert foreman.rows["other.lab.example.com"].own == {}


def test_a_group_longer_than_a_page_is_listed_whole(serve: Serve) -> None:
    """The number to be typed is that of all hosts, however many pages they fill."""
    foreman = serve(*(Row(f"n{number}.lab.example.com", f"SN{number}", "racks/a") for number in range(103)))
    done = run(foreman, "hwdiag", "--hostgroup", "racks/a", typed="100\n")
    assert done.returncode == 4 and "103 hosts are listed above" in done.stderr


def test_a_group_is_all_or_nothing(serve: Serve) -> None:
    """One host without a serial, or two with the same, and no host of the group is changed."""
    for serial, reason in (("", "no serial is known"), ("SN1", "have the same serial, SN1")):
        foreman = serve(Row(ONE, "SN1", "racks/a"), Row(TWO, serial, "racks/a"))
        done = run(foreman, "wipe", "--hostgroup", "racks/a", typed="2\n")
        assert (done.returncode, foreman.writes) == (4, []) and reason in done.stderr
    foreman = serve()
    done = run(foreman, "wipe", "--hostgroup", "racks/a", typed="0\n")
    assert done.returncode == 4 and "no host in the group" in done.stderr


def test_a_filter_that_was_not_obeyed_is_found(serve: Serve) -> None:
    """A list that holds a host of another group is no list of this one."""
    foreman = serve(Row(ONE, "SN1", "racks/a"), Row(TWO, "SN2", "racks/b"))
    rows = [{"name": row.name, "hostgroup_title": row.hostgroup} for row in foreman.rows.values()]
    foreman.instead["GET", "/api/v2/hosts"] = (200, {}, json.dumps({"subtotal": 2, "results": rows}))
    done = run(foreman, "wipe", "--hostgroup", "racks/a", typed="2\n")
    assert (done.returncode, foreman.writes) == (3, []) and "racks/b" in done.stderr


def test_hosts_are_done_in_batches_with_time_between(serve: Serve) -> None:
    """Between two batches there is the time that was asked for, within one there is none."""
    foreman = serve(*(Row(f"n{number}.lab.example.com", f"SN{number}", "racks/a") for number in range(5)))
    words = ("--clear", "--hostgroup", "racks/a", "--every", "0.5", "--batch", "2")
    for row in foreman.rows.values():
        row.own[WORD] = "hwdiag"
    done = run(foreman, *words, typed="5\n")
    times = [at for at, *_ in foreman.writes]
    gaps = [after - before for before, after in zip(times, times[1:])]
    assert done.returncode == 0 and [gap >= 0.5 for gap in gaps] == [False, True, False, True], gaps


def test_a_failure_in_the_middle_says_what_is_done(serve: Serve, recordings: Recordings) -> None:
    """It stops there, and names the hosts that are not done, with Foreman's reason."""
    foreman = serve(*(Row(name, f"SN{name}", "racks/a") for name in (ONE, TWO, THREE)))
    foreman.instead["POST", f"/api/v2/hosts/{TWO}/parameters"] = recordings.read("perm-uploadedit", 5)
    done = run(foreman, "wipe", "--hostgroup", "racks/a", typed="3\n")
    assert done.returncode == 3 and foreman.rows[ONE].own[WORD] == "wipe" and foreman.rows[THREE].own == {}
    assert "403, Access denied; missing permission create_params" in done.stderr
    assert f"1 of 3 hosts are done; not, or in part only: {TWO} {THREE}" in done.stderr


def test_an_interruption_says_what_is_done(serve: Serve) -> None:
    """Ctrl-C between two batches ends it there, and names the hosts that are not done."""
    foreman = serve(*(Row(name, own={WORD: "hwdiag"}, hostgroup="racks/a") for name in (ONE, TWO)))
    argv = [str(CLEAR), "--hostgroup", "racks/a", "--every", "600"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Whatever started the suite: in the background of a shell Ctrl-C is ignored, and children inherit that.
    argv = ["env", "--default-signal=INT", *argv]
    with subprocess.Popen(argv, env=make_environment(foreman), text=True, **pipes) as script:
        assert script.stdin and script.stderr
        script.stdin.write("2\n")
        script.stdin.flush()
        seen = ""
        while f"{ONE}: done, 1 of 2" not in seen:
            line = script.stderr.readline()
            assert line, seen
            seen += line
        script.send_signal(signal.SIGINT)
        _, left = script.communicate(timeout=30)
    assert script.returncode == 130 and f"1 of 2 hosts are done; not, or in part only: {TWO}" in left
    assert foreman.rows[TWO].own == {WORD: "hwdiag"}


def test_an_answer_that_says_something_else_is_no_success(serve: Serve, recordings: Recordings) -> None:
    """201 for another value, or for nothing, is not taken for done."""
    foreman = serve(Row(ONE, "SN1"))
    foreman.instead["POST", f"/api/v2/hosts/{ONE}/parameters"] = recordings.read("param-create")
    done = run(foreman, "wipe", ONE)
    assert done.returncode == 3 and f"Foreman did not take {SERIAL}" in done.stderr


def test_clearing_takes_the_binding_first_and_says_what_is_inherited(serve: Serve) -> None:
    """The own word and the binding go, the serial stays, other parameters are not touched."""
    own = {WORD: "wipe", SERIAL: "SN1", BOUND: ONE, "ours": "x"}
    foreman = serve(Row(ONE, own=own, inherited={WORD: "hwdiag"}, build=True))
    done = run(foreman, "--clear", ONE, "--no-build")
    assert done.returncode == 0 and foreman.rows[ONE].own == {SERIAL: "SN1", "ours": "x"}, done.stderr
    assert list_changes(foreman) == [
        ("DELETE", f"parameters/{BOUND}", None),
        ("DELETE", f"parameters/{WORD}", None),
        ("PUT", "", False),
    ]
    assert f"{ONE}: now inherits {WORD} = hwdiag" in done.stderr
    assert "nothing to change" in run(foreman, ONE, script=CLEAR).stdout


def test_build_comes_after_everything_else_and_not_twice(serve: Serve) -> None:
    """A host enters build when its parameters stand; one in build already is refused, since it was rendered before."""
    foreman = serve(Row(ONE, "SN1"))
    assert run(foreman, "wipe", ONE, "--build").returncode == 0
    assert list_changes(foreman)[-1] == ("PUT", "", True) and foreman.rows[ONE].build
    done = run(foreman, "wipe", ONE, "--build")
    assert done.returncode == 4 and "in build already" in done.stderr
    assert "in build, a loader's file on a TFTP server stays" in run(foreman, "wipe", ONE, "--dry-run").stdout


def test_a_host_is_meant_by_its_exact_name(serve: Serve, recordings: Recordings) -> None:
    """Another case finds nothing, and a number that Foreman takes for an id is not taken for a name."""
    foreman = serve(Row(ONE, "SN1"))
    done = run(foreman, "wipe", ONE.upper())
    assert done.returncode == 3 and "404" in done.stderr and "nothing was changed" in done.stderr
    foreman.instead["GET", "/api/v2/hosts/1"] = recordings.read("host-get")
    done = run(foreman, "wipe", "1")
    assert (done.returncode, foreman.writes) == (3, []) and "when it was asked for '1'" in done.stderr


def test_credentials_come_from_the_environment_or_netrc_and_are_not_shown(serve: Serve, tmp_path: Path) -> None:
    """Without them nothing is asked; wrong ones are said to be wrong; the token is in no output."""
    foreman = serve(Row(ONE, "SN1"))
    done = run(foreman, "wipe", ONE, FOREMAN_TOKEN="")
    assert (done.returncode, foreman.requests) == (2, 0) and "no credentials for 127.0.0.1" in done.stderr
    done = run(foreman, "wipe", ONE, FOREMAN_TOKEN="wrong")
    assert done.returncode == 3 and "401, Unable to authenticate user" in done.stderr
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {LOGIN} password {TOKEN}\n")
    netrc.chmod(0o600)
    done = run(foreman, "wipe", ONE, FOREMAN_TOKEN="", NETRC=str(netrc))
    assert done.returncode == 0 and TOKEN not in done.stdout + done.stderr, done.stderr
    netrc.write_text("machine\n")
    done = run(foreman, "wipe", ONE, FOREMAN_TOKEN="", NETRC=str(netrc))
    assert done.returncode == 2 and "Failed to read the netrc file" in done.stderr


def test_a_token_goes_to_nobody_else(serve: Serve, recordings: Recordings) -> None:
    """No plain http but to this machine, no redirect is followed, no login in the address."""
    foreman, other = serve(Row(ONE, "SN1")), serve(Row(ONE, "SN1"))
    status, headers, body = recordings.read("https-required", 1)
    moved = {**headers, "Location": f"{other.url}/api/v2/hosts/{ONE}"}
    foreman.instead["GET", f"/api/v2/hosts/{ONE}"] = (status, moved, body)
    assert run(foreman, "wipe", ONE).returncode == 3 and other.requests == 0
    for url in ("http://foreman.example.com", "ftp://127.0.0.1", "", "foreman.example.com"):
        done = run(url, "wipe", ONE)
        assert done.returncode == 2 and "https address" in done.stderr
    assert run("https://me:secret@foreman.example.com", "wipe", ONE).returncode == 2


def test_the_certificate_is_verified(serve: Serve, tmp_path: Path) -> None:
    """A CA of one's own is named, or the connection fails before a password is sent."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    foreman = serve(Row(ONE, "SN1"), context=context)
    done = run(foreman, "wipe", ONE)
    assert (done.returncode, foreman.requests) == (3, 0) and "CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert run(foreman, "wipe", ONE, "--ca", str(tmp_path / "ca.pem")).returncode == 0
    assert run(foreman, "wipe", ONE, "--ca", str(tmp_path / "missing")).returncode == 2


def test_nobody_there_is_said_in_one_line() -> None:
    """A Foreman that does not answer is an error of its own, without a traceback."""
    done = run("http://127.0.0.1:1", "wipe", ONE)
    assert done.returncode == 3 and done.stderr.startswith("set-task: nothing was changed: GET ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        *([], ["wipe"], ["wipe", ONE, TWO], ["wipe", ONE, "--hostgroup", "a"], ["--clear"], ["--clear", "wipe", ONE]),
        *(["wipe;x", ONE], ["", ONE], ["wipe,", ONE], ["wipe hwdiag", ONE], ["wipe", ONE, "--serial", "a b"]),
        *(["wipe", "--hostgroup", 'a"', "--dry-run"], ["wipe", "--hostgroup", "a", "--serial", "x"]),
        *(["wipe", ONE, "--batch", "0"], ["wipe", ONE, "--every", "-1"], ["wipe", ONE, "--every", "nan"]),
        *(["--clear", ONE, "--build"], ["wipe", ONE, "--no-build"]),
    ],
    ids=" ".join,
)
def test_wrong_words_are_usage(words: list[str]) -> None:
    """A mistake in the words ends before anything is asked."""
    done = run("http://127.0.0.1:1", *words)
    assert done.returncode == 2 and "error: " in done.stderr


def test_the_script_and_the_templates_agree() -> None:
    """What set-task calls a filler, a fact with the serial, or harmless is what the templates call so."""
    template = (TEMPLATES / "liveagent_cmdline.erb").read_text()
    constants = {
        node.targets[0].id: eval(compile(ast.Expression(node.value), "set-task", "eval"))
        for node in ast.parse(SET.read_text()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("FILLERS", "FACTS", "HARMLESS", "DESTRUCTIVE")
    }

    def read_list(pattern: str) -> list[str]:
        match = re.search(pattern, template, re.DOTALL)
        assert match, pattern
        return re.findall(r"'([^']*)'", match.group(1))

    assert read_list(r"fillers = \[(.*?)\]") == list(constants["FILLERS"])
    assert read_list(r"\[('serialnumber', .*?)\]\.each") == list(constants["FACTS"])
    assert read_list(r"harmless = \[(.*?)\]") == list(constants["HARMLESS"])
    assert read_list(r"split\(' '\) - \[(.*?)\]\)") == list(constants["DESTRUCTIVE"])
    plain = re.search(r"plain = '(.*)'", template)
    shown = re.search(r'PLAIN = re.compile\(r"\[(.*)\]\+"\)', SET.read_text())
    assert plain and shown and plain.group(1) == shown.group(1).replace("\\", "")


def test_the_scripts_are_clean(tmp_path: Path) -> None:
    """The linters and the types of the package hold for set-task as well, and Python 3.9 reads it."""
    for argv in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--cache-dir", str(tmp_path)]):
        done = subprocess.run(
            [sys.executable, "-m", *argv, str(SET)], cwd=REPOSITORY, capture_output=True, text=True, timeout=110
        )
        assert done.returncode == 0, done.stdout + done.stderr
    ast.parse(SET.read_text(), feature_version=(3, 9))
    need(shutil.which("shellcheck"), "shellcheck")
    done = subprocess.run(["shellcheck", str(CLEAR)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
